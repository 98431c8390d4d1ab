import { READ_WATCH, WRITE_WATCH, type MediumWatch } from './medium-watch.js'

/**
 * Decides for one file and one direction whether the next access may be made synchronously.
 *
 * An access to the page cache costs 1.4 µs when it is made at once and 10 to 40 µs by way of the thread pool; one that
 * has to wait for the medium would hold up every client. Nobody can ask a file beforehand, but the past tells: after
 * an access that did wait, the next 8 go through the pool, and twice as many each time that the attempt after them waits
 * again, up to 1024. Four quick ones in a row halve that number. One in the pool that waited begins the batch again:
 * where page after page is cold nobody makes an attempt.
 *
 * A slow access is not proof that it waited: on a busy machine one in two hundred is slow because another program had
 * the processor, and a rule that took each for a cold page would send most of the work through the pool just when
 * processor time is short. So the kernel is asked, where it tells ({@link MediumWatch}). Without that, slow accesses must
 * come close together ({@link SUSPICION_MAX}), or one must take so long that no scheduler explains it: then the pool has
 * all accesses for a multiple of that time, so that the event loop waits a quarter of the time at most. While the kernel
 * says that it holds writers back, the pool has all writes.
 *
 * After ten seconds without an access the next one goes through the pool, because the disk may have spun down. A batch
 * ends only when what was in the pool at its start, and one access more, has come back: otherwise the attempt behind a
 * short batch would hand the event loop to a disk that is stalled.
 *
 * All times are milliseconds of `performance.now()`, which the caller reads once before and once after an access. The
 * two readings cost some 0.15 µs together.
 */
export class Adaptive {
  /** Accesses that still go through the pool before the next attempt. */
  private pooledLeft = 0
  /** No attempt before this time. */
  private pooledUntil = -Infinity
  /** Length of the next batch through the pool. */
  private penalty = PENALTY_MIN
  private quickInRow = 0
  /** Rises with slow accesses that nothing explains, falls with quick ones. */
  private suspicion = 0
  private lastUse = -Infinity
  /** Accesses that are in the pool. */
  private inPool = 0
  /** Accesses that must come back from the pool before the next attempt. */
  private awaited = 0
  /** The kernel makes such accesses wait until it says otherwise. */
  private heldBack = false
  private readonly limit: Limit

  /**
   * @param pooled - never synchronously: network file systems, block devices, removable disks
   * @param direction - a write waits for no page, so only what holds up others is slow for one
   * @param medium - what tells whether a slow access waited for a medium
   * @param idleMs - after this long without an access the next one goes through the pool
   */
  constructor(
    readonly pooled: boolean,
    direction: 'read' | 'write' = 'read',
    private readonly medium: MediumWatch = WATCHES[direction],
    private readonly idleMs = IDLE_MS
  ) {
    this.limit = LIMITS[direction]
  }

  /** Whether an access that starts now may be synchronous. */
  allows(now: number): boolean {
    if (this.pooled) return false
    if (now - this.lastUse > this.idleMs) this.beginBatch(1)
    this.lastUse = now
    if (this.pooledLeft > 0 || this.awaited > 0 || now < this.pooledUntil) return false
    return !this.heldBack || this.letGo(now)
  }

  private letGo(now: number): boolean {
    this.heldBack = this.medium.waited()
    if (this.heldBack) this.pooledUntil = now + ASK_AGAIN_MS
    return !this.heldBack
  }

  /** The next access goes through the pool: nothing is known yet of what it meets. */
  beginInPool(): void {
    this.beginBatch(1)
  }

  /** Any access is allowed, but for idle time, and one that {@link isQuick} changes nothing. */
  get calm(): boolean {
    const none = this.pooledLeft === 0 && this.awaited === 0 && this.pooledUntil === -Infinity && !this.heldBack
    return none && !this.pooled && this.suspicion === 0 && this.penalty === PENALTY_MIN
  }

  /** An access of that many bytes took no longer than one that waits for nothing. */
  isQuick(elapsedMs: number, lengthBytes: number): boolean {
    return elapsedMs <= this.limit.ms + lengthBytes * this.limit.msPerByte
  }

  /** A synchronous access of that many bytes has ended. */
  took(elapsedMs: number, lengthBytes: number): void {
    if (!this.isQuick(elapsedMs, lengthBytes)) return this.slow(elapsedMs)
    if (this.suspicion > 0) this.suspicion--
    if (this.penalty === PENALTY_MIN || ++this.quickInRow < QUICK_IN_ROW) return
    this.quickInRow = 0
    this.penalty /= 2
  }

  /** An access starts through the pool. */
  poolStarted(): void {
    this.inPool++
    if (this.pooledLeft > 0) this.pooledLeft--
  }

  /** An access of that many bytes through the pool has ended; the time is from its start to this call. */
  poolEnded(now: number, elapsedMs: number, lengthBytes: number): void {
    this.inPool--
    if (this.awaited > 0) this.awaited--
    this.lastUse = now
    const quick = elapsedMs < POOL_SLOW_MS + lengthBytes * POOL_SLOW_MS_PER_BYTE
    if (quick || this.heldBack || this.pooledLeft > this.penalty / 2 || !this.medium.waited()) return
    this.heldBack = this.medium.lasting === true
    this.pooledLeft = Math.max(this.pooledLeft, this.penalty)
  }

  private slow(elapsedMs: number): void {
    this.suspicion += SUSPICION_STEP
    const waited = this.medium.waited()
    if (elapsedMs >= STALL_MS) this.pooledUntil = this.lastUse + elapsedMs * (1 + STALL_FACTOR)
    else if (!waited && this.suspicion <= SUSPICION_MAX) return
    this.heldBack = waited && this.medium.lasting === true
    this.quickInRow = this.suspicion = 0
    this.beginBatch(this.penalty)
    if (this.penalty < PENALTY_MAX) this.penalty *= 2
  }

  private beginBatch(length: number): void {
    this.pooledLeft = Math.max(this.pooledLeft, length)
    this.awaited = this.inPool + 1
  }
}

interface Limit {
  readonly ms: number
  readonly msPerByte: number
}

const WATCHES: Readonly<Record<'read' | 'write', MediumWatch>> = { read: READ_WATCH, write: WRITE_WATCH }

/**
 * A page of a file that is cached is read in half a microsecond. One that is written for the first time may wait for
 * the journal of the file system, and for a host that gives memory to this machine page by page; what others notice is
 * a millisecond.
 */
const LIMITS: Readonly<Record<'read' | 'write', Limit>> = {
  read: { ms: 0.04, msPerByte: 0.0006 / 1024 },
  write: { ms: 1, msPerByte: 0.004 / 1024 }
}
/** Longer than a scheduler keeps a program waiting that is no busier than others. */
export const STALL_MS = 50
/** The pool has the accesses for so many times the length of a stall. */
const STALL_FACTOR = 3
const SUSPICION_STEP = 4
/** Three slow accesses with hardly a quick one between them, or half as many slow ones as quick ones for long. */
const SUSPICION_MAX = 8
const PENALTY_MIN = 8
const PENALTY_MAX = 1024
const QUICK_IN_ROW = 4
/**
 * What one in the pool takes beyond this no busy processor explains often; a medium that is quicker than this may as well
 * be waited for.
 */
const POOL_SLOW_MS = 1
const POOL_SLOW_MS_PER_BYTE = 0.004 / 1024
/** Between two questions whether the kernel still holds writers back. */
const ASK_AGAIN_MS = 100
const IDLE_MS = 10_000

/** Longest transfer that is attempted synchronously, in bytes: a cold one of this length holds the loop for 10 ms. */
export const SYNC_BYTES_MAX = 1 << 20
