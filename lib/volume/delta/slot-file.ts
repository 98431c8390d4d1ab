import type { FileHandle } from 'node:fs/promises'
import type { Adaptive } from '../adaptive.js'
import { SYNC_BYTES_MAX } from '../adaptive.js'
import { DELTA_THREADS_MAX, PoolShare } from '../pool-share.js'
import { CIPHER_UNIT_BYTES, SlotCipher } from './slot-cipher.js'
import { Transfer, readFully, writeFully } from '../drivers/transfer.js'

/**
 * The file of slots: grows as it is written, is read where it was written. Synchronous as long as it is quick, each
 * direction by its own experience: a reader that waits for the medium says nothing about the page cache taking writes.
 */
export class SlotFile {
  private readonly reading: Adaptive
  private readonly writing: Adaptive
  private readonly fd: number
  private readonly share = new PoolShare<() => void>(
    () => DELTA_THREADS_MAX,
    (start) => start()
  )
  /** Something was written since a flush last began. */
  dirty = false

  /**
   * @param makeAdaptive - what decides which access may be synchronous; asked once for each direction
   * @param cipher - what is written is encrypted
   */
  constructor(
    readonly handle: FileHandle,
    makeAdaptive: (direction: 'read' | 'write') => Adaptive,
    private readonly cipher?: SlotCipher
  ) {
    this.fd = handle.fd
    this.reading = makeAdaptive('read')
    this.writing = makeAdaptive('write')
  }

  /** False if the read should go through the pool; then nothing was read. */
  tryRead(buffer: Buffer, start: number, length: number, position: number): boolean {
    const before = performance.now()
    if (length > SYNC_BYTES_MAX || !this.reading.allows(before)) return false
    if (this.cipher && !SlotCipher.fits(length, position)) return false
    try {
      readFully(this.fd, buffer, start, length, position)
      this.cipher?.decrypt(buffer, start, length, position)
    } finally {
      // A failure counts as well: a disk tries for seconds before it gives a sector up, and its reader comes again.
      this.reading.took(performance.now() - before, length)
    }
    return true
  }

  /** Whether {@link writeNow} may be called, once for all pieces of a request. */
  allowsWrite(now: number, length: number): boolean {
    return length <= SYNC_BYTES_MAX && this.writing.allows(now)
  }

  writeNow(buffer: Buffer, start: number, length: number, position: number): void {
    this.dirty = true
    if (this.cipher)
      writeFully(this.fd, this.encrypted(this.cipher, buffer, start, length, position), 0, length, position)
    else writeFully(this.fd, buffer, start, length, position)
  }

  /** The pieces of a request were written in that time, or one of them failed. */
  wrote(elapsedMs: number, length: number): void {
    this.writing.took(elapsedMs, length)
  }

  read(buffer: Buffer, start: number, length: number, position: number): Promise<void> {
    if (this.cipher) return this.readEncrypted(this.cipher, buffer, start, length, position)
    return this.pass(this.reading, length, (transfer) => transfer.read(this.fd, buffer, start, length, position))
  }

  /** Whole data units, of which the caller may want a part. */
  private async readEncrypted(
    cipher: SlotCipher,
    buffer: Buffer,
    start: number,
    length: number,
    position: number
  ): Promise<void> {
    const from = position - (position % CIPHER_UNIT_BYTES)
    const bytes = Math.ceil((position + length - from) / CIPHER_UNIT_BYTES) * CIPHER_UNIT_BYTES
    const whole = bytes === length ? buffer : Buffer.allocUnsafe(bytes)
    const at = whole === buffer ? start : 0
    await this.pass(this.reading, bytes, (transfer) => transfer.read(this.fd, whole, at, bytes, from))
    cipher.decrypt(whole, at, bytes, from)
    if (whole !== buffer) whole.copy(buffer, start, position - from, position - from + length)
  }

  /** The caller keeps its bytes: it may compare them with what is read, or send them again. */
  private encrypted(cipher: SlotCipher, buffer: Buffer, start: number, length: number, position: number): Buffer {
    const bytes = Buffer.allocUnsafe(length)
    cipher.encrypt(buffer, start, length, position, bytes)
    return bytes
  }

  write(buffer: Buffer, start: number, length: number, position: number): Promise<void> {
    this.dirty = true
    const { cipher } = this
    const bytes = cipher ? this.encrypted(cipher, buffer, start, length, position) : buffer
    const from = cipher ? 0 : start
    const written = this.pass(this.writing, length, (transfer) =>
      transfer.write(this.fd, bytes, from, length, position)
    )
    // A flush that began meanwhile may have missed the rest of it.
    return written.finally(() => (this.dirty = true))
  }

  private pass(adaptive: Adaptive, length: number, start: (transfer: Transfer) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const transfer = new Transfer(({ startedAt }, error) => {
        const now = performance.now()
        adaptive.poolEnded(now, now - startedAt, length)
        this.share.ended()
        if (error) reject(error)
        else resolve()
      })
      this.share.begin(() => {
        adaptive.poolStarted()
        transfer.startedAt = performance.now()
        start(transfer)
      })
    })
  }
}
