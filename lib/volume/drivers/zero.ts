import { IscsiError } from '../../util/errors.js'
import type { BlockIo } from '../block-io.js'
import { Volume, fail, type Extent } from '../volume.js'
import { defineDriver, sizeOfLocation } from './driver.js'

/** A base of any size that reads as zeroes and cannot be written: an empty disk under a delta. The smallest driver. */
export class ZeroVolume extends Volume {
  readonly readOnly = true
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

  // Never called, because the volume is read-only.

  protected _tryWrite(): boolean {
    return false
  }

  protected _tryZero(): boolean {
    return false
  }

  protected _write(io: BlockIo): void {
    fail(io, closedError())
  }

  protected _zero(io: BlockIo): void {
    fail(io, closedError())
  }
}

function closedError(): IscsiError {
  return new IscsiError('EBADF', 'the volume is not open')
}

export const zeroDriver = defineDriver({
  scheme: 'zero',
  title: 'SIZE, a disk of zeroes that is never written',
  open: (location) => new ZeroVolume(sizeOfLocation('zero', location))
})
