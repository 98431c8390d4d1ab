import { afterEach, beforeEach, expect, it, jest } from '@jest/globals'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { bootableDisk, IPXE_ROM, NetworkBoot, WRITTEN } from '../support/ipxe.js'
import { describeWith, succeed } from '../support/programs.js'
import { freePort, ServerProcess, workDirectory } from '../support/server-process.js'

jest.setTimeout(600_000)

const TARGET = 'iqn.2026-01.org.example:disk'
let secret: string
const MIB = 2 ** 20

let work: ReturnType<typeof workDirectory>
let server: ServerProcess | undefined
beforeEach(async () => {
  work = workDirectory()
  writeFileSync(join(work.path, 'share.img'), Buffer.alloc(64 * MIB))
  // The very file that a user is told to make.
  await succeed(process.execPath, ['dist/cli/main.cjs', 'secret', 'new', join(work.path, 'share.secret')])
  secret = readFileSync(join(work.path, 'share.secret'), 'utf8').trim()
})
afterEach(async () => {
  await server?.kill()
  work.remove()
})

const CHAP = () => ['--chap-user', 'pc', '--chap-secret-file', join(work.path, 'share.secret')]

/** Starts a server and answers the lines of its banner. */
async function banner(
  args: readonly string[] = [],
  environment: Record<string, string> = { LC_ALL: 'C' },
  port?: number
) {
  const all = ['--lun', join(work.path, 'share.img'), '--target-name', TARGET, '--banner', ...args]
  server = await ServerProcess.start(all, { environment, port })
  await server.logged(/main\.cjs.*systemctl enable/)
  return server.log.map((line) => line.trim())
}

const line = (lines: readonly string[], start: string) => lines.find((text) => text.startsWith(start))!

describeWith(['qemu-io', 'qemu-system-x86_64'], 'the line for QEMU', () => {
  it.each([
    ['without a secret', () => []],
    ['with CHAP', CHAP]
  ])('opens the disk (%s)', async (_what, args) => {
    const lines = await banner(args())
    const qemu = line(lines, 'qemu-system-x86_64')
    // The program itself starts a machine from the very line; without a processor running it opens its disks and ends.
    const boots = `printf '%s\\n' '{"execute":"qmp_capabilities"}' '{"execute":"query-block"}' '{"execute":"quit"}' | ${qemu} -display none -S -qmp stdio -accel tcg`
    const said = await succeed('sh', ['-c', boots], { cwd: work.path })
    expect(said).toMatch(/"virtual-size": 67108864/)
    const [, options] = / -drive (\S+),if=virtio$/.exec(qemu)!
    const object =
      / -object (\S+)/
        .exec(qemu)
        ?.slice(1)
        .flatMap((text) => ['--object', text]) ?? []
    const io = [...object, '--image-opts', options!, '-c', 'write -P 7 0 1M', '-c', 'read -P 7 0 1M']
    expect(await succeed('qemu-io', io, { cwd: work.path })).toMatch(/wrote 1048576[^]*read 1048576/)
  })
})

describeWith(['qemu-system-x86_64', 'cpio', 'bc'], 'the lines for Linux', () => {
  it.each([
    ['without a secret', () => []],
    ['with CHAP', CHAP]
  ])('connect and disconnect a disk (%s)', async (_what, args) => {
    // The guest reaches this PC by the name that its network gives it.
    const port = await freePort()
    const all = ['--lun', join(work.path, 'share.img'), '--target-name', TARGET, '--banner', ...args()]
    server = await ServerProcess.start([...all, '--advertise', `10.0.2.2:${port}`], {
      port,
      environment: { LC_ALL: 'C' }
    })
    await server.logged(/systemctl enable/)
    const script = join(work.path, 'banner-lines.sh')
    const lines = server.lines(/^ {2}sudo iscsiadm/).map((text) => text.trim().replace(/\bSECRET\b/, secret))
    const [connect, disconnect] = [lines.slice(0, -1), lines.slice(-1)]
    expect(disconnect[0]).toMatch(/--logout$/)
    writeFileSync(
      script,
      [
        ...['#!/bin/sh', '. /job/lib.sh', 'sudo() { "$@"; }', 'initiator_start'],
        ...connect.map((text) => `${text} || die 'a line to connect'`),
        ...[
          `D=$(disk_of ${TARGET} 0) || die 'no disk'`,
          'must "write" dd if=/dev/zero of=/dev/$D bs=1M count=1 oflag=direct'
        ],
        ...disconnect.map((text) => `${text} || die 'the line to disconnect'`),
        'finish'
      ].join('\n')
    )
    const said = await succeed('bash', ['scripts/e2e/guest/guest.sh', '-t', '300', script], { limitMs: 400_000 })
    expect(said).toContain('ALL-PASS')
    await server.logged(/left .* logout/)
  })
})

describeWith(['qemu-system-x86_64', IPXE_ROM], 'the lines for iPXE', () => {
  it.each([
    ['without a secret', () => []],
    ['with CHAP', CHAP]
  ])('boot a PC (%s)', async (_what, args) => {
    writeFileSync(join(work.path, 'share.img'), bootableDisk('as the author left it', 16 * MIB))
    const port = await freePort()
    // The PC that boots reaches this one by the name that its network gives it.
    const lines = await banner([...args(), '--advertise', `10.0.2.2:${port}`], { LC_ALL: 'C' }, port)
    const boot = lines.slice(lines.indexOf('Boot a PC with iPXE:') + 1)
    const pasted = boot.slice(0, boot.indexOf('')).map((text) => text.replace(/\bSECRET\b/, secret))
    expect(pasted.at(-1)).toMatch(/^sanboot /)
    const pc = new NetworkBoot(work.path, { initiatorName: 'iqn.2026-01.org.example:pc', lines: pasted })
    try {
      expect(await pc.booted()).toEqual({ was: 'as the author left it', is: WRITTEN })
    } finally {
      await pc.switchOff()
    }
  })
})

it('says only once that everyone can come in: in the banner, or in the log where there is none', async () => {
  const open = (log: readonly string[]) => log.filter((line) => line.includes('OPEN TO EVERYONE'))
  const args = ['--lun', join(work.path, 'share.img'), '--target-name', TARGET]
  for (const [option, line] of [
    ['--banner', /^ +Open to +OPEN TO EVERYONE ON THIS NETWORK/],
    ['--no-banner', / WARN .* is OPEN TO/]
  ] as const) {
    server = await ServerProcess.start([...args, option], { hosts: ['0.0.0.0'], environment: { LC_ALL: 'C' } })
    await server.logged(/OPEN TO EVERYONE/)
    await server.stop()
    expect(open(server.log)).toEqual([expect.stringMatching(line)])
  }
})

it('speaks Korean to a Korean system, and is not printed to a program', async () => {
  const lines = await banner([], { LC_ALL: 'ko_KR.UTF-8' })
  expect(lines).toContain('QEMU 가상 머신으로 부팅:')
  await server!.kill()
  server = await ServerProcess.start(['--lun', join(work.path, 'share.img'), '--target-name', TARGET])
  await server.stop()
  expect(server.lines(/iscsiadm/)).toEqual([])
})
