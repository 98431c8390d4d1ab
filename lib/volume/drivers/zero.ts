import type { BlockIo } from '../block-io.js'
import { ReadOnlyVolume } from '../read-only-volume.js'
import { fail, type Extent, closedError } from '../volume.js'
import { defineDriver, sizeOfLocation } from './driver.js'

/** A base of any size that reads as zeroes and cannot be written: an empty disk under a delta. The smallest driver. */
export class ZeroVolume extends ReadOnlyVolume {
  private isOpen = false

  constructor(readonly size: number) {
    super()
  }

  open(): Promise<void> {
    this.opened()
    this.isOpen = true
    return Promise.resolve()
  }

  close(): Promise<void> {
    this.isOpen = false
    // Completions that are due come before an immediate that is asked for now.
    return new Promise((resolve) => setImmediate(resolve))
  }

  override extent(offset: number, limit: number): Extent {
    return { length: Math.min(limit, this.size - offset), mapped: false }
  }

  protected _tryRead(buffer: Buffer, start: number, length: number): boolean {
    if (!this.isOpen) throw closedError()
    buffer.fill(0, start, start + length)
    return true
  }

  protected _read(io: BlockIo): void {
    if (!this.isOpen) return fail(io, closedError())
    io.buffer.fill(0, io.start, io.start + io.length)
    setImmediate(() => io.complete())
  }

  protected _flush(io: BlockIo): void {
    if (!this.isOpen) return fail(io, closedError())
    setImmediate(() => io.complete())
  }
}

export const zeroDriver = defineDriver({
  scheme: 'zero',
  title: 'SIZE, a disk of zeroes that is never written',
  open: (location) => new ZeroVolume(sizeOfLocation('zero', location))
})
