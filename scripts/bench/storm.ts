import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { BHS_LENGTH } from '../../lib/pdu/bhs.js'
import { DEFAULT_CACHE_BYTES } from '../../lib/target/image-storage.js'
import type { BlockIo } from '../../lib/volume/block-io.js'
import { DeltaMap } from '../../lib/volume/delta/delta-map.js'
import { FileVolume } from '../../lib/volume/drivers/file.js'
import { ZeroVolume } from '../../lib/volume/drivers/zero.js'
import { CacheVolume, SharedCache } from '../../lib/volume/layers/cache.js'
import { FaultPlan, FaultVolume } from '../../lib/volume/layers/fault.js'
import { Overlay } from '../../lib/volume/layers/overlay.js'
import { readVolume, zeroVolume } from '../../lib/volume/promises.js'
import { makeImage } from './image.js'
import type { LoadGroup } from './load/job.js'
import { LoadSession } from './load/session.js'
import { dropCache } from './measure.js'
import { startCloudx, TARGET_NAME, UNIT, type Server } from './servers.js'

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
  for (const base of BASES) {
    await measureBoot(root, folder, image, base, quick ? 10 : BOOTING, quick ? WRITTEN_BYTES / 8 : WRITTEN_BYTES)
  }
  await measureSlow(quick ? READ_BYTES / 64 : READ_BYTES / 4, BOOTING)
  if (!quick) measureMaps(folder)
  await measureRetrim(folder)
}

/** Where the bytes of the image come from. */
interface Base {
  readonly title: string
  readonly options: readonly string[]
  /** Bytes that the server has read for these clients. */
  readonly readBytes: (server: Server, requests: number) => number
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
  base: Base,
  count: number,
  writtenBytes: number
): Promise<void> {
  const { size } = statSync(image)
  // What a server remembers of the first reads of its clients it would fetch before they come.
  rmSync(join(folder, 'state'), { recursive: true, force: true })
  const server = await startCloudx(root, folder, image, PORT, base.options)
  try {
    const sessions = []
    for (let index = 0; index < count; index++) sessions.push(await login(index))
    dropCache(image)
    const before = base.readBytes(server, 0)
    const start = performance.now()
    await Promise.all(sessions.map((session) => session.run(groupOf('read', size), size / BLOCK)))
    const seconds = (performance.now() - start) / 1000
    const bytes = base.readBytes(server, (size / BLOCK) * count) - before
    const ratio = bytes / size
    const total = ((size * count) / 2 ** 30).toFixed(1)
    say(
      `${base.title}: ${count} clients read the same ${mib(size)}, ${total} GiB in ${seconds.toFixed(0)} s: ${mib(bytes)} of the base, ${ratio.toFixed(3)} times (goal: at most 1.05)`
    )
    await Promise.all(sessions.map((session) => session.run(groupOf('write', writtenBytes), writtenBytes / BLOCK)))
    say(`and write ${mib(writtenBytes)} each; memory of the server then: ${mib(residentBytes(server))}`)
    for (const session of sessions) await session.logout()
  } finally {
    await server.stop()
  }
}

/** A medium of which each read takes a few milliseconds, behind the cache that slow ones get: no server, no network. */
async function measureSlow(size: number, count: number): Promise<void> {
  const plan = new FaultPlan().add({ verb: 'read', effect: { kind: 'hold' } })
  const counted = new CountedVolume(size)
  const volume = new CacheVolume(new FaultVolume(counted, plan), new SharedCache(DEFAULT_CACHE_BYTES), 1)
  await volume.open()
  const medium = setInterval(() => plan.releaseAll(), SLOW_MS)
  const read = async (client: number) => {
    await setTimeout(client * START_APART_MS)
    const buffer = Buffer.alloc(BLOCK)
    for (let offset = 0; offset < size; offset += BLOCK) {
      if (!volume.tryRead(buffer, 0, BLOCK, offset)) await readVolume(volume, buffer, offset)
    }
  }
  await Promise.all(Array.from({ length: count }, (_, client) => read(client)))
  clearInterval(medium)
  await volume.close()
  say(
    `a slow driver: ${count} clients, each begun ${START_APART_MS} ms behind the last, read the same ${mib(size)}: ${mib(counted.bytesRead)} of the base, ${(counted.bytesRead / size).toFixed(3)} times (goal: at most 1.05)`
  )
}

class CountedVolume extends ZeroVolume {
  bytesRead = 0

  override read(io: BlockIo): void {
    this.bytesRead += io.length
    super.read(io)
  }
}

/** The UNMAP of all that is free on disks of 1 TiB: what it adds to the map, in memory and in the journal. */
async function measureRetrim(folder: string): Promise<void> {
  for (const { title, size, make } of RETRIMMED) {
    const path = join(folder, 'retrim.img')
    writeFileSync(path, '')
    truncateSync(path, size)
    try {
      make(path)
    } catch (error) {
      say(`${title}: ${String(error).split('\n')[0]}`)
      continue
    }
    const image = new FileVolume({ path, readOnly: true })
    await image.open()
    const disk = join(folder, 'retrim')
    mkdirSync(disk, { recursive: true })
    const owner = { target: TARGET_NAME, initiator: CLIENT, lun: 0, chapUser: '' }
    const base = { uuid: '00112233-4455-6677-8899-aabbccddeeff', generation: 0, size, mtimeNs: 0n, inode: 0n }
    const overlay = new Overlay({ base: image, delta: { directory: disk, name: 'd', base, owner, incarnation: 1 } })
    await overlay.open()
    await zeroVolume(overlay, size - CHUNK, CHUNK, true)
    const before = overlay.stats
    let free = 0
    for (const [first, count] of freeRangesOf(path, size)) {
      // As a client does: no more than the limit of one command.
      for (let done = 0; done < count; done += UNMAP_CHUNKS_MAX) {
        await zeroVolume(overlay, (first + done) * CHUNK, Math.min(UNMAP_CHUNKS_MAX, count - done) * CHUNK, true)
      }
      free += count
    }
    const { mapBytes, journalBytes } = overlay.stats
    say(
      `${title}: UNMAP of the free ${((free * CHUNK) / 2 ** 30).toFixed(0)} GiB adds ${kib(mapBytes - before.mapBytes)} of memory to the ${kib(before.mapBytes)} of an empty map, and ${kib(journalBytes - before.journalBytes)} of journal (goal: at most 1024 KiB)`
    )
    await overlay.close()
    await image.close()
    for (const each of [path, disk]) rmSync(each, { recursive: true })
  }
}

/** What the file system itself calls free: first chunk and count. */
function freeRangesOf(path: string, size: number): [number, number][] {
  const kind = execFileSync('blkid', ['-o', 'value', '-s', 'TYPE', path], { encoding: 'utf8' }).trim()
  if (kind === 'ext4') {
    const output = execFileSync('dumpe2fs', [path], { encoding: 'utf8', maxBuffer: 1 << 28, stdio: 'pipe' })
    const lists = [...output.matchAll(/^ {2}Free blocks: (.+)$/gm)].flatMap(([, list]) => list!.split(', '))
    return lists
      .map((range) => range.split('-').map(Number))
      .map(([first, last]) => [first!, (last ?? first!) - first! + 1])
  }
  // A fresh one of another kind: whatever the image has no blocks for.
  const used = extentsOf(path)
  const ends = [...used.map(([first]) => first), size / CHUNK]
  const starts = [0, ...used.map(([, last]) => last + 1)]
  return starts.map((first, index): [number, number] => [first, ends[index]! - first]).filter(([, count]) => count > 0)
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

/** Files of all sizes in an ext4, every second one of them gone again. */
function makeUsedExt4(path: string): void {
  makeExt4(path, '/usr/share/doc')
  const commands = readdirSync('/usr/share/doc', { recursive: true, encoding: 'utf8' })
    .filter((_name, index) => index % 2 === 0)
    .map((name) => `rm "/${name}"`)
  const input = commands.join('\n')
  execFileSync('debugfs', ['-w', '-f', '-', path], { input, stdio: ['pipe', 'ignore', 'ignore'] })
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

const TIB = 2 ** 40
const RETRIMMED: readonly { title: string; size: number; make: (path: string) => void }[] = [
  { title: 'ext4, 1 TiB, empty', size: TIB, make: (path) => execFileSync('mke2fs', ['-q', '-t', 'ext4', path]) },
  { title: 'ext4, 1 TiB, /usr/share/doc, every second file removed', size: TIB, make: makeUsedExt4 },
  {
    title: 'NTFS, 1 TiB, empty',
    size: TIB,
    make: (path) => execFileSync('mkntfs', ['-q', '-F', '-f', path], { stdio: 'pipe' })
  }
]

async function login(index: number): Promise<LoadSession> {
  const session = new LoadSession({ ...UNIT, port: PORT }, DEPTH, `${CLIENT}-${index}`, index + 1)
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

/** What it asked the kernel for, less the requests of its clients, which it read too. */
function askedBytes({ process: { pid } }: Server, requests: number): number {
  const asked = Number(/^rchar: (\d+)/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))![1])
  return asked - requests * BHS_LENGTH
}

function kib(bytes: number): string {
  return `${(bytes / 1024).toFixed(0)} KiB`
}

function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(0)} MiB`
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

const BASES: readonly Base[] = [
  { title: 'an image that is not in the page cache', options: [], readBytes },
  { title: 'the same behind --cache 1GiB', options: ['--cache', '1GiB'], readBytes: askedBytes }
]
const READ_BYTES = 2 ** 30
/** Of one UNMAP: 1 GiB. */
const UNMAP_CHUNKS_MAX = 2 ** 18
const SLOW_MS = 3
const START_APART_MS = 20
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
