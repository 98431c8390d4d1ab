import { BlockIo } from '../block-io.js'
import { BASE, ZERO } from '../delta/delta-map.js'
import type { FrozenDelta } from '../delta/frozen-delta.js'
import { ReadOnlyVolume } from '../read-only-volume.js'
import { closedError, fail, type Extent, type Volume } from '../volume.js'

/**
 * One generation of an image: what an author wrote, frozen, over the volume below. Each chunk comes from its slots, is
 * zero, or is that of the volume below. Nothing is ever written, so any number of clients read it at a time, and what
 * one of them read stays true as long as it is open.
 *
 *     overlay of a client        overlay of another
 *          └───────┬───────────────────┘
 *     layer 2 (LayerVolume)   chunks of its own, the rest from
 *     layer 1 (LayerVolume)   chunks of its own, the rest from
 *     raw image
 *
 * A layer may be larger than what lies below it; what is not there reads as zeroes.
 */
export interface LayerOptions {
  /** Opened and closed by its owner, who shares it among layers. */
  readonly below: Volume
  /** What lies over it; undefined for a layer that changes the size alone. Closed by this layer. */
  readonly delta: FrozenDelta | undefined
  /** Bytes. */
  readonly size: number
}

export interface Origin {
  /** Bytes that are alike. */
  readonly length: number
  readonly covered: boolean
  readonly mapped: boolean
}

/** Step of the map where there is no delta. */
const ANY_CHUNK_SIZE = 1 << 20

export class LayerVolume extends ReadOnlyVolume {
  readonly size: number
  private readonly below: Volume
  private readonly delta: FrozenDelta | undefined
  private readonly chunkSize: number
  private isOpen = false
  private closing: Promise<void> | undefined
  /** Requests under way; close() waits for them. */
  private active = 0
  private onIdle: (() => void) | undefined

  constructor({ below, delta, size }: LayerOptions) {
    super()
    this.below = below
    this.delta = delta
    this.size = size
    this.chunkSize = delta?.chunkSize ?? ANY_CHUNK_SIZE
  }

  open(): Promise<void> {
    this.isOpen = true
    this.opened()
    return Promise.resolve()
  }

  close(): Promise<void> {
    this.closing ??= this.closeNow()
    return this.closing
  }

  private async closeNow(): Promise<void> {
    this.isOpen = false
    if (this.active > 0) await new Promise<void>((resolve) => (this.onIdle = resolve))
    await this.delta?.close()
    // Requests that were answered from memory are given back by an immediate that was asked for before this one.
    await new Promise((resolve) => setImmediate(resolve))
  }

  override extent(offset: number, limit: number): Extent {
    const bytes = this.runAt(offset, Math.min(limit, this.size - offset))
    if (this.entry === ZERO) return { length: bytes, mapped: false }
    return this.entry === BASE ? this.below.extent(offset, bytes) : { length: bytes, mapped: true }
  }

  /** Whether this layer itself says something about a part of the range. */
  touches(offset: number, length: number): boolean {
    const end = Math.min(offset + length, this.delta?.size ?? 0)
    for (let at = offset; at < end;) {
      at += this.mappedRun(this.delta!, at, end - at)
      if (this.entry !== BASE) return true
    }
    return false
  }

  /**
   * Where the bytes from `offset` on come from, at most `limit`: from the lowest volume (not covered), or from what a
   * layer says (covered), which are bytes (mapped) or zeroes.
   */
  originAt(offset: number, limit: number): Origin {
    const delta = this.delta
    const inDelta = delta !== undefined && offset < delta.size
    const length = inDelta ? this.mappedRun(delta, offset, limit) : limit
    if (inDelta && this.entry !== BASE) return { length, covered: true, mapped: this.entry !== ZERO }
    // What a larger layer adds behind the end of what lies below it is there before anything is copied, as zeroes.
    if (offset >= this.below.size) return { length, covered: false, mapped: false }
    const within = Math.min(length, this.below.size - offset)
    if (this.below instanceof LayerVolume) return this.below.originAt(offset, within)
    return { length: within, covered: false, mapped: true }
  }

  protected _tryRead(buffer: Buffer, start: number, length: number, offset: number): boolean {
    if (!this.isOpen) throw closedError()
    for (let done = 0; done < length;) {
      const bytes = this.runAt(offset + done, length - done)
      if (!this.tryRun(buffer, start + done, bytes, offset + done)) return false
      done += bytes
    }
    return true
  }

  protected _read(io: BlockIo): void {
    if (!this.isOpen) return fail(io, closedError())
    // What most cold reads are: handed on without the promises of the others.
    if (io.length > 0 && this.runAt(io.offset, io.length) === io.length && this.entry === BASE) this.readBelow(io)
    else void this.perform(io)
  }

  private readBelow(io: BlockIo): void {
    this.active++
    const part = new BlockIo((_part, error) => this.end(io, error))
    this.below.read(part.set(io.buffer, io.start, io.length, io.offset))
  }

  private end(io: BlockIo, error: Error | undefined): void {
    if (--this.active === 0) this.onIdle?.()
    io.complete(error)
  }

  protected _flush(io: BlockIo): void {
    if (!this.isOpen) return fail(io, closedError())
    setImmediate(() => io.complete())
  }

  /** After {@link runAt}: {@link BASE}, {@link ZERO}, or slot + 1 of the chunk that the run begins in. */
  private entry = BASE

  /** Bytes from `offset` on, at most `limit`, that come from one place. */
  private runAt(offset: number, limit: number): number {
    const bytes = this.delta && offset < this.delta.size ? this.mappedRun(this.delta, offset, limit) : limit
    if (!this.delta || offset >= this.delta.size) this.entry = BASE
    if (this.entry !== BASE) return bytes
    if (offset < this.below.size) return Math.min(bytes, this.below.size - offset)
    this.entry = ZERO
    return bytes
  }

  private mappedRun({ map, size }: FrozenDelta, offset: number, limit: number): number {
    const chunk = Math.floor(offset / this.chunkSize)
    const within = offset - chunk * this.chunkSize
    const bytes = Math.min(limit, size - offset)
    const count = map.run(chunk, Math.ceil((within + bytes) / this.chunkSize))
    this.entry = map.entry
    return Math.min(bytes, count * this.chunkSize - within)
  }

  /** Where the run that {@link runAt} found lies in the slot file. */
  private positionOf(offset: number): number {
    return (this.entry - 1) * this.chunkSize + (offset % this.chunkSize)
  }

  private tryRun(buffer: Buffer, start: number, bytes: number, offset: number): boolean {
    if (this.entry === BASE) return this.below.tryRead(buffer, start, bytes, offset)
    if (this.entry === ZERO) {
      buffer.fill(0, start, start + bytes)
      return true
    }
    return this.delta!.slotFile.tryRead(buffer, start, bytes, this.positionOf(offset))
  }

  /** Reads the runs of a request one behind the other and completes it. */
  private async perform(io: BlockIo): Promise<void> {
    let failure: Error | undefined
    this.active++
    try {
      for (let done = 0; done < io.length;) {
        const at = io.offset + done
        const bytes = this.runAt(at, io.length - done)
        if (!this.tryRun(io.buffer, io.start + done, bytes, at))
          await this.readRun(io.buffer, io.start + done, bytes, at)
        done += bytes
      }
    } catch (error) {
      failure = error as Error
    }
    setImmediate(() => this.end(io, failure))
  }

  /** Synchronous up to where it waits, so that {@link entry} is still that of its run. */
  private readRun(buffer: Buffer, start: number, bytes: number, offset: number): Promise<void> {
    if (this.entry !== BASE) return this.delta!.slotFile.read(buffer, start, bytes, this.positionOf(offset))
    return new Promise((resolve, reject) => {
      const part = new BlockIo((_io, error) => (error ? reject(error) : resolve()))
      this.below.read(part.set(buffer, start, bytes, offset))
    })
  }
}
