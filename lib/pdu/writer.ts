import { assert } from '../util/assert.js'
import type { BufferHolder, BufferPool, PooledBuffer } from '../util/buffer-pool.js'
import { BHS_LENGTH } from './bhs.js'
import { crc32c, DIGEST_LENGTH, padLength, writeDigest } from './digest.js'

/**
 * Collects the PDUs of one turn behind each other in a pooled buffer and sends them as one piece: one system call a
 * turn is worth three to nine times the rate of one a PDU. A payload is read straight to the place where it leaves.
 *
 *     bytes  |  sent, not released  |  ended, not sent  |  begun  |      free      |
 *                                 start             position
 *
 * The buffer goes on being filled behind what has been sent, so that small answers do not hold a large buffer each;
 * it goes back to the pool when all that was sent from it is released and nothing waits in it. A peer that does not
 * read keeps at most {@link BUFFERS_PER_WRITER_MAX} of them: then {@link PduWriter.begin} answers -1.
 */
export type Send = (buffer: Buffer, start: number, end: number, release: () => void) => void

/** The longest data segment that we send; a longer transfer takes several Data-In PDUs. */
export const SENT_DATA_LENGTH_MAX = 256 * 1024

/** Length in bytes of the pooled buffers: a longest PDU, and room so that the small ones before it share its send. */
export const BATCH_LENGTH = 320 * 1024

/**
 * Length of the few long ones: not much of what a client asked for at once leaves alone and wakes it for itself, but it
 * takes in the first part while the next is read. With 320 KiB, reads of 64 KiB cost 1.3 times as much; with 2 MiB, which
 * holds all that was asked for, reader and target take turns, and the rate is 0.8 of this.
 */
export const LONG_BATCH_LENGTH = 832 * 1024

/** Buffers that one connection may fill before its peer has taken what the first of them holds; one may be long. */
export const BUFFERS_PER_WRITER_MAX = 4

const NO_BYTES = Buffer.alloc(0)
const NO_VIEW = new DataView(new ArrayBuffer(0))
const NONE = -1
/** Of TotalAHSLength and DataSegmentLength. */
const LENGTHS_OFFSET = 4

export class PduWriter implements BufferHolder {
  /** These two may change between PDUs; a begun PDU keeps what held when it was begun. */
  headerDigest = false
  dataDigest = false

  /** The bytes of the begun PDU; another buffer after each {@link begin}. */
  buffer: Buffer = NO_BYTES
  /** The same bytes: for the numbers of a PDU that is written by offsets. */
  view: DataView = NO_VIEW
  /** Where the payload of the begun PDU goes. */
  dataOffset = 0

  private batch: PooledBuffer | undefined
  private held = 0
  private start = 0
  private position = 0
  private bhsOffset = NONE
  private reserved = 0
  private hasDataDigest = false
  private destroyed = false

  /**
   * @param send - puts bytes on their way (one `socket.write`) and calls `release` once when they are no longer needed,
   *   also when they could not be sent
   * @param drained - called once after a {@link begin} that answered -1, when it is worth another try
   */
  constructor(
    private readonly pool: BufferPool,
    private readonly send: Send,
    private readonly drained: () => void = () => {}
  ) {
    assert(pool.lengthBytes >= BHS_LENGTH + 2 * DIGEST_LENGTH, 'a batch is shorter than a PDU')
  }

  /** Bytes ended and not sent. */
  get pending(): number {
    return this.position - this.start
  }

  /**
   * Begins a PDU: reserves its header, digests, padding and `dataLength` bytes in one piece, sending the batch first
   * when they do not fit behind it.
   * @returns the offset in {@link buffer} of 48 zero bytes to be filled in, or -1 when there is no room until
   *   `drained` is called
   */
  begin(dataLength: number): number {
    assert(this.bhsOffset === NONE, 'a PDU was begun within another')
    const length = BHS_LENGTH + this.digestLength() + dataLength + padLength(dataLength)
    assert(length <= this.pool.lengthBytes, 'a PDU is longer than a batch')
    if (!this.makeRoom(length)) return NONE
    const offset = this.position
    const { view } = this
    // Buffer.fill costs many times as much as these six.
    for (let at = offset; at < offset + BHS_LENGTH; at += 8) view.setFloat64(at, 0)
    this.bhsOffset = offset
    this.reserved = dataLength
    this.hasDataDigest = this.dataDigest
    this.dataOffset = offset + BHS_LENGTH + (this.headerDigest ? DIGEST_LENGTH : 0)
    return offset
  }

  /**
   * Ends the begun PDU: fills in DataSegmentLength, zero padding and digests. The other fields are set by now.
   * @param dataLength - bytes of payload, at most what was reserved
   */
  end(dataLength: number): void {
    const { buffer, bhsOffset, dataOffset } = this
    assert(bhsOffset !== NONE, 'a PDU was ended that was not begun')
    assert(dataLength <= this.reserved, 'a PDU has more data than was reserved')
    // With TotalAHSLength in the first byte: a target sends no AHS.
    this.view.setUint32(bhsOffset + LENGTHS_OFFSET, dataLength)
    const headerEnd = bhsOffset + BHS_LENGTH
    if (dataOffset > headerEnd) writeDigest(buffer, headerEnd, crc32c(buffer, bhsOffset, headerEnd))
    let position = dataOffset + dataLength
    // The bytes behind the payload are somebody's old data, which must not leave.
    for (let pad = padLength(dataLength); pad > 0; pad--) buffer[position++] = 0
    if (this.hasDataDigest && dataLength > 0) {
      writeDigest(buffer, position, crc32c(buffer, dataOffset, position))
      position += DIGEST_LENGTH
    }
    this.position = position
    this.bhsOffset = NONE
  }

  /** Gives the begun PDU's place back. */
  cancel(): void {
    assert(this.bhsOffset !== NONE, 'a PDU was cancelled that was not begun')
    this.bhsOffset = NONE
    this.giveIdle()
  }

  /** Sends what has been ended, if anything. */
  flush(): void {
    const { batch, start, position } = this
    if (batch === undefined || start === position) return
    this.start = position
    batch.uses++
    this.send(batch.bytes, start, position, batch.release)
  }

  /** Drops what has not been sent; buffers on their way come back as they are released. */
  destroy(): void {
    this.destroyed = true
    this.bhsOffset = NONE
    this.start = this.position
    this.pool.forget(this)
    this.giveIdle()
  }

  /** For the pool. */
  released(buffer: PooledBuffer): void {
    if (buffer === this.batch) this.giveIdle()
    else if (buffer.uses === 0) this.give(buffer)
  }

  /** For the pool. */
  resume(): void {
    this.drained()
  }

  private digestLength(): number {
    return (this.headerDigest ? DIGEST_LENGTH : 0) + (this.dataDigest ? DIGEST_LENGTH : 0)
  }

  /** Makes `length` bytes free at `position`. */
  private makeRoom(length: number): boolean {
    if (this.destroyed) return false
    if (this.batch !== undefined && this.position + length <= this.batch.bytes.length) return true
    this.leave()
    return this.enter()
  }

  /** Sends what is left in the current buffer and fills it no further. */
  private leave(): void {
    this.flush()
    // A send that released at once has given the buffer back already.
    this.batch = undefined
  }

  private enter(): boolean {
    const batch = this.held < BUFFERS_PER_WRITER_MAX ? this.pool.take(this, this.held) : undefined
    if (batch === undefined) {
      this.pool.wait(this)
      return false
    }
    this.held++
    this.batch = batch
    this.buffer = batch.bytes
    this.view = batch.view
    this.start = this.position = 0
    return true
  }

  private giveIdle(): void {
    const { batch } = this
    if (batch === undefined || batch.uses > 0 || this.bhsOffset !== NONE || this.start !== this.position) return
    this.batch = undefined
    this.give(batch)
  }

  private give(batch: PooledBuffer): void {
    this.held--
    this.pool.give(batch)
  }
}
