import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals'
import { bootableDisk, IPXE_ROM, NetworkBoot, WRITTEN } from '../support/ipxe.js'
import { describeWith, QemuIo, run, succeed } from '../support/programs.js'
import { ServerProcess, sha256, until, workDirectory } from '../support/server-process.js'

/** What becomes of the writes of clients that are told apart by name, with real initiators and the real program. */
jest.setTimeout(300_000)

const TARGET = 'iqn.2026-01.org.example:disk'
const PC = 'iqn.2026-01.org.example:pc'
const OTHER_PC = 'iqn.2026-01.org.example:other-pc'
const LENGTH = 16 * 1024 * 1024
const PROGRAM = resolve(process.env.CLOUDX_PROGRAM ?? 'dist/cli/main.cjs')

let work: ReturnType<typeof workDirectory>
let image: string
let server: ServerProcess
let pcs: NetworkBoot[]
beforeEach(() => {
  work = workDirectory()
  pcs = []
  image = join(work.path, 'share.img')
})
afterEach(async () => {
  await Promise.all(pcs.map((pc) => pc.switchOff()))
  await server.kill()
  work.remove()
})

const start = async (...args: string[]) => {
  server = await ServerProcess.start(['--lun', image, '--target-name', TARGET, ...args])
}
const cloudx = (...args: string[]) => run(process.execPath, [PROGRAM, ...args], { cwd: work.path })

/** One session of QEMU's initiator, which logs out when it ends. Answers what the commands printed. */
async function qemu(initiatorName: string, commands: readonly string[], lun = 0): Promise<string[]> {
  const client = await QemuIo.open({ port: server.port, target: TARGET, initiatorName, lun })
  const answers: string[] = []
  for (const command of commands) answers.push(await client.command(command))
  await client.quit()
  return answers
}
const write = (initiatorName: string, pattern: number, lun = 0) =>
  qemu(initiatorName, [`write -P ${pattern} 1M 64k`, 'flush'], lun)
/** Whether the client finds this pattern. */
const finds = async (initiatorName: string, pattern: number, lun = 0) =>
  !(await qemu(initiatorName, [`read -P ${pattern} 1M 64k`], lun)).join().includes('verification failed')

describeWith(['qemu-io', 'qemu-img'], 'policies', () => {
  beforeEach(() => writeFileSync(image, Buffer.alloc(LENGTH, 0x11)))

  it('keep what one client writes beside another who is restored; the order to drop ends it', async () => {
    await start('--policy', `${PC}=keep`)
    await write(PC, 0xaa)
    await write(OTHER_PC, 0xbb)
    expect([await finds(PC, 0xaa), await finds(OTHER_PC, 0x11)]).toEqual([true, true])
    expect((await cloudx('delta', 'drop', PC)).output).toContain('--unit 0')
    expect((await cloudx('delta', 'drop', PC, '--unit', '0')).output).toContain('64 KiB')
    expect(await finds(PC, 0x11)).toBe(true)
  })

  it('give each client a disk that is kept beside the one that is restored, also when the server was killed', async () => {
    const personal = ['--lun', `${join(work.path, 'me.img')},personal`]
    writeFileSync(join(work.path, 'me.img'), Buffer.alloc(LENGTH))
    await start(...personal)
    for (const [name, pattern] of [
      [PC, 0xaa],
      [OTHER_PC, 0xbb]
    ] as const) {
      await write(name, pattern, 0)
      await write(name, pattern, 1)
    }
    const found = async () => [await finds(PC, 0x11, 0), await finds(PC, 0xaa, 1), await finds(OTHER_PC, 0xbb, 1)]
    expect(await found()).toEqual([true, true, true])
    await server.kill()
    await start(...personal)
    expect(await found()).toEqual([true, true, true])
  })

  it('refuse the writes of a client, set by command and again after a restart', async () => {
    await start()
    expect((await cloudx('initiator', 'policy', 'iqn.2026-01.org.example:other-*', 'read-only')).output).toContain(
      'read-only'
    )
    await server.kill()
    await start()
    await expect(write(OTHER_PC, 0xbb)).rejects.toThrow(/read-only|write protected/i)
    await write(PC, 0xaa)
    expect(JSON.parse((await cloudx('initiator', 'policy', '--json')).output)).toMatchObject({
      targets: [{ ordered: [{ match: 'iqn.2026-01.org.example:other-*', policy: 'read-only' }] }]
    })
  })

  it('export what a client has, in use or dropped, as raw and as qcow2', async () => {
    await start('--policy', `${PC}=keep`)
    await write(PC, 0xaa)
    await write(OTHER_PC, 0xbb)
    const kept = join(work.path, 'kept.img')
    const dropped = join(work.path, 'dropped.qcow2')
    expect((await cloudx('delta', 'export', PC, kept)).code).toBe(0)
    expect((await cloudx('delta', 'export', OTHER_PC, dropped, '--bin')).code).toBe(0)
    expect(await sha256(kept)).toBe(await hashOfDisk(0xaa))
    expect(await succeed('qemu-io', ['-r', '-f', 'qcow2', '-c', `read -P ${0xbb} 1M 64k`, dropped])).not.toContain(
      'failed'
    )
    // Nothing is written over, and nothing is left of what was refused.
    expect((await cloudx('delta', 'export', PC, kept)).code).toBe(1)
    const client = await QemuIo.open({ port: server.port, target: TARGET, initiatorName: PC })
    const live = join(work.path, 'live.img')
    expect((await cloudx('delta', 'export', PC, live)).output).toContain('--live')
    expect(existsSync(live)).toBe(false)
    expect((await cloudx('delta', 'export', PC, live, '--live')).code).toBe(0)
    await client.quit()
  })

  it('encrypt what is written, keep it over a killed server, and leave neither it nor its key in any file at the logout', async () => {
    await start('--shred')
    const client = await QemuIo.open({ port: server.port, target: TARGET, initiatorName: PC })
    await client.command(`write -P ${0xaa} 1M 64k`)
    await client.command('flush')
    const files = () =>
      readdirSync(`${image}.cloudx`, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name))
    const deltas = () => files().filter((path) => /\.(key|map|slots)$/.test(path))
    const holding = (secret: Buffer) => files().filter((path) => readFileSync(path).includes(secret))
    const plain = Buffer.alloc(32, 0xaa)
    expect(holding(plain)).toEqual([])
    await client.kill()
    await server.kill()
    expect(deltas().map((path) => path.slice(path.lastIndexOf('.')))).toEqual(['.key', '.map', '.slots'])
    expect(holding(plain)).toEqual([])
    const key = readFileSync(deltas().find((path) => path.endsWith('.key'))!)
    expect(key).toHaveLength(64)
    expect(holding(key)).toHaveLength(1)
    await start('--shred')
    expect(await finds(PC, 0xaa)).toBe(true)
    await server.logged(/restored at/)
    await until('the files of the delta to go', () => deltas().length === 0)
    expect([...holding(plain), ...holding(key.subarray(0, 32)), ...holding(key.subarray(32))]).toEqual([])
    expect((await cloudx('delta', 'undo', PC)).output).toContain('nothing of')
    expect((await cloudx('status')).output).toContain('their keys are destroyed when they are dropped')
    expect(await finds(PC, 0x11)).toBe(true)
  })

  it('show how much a client has written, and where', async () => {
    await start()
    const client = await QemuIo.open({ port: server.port, target: TARGET, initiatorName: PC })
    await client.command('write 1M 64k')
    await client.command('write 8M 1M')
    const { output } = await cloudx('delta', 'show', PC)
    expect(output).toContain('LUN 0: 1.1 MiB stored of a disk of 16 MiB, 1.1 MiB changed')
    expect(output).toMatch(/^1 MiB +64 KiB +64 KiB$/m)
    expect(output).toMatch(/^8 MiB +1 MiB +1 MiB$/m)
    await client.quit()
  })
})

async function hashOfDisk(pattern: number): Promise<string> {
  const path = join(work.path, 'model.img')
  writeFileSync(path, Buffer.alloc(LENGTH, 0x11).fill(pattern, 1 << 20, (1 << 20) + 65536))
  return sha256(path)
}

describeWith(['qemu-system-x86_64', 'qemu-io', IPXE_ROM], 'restore-on boot', () => {
  const ORIGINAL = 'as the author left it'

  async function boot(): Promise<{ was: string; is: string }> {
    const lines = [`sanboot iscsi:10.0.2.2::${server.port}:0:${TARGET}`]
    const pc = new NetworkBoot(work.path, { initiatorName: PC, lines })
    pcs.push(pc)
    const seen = await pc.booted()
    await pc.switchOff()
    return seen
  }

  it('restores when a real iPXE boots, and neither at the logout nor the login of the booted system', async () => {
    writeFileSync(image, bootableDisk(ORIGINAL, LENGTH))
    await start('--restore-on', 'boot')
    expect(await boot()).toEqual({ was: ORIGINAL, is: WRITTEN })
    // The system: it finds what was written during the boot, writes, and logs out.
    await write(PC, 0xaa)
    expect(await finds(PC, 0xaa)).toBe(true)
    expect(await boot()).toEqual({ was: ORIGINAL, is: WRITTEN })
    expect(await finds(PC, 0xaa)).toBe(false)
    expect(await server.logged(/:pc restored at/)).toContain('undo until')
  })
})

describe('check-config', () => {
  it('says that boot needs clients that boot by iPXE', async () => {
    const file = join(work.path, 'cloudx.yaml')
    writeFileSync(image, Buffer.alloc(LENGTH))
    writeFileSync(file, `lun: ./share.img\ninitiators:\n  - match: ${PC}\n    restore-on: boot\n`)
    await start()
    const { code, output } = await cloudx('check-config', file)
    expect([code, output]).toEqual([0, expect.stringContaining(`restore-on boot for ${PC}`)])
    expect(output).toContain('boot by iPXE')
  })
})
