import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, expect, it, jest } from '@jest/globals'
import { describeWith, run, succeed } from '../support/programs.js'
import { ServerProcess, sha256, until, workDirectory } from '../support/server-process.js'

/**
 * Who filled it, and with what: file systems that mkfs made are written to by other people's programs through a real
 * initiator (QEMU's, which shows the client's disk as a file), while and after the client is logged in.
 */
jest.setTimeout(300_000)

const TARGET = 'iqn.2026-01.org.example:disk'
const PC = 'iqn.2026-01.org.example:pc'
const MIB = 1024 * 1024
const PROGRAM = resolve(process.env.CLOUDX_PROGRAM ?? 'dist/cli/main.cjs')

let work: ReturnType<typeof workDirectory>
let image: string
let thesis: string
let server: ServerProcess
let client: ChildProcess | undefined
beforeEach(() => {
  work = workDirectory()
  image = join(work.path, 'share.img')
  thesis = join(work.path, 'thesis.txt')
  writeFileSync(thesis, Array.from({ length: 60_000 }, (_, line) => `line ${line}\n`).join(''))
})
afterEach(async () => {
  await logOut()
  await server.kill()
  work.remove()
})

const cloudx = (...args: string[]) => run(process.execPath, [PROGRAM, ...args], { cwd: work.path })

async function shared(...make: [string, ...string[]]): Promise<void> {
  writeFileSync(image, '')
  truncateSync(image, 64 * MIB)
  await succeed(make[0], [...make.slice(1), image])
  server = await ServerProcess.start(['--lun', image, '--target-name', TARGET])
}

/** The client's disk as a file. */
async function logIn(): Promise<string> {
  const disk = join(work.path, 'disk')
  writeFileSync(disk, '')
  const portal = `portal=127.0.0.1:${server.port}`
  client = spawn('qemu-storage-daemon', [
    '--blockdev',
    `driver=iscsi,transport=tcp,${portal},target=${TARGET},lun=0,initiator-name=${PC},node-name=disk`,
    '--export',
    `type=fuse,id=export,node-name=disk,mountpoint=${disk},writable=on`
  ])
  await until('the disk of the client', () => statSync(disk).size === 64 * MIB)
  return disk
}

async function logOut(): Promise<void> {
  if (!client || client.exitCode !== null || client.signalCode !== null) return
  const gone = once(client, 'close')
  client.kill()
  await gone
  client = undefined
}

interface Shown {
  readonly units: readonly {
    readonly fileSystems: readonly { readonly kind: string; readonly files: readonly { readonly path: string }[] }[]
  }[]
}

async function expectFound(kind: string, path: string): Promise<void> {
  const { output } = await cloudx('delta', 'show', PC, '--json')
  const [found] = (JSON.parse(output) as Shown).units[0]!.fileSystems
  expect([found!.kind, found!.files.map((file) => file.path)]).toEqual([kind, expect.arrayContaining([path])])
  expect(found!.files.map((file) => file.path)).not.toContain('/before.txt')
  const live = join(work.path, 'live.txt')
  expect((await cloudx('delta', 'rescue', PC, path, live)).code).toBe(1)
  expect((await cloudx('delta', 'rescue', PC, path, live, '--live')).output).toContain('live.txt')
  expect(await sha256(live)).toBe(await sha256(thesis))
  await logOut()
  await server.logged(/restored at/)
  expect((await cloudx('delta', 'rescue', PC, path, 'late.txt', '--bin')).code).toBe(0)
  expect(await sha256(join(work.path, 'late.txt'))).toBe(await sha256(thesis))
  const actions = readFileSync(`${image}.cloudx/audit.log`, 'utf8').trimEnd().split('\n')
  expect(actions.map((line) => JSON.parse(line) as object)).toMatchObject([
    { action: 'names', initiatorName: PC },
    { action: 'rescue', path, live: false },
    { action: 'rescue', path, live: true },
    { action: 'rescue', path, bin: true }
  ])
}

const FUSE = process.platform === 'linux' && statSync('/dev/fuse', { throwIfNoEntry: false }) !== undefined
const programs = (...names: string[]) => [FUSE ? 'qemu-storage-daemon' : 'a Linux with /dev/fuse', ...names]

describeWith(programs('mke2fs', 'debugfs'), 'a client that fills ext4', () => {
  it('is shown with the names of its files, which can be copied out', async () => {
    await shared('mke2fs', '-q', '-F', '-t', 'ext4')
    const disk = await logIn()
    await succeed('debugfs', ['-w', '-R', 'mkdir Kim', disk])
    await succeed('debugfs', ['-w', '-R', `write ${thesis} Kim/thesis.txt`, disk])
    await expectFound('ext4', '/Kim/thesis.txt')
  })
})

describeWith(programs('mkfs.vfat', 'mcopy'), 'a client that fills FAT32', () => {
  it('is shown with the names of its files, which can be copied out', async () => {
    await shared('mkfs.vfat', '-F', '32')
    const disk = await logIn()
    await succeed('mmd', ['-i', disk, '::Kim'])
    await succeed('mcopy', ['-i', disk, thesis, '::Kim/Thesis of 김.txt'])
    await expectFound('FAT32', '/Kim/Thesis of 김.txt')
  })
})

describeWith(programs('mkntfs', 'ntfscp'), 'a client that fills NTFS', () => {
  it('is shown with the names of its files, which can be copied out', async () => {
    await shared('mkntfs', '-q', '-F', '-s', '512')
    const disk = await logIn()
    await succeed('ntfscp', ['-q', '-f', disk, thesis, 'Thesis.txt'])
    await expectFound('NTFS', '/Thesis.txt')
  })
})

describeWith(['qemu-img'], 'a client that fills exFAT', () => {
  it('is shown with the names of its files, which can be copied out', async () => {
    server = await ServerProcess.start([
      '--lun',
      image,
      '--size',
      '64M',
      '--target-name',
      TARGET,
      '--policy',
      `${PC}=keep`
    ])
    const filled = join(work.path, 'filled.img')
    mkdirSync(join(work.path, 'tree'))
    copyFileSync(thesis, join(work.path, 'tree', 'thesis.txt'))
    await cloudx('image', 'create', filled, '--from', join(work.path, 'tree'), '--size', '64M')
    const disk = `driver=iscsi,transport=tcp,portal=127.0.0.1:${server.port},target=${TARGET},lun=0,initiator-name=${PC}`
    await succeed('qemu-img', ['convert', '-n', '-f', 'raw', '--target-image-opts', filled, disk])
    const shown = JSON.parse((await cloudx('delta', 'show', PC, '--json')).output) as Shown
    const [found] = shown.units[0]!.fileSystems
    expect(found).toMatchObject({ kind: 'exFAT', partition: 1 })
    expect(found!.files.map(({ path }) => path)).toContain('/thesis.txt')
    expect((await cloudx('delta', 'rescue', PC, '/thesis.txt', 'copy.txt')).code).toBe(0)
    expect(await sha256(join(work.path, 'copy.txt'))).toBe(await sha256(thesis))
  })
})
