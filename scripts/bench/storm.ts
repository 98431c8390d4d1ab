import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DeltaMap } from '../../lib/volume/delta/delta-map.js'
import { makeImage } from './image.js'
import type { LoadGroup, LoadJob } from './load/job.js'
import { LoadSession } from './load/session.js'
import { dropCache } from './measure.js'
import { HOST, TARGET_NAME, startCloudx, type Server } from './servers.js'

/**
 * What many clients cost: bytes that are read from the disk of the image when all of them boot from it at once, memory
 * for those that are connected and do nothing, and memory for the maps of what they write.
 */

/** @param quick - a tenth of the clients and of the bytes */
export async function runStorm(root: string, folder: string, quick: boolean): Promise<void> {
  mkdirSync(folder, { recursive: true })
  const image = join(folder, 'storm.img')
  makeImage(image, quick ? READ_BYTES / 8 : READ_BYTES)
  await measureIdle(root, folder, image, quick ? 20 : IDLE)
  await measureBoot(root, folder, image, quick ? 10 : BOOTING, quick ? WRITTEN_BYTES / 8 : WRITTEN_BYTES)
  if (!quick) measureMaps(folder)
}

async function measureIdle(root: string, folder: string, image: string, count: number): Promise<void> {
  const server = await startCloudx(root, folder, image, PORT)
  try {
    const first = await login(0)
    const before = residentBytes(server)
    const sessions = []
    for (let index = 1; index <= count; index++) sessions.push(await login(index))
    const bytes = residentBytes(server) - before
    say(`${count} connected idle clients: ${mib(bytes)} of memory in all`)
    for (const session of [first, ...sessions]) await session.logout()
  } finally {
    await server.stop()
  }
}

async function measureBoot(
  root: string,
  folder: string,
  image: string,
  count: number,
  writtenBytes: number
): Promise<void> {
  const { size } = statSync(image)
  const server = await startCloudx(root, folder, image, PORT)
  try {
    const sessions = []
    for (let index = 0; index < count; index++) sessions.push(await login(index))
    dropCache(image)
    const before = readBytes(server)
    const start = performance.now()
    await Promise.all(sessions.map((session) => session.run(groupOf('read', size), size / BLOCK)))
    const seconds = (performance.now() - start) / 1000
    const bytes = readBytes(server) - before
    const ratio = bytes / size
    const total = ((size * count) / 2 ** 30).toFixed(1)
    say(
      `${count} clients read the same ${mib(size)}, ${total} GiB in ${seconds.toFixed(0)} s: ${mib(bytes)} from the disk, ${ratio.toFixed(3)} times (goal: at most 1.05)`
    )
    await Promise.all(sessions.map((session) => session.run(groupOf('write', writtenBytes), writtenBytes / BLOCK)))
    say(`and write ${mib(writtenBytes)} each; memory of the server then: ${mib(residentBytes(server))}`)
    for (const session of sessions) await session.logout()
  } finally {
    await server.stop()
  }
}

/** The chunks that file systems write when they are made and filled, and what a map of them takes. */
function measureMaps(folder: string): void {
  for (const { title, size, make } of FILE_SYSTEMS) {
    const path = join(folder, 'file-system.img')
    writeFileSync(path, '')
    truncateSync(path, size)
    try {
      make(path)
    } catch (error) {
      say(`${title}: ${String(error).split('\n')[0]}`)
      continue
    }
    const map = new DeltaMap(size / CHUNK)
    let slots = 0
    for (const [first, last] of extentsOf(path)) {
      map.assign(first, last - first + 1, slots + 1)
      slots += last - first + 1
    }
    const directory = Math.ceil(size / CHUNK / 1024) * 4
    const each = (map.memoryBytes - directory) / slots
    say(
      `${title}: ${mib(slots * CHUNK)} written; the map takes ${each.toFixed(1)} bytes for 4 KiB (goal: at most 8) and ${(directory / (size / 2 ** 20)).toFixed(1)} for a MiB of the image (goal: at most 1)`
    )
  }
}

/** Where a sparse file has blocks, in chunks of 4 KiB, from the file system that it lies on. */
function extentsOf(path: string): [number, number][] {
  const output = execFileSync('filefrag', ['-v', '-b4096', path], { encoding: 'utf8', maxBuffer: 1 << 28 })
  return [...output.matchAll(/^\s*\d+:\s*(\d+)\.\.\s*(\d+):/gm)].map(([, first, last]) => [Number(first), Number(last)])
}

function makeExt4(path: string, from: string): void {
  execFileSync('mke2fs', ['-q', '-t', 'ext4', '-d', from, path], { stdio: 'pipe' })
}

const GIB = 2 ** 30
const FILE_SYSTEMS: readonly { title: string; size: number; make: (path: string) => void }[] = [
  { title: 'ext4, 64 GiB, empty', size: 64 * GIB, make: (path) => execFileSync('mke2fs', ['-q', '-t', 'ext4', path]) },
  { title: 'ext4, 64 GiB, /usr/share', size: 64 * GIB, make: (path) => makeExt4(path, '/usr/share') },
  { title: 'ext4, 256 GiB, /usr/share/doc', size: 256 * GIB, make: (path) => makeExt4(path, '/usr/share/doc') },
  {
    title: 'NTFS, 64 GiB, empty',
    size: 64 * GIB,
    make: (path) => execFileSync('mkntfs', ['-q', '-F', '-f', path], { stdio: 'pipe' })
  }
]

async function login(index: number): Promise<LoadSession> {
  const session = new LoadSession(JOB, DEPTH, `${CLIENT}-${index}`, index + 1)
  await session.login()
  await session.ready()
  return session
}

function groupOf(operation: 'read' | 'write', end: number): LoadGroup {
  return { ...GROUP, operation, end }
}

function residentBytes({ process: { pid } }: Server): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) * 1024
}

/** What was fetched from a disk for this process; what the page cache gave is not in it. */
function readBytes({ process: { pid } }: Server): number {
  return Number(/^read_bytes: (\d+)/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))![1])
}

function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(0)} MiB`
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

const READ_BYTES = 2 ** 30
const WRITTEN_BYTES = 64 * 2 ** 20
const BOOTING = 100
const IDLE = 200
const CHUNK = 4096
const BLOCK = 65536
const DEPTH = 4
const PORT = 14291
const CLIENT = 'iqn.2010-04.local:storm'
const GROUP: LoadGroup = {
  name: 'storm',
  sessions: 1,
  depth: DEPTH,
  operation: 'read',
  blockLength: BLOCK,
  order: 'sequential',
  start: 0,
  end: READ_BYTES,
  initiator: CLIENT
}
const JOB: LoadJob = {
  host: HOST,
  port: PORT,
  target: TARGET_NAME,
  lun: 0,
  digests: false,
  warmUpMs: 0,
  durationMs: 0,
  groups: [GROUP]
}
