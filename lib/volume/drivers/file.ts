import fs, { type Stats } from 'node:fs'
import { open, stat, type FileHandle } from 'node:fs/promises'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { assert } from '../../util/assert.js'
import { IscsiError, codeOf, messageOf } from '../../util/errors.js'
import { Adaptive, SYNC_BYTES_MAX } from '../adaptive.js'
import { AdaptiveRegions } from '../adaptive-regions.js'
import type { BlockIo } from '../block-io.js'
import type { MediumWatch } from '../medium-watch.js'
import { findMount } from '../mounts.js'
import { FILE_THREADS_MAX, PoolShare } from '../pool-share.js'
import { Volume, fail, closedError } from '../volume.js'
import { defineDriver } from './driver.js'
import { mayStall } from './medium.js'
import { nativeExtensions } from './native.js'
import { Transfer, ZEROES, readFully, writeFully } from './transfer.js'

/**
 * A raw image: byte n of the disk is byte n of the file, holes read as zeroes.
 *
 * What the page cache has is read and written synchronously straight from and to the caller's place; whatever may have
 * to wait for the medium goes through the thread pool ({@link Adaptive} says which). A synchronous read costs one
 * system call and two readings of the clock, a pooled one a {@link Transfer}, which is used again.
 */
export interface FileOptions {
  readonly path: string
  readonly readOnly: boolean
  /** Never access the file synchronously. Left out: found out when the volume opens. */
  readonly pooled?: boolean
  /** Tells whether a slow access came from the medium; a parameter, so that a spec can say so. */
  readonly medium?: MediumWatch
}

/** Sizes are whole numbers of these, in bytes. */
export const SECTOR_LENGTH = 512
/** Space is given back in whole pages of this many bytes; the rest of a range is written with zeroes. */
const PUNCH_ALIGNMENT = 4096
/** Transfers that are kept for the next request. Those out are one for each request of the requesters' own pools. */
const IDLE_TRANSFERS_MAX = 64

export class FileVolume extends Volume {
  size = 0
  readonly readOnly: boolean
  readonly path: string
  private readonly pooled: boolean | undefined
  private readonly medium: MediumWatch | undefined
  private handle: FileHandle | undefined
  /** -1 before open() and from close() on, so that no verb can reach a descriptor that is somebody else's by then. */
  private fd = -1
  private reads = new AdaptiveRegions(true, 0)
  private writes = new Adaptive(true)
  private readonly idleTransfers: Transfer[] = []
  private readonly share = new PoolShare<Transfer>(
    () => FILE_THREADS_MAX,
    (transfer) => this.start(transfer)
  )
  /** Requests under way; close() waits for them. */
  private inFlight = 0
  private closing: Promise<void> | undefined
  private onIdle: (() => void) | undefined
  private canPunch = false
  private flushRunning = false
  /** Requests that wait for the flush behind the running one; as many as the requesters have. */
  private flushWaiting: BlockIo[] = []
  private flushError: Error | undefined

  constructor(options: FileOptions) {
    super()
    this.path = resolve(options.path)
    this.readOnly = options.readOnly
    this.pooled = options.pooled
    this.medium = options.medium
  }

  /** @throws IscsiError `ERR_ISCSI_IMAGE_…`, with a sentence that names the file and what to do */
  async open(): Promise<void> {
    assert(this.handle === undefined && this.closing === undefined, 'a volume is opened once')
    const handle = await this.openFile()
    try {
      const stats = await handle.stat()
      this.expectKind(stats)
      this.size = await this.measure(handle, stats)
      this.expectSize()
      await this.setUp(handle, stats)
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  close(): Promise<void> {
    this.closing ??= this.drainAndClose()
    return this.closing
  }

  private async drainAndClose(): Promise<void> {
    this.fd = -1
    if (this.inFlight > 0) await new Promise<void>((resolve) => (this.onIdle = resolve))
    await this.handle?.close()
  }

  // What a block device does otherwise.

  protected openFlags(): number {
    return this.readOnly ? fs.constants.O_RDONLY : fs.constants.O_RDWR
  }

  /** Throws unless this is something that the driver can serve. */
  protected expectKind(stats: Stats): void {
    if (stats.isDirectory()) {
      throw new IscsiError('ERR_ISCSI_IMAGE_IS_DIRECTORY', `${this.path} is a directory: name the image file in it`)
    }
    if (!stats.isFile()) throw new IscsiError('ERR_ISCSI_IMAGE_TYPE', `${this.path} is not a regular file`)
  }

  /** Size in bytes. */
  protected measure(_handle: FileHandle, stats: Stats): Promise<number> {
    return Promise.resolve(stats.size)
  }

  protected async alwaysPooled(stats: Stats): Promise<boolean> {
    return mayStall(this.path, stats.dev)
  }

  /** Throws when this server itself uses what is in the image. */
  protected async expectUnmounted(): Promise<void> {
    await refuseMounted(this.path, undefined)
  }

  // Opening.

  private async openFile(): Promise<FileHandle> {
    try {
      // Looked at before it is opened: opening a pipe would wait for its other end.
      this.expectKind(await stat(this.path))
      await this.expectUnmounted()
      return await open(this.path, this.openFlags())
    } catch (error) {
      throw openError(this.path, error)
    }
  }

  private expectSize(): void {
    if (this.size === 0) {
      throw new IscsiError('ERR_ISCSI_IMAGE_EMPTY', `${this.path} is empty: remove it, or give it a size first`)
    }
    if (this.size % SECTOR_LENGTH === 0) return
    throw new IscsiError(
      'ERR_ISCSI_IMAGE_SIZE',
      `${this.path} has ${this.size} bytes, which is not a multiple of ${SECTOR_LENGTH}: is it a raw disk image?`
    )
  }

  private async setUp(handle: FileHandle, stats: Stats): Promise<void> {
    const pooled = this.pooled ?? (await this.alwaysPooled(stats))
    this.reads = new AdaptiveRegions(pooled, this.size, this.medium)
    this.writes = new Adaptive(pooled, 'write', this.medium)
    this.canPunch = nativeExtensions() !== undefined
    this.opened()
    this.handle = handle
    this.fd = handle.fd
  }

  // Reading and writing.

  protected _tryRead(buffer: Buffer, start: number, length: number, offset: number): boolean {
    if (this.fd < 0) throw closedError()
    const begin = performance.now()
    if (length > SYNC_BYTES_MAX || !this.reads.allows(begin, offset)) return false
    try {
      readFully(this.fd, buffer, start, length, offset)
    } finally {
      // A failure counts as well: a disk tries for seconds before it gives a sector up, and its reader comes again.
      this.reads.took(performance.now() - begin, length, offset)
    }
    return true
  }

  protected _tryWrite(buffer: Buffer, start: number, length: number, offset: number): boolean {
    if (this.fd < 0) throw closedError()
    const begin = performance.now()
    if (length > SYNC_BYTES_MAX || !this.writes.allows(begin)) return false
    try {
      writeFully(this.fd, buffer, start, length, offset)
    } finally {
      this.writes.took(performance.now() - begin, length)
    }
    return true
  }

  protected _tryZero(offset: number, length: number, unmap: boolean): boolean {
    // A hole costs 0.2 ms of the file system's journal, so it is never made synchronously.
    if ((unmap && this.canPunch) || length > SYNC_BYTES_MAX) return false
    return this._tryWrite(ZEROES, 0, length, offset)
  }

  protected _read(io: BlockIo): void {
    if (this.fd < 0) return fail(io, closedError())
    this.pass(io, true)
  }

  protected _write(io: BlockIo): void {
    if (this.fd < 0) return fail(io, closedError())
    this.pass(io, false)
  }

  private pass(io: BlockIo, reading: boolean): void {
    const transfer = this.idleTransfers.pop() ?? new Transfer(this.moved)
    transfer.io = io
    transfer.reading = reading
    this.inFlight++
    this.share.begin(transfer)
  }

  /** The file stays open for what waited for its turn when close() was called. */
  private start(transfer: Transfer): void {
    const { buffer, start, length, offset } = transfer.io!
    const { fd } = this.handle!
    transfer.startedAt = performance.now()
    if (transfer.reading) {
      this.reads.poolStarted(offset)
      transfer.read(fd, buffer, start, length, offset)
    } else {
      this.writes.poolStarted()
      transfer.write(fd, buffer, start, length, offset)
    }
  }

  private readonly moved = (transfer: Transfer, error: Error | undefined): void => {
    const io = transfer.io!
    transfer.io = undefined
    const now = performance.now()
    const elapsedMs = now - transfer.startedAt
    if (transfer.reading) this.reads.poolEnded(now, io.offset, elapsedMs, io.length)
    else this.writes.poolEnded(now, elapsedMs, io.length)
    this.share.ended()
    if (this.idleTransfers.length < IDLE_TRANSFERS_MAX) this.idleTransfers.push(transfer)
    this.end(io, error)
  }

  /** Gives a request back; the last one lets close() go on. */
  private end(io: BlockIo, error: Error | undefined): void {
    if (--this.inFlight === 0) this.onIdle?.()
    io.complete(error)
  }

  // Zeroes. Rare and long, so promises are good enough.

  protected _zero(io: BlockIo): void {
    if (this.fd < 0) return fail(io, closedError())
    this.inFlight++
    const fd = this.fd
    const work =
      io.unmap && this.canPunch ? this.punch(fd, io.offset, io.length) : writeZeroes(fd, io.offset, io.length)
    work.then(
      () => setImmediate(() => this.end(io, undefined)),
      (error: Error) => setImmediate(() => this.end(io, error))
    )
  }

  /** Makes a hole of the whole pages in a range and writes zeroes at its ends. */
  private async punch(fd: number, offset: number, length: number): Promise<void> {
    const end = offset + length
    const first = Math.ceil(offset / PUNCH_ALIGNMENT) * PUNCH_ALIGNMENT
    const last = Math.floor(end / PUNCH_ALIGNMENT) * PUNCH_ALIGNMENT
    if (first >= last || !(await this.trimmed(fd, first, last - first))) return writeZeroes(fd, offset, length)
    await writeZeroes(fd, offset, first - offset)
    await writeZeroes(fd, last, end - last)
  }

  /** False when the file system cannot do it; it is not asked again then. */
  private async trimmed(fd: number, offset: number, length: number): Promise<boolean> {
    try {
      await nativeExtensions()!.trim(fd, offset, length)
      return true
    } catch {
      // Whatever the reason, writing zeroes is right too, and it names a real fault of the medium by itself.
      this.canPunch = false
      return false
    }
  }

  // Flushing: one at a time, those that come meanwhile share the next. The kernel tells of a write that was lost only
  // once, so of two that run together one could report success for data that is gone; and it drops the dirty page, so
  // a later flush that succeeds proves nothing. After a failure every flush fails until the file is opened again.

  protected _flush(io: BlockIo): void {
    if (this.fd < 0) return fail(io, closedError())
    if (this.readOnly) return void setImmediate(() => io.complete())
    this.inFlight++
    this.flushWaiting.push(io)
    if (!this.flushRunning) this.nextFlush(this.fd)
  }

  private nextFlush(fd: number): void {
    const batch = this.flushWaiting
    this.flushWaiting = []
    this.flushRunning = batch.length > 0
    if (!this.flushRunning) return
    if (this.flushError) return void setImmediate(() => this.flushed(fd, batch))
    fs.fdatasync(fd, (error) => {
      if (error) this.flushError = lostWrites(error)
      this.flushed(fd, batch)
    })
  }

  private flushed(fd: number, batch: BlockIo[]): void {
    this.nextFlush(fd)
    for (const io of batch) this.end(io, this.flushError)
  }
}

export const fileDriver = defineDriver({
  scheme: 'file',
  title: 'PATH, a raw disk image',
  open: (location, options) => new FileVolume({ path: pathOf(location), readOnly: options.readOnly })
})

/** @throws IscsiError `ERR_ISCSI_IMAGE_MOUNTED` */
export async function refuseMounted(path: string, partition: number | undefined): Promise<void> {
  const mount = await findMount(path, { partition })
  if (!mount) return
  throw new IscsiError(
    'ERR_ISCSI_IMAGE_MOUNTED',
    `${path} is in use on this server itself: ${mount.device} is ${mount.use}`
  )
}

async function writeZeroes(fd: number, offset: number, length: number): Promise<void> {
  for (let done = 0; done < length; done += ZEROES.length) {
    await new Promise<void>((resolve, reject) => {
      const transfer = new Transfer((_transfer, error) => (error ? reject(error) : resolve()))
      transfer.write(fd, ZEROES, 0, Math.min(ZEROES.length, length - done), offset + done)
    })
  }
}

function pathOf(location: string): string {
  return location.startsWith('//') ? fileURLToPath(`file:${location}`) : location
}

/** errno of open(2) → our code and the end of the sentence. */
const OPEN_ERRORS: Readonly<Record<string, readonly [string, string]>> = {
  ENOENT: ['ERR_ISCSI_IMAGE_MISSING', 'does not exist'],
  ENOTDIR: ['ERR_ISCSI_IMAGE_MISSING', 'does not exist: a part of its path is not a directory'],
  EISDIR: ['ERR_ISCSI_IMAGE_IS_DIRECTORY', 'is a directory: name the image file in it'],
  EACCES: ['ERR_ISCSI_IMAGE_PERMISSION', 'may not be opened by this user'],
  EPERM: ['ERR_ISCSI_IMAGE_PERMISSION', 'may not be opened by this user'],
  EROFS: ['ERR_ISCSI_IMAGE_PERMISSION', 'lies on a read-only file system'],
  EBUSY: ['ERR_ISCSI_IMAGE_MOUNTED', 'is in use by the operating system of this server'],
  EEXIST: ['ERR_ISCSI_IMAGE_EXISTS', 'exists already']
}

function openError(path: string, error: unknown): IscsiError {
  if (error instanceof IscsiError) return error
  const [code, words] = OPEN_ERRORS[codeOf(error)] ?? ['ERR_ISCSI_IMAGE_OPEN', `cannot be opened: ${messageOf(error)}`]
  return new IscsiError(code, `${path} ${words}`, { cause: error })
}

function lostWrites(cause: Error): IscsiError {
  return new IscsiError('EIO', 'the medium lost data that was written to it; open the image again', { cause })
}
