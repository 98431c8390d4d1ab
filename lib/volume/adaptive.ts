/**
 * Decides for one file and one direction whether the next access may be made synchronously.
 *
 * An access to the page cache costs 1.4 µs when it is made at once and 10 to 40 µs by way of the thread pool; one that
 * has to wait for the medium would hold up every client. Nobody can ask a file beforehand, but the past tells: an
 * access that took longer than 40 µs + 0.6 µs/KiB did wait, so the next 32 go through the pool, and twice as many each
 * time that the attempt after them is slow again, up to 1024. Four quick ones in a row halve that number. After ten
 * seconds without an access the next one goes through the pool, because the disk may have spun down.
 *
 * A batch ends only when what was in the pool at its start, and one access more, has come back: otherwise the attempt
 * behind a short batch would hand the event loop to a disk that is stalled.
 *
 * All times are milliseconds of `performance.now()`, which the caller reads once before and once after an access. The
 * two readings cost some 0.15 µs together.
 */
export class Adaptive {
  /** Accesses that still go through the pool before the next attempt. */
  private pooledLeft = 0
  /** Length of the next batch through the pool. */
  private penalty = PENALTY_MIN
  private quickInRow = 0
  private lastUse = -Infinity
  /** Accesses that are in the pool. */
  private inPool = 0
  /** Accesses that must come back from the pool before the next attempt. */
  private awaited = 0

  /** @param pooled - never synchronously: network file systems, block devices, removable disks */
  constructor(readonly pooled: boolean) {}

  /** Whether an access that starts now may be synchronous. */
  allows(now: number): boolean {
    if (this.pooled) return false
    if (now - this.lastUse > IDLE_MS) this.beginBatch(1)
    this.lastUse = now
    return this.pooledLeft === 0 && this.awaited === 0
  }

  /** A synchronous access of that many bytes has ended. */
  took(elapsedMs: number, lengthBytes: number): void {
    if (elapsedMs > LIMIT_MS + lengthBytes * LIMIT_MS_PER_BYTE) return this.slow()
    if (this.penalty === PENALTY_MIN || ++this.quickInRow < QUICK_IN_ROW) return
    this.quickInRow = 0
    this.penalty /= 2
  }

  /** An access starts through the pool. */
  poolStarted(): void {
    this.inPool++
    if (this.pooledLeft > 0) this.pooledLeft--
  }

  /** An access through the pool has ended. */
  poolEnded(now: number): void {
    this.inPool--
    if (this.awaited > 0) this.awaited--
    this.lastUse = now
  }

  private slow(): void {
    this.quickInRow = 0
    this.beginBatch(this.penalty)
    if (this.penalty < PENALTY_MAX) this.penalty *= 2
  }

  private beginBatch(length: number): void {
    this.pooledLeft = Math.max(this.pooledLeft, length)
    this.awaited = this.inPool + 1
  }
}

const LIMIT_MS = 0.04
const LIMIT_MS_PER_BYTE = 0.0006 / 1024
const PENALTY_MIN = 32
const PENALTY_MAX = 1024
const QUICK_IN_ROW = 4
const IDLE_MS = 10_000

/** Longest transfer that is attempted synchronously, in bytes: a cold one of this length holds the loop for 10 ms. */
export const SYNC_BYTES_MAX = 1 << 20
