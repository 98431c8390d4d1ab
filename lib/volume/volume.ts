import { assert, AssertionError } from '../util/assert.js'
import { IscsiError } from '../util/errors.js'
import type { BlockIo } from './block-io.js'

/**
 * Anything that is readable and writable at byte offsets: a driver, which ends at storage, or a layer, which wraps
 * another volume.
 *
 * Each verb comes twice. `tryRead`, `tryWrite` and `tryZero` are synchronous attempts: they return true when the work
 * is done, false when it would block (a cold page, a chunk whose copy-up is under way), and then nothing has changed
 * that anybody can see. `read`, `write`, `zero` and `flush` take a {@link BlockIo} and complete it later. The data
 * path tries first, so that data in the page cache costs one system call, no object and no hop between threads.
 *
 * The public verbs check; the underscored ones are the driver and trust [abstract-level]. Errors carry an errno-like
 * `code` (EIO, ENOSPC, EROFS, …); a `try…` verb throws them, an asynchronous one completes with them.
 */
export abstract class Volume {
  /** Usable size in bytes; fixed while the volume is open. Below 2^53, asserted by {@link opened}. */
  abstract readonly size: number
  abstract readonly readOnly: boolean
  /** True when the medium is far away (network, object store), so that a read cache in front of it pays. */
  readonly slow: boolean = false
  /**
   * Told of every range that is about to change, and once more when a change that takes its time is over: between the two
   * a reader may find either content. Set by the one who keeps what hangs on the content.
   */
  onChange: ((offset: number, length: number) => void) | undefined

  /** Bytes: where {@link copy} may begin, and what its lengths are multiples of. 0 when the volume cannot do it. */
  get copyGranularity(): number {
    return 0
  }

  /** Acquires files, sockets, locks. Nothing else may be called before it resolves. */
  abstract open(): Promise<void>
  /** Waits for requests under way and releases everything; harmless when called twice. */
  abstract close(): Promise<void>

  tryRead(buffer: Buffer, start: number, length: number, offset: number): boolean {
    this.check(length, offset)
    return this._tryRead(buffer, start, length, offset)
  }

  tryWrite(buffer: Buffer, start: number, length: number, offset: number): boolean {
    this.check(length, offset)
    if (this.readOnly) throw readOnlyError()
    this.onChange?.(offset, length)
    return this._tryWrite(buffer, start, length, offset)
  }

  /** Makes a range read as zeroes; with `unmap`, gives its space back too where whole chunks allow it. */
  tryZero(offset: number, length: number, unmap: boolean): boolean {
    this.check(length, offset)
    if (this.readOnly) throw readOnlyError()
    this.onChange?.(offset, length)
    return this._tryZero(offset, length, unmap)
  }

  read(io: BlockIo): void {
    this.check(io.length, io.offset)
    this._read(io)
  }

  write(io: BlockIo): void {
    this.check(io.length, io.offset)
    if (this.readOnly) return fail(io, readOnlyError())
    this.watch(io)
    this._write(io)
  }

  /**
   * Writes all of a range or nothing of it, also when the power fails, and nobody reads a part of it. Only a volume that
   * overrides `_writeAtomic` can; at most 1 MiB.
   */
  writeAtomic(io: BlockIo): void {
    this.check(io.length, io.offset)
    if (this.readOnly) return fail(io, readOnlyError())
    this.watch(io)
    this._writeAtomic(io)
  }

  zero(io: BlockIo): void {
    this.check(io.length, io.offset)
    if (this.readOnly) return fail(io, readOnlyError())
    this.watch(io)
    this._zero(io)
  }

  /**
   * Makes a range read as another one of this volume does, without moving data. Both begin at a multiple of
   * {@link copyGranularity}, as the length is one, and they do not overlap.
   * @returns bytes from the beginning that are done, 0 when none can be: the rest takes a read and a write
   */
  async copy(source: number, destination: number, length: number): Promise<number> {
    this.check(length, source)
    this.check(length, destination)
    if (this.readOnly) throw readOnlyError()
    this.onChange?.(destination, length)
    try {
      return await this._copy(source, destination, length)
    } finally {
      this.onChange?.(destination, length)
    }
  }

  /** Makes every write that completed before this call survive a power cut. */
  flush(io: BlockIo): void {
    this._flush(io)
  }

  /**
   * True while a write that returned is not yet findable after a crash of the process; {@link commit} makes it so.
   * Whoever acknowledges writes calls commit() first, once for many of them.
   */
  get uncommitted(): boolean {
    return false
  }

  /**
   * Hands to the kernel whatever makes the synchronous writes so far findable again (the journal of a delta).
   * Synchronous and short. Throws if that failed; then every write since the last commit has been undone.
   */
  commit(): void {}

  /** The first extent at `offset`: how far, and whether anything is stored there. At most `limit` bytes are looked at. */
  extent(offset: number, limit: number): Extent {
    return { length: Math.min(limit, this.size - offset), mapped: true }
  }

  protected abstract _tryRead(buffer: Buffer, start: number, length: number, offset: number): boolean
  protected abstract _read(io: BlockIo): void
  protected abstract _tryWrite(buffer: Buffer, start: number, length: number, offset: number): boolean
  protected abstract _write(io: BlockIo): void
  protected abstract _tryZero(offset: number, length: number, unmap: boolean): boolean
  protected abstract _zero(io: BlockIo): void
  protected abstract _flush(io: BlockIo): void

  protected _copy(_source: number, _destination: number, _length: number): Promise<number> {
    return Promise.resolve(0)
  }

  protected _writeAtomic(io: BlockIo): void {
    fail(io, new IscsiError('ENOTSUP', 'the volume has no atomic writes'))
  }

  /** Offsets are plain numbers throughout, so a volume must end below 2^53. Drivers call this at the end of open(). */
  protected opened(): void {
    assert(Number.isSafeInteger(this.size) && this.size >= 0, `a volume of ${this.size} bytes`)
  }

  private watch(io: BlockIo): void {
    if (this.onChange === undefined) return
    this.onChange(io.offset, io.length)
    io.onChange = this.onChange
  }

  /** Callers have checked against the capacity already; a range outside is a mistake of ours. */
  private check(length: number, offset: number): void {
    // Not assert(): its message would be put together for every access.
    if (offset >= 0 && length >= 0 && offset + length <= this.size) return
    throw new AssertionError(`range ${offset}+${length} of ${this.size}`)
  }
}

export interface Extent {
  /** Bytes from the offset asked for; never 0 inside the volume. */
  readonly length: number
  /** False where nothing is stored and zeroes are read (deallocated, in SBC's words). */
  readonly mapped: boolean
}

/** Completes a request with an error, outside the current call. */
export function fail(io: BlockIo, error: Error): void {
  setImmediate(() => io.complete(error))
}

/** What every verb of a volume that is not open ends with. */
export function closedError(): IscsiError {
  return new IscsiError('EBADF', 'the volume is not open')
}

export function readOnlyError(): IscsiError {
  return new IscsiError('EROFS', 'the volume is read-only')
}
