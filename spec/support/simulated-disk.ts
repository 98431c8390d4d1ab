import fs from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { join, relative } from 'node:path'
import type { Random } from './random.js'

/**
 * A directory whose every change is recorded, so that it can be laid out again as a power cut would have left it at any
 * moment: what was synced is there, of the rest any part may be there, in any order, torn at sectors.
 *
 * It stands between the program and the system by replacing functions of `node:fs`, for modules that are loaded already
 * too: what they import of Node is a live binding.
 */
export class SimulatedDisk {
  private static current: SimulatedDisk | undefined
  private static readonly originals = new Map<object, Map<string, unknown>>()

  /** Replaces the functions; until a disk is {@link use}d they do what they always did. */
  static install(): void {
    const { promises } = fs
    const open = promises.open.bind(promises)
    replace(promises, 'open', (path: string, flags?: string, mode?: number) => {
      const disk = SimulatedDisk.at(path)
      return disk ? disk.open(open, path, flags, mode) : open(path, flags, mode)
    })
    const rename = promises.rename.bind(promises)
    replace(promises, 'rename', async (from: string, to: string) => {
      const disk = SimulatedDisk.at(from)
      disk?.countRequest()
      await rename(from, to)
      disk?.renamed(from, to)
    })
    const unlink = promises.unlink.bind(promises)
    replace(promises, 'unlink', async (path: string) => {
      const disk = SimulatedDisk.at(path)
      disk?.countRequest()
      await unlink(path)
      disk?.unlinked(path)
    })
    const renameSync = fs.renameSync.bind(fs)
    replace(fs, 'renameSync', (from: string, to: string) => {
      const disk = SimulatedDisk.at(from)
      disk?.countRequest()
      renameSync(from, to)
      disk?.renamed(from, to)
    })
    const ftruncateSync = fs.ftruncateSync.bind(fs)
    replace(fs, 'ftruncateSync', (fd: number, length: number) => {
      const file = SimulatedDisk.requested(fd)
      ftruncateSync(fd, length)
      if (file) SimulatedDisk.current!.events.push({ kind: 'truncate', file, length })
    })
    replaceWrites()
    syncBuiltinESMExports()
  }

  static uninstall(): void {
    SimulatedDisk.current = undefined
    for (const [object, functions] of SimulatedDisk.originals) Object.assign(object, Object.fromEntries(functions))
    SimulatedDisk.originals.clear()
    syncBuiltinESMExports()
  }

  static remember(object: object, name: string): void {
    const kept = SimulatedDisk.originals.get(object) ?? new Map<string, unknown>()
    kept.set(name, (object as Record<string, unknown>)[name])
    SimulatedDisk.originals.set(object, kept)
  }

  private static at(path: string): SimulatedDisk | undefined {
    return SimulatedDisk.current?.owns(path) ? SimulatedDisk.current : undefined
  }

  /** Counts a request of a file that is being watched, and names it. */
  static requested(fd: number): SimulatedFile | undefined {
    const file = SimulatedDisk.current?.handles.get(fd)?.file
    if (file) SimulatedDisk.current!.countRequest()
    return file
  }

  static wrote(file: SimulatedFile | undefined, bytes: Buffer, position: number): void {
    if (file) SimulatedDisk.current?.events.push({ kind: 'write', file, position, bytes: Buffer.from(bytes) })
  }

  readonly events: DiskEvent[] = []
  /** Requests so far. */
  requests = 0
  /** The request of this number fails, and so many from it on. */
  failAt = Infinity
  failCount = 1
  failCode = 'EIO'
  private readonly handles = new Map<number, { handle: FileHandle; file: SimulatedFile }>()
  /** Counts the processes; what one was doing when it died never ends. */
  private life = 0
  private readonly files = new Map<string, SimulatedFile>()

  constructor(readonly root: string) {}

  /** From now on this is the one that records. */
  use(): void {
    SimulatedDisk.current = this
  }

  /** The death of the process: its files are closed and nothing else happens. */
  async closeAll(): Promise<void> {
    const open = [...this.handles.values()]
    this.handles.clear()
    this.life++
    for (const { handle } of open) await handle.close().catch(() => undefined)
  }

  private async open(open: Open, path: string, flags?: string, mode?: number): Promise<FileHandle> {
    if (path === this.root) return this.watchDirectory(await open(path, flags, mode))
    const makes = flags?.startsWith('w') ?? false
    if (makes) this.countRequest()
    const { life } = this
    const handle = await this.whileAlive(async () => {
      const opened = await open(path, flags, mode)
      if (life !== this.life) await opened.close()
      return opened
    })
    let file = this.files.get(path)
    if (makes || !file) {
      file = new SimulatedFile()
      this.files.set(path, file)
      this.events.push({ kind: 'name', name: relative(this.root, path), file })
    }
    this.handles.set(handle.fd, { handle, file })
    return this.watchFile(handle, file)
  }

  /** A process that has died learns of no result: else its next step would meet the files of the one that follows. */
  private async whileAlive<T>(act: () => Promise<T>): Promise<T> {
    const { life } = this
    const result = await act().catch((error: unknown) => {
      if (life === this.life) throw error
    })
    if (life !== this.life) await new Promise<never>(() => undefined)
    return result as T
  }

  private watchFile(handle: FileHandle, file: SimulatedFile): FileHandle {
    const { fd } = handle
    const datasync = handle.datasync.bind(handle)
    const write = handle.write.bind(handle) as (...args: unknown[]) => Promise<{ bytesWritten: number }>
    const truncate = handle.truncate.bind(handle)
    const close = handle.close.bind(handle)
    return Object.assign(handle, {
      datasync: async () => {
        this.countRequest()
        const upTo = this.events.length
        await this.whileAlive(datasync)
        this.events.push({ kind: 'sync', file, upTo })
      },
      write: async (buffer: Buffer, start: number, length: number, position: number) => {
        this.countRequest()
        const { bytesWritten } = await this.whileAlive(() => write(buffer, start, length, position))
        const bytes = Buffer.from(buffer.subarray(start, start + bytesWritten))
        this.events.push({ kind: 'write', file, position, bytes })
        return { bytesWritten, buffer }
      },
      truncate: async (length: number) => {
        this.countRequest()
        await this.whileAlive(() => truncate(length))
        this.events.push({ kind: 'truncate', file, length })
      },
      close: () => {
        this.handles.delete(fd)
        return close()
      }
    })
  }

  private watchDirectory(handle: FileHandle): FileHandle {
    const sync = handle.sync.bind(handle)
    return Object.assign(handle, {
      sync: async () => {
        this.countRequest()
        const upTo = this.events.length
        await sync()
        this.events.push({ kind: 'sync-names', upTo })
      }
    })
  }

  private unlinked(path: string): void {
    this.files.delete(path)
    this.events.push({ kind: 'name', name: relative(this.root, path), file: undefined })
  }

  private renamed(from: string, to: string): void {
    const file = this.files.get(from)
    this.files.delete(from)
    if (file) this.files.set(to, file)
    this.events.push({ kind: 'rename', from: relative(this.root, from), to: relative(this.root, to) })
  }

  private owns(path: string): boolean {
    return path === this.root || path.startsWith(this.root + '/')
  }

  private countRequest(): void {
    const number = this.requests++
    if (number < this.failAt || number >= this.failAt + this.failCount) return
    throw Object.assign(new Error(`${this.failCode}: request ${number} fails by order`), { code: this.failCode })
  }
}

type Open = (path: string, flags?: string, mode?: number) => Promise<FileHandle>

function replace(object: object, name: string, value: unknown): void {
  SimulatedDisk.remember(object, name)
  Object.assign(object, { [name]: value })
}

/** Those that go by the number of the file. */
function replaceWrites(): void {
  type Write = (fd: number, buffer: Buffer, start: number, length: number, position: number) => number
  const writeSync = fs.writeSync.bind(fs) as Write
  replace(fs, 'writeSync', (fd: number, buffer: Buffer, start: number, length: number, position: number) => {
    const file = SimulatedDisk.requested(fd)
    const written = writeSync(fd, buffer, start, length, position)
    if (file) SimulatedDisk.wrote(file, buffer.subarray(start, start + written), position)
    return written
  })
  type WriteV = (fd: number, buffers: Buffer[], position: number) => number
  const writevSync = fs.writevSync.bind(fs) as WriteV
  replace(fs, 'writevSync', (fd: number, buffers: Buffer[], position: number) => {
    const file = SimulatedDisk.requested(fd)
    const written = writevSync(fd, buffers, position)
    if (file) SimulatedDisk.wrote(file, Buffer.concat(buffers).subarray(0, written), position)
    return written
  })
  type Done = (error: Error | null, count: number) => void
  type Pooled = (fd: number, buffer: Buffer, start: number, length: number, position: number, done: Done) => void
  const write = fs.write.bind(fs) as unknown as Pooled
  const pooled: Pooled = (fd, buffer, start, length, position, done) => {
    let file: SimulatedFile | undefined
    try {
      file = SimulatedDisk.requested(fd)
    } catch (error) {
      return void setImmediate(() => done(error as Error, 0))
    }
    write(fd, buffer, start, length, position, (error, count) => {
      if (!error) SimulatedDisk.wrote(file, buffer.subarray(start, start + count), position)
      done(error, count)
    })
  }
  replace(fs, 'write', pooled)
}

export class SimulatedFile {}

export type DiskEvent =
  | { readonly kind: 'write'; readonly file: SimulatedFile; readonly position: number; readonly bytes: Buffer }
  | { readonly kind: 'truncate'; readonly file: SimulatedFile; readonly length: number }
  /** All events of the file before `upTo` are on the medium. */
  | { readonly kind: 'sync'; readonly file: SimulatedFile; readonly upTo: number }
  | { readonly kind: 'name'; readonly name: string; readonly file: SimulatedFile | undefined }
  | { readonly kind: 'rename'; readonly from: string; readonly to: string }
  | { readonly kind: 'sync-names'; readonly upTo: number }

/** What survives: everything (the process died, not the machine), or what a power cut leaves. */
export type Survival = 'all' | 'synced' | 'any'

/**
 * Walks along the events and lays out, at any place between two of them, what is left.
 */
export class Medium {
  private readonly contents = new Map<SimulatedFile, FileState>()
  private readonly names = new Map<string, SimulatedFile>()
  private readonly pendingNames: Pending<DiskEvent>[] = []
  private at = 0

  constructor(private readonly events: readonly DiskEvent[]) {}

  advanceTo(end: number): void {
    for (; this.at < end; this.at++) this.take(this.events[this.at]!, this.at)
  }

  private take(event: DiskEvent, index: number): void {
    switch (event.kind) {
      case 'write':
      case 'truncate':
        return void this.stateOf(event.file).pending.push({ index, event })
      case 'sync':
        return this.stateOf(event.file).settle(event.upTo)
      case 'sync-names':
        while (this.pendingNames.length > 0 && this.pendingNames[0]!.index < event.upTo) {
          applyName(this.names, this.pendingNames.shift()!.event)
        }
        return
      default:
        this.pendingNames.push({ index, event })
    }
  }

  /** Writes the files into a directory, which is empty. */
  layOut(directory: string, survival: Survival, random: Random): void {
    const names = new Map(this.names)
    // File systems keep the order of names, so some of the newest may be missing.
    const { length } = this.pendingNames
    const kept = survival === 'all' ? length : survival === 'synced' ? 0 : random.int(length + 1)
    for (const { event } of this.pendingNames.slice(0, kept)) applyName(names, event)
    for (const [name, file] of names)
      fs.writeFileSync(join(directory, name), this.stateOf(file).survivor(survival, random))
  }

  private stateOf(file: SimulatedFile): FileState {
    let state = this.contents.get(file)
    if (!state) this.contents.set(file, (state = new FileState()))
    return state
  }
}

interface Pending<T> {
  readonly index: number
  readonly event: T
}

type ContentEvent = Extract<DiskEvent, { kind: 'write' | 'truncate' }>

class FileState {
  private durable: Buffer = Buffer.alloc(0)
  readonly pending: Pending<ContentEvent>[] = []

  settle(upTo: number): void {
    while (this.pending.length > 0 && this.pending[0]!.index < upTo) {
      this.durable = applied(this.durable, this.pending.shift()!.event)
    }
  }

  survivor(survival: Survival, random: Random): Buffer {
    if (survival === 'synced') return this.durable
    if (survival === 'all') return this.pending.reduce((bytes, { event }) => applied(bytes, event), this.durable)
    return this.torn(random)
  }

  /** Each sector as it was at some moment since the last sync, and the length of yet another one. */
  private torn(random: Random): Buffer {
    const sectors = new Map<number, Buffer[]>()
    const lengths = [this.durable.length]
    let bytes = this.durable
    for (const { event } of this.pending) {
      const before = bytes
      bytes = applied(bytes, event)
      lengths.push(bytes.length)
      const [from, end] =
        event.kind === 'write'
          ? [event.position, event.position + event.bytes.length]
          : [event.length, Math.max(before.length, event.length)]
      for (let sector = Math.floor(from / SECTOR); sector * SECTOR < end; sector++) {
        const versions = sectors.get(sector) ?? [sectorOf(this.durable, sector)]
        versions.push(sectorOf(bytes, sector))
        sectors.set(sector, versions)
      }
    }
    const torn = Buffer.alloc(random.pick(lengths))
    this.durable.copy(torn)
    for (const [sector, versions] of sectors) {
      if (sector * SECTOR < torn.length) random.pick(versions).copy(torn, sector * SECTOR)
    }
    return torn
  }
}

function applied(bytes: Buffer, event: ContentEvent): Buffer {
  if (event.kind === 'truncate') return resized(bytes, event.length)
  const end = event.position + event.bytes.length
  const larger = resized(bytes, Math.max(bytes.length, end))
  event.bytes.copy(larger, event.position)
  return larger
}

/** A copy of another length; what is new is zero. */
function resized(bytes: Buffer, length: number): Buffer {
  const copy = Buffer.alloc(length)
  bytes.copy(copy)
  return copy
}

function sectorOf(bytes: Buffer, sector: number): Buffer {
  return resized(bytes.subarray(sector * SECTOR, (sector + 1) * SECTOR), SECTOR)
}

function applyName(names: Map<string, SimulatedFile>, event: DiskEvent): void {
  if (event.kind === 'rename') {
    const file = names.get(event.from)
    names.delete(event.from)
    if (file) names.set(event.to, file)
  } else if (event.kind === 'name') {
    if (event.file) names.set(event.name, event.file)
    else names.delete(event.name)
  }
}

/** Bytes that a disk writes wholly or not at all. */
const SECTOR = 512
