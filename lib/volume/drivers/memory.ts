import type { BlockIo } from '../block-io.js'
import { Volume, fail, type Extent, closedError } from '../volume.js'
import { defineDriver, sizeOfLocation } from './driver.js'

/** Memory is taken in pages of this many bytes, when something other than nothing is written to them. */
const PAGE_LENGTH = 1 << 16

/** A disk in memory, sparse, gone when it is closed. For specs, benches and a try without any file. */
export class MemoryVolume extends Volume {
  readonly size: number
  readonly readOnly: boolean
  private pages: (Buffer | undefined)[] | undefined

  /** @param content - what it holds at first; the rest of `size` is zeroes */
  constructor(
    size: number,
    readOnly = false,
    private readonly content?: Buffer
  ) {
    super()
    this.size = size
    this.readOnly = readOnly
  }

  open(): Promise<void> {
    this.pages = []
    if (this.content) this.store(this.content, 0, this.content.length, 0)
    this.opened()
    return Promise.resolve()
  }

  close(): Promise<void> {
    this.pages = undefined
    // Completions that are due come before an immediate that is asked for now.
    return new Promise((resolve) => setImmediate(resolve))
  }

  override extent(offset: number, limit: number): Extent {
    const end = Math.min(this.size, offset + limit)
    const mapped = this.pageAt(offset) !== undefined
    let at = pageEnd(offset)
    while (at < end && (this.pageAt(at) !== undefined) === mapped) at += PAGE_LENGTH
    return { length: Math.min(at, end) - offset, mapped }
  }

  protected _tryRead(buffer: Buffer, start: number, length: number, offset: number): boolean {
    for (let done = 0; done < length;) {
      const at = offset + done
      const count = Math.min(length - done, pageEnd(at) - at)
      const page = this.pageAt(at)
      if (page) page.copy(buffer, start + done, at % PAGE_LENGTH, (at % PAGE_LENGTH) + count)
      else buffer.fill(0, start + done, start + done + count)
      done += count
    }
    return true
  }

  protected _tryWrite(buffer: Buffer, start: number, length: number, offset: number): boolean {
    this.store(buffer, start, length, offset)
    return true
  }

  protected _tryZero(offset: number, length: number): boolean {
    const pages = this.held()
    for (let done = 0; done < length;) {
      const at = offset + done
      const count = Math.min(length - done, pageEnd(at) - at)
      if (count === PAGE_LENGTH) pages[at / PAGE_LENGTH] = undefined
      else this.pageAt(at)?.fill(0, at % PAGE_LENGTH, (at % PAGE_LENGTH) + count)
      done += count
    }
    return true
  }

  protected _read(io: BlockIo): void {
    this.later(io, () => this._tryRead(io.buffer, io.start, io.length, io.offset))
  }

  protected _write(io: BlockIo): void {
    this.later(io, () => this._tryWrite(io.buffer, io.start, io.length, io.offset))
  }

  protected _zero(io: BlockIo): void {
    this.later(io, () => this._tryZero(io.offset, io.length))
  }

  protected _flush(io: BlockIo): void {
    this.later(io, () => this.held())
  }

  /** Does the work now and completes the request outside the call. */
  private later(io: BlockIo, work: () => unknown): void {
    try {
      work()
    } catch (error) {
      return fail(io, error as Error)
    }
    setImmediate(() => io.complete())
  }

  private store(buffer: Buffer, start: number, length: number, offset: number): void {
    const pages = this.held()
    for (let done = 0; done < length;) {
      const at = offset + done
      const count = Math.min(length - done, pageEnd(at) - at)
      const page = (pages[Math.floor(at / PAGE_LENGTH)] ??= Buffer.alloc(PAGE_LENGTH))
      buffer.copy(page, at % PAGE_LENGTH, start + done, start + done + count)
      done += count
    }
  }

  private pageAt(offset: number): Buffer | undefined {
    return this.held()[Math.floor(offset / PAGE_LENGTH)]
  }

  private held(): (Buffer | undefined)[] {
    if (this.pages) return this.pages
    throw closedError()
  }
}

/** First byte behind the page that `offset` lies on. */
function pageEnd(offset: number): number {
  return (Math.floor(offset / PAGE_LENGTH) + 1) * PAGE_LENGTH
}

export const memoryDriver = defineDriver({
  scheme: 'memory',
  title: 'SIZE, an empty disk in memory',
  open: (location, options) => new MemoryVolume(sizeOfLocation('memory', location), options.readOnly)
})
