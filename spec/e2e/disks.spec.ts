import { mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals'
import { describeWith, QemuIo, run, succeed } from '../support/programs.js'
import { Random } from '../support/random.js'
import { ScriptedInitiator } from '../support/scripted-initiator.js'
import { read10, write10 } from '../support/raw-commands.js'
import { ServerProcess, sha256, workDirectory } from '../support/server-process.js'

jest.setTimeout(120_000)

const TARGET = 'iqn.2026-01.org.example:disk'
const INITIATOR = 'iqn.2026-01.org.example:pc'
const KIB = 1024
const MIB = 1024 * 1024

let work: ReturnType<typeof workDirectory>
let server: ServerProcess | undefined
beforeEach(() => {
  work = workDirectory()
})
afterEach(async () => {
  await server?.kill()
  server = undefined
  work.remove()
})

const start = async (...args: string[]) => (server = await ServerProcess.start(['--target-name', TARGET, ...args]))
const open = (options: { lun?: number; readOnly?: boolean } = {}) =>
  QemuIo.open({ port: server!.port, target: TARGET, initiatorName: INITIATOR, ...options })

/** A file whose bytes a seed gives. */
function imageOf(name: string, length: number, seed = 20260101): string {
  const path = join(work.path, name)
  writeFileSync(path, new Random(seed).bytes(Buffer.alloc(length)))
  return path
}

describe('an image that does not exist', () => {
  it.each([
    ['8 GiB when nothing is said', [], 8 * 1024 * MIB],
    ['what is asked for', ['--size', '20G'], 20 * 1024 * MIB],
    ['what is asked for, also in odd sectors', ['--size', '1049088'], 1049088]
  ])('is made with %s, takes no space, and the log says so', async (_title, args, length) => {
    const image = join(work.path, 'new.img')
    await start('--lun', image, '--blank', ...args)
    const { size, blocks, mode } = statSync(image)
    expect(size).toBe(length)
    expect(blocks).toBe(0)
    expect(mode & 0o777).toBe(0o666 & ~process.umask())
    expect(await server!.logged(/created/)).toMatch(/new\.img did not exist: created with .*, sparse, of zeroes/)
    expect(await server!.stop()).toBe(0)
    // What exists is left as it is, whatever --size says.
    await start('--lun', image, '--size', '64M')
    expect(server!.lines(/created/)).toEqual([])
    expect(statSync(image).size).toBe(length)
  })

  it('has a name that the target gets too when none is given', async () => {
    server = await ServerProcess.start(['--lun', join(work.path, 'Win 11.IMG'), '--size', '1M', '--blank'])
    const discovery = await ScriptedInitiator.login(server.port)
    expect(await discovery.sendTargets()).toEqual([
      ['TargetName', 'iqn.2010-04.local.cloudx:win-11'],
      ['TargetAddress', `127.0.0.1:${server.port},1`]
    ])
    await discovery.leave()
  })
})

describeWith(['qemu-io', 'iscsi-ls', 'iscsi-readcapacity16'], 'several images in one target', () => {
  it('are LUN 0, 1, …, each with its own bytes, and drop their deltas together', async () => {
    const images = [imageOf('a.img', 4 * MIB, 1), imageOf('b.img', 8 * MIB, 2), imageOf('c.img', 12 * MIB, 3)]
    const sums = await Promise.all(images.map(sha256))
    await start(...images.flatMap((image) => ['--lun', image]))
    const listed = await succeed('iscsi-ls', ['-s', `iscsi://127.0.0.1:${server!.port}`])
    for (const [lun, size] of ['3M', '7M', '11M'].entries()) {
      expect(listed).toContain(`Lun:${lun}    Type:DIRECT_ACCESS (Size:${size})`)
    }
    const disks = await Promise.all([0, 1, 2].map((lun) => open({ lun })))
    await Promise.all(disks.map((disk, lun) => disk.write(lun + 1, MIB, MIB)))
    expect(await Promise.all(disks.map((disk, lun) => disk.holds(lun + 1, MIB, MIB)))).toEqual([true, true, true])
    // Three sessions of one initiator: only the end of the last one is its logout.
    await disks[0]!.quit()
    const again = await open({ lun: 0 })
    expect(await again.holds(1, MIB, MIB)).toBe(true)
    for (const disk of [again, disks[1]!, disks[2]!]) await disk.quit()
    expect(await server!.logged(/restored/)).toMatch(/ 3 MiB dropped/)
    for (const [lun, image] of images.entries()) {
      const { output } = await run('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', server!.url(TARGET, lun), image])
      expect(output).toMatch(/identical/)
    }
    expect(await Promise.all(images.map(sha256))).toEqual(sums)
  })

  it('answer for a LUN that there is not, without harm to the others', async () => {
    await start('--lun', imageOf('a.img', 4 * MIB))
    const { code, output } = await run('iscsi-readcapacity16', [server!.url(TARGET, 5)])
    expect(code).not.toBe(0)
    expect(output).toMatch(/LOGICAL_UNIT_NOT_SUPPORTED|not supported/i)
    expect(await succeed('iscsi-readcapacity16', [server!.url(TARGET, 0)])).toContain(`Total size:${4 * MIB}`)
  })
})

describeWith(['qemu-io', 'iscsi-readcapacity16', 'mkfs.ext4', 'e2fsck', 'qemu-img'], 'a 4Kn disk', () => {
  it('has blocks of 4096 bytes, takes smaller writes of QEMU, and shows its file system', async () => {
    const image = join(work.path, 'share.img')
    writeFileSync(image, '')
    truncateSync(image, 32 * MIB)
    await succeed('mkfs.ext4', ['-q', '-F', '-b', '4096', image])
    const original = await sha256(image)
    await start('--lun', image, '--block-size', '4096')
    const capacity = await succeed('iscsi-readcapacity16', [server!.url(TARGET)])
    expect(capacity).toMatch(/LOGICAL BLOCK ADDRESS:8191\nLOGICAL BLOCK LENGTH IN BYTES:4096/)
    expect(capacity).toContain(`Total size:${32 * MIB}`)
    const disk = await open()
    await disk.write(7, 12 * KIB, 4 * KIB)
    expect(await disk.holds(7, 12 * KIB, 4 * KIB)).toBe(true)
    // Smaller pieces are the client's business: QEMU reads, changes and writes a whole block.
    await disk.write(8, 12 * KIB + 512, 512)
    expect(await disk.holds(7, 12 * KIB, 512)).toBe(true)
    expect(await disk.holds(8, 12 * KIB + 512, 512)).toBe(true)
    await disk.quit()
    const copy = join(work.path, 'copy.img')
    await succeed('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', server!.url(TARGET), copy])
    await succeed('e2fsck', ['-f', '-n', copy])
    expect(await sha256(copy)).toBe(original)
    expect(await sha256(image)).toBe(original)
  })

  it('has no half block behind its end', async () => {
    await start('--lun', imageOf('share.img', MIB), '--block-size', '4096')
    const initiator = await ScriptedInitiator.login(server!.port, { targetName: TARGET })
    await initiator.command([0, 0, 0, 0, 0, 0])
    expect((await initiator.command(read10(255, 1), { read: 4096 })).data).toHaveLength(4096)
    expect((await initiator.command(read10(256, 1), { read: 4096 })).senseText).toBe('05/21/00')
    await initiator.leave()
  })
})

describeWith(['qemu-io', 'iscsi-test-cu'], 'a read-only disk', () => {
  it('refuses writes with DATA PROTECT and says so beforehand', async () => {
    const image = imageOf('share.img', 4 * MIB)
    const original = await sha256(image)
    await start('--lun', image, '--read-only')
    const initiator = await ScriptedInitiator.login(server!.port, { targetName: TARGET })
    await initiator.command([0, 0, 0, 0, 0, 0])
    // MODE SENSE(6): WP is bit 7 of the device-specific parameter, SBC-3 §6.4.1.
    const mode = await initiator.command([0x1a, 0x08, 0x3f, 0, 255, 0], { read: 255 })
    expect(mode.data[2]! & 0x80).toBe(0x80)
    expect((await initiator.command(write10(0, 1), { write: Buffer.alloc(512, 1) })).senseText).toBe('07/27/00')
    await initiator.leave()
    const { output } = await run('qemu-io', ['-f', 'raw', '-c', 'write -P 1 0 512', server!.url(TARGET)])
    expect(output).toMatch(/read-only|write protect|Permission denied|Operation not permitted/i)
    const disk = await open({ readOnly: true })
    expect(await disk.command('read 0 4M')).toMatch(/read 4194304\/4194304/)
    await disk.quit()
    expect(await server!.stop()).toBe(0)
    expect(await sha256(image)).toBe(original)
  })

  it.each(['ReadOnly', 'Read10', 'ModeSense6', 'Inquiry'])("passes libiscsi's ALL.%s", async (family) => {
    await start('--lun', imageOf('share.img', 4 * MIB), '--read-only')
    const args = ['-i', INITIATOR, '-I', INITIATOR, '-d', `--test=ALL.${family}`, server!.url(TARGET)]
    const { code, output } = await run('iscsi-test-cu', args)
    expect(output).not.toMatch(/FAILED/)
    expect(output).toMatch(/passed/)
    expect(code).toBe(0)
  })
})

describeWith(['qemu-img'], 'a read cache', () => {
  it.each([
    ['on, smaller than the image', '1M'],
    ['on, larger than the image', '64M'],
    ['off', '0']
  ])('that is %s changes no byte', async (_title, cache) => {
    const image = imageOf('share.img', 16 * MIB)
    const original = await sha256(image)
    await start('--lun', image, '--cache', cache)
    const copy = join(work.path, 'copy.img')
    const convert = (to: string) =>
      succeed('qemu-img', ['convert', '-m', '8', '-W', '-f', 'raw', '-O', 'raw', server!.url(TARGET), to])
    await convert(copy)
    expect(await sha256(copy)).toBe(original)
    const disk = await open()
    await disk.write(3, 5 * MIB + 512, 70 * KIB)
    expect(await disk.holds(3, 5 * MIB + 512, 70 * KIB)).toBe(true)
    // Another initiator reads the same chunks through the same cache.
    await convert(copy)
    expect(await sha256(copy)).toBe(original)
    expect(await disk.holds(3, 5 * MIB + 512, 70 * KIB)).toBe(true)
    await disk.quit()
    await convert(copy)
    expect(await sha256(copy)).toBe(original)
  })
})

describe('a configuration file', () => {
  it('serves several images under several names, each with its own rules', async () => {
    const [a, b] = [imageOf('a.img', MIB, 1), imageOf('b.img', 2 * MIB, 2)]
    mkdirSync(join(work.path, 'conf'))
    const file = join(work.path, 'conf', 'cloudx.yaml')
    writeFileSync(join(work.path, 'conf', 'secret.txt'), 'a secret of b!\n', { mode: 0o600 })
    writeFileSync(
      file,
      [
        'grace: 2h',
        'targets:',
        '  - target-name: iqn.2026-01.org.example:a',
        '    alias: For all',
        '    lun: ../a.img',
        '  - target-name: iqn.2026-01.org.example:b',
        '    lun:',
        '      - path: ../b.img',
        '        read-only: true',
        '    allow: [iqn.2026-01.org.example:friend-*]',
        '    chap-user: pc',
        '    chap-secret-file: secret.txt',
        ''
      ].join('\n')
    )
    server = await ServerProcess.start(['--config', file])
    const login = async (targetName: string, initiatorName: string, secret?: string) => {
      const initiator = await ScriptedInitiator.connect(server!.port)
      const chap = secret === undefined ? {} : { chap: { name: 'pc', secret } }
      const { status } = await initiator.tryLogin({ targetName, initiatorName, ...chap })
      if (status === 0) await initiator.leave()
      else await initiator.close()
      return status
    }
    const [stranger, friend] = ['iqn.2026-01.org.example:stranger', 'iqn.2026-01.org.example:friend-1']
    expect(await login('iqn.2026-01.org.example:a', stranger)).toBe(0)
    expect(await login('iqn.2026-01.org.example:b', stranger, 'a secret of b!')).toBe(0x0202)
    expect(await login('iqn.2026-01.org.example:b', friend)).toBe(0x0201)
    expect(await login('iqn.2026-01.org.example:b', friend, 'a secret of a!')).toBe(0x0201)
    expect(await login('iqn.2026-01.org.example:b', friend, 'a secret of b!')).toBe(0)
    expect(await login('iqn.2026-01.org.example:c', friend)).toBe(0x0203)
    const discovery = await ScriptedInitiator.login(server.port, { initiatorName: stranger })
    const names = (await discovery.sendTargets()).filter(([key]) => key === 'TargetName').map(([, name]) => name)
    expect(names).toEqual(['iqn.2026-01.org.example:a'])
    await discovery.leave()
    expect([a, b].map((path) => statSync(path).size)).toEqual([MIB, 2 * MIB])
  })
})

describe('the log', () => {
  it('goes to a file as well, in lines for programs when they are asked for', async () => {
    const file = join(work.path, 'log.jsonl')
    await start('--lun', imageOf('share.img', MIB), '--log-file', file, '--log-format', 'json')
    const initiator = await ScriptedInitiator.login(server!.port, { targetName: TARGET })
    await initiator.leave()
    await server!.logged(/logout/)
    expect(await server!.stop()).toBe(0)
    const lines = readFileSync(file, 'utf8').trim().split('\n')
    const entries = lines.map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(entries.every((entry) => typeof entry.message === 'string' && typeof entry.level === 'string')).toBe(true)
    expect(entries.map(({ message }) => message).join('\n')).toMatch(/Listening[^]*logged in[^]*logout[^]*Stopped/)
    expect(server!.log).toHaveLength(lines.length)
  })

  it('is silent below its level', async () => {
    await start('--lun', imageOf('share.img', MIB), '--log-level', 'info')
    const loud = server!.log.length
    expect(await server!.stop()).toBe(0)
    expect(loud).toBeGreaterThan(0)
    const quiet = await ServerProcess.run(['--lun', join(work.path, 'none', 'x.img'), '--log-level', 'error'])
    expect(quiet.log).toHaveLength(1)
  })
})
