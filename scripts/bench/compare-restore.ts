import { execFileSync } from 'node:child_process'
import {
  closeSync,
  copyFileSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeSync
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { CHUNK, enlarge, headerOf, makeTemplate, mapsBelow } from './large-deltas.js'
import type { LoadGroup } from './load/job.js'
import { LoadSession } from './load/session.js'
import { median } from './report.js'
import { startCloudx, startTgtd, UNIT, type Server } from './servers.js'

/**
 * From a logout to the next possible login, beside what people do today on the same disk: a copy of the image by
 * `cp --reflink` on XFS and on btrfs, or a new qcow2 file over it, each served by tgtd, whose target has to go first.
 *
 * All lie on the file system of the folder; XFS and btrfs in loop devices over files there. Large deltas of ours are made
 * as in large-deltas.ts. For the others the same number of bytes is written to the disk that is thrown away, in pieces of
 * 64 KiB apart, so that their metadata are as many extents; as holes, they are not there at all.
 */
export interface Comparison {
  readonly title: string
  /** How much had been written. */
  readonly label: string
  readonly medianMs: number
}

interface Way {
  readonly title: string
  /** Where images and their copies lie; undefined when this machine has no such thing. */
  readonly prepare: (folder: string) => Disk | undefined
}

/** A disk that is made, written, thrown away and made again. */
interface Disk {
  make(): string
  readonly served: string
  write(bytes: number): void
  clean(): void
}

export async function compareRestores(
  root: string,
  folder: string,
  rounds: number,
  quick: boolean
): Promise<Comparison[]> {
  mkdirSync(folder, { recursive: true })
  const sizes = quick ? SIZES.slice(0, 2) : SIZES
  const rows = await measureOurs(root, join(folder, 'ours'), sizes, rounds)
  for (const way of WAYS) {
    const own = join(folder, way.title.replace(/\W+/g, '-'))
    mkdirSync(own, { recursive: true })
    let disk: Disk | undefined
    try {
      disk = way.prepare(own)
      if (disk) rows.push(...(await measureTheirs(way.title, own, disk, sizes, rounds)))
    } catch (error) {
      process.stdout.write(`${way.title}: ${String(error).split('\n')[0]}\n`)
    } finally {
      disk?.clean()
      rmSync(own, { recursive: true, force: true })
    }
  }
  if (!existsSync('/dev/mapper/control')) {
    process.stdout.write('LVM and dm-snapshot: this kernel has no device mapper (/dev/mapper/control is not there)\n')
  }
  return rows
}

async function measureOurs(
  root: string,
  folder: string,
  sizes: readonly Size[],
  rounds: number
): Promise<Comparison[]> {
  mkdirSync(folder, { recursive: true })
  const image = join(folder, 'disk.img')
  closeSync(openSync(image, 'w'))
  truncateSync(image, DISK_BYTES)
  const before = await startCloudx(root, folder, image, PORT)
  for (const index of sizes.keys()) {
    for (let round = 0; round < rounds; round++) {
      const session = await loggedIn(before, nameOf(index, round))
      await session.run(WRITES, 1)
      session.cut()
    }
  }
  await before.stop()
  for (const map of mapsBelow(folder)) {
    const header = headerOf(map)
    const index = Number(/ours-(\d+)-/.exec(header.owner.initiator)![1])
    enlarge(map, header, makeTemplate(folder, sizes[index]!.bytes / CHUNK))
  }
  const server = await startCloudx(root, folder, image, PORT)
  try {
    const rows: Comparison[] = []
    for (const [index, { label }] of sizes.entries()) {
      const times: number[] = []
      for (let round = 0; round < rounds; round++) {
        const session = await loggedIn(server, nameOf(index, round))
        times.push(await logoutToLogin(server, session, nameOf(index, round), () => undefined))
      }
      rows.push(told({ title: 'Cloud-x', label, medianMs: median(times) }))
    }
    return rows
  } finally {
    await server.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function measureTheirs(
  title: string,
  folder: string,
  disk: Disk,
  sizes: readonly Size[],
  rounds: number
): Promise<Comparison[]> {
  const server = await startTgtd(folder, disk.make(), PORT + 1)
  const admin = (...args: string[]) =>
    execFileSync('tgtadm', ['-C', `${PORT + 1}`, '--lld', 'iscsi', ...args], {
      env: { ...process.env, TGT_IPC_SOCKET: join(folder, 'tgtd-socket') },
      stdio: 'pipe'
    })
  const rows: Comparison[] = []
  try {
    for (const { label, bytes } of sizes) {
      if (bytes > THEIRS_BYTES_MAX) continue
      const times: number[] = []
      for (let round = 0; round < rounds; round++) {
        disk.write(bytes)
        const session = await loggedIn(server, 'theirs')
        times.push(
          await logoutToLogin(server, session, 'theirs', () => {
            admin('--op', 'delete', '--mode', 'logicalunit', '--tid', '1', '--lun', '1')
            disk.make()
            admin('--op', 'new', '--mode', 'logicalunit', '--tid', '1', '--lun', '1', '-b', disk.served)
          })
        )
      }
      rows.push(told({ title: `${title} + tgt`, label, medianMs: median(times) }))
    }
    return rows
  } finally {
    await server.stop()
  }
}

async function logoutToLogin(server: Server, session: LoadSession, name: string, between: () => void): Promise<number> {
  await setTimeout(SETTLE_MS)
  const before = performance.now()
  await session.logout()
  between()
  const next = await loggedIn(server, name)
  const tookMs = performance.now() - before
  await next.logout()
  return tookMs
}

async function loggedIn(server: Server, name: string): Promise<LoadSession> {
  const { port, lun } = server
  const session = new LoadSession({ ...UNIT, port, lun }, WRITES.depth, `${CLIENT}:${name}`, 1)
  await session.login()
  await session.ready()
  return session
}

function nameOf(size: number, round: number): string {
  return `ours-${size}-${round}`
}

function told(row: Comparison): Comparison {
  process.stdout.write(`${row.title.padEnd(34)} ${row.label.padEnd(8)} ${row.medianMs.toFixed(1)} ms\n`)
  return row
}

/** A file system in a file, where `cp --reflink` shares blocks. */
function reflinkDisk(folder: string, make: readonly string[]): Disk {
  const backing = join(folder, 'file-system')
  closeSync(openSync(backing, 'w'))
  truncateSync(backing, LOOP_BYTES)
  execFileSync(make[0]!, [...make.slice(1), backing], { stdio: 'pipe' })
  const mount = join(folder, 'mount')
  mkdirSync(mount)
  execFileSync('mount', ['-o', 'loop', backing, mount], { stdio: 'pipe' })
  const image = join(mount, 'image')
  const copy = join(mount, 'copy')
  closeSync(openSync(image, 'w'))
  truncateSync(image, DISK_BYTES)
  writeApart(image, IMAGE_DATA_BYTES)
  return {
    served: copy,
    make: () => {
      rmSync(copy, { force: true })
      execFileSync('cp', ['--reflink=always', image, copy])
      return copy
    },
    write: (bytes) => writeApart(copy, bytes),
    clean: () => void execFileSync('umount', [mount])
  }
}

/** tgtd reads no qcow2, so the file is made and deleted, and beside it what it serves: at best that is for nothing. */
function qcow2Disk(folder: string): Disk {
  const image = join(folder, 'image')
  const layer = join(folder, 'layer.qcow2')
  const served = join(folder, 'served')
  closeSync(openSync(image, 'w'))
  truncateSync(image, DISK_BYTES)
  closeSync(openSync(served, 'w'))
  truncateSync(served, DISK_BYTES)
  return {
    served,
    make: () => {
      if (existsSync(layer)) unlinkSync(layer)
      execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', image, '-F', 'raw', layer])
      return served
    },
    write: (bytes) => writeApart(layer, bytes),
    clean: () => undefined
  }
}

/** The image is copied whole, which is what remains without any of them. */
function copyDisk(folder: string): Disk {
  const image = join(folder, 'image')
  const copy = join(folder, 'copy')
  closeSync(openSync(image, 'w'))
  truncateSync(image, IMAGE_DATA_BYTES)
  writeApart(image, IMAGE_DATA_BYTES / 2)
  return {
    served: copy,
    make: () => {
      copyFileSync(image, copy)
      return copy
    },
    write: () => undefined,
    clean: () => undefined
  }
}

/** Pieces with as much between them, so that each is an extent of its own; on the medium when it returns. */
function writeApart(path: string, bytes: number): void {
  const file = openSync(path, 'r+')
  const piece = Buffer.alloc(PIECE_BYTES, 0x5a)
  for (let done = 0; done < bytes; done += PIECE_BYTES) writeSync(file, piece, 0, PIECE_BYTES, done * 2)
  fsyncSync(file)
  closeSync(file)
}

interface Size {
  readonly label: string
  readonly bytes: number
}

const MIB = 2 ** 20
const SIZES: readonly Size[] = [
  { label: '1 MiB', bytes: MIB },
  { label: '64 MiB', bytes: 64 * MIB },
  { label: '1 GiB', bytes: 1024 * MIB },
  { label: '8 GiB', bytes: 8192 * MIB },
  { label: '50 GiB', bytes: 51_200 * MIB }
]
/** What is really written to the disks of the others. */
const THEIRS_BYTES_MAX = 1024 * MIB
const IMAGE_DATA_BYTES = 1024 * MIB
const DISK_BYTES = 2 ** 36
const LOOP_BYTES = 2 ** 34
const PIECE_BYTES = 65536
/** A logout is asked for when what was written before is at rest. */
const SETTLE_MS = 200
const PORT = 14320
const CLIENT = 'iqn.2010-04.local:compare'
const WAYS: readonly Way[] = [
  { title: 'cp --reflink on XFS', prepare: (folder) => reflinkDisk(folder, ['mkfs.xfs', '-q', '-f']) },
  { title: 'cp --reflink on btrfs', prepare: (folder) => reflinkDisk(folder, ['mkfs.btrfs', '-q', '-f']) },
  { title: 'qemu-img create -b', prepare: qcow2Disk },
  { title: 'cp of 1 GiB', prepare: copyDisk }
]
const WRITES: LoadGroup = {
  name: 'writes',
  sessions: 1,
  depth: 16,
  operation: 'write',
  blockLength: CHUNK,
  order: 'sequential',
  start: 0,
  end: MIB,
  initiator: CLIENT
}
