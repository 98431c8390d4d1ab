import fs from 'node:fs'
import { readFully, writeFully } from '../drivers/transfer.js'
import { IscsiError, isFull } from '../../util/errors.js'
import {
  BOOT_RECORD_LENGTH,
  RECORD,
  RECORD_LENGTH,
  putBootRecord,
  putRecord,
  sealRecord,
  setRecordCount,
  type SessionMark
} from './journal-format.js'

/**
 * The open end of a map file. Records gather in memory while a turn of the data path runs; {@link commit} gives them
 * to the kernel in one write. A record that goes on where the one before it ended only makes that one longer.
 */
export class Journal {
  /** Sequence number of the next record. */
  nextSequence: number
  /** Records in the file. */
  recordCount: number
  private pending = Buffer.allocUnsafe(FIRST_PENDING_BYTES)
  private pendingEnd = 0
  private lastAt = NONE
  private lastType = 0
  private lastChunkEnd = 0
  private lastSlotEnd = 0
  private lastCount = 0
  private pendingCount = 0
  private broken: Error | undefined
  /** Everything up to this sequence number is on the medium; whoever syncs the file moves it. */
  syncedSequence: number
  /** The last barrier, and whether it covers all records before it: some may have come while it was prepared. */
  private barrierSequence = NONE
  private barrierCoversAll = false

  /**
   * @param end - bytes in the file; what is committed goes there
   * @param makeRoom - gives room back when the file system is full; false when it has none
   */
  constructor(
    public fd: number,
    public end: number,
    readonly salt: number,
    nextSequence: number,
    recordCount: number,
    private readonly makeRoom?: () => boolean
  ) {
    this.nextSequence = nextSequence
    this.recordCount = recordCount
    this.syncedSequence = (nextSequence - 1) >>> 0
  }

  get uncommitted(): boolean {
    return this.pendingEnd > 0
  }

  /** Some record that was committed is not covered by a barrier. */
  get uncovered(): boolean {
    return this.committedSequence !== this.barrierSequence || !this.barrierCoversAll
  }

  /** Sequence number of the last record that was committed. */
  get committedSequence(): number {
    return (this.nextSequence - this.pendingCount - 1) >>> 0
  }

  /** @param slot - the first slot, or chunk of the base; 0 for a type that names none */
  append(type: number, chunk: number, count: number, slot: number): void {
    if (
      this.lastAt !== NONE &&
      this.lastType === type &&
      this.lastChunkEnd === chunk &&
      this.joins(type, count, slot)
    ) {
      this.lastCount += count
      setRecordCount(this.pending, this.lastAt, this.lastCount)
    } else {
      this.lastAt = this.make(RECORD_LENGTH)
      this.lastType = type
      this.lastCount = count
      putRecord(this.pending, this.lastAt, type, chunk, this.number(), count, slot)
    }
    this.lastChunkEnd = chunk + count
    this.lastSlotEnd = slot + count
  }

  appendBoot(timeMs: number, id: Buffer): void {
    const at = this.make(BOOT_RECORD_LENGTH)
    putBootRecord(this.pending, at, timeMs, this.number(), id)
    this.lastAt = NONE
  }

  /** @param covered - everything up to this sequence number is on the medium */
  appendBarrier(covered: number): void {
    const at = this.make(RECORD_LENGTH)
    this.barrierSequence = this.nextSequence
    this.barrierCoversAll = (covered + 1) >>> 0 === this.nextSequence
    putRecord(this.pending, at, RECORD.barrier, 0, this.number(), covered, this.syncedSequence)
    this.lastAt = NONE
  }

  appendSession(mark: SessionMark): void {
    const at = this.make(RECORD_LENGTH)
    putRecord(this.pending, at, RECORD.session, mark, this.number(), 0, this.syncedSequence)
    this.lastAt = NONE
  }

  /**
   * Gives what gathered to the kernel. If that fails nothing of it is left in the file, and nothing gathers any more:
   * half of a commit would, after a crash, map slots that hold something else by then.
   */
  commit(): void {
    if (this.pendingEnd === 0) return
    try {
      if (this.broken) throw this.broken
      for (let at = 0; at < this.pendingEnd;) at = sealRecord(this.pending, at, this.salt)
      this.write()
    } catch (error) {
      this.drop()
      this.cut()
      throw error
    }
    this.end += this.pendingEnd
    this.recordCount += this.pendingCount
    this.reset()
  }

  private write(): void {
    try {
      writeFully(this.fd, this.pending, 0, this.pendingEnd, this.end)
    } catch (error) {
      if (!isFull(error) || !this.makeRoom?.()) throw error
      writeFully(this.fd, this.pending, 0, this.pendingEnd, this.end)
    }
  }

  /** Forgets what gathered since the last commit. */
  drop(): void {
    this.nextSequence = (this.nextSequence - this.pendingCount) >>> 0
    this.reset()
  }

  /** Copies committed bytes, for the one who writes the journal anew. */
  readCommitted(buffer: Buffer, length: number, offset: number): void {
    readFully(this.fd, buffer, 0, length, offset)
  }

  private joins(type: number, count: number, slot: number): boolean {
    const goesOn = type === RECORD.zero || type === RECORD.base || this.lastSlotEnd === slot
    return goesOn && this.lastCount + count <= COUNT_MAX
  }

  private number(): number {
    const sequence = this.nextSequence
    this.nextSequence = (sequence + 1) >>> 0
    this.pendingCount++
    return sequence
  }

  private make(length: number): number {
    const at = this.pendingEnd
    if (at + length > this.pending.length) this.pending = grown(this.pending)
    this.pendingEnd = at + length
    return at
  }

  private reset(): void {
    this.pendingEnd = 0
    this.pendingCount = 0
    this.lastAt = NONE
    if (this.pending.length > PENDING_BYTES_KEPT_MAX) this.pending = Buffer.allocUnsafe(FIRST_PENDING_BYTES)
  }

  private cut(): void {
    if (this.broken) return
    try {
      fs.ftruncateSync(this.fd, this.end)
    } catch (cause) {
      this.broken = new IscsiError('EIO', 'the journal of the delta could not be mended after a failed write', {
        cause
      })
    }
  }
}

const NONE = -1
const COUNT_MAX = 0xffffffff
const FIRST_PENDING_BYTES = 8192
const PENDING_BYTES_KEPT_MAX = 1 << 20

function grown(buffer: Buffer): Buffer<ArrayBuffer> {
  const larger = Buffer.allocUnsafe(buffer.length * 2)
  buffer.copy(larger)
  return larger
}
