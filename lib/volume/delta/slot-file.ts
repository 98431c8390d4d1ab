import type { FileHandle } from 'node:fs/promises'
import type { Adaptive } from '../adaptive.js'
import { SYNC_BYTES_MAX } from '../adaptive.js'
import { DELTA_THREADS_MAX, PoolShare } from '../pool-share.js'
import { Transfer, readFully, writeFully } from '../drivers/transfer.js'

/**
 * The file of slots: grows as it is written, is read where it was written. Synchronous as long as it is quick, each
 * direction by its own experience: a reader that waits for the medium says nothing about the page cache taking writes.
 */
export class SlotFile {
  private readonly reading: Adaptive
  private readonly writing: Adaptive
  private readonly fd: number
  private readonly share = new PoolShare<() => void>(DELTA_THREADS_MAX, (start) => start())
  /** Something was written since a flush last began. */
  dirty = false

  /** @param makeAdaptive - what decides which access may be synchronous; asked once for each direction */
  constructor(
    readonly handle: FileHandle,
    makeAdaptive: (direction: 'read' | 'write') => Adaptive
  ) {
    this.fd = handle.fd
    this.reading = makeAdaptive('read')
    this.writing = makeAdaptive('write')
  }

  /** False if the read should go through the pool; then nothing was read. */
  tryRead(buffer: Buffer, start: number, length: number, position: number): boolean {
    const before = performance.now()
    if (length > SYNC_BYTES_MAX || !this.reading.allows(before)) return false
    readFully(this.fd, buffer, start, length, position)
    this.reading.took(performance.now() - before, length)
    return true
  }

  /** Whether {@link writeNow} may be called, once for all pieces of a request. */
  allowsWrite(now: number, length: number): boolean {
    return length <= SYNC_BYTES_MAX && this.writing.allows(now)
  }

  writeNow(buffer: Buffer, start: number, length: number, position: number): void {
    this.dirty = true
    writeFully(this.fd, buffer, start, length, position)
  }

  /** The pieces of a request were written in that time. */
  wrote(elapsedMs: number, length: number): void {
    this.writing.took(elapsedMs, length)
  }

  read(buffer: Buffer, start: number, length: number, position: number): Promise<void> {
    return this.pass(this.reading, (transfer) => transfer.read(this.fd, buffer, start, length, position))
  }

  write(buffer: Buffer, start: number, length: number, position: number): Promise<void> {
    this.dirty = true
    const written = this.pass(this.writing, (transfer) => transfer.write(this.fd, buffer, start, length, position))
    // A flush that began meanwhile may have missed the rest of it.
    return written.finally(() => (this.dirty = true))
  }

  private pass(adaptive: Adaptive, start: (transfer: Transfer) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const transfer = new Transfer((_transfer, error) => {
        adaptive.poolEnded(performance.now())
        this.share.ended()
        if (error) reject(error)
        else resolve()
      })
      this.share.begin(() => {
        adaptive.poolStarted()
        start(transfer)
      })
    })
  }
}
