/**
 * How much of the thread pool one user of it may hold. A thread that waits for a disk which does not answer is gone for
 * as long as that takes, and Node has one pool for everything: the reads of one client from a stalled disk would
 * otherwise keep the files, the logins and the flushes of all others waiting. What goes beyond the share waits in
 * the order in which it came; that is bounded by the requests that its user has in all.
 */
export class PoolShare<Item> {
  private running = 0
  private readonly waiting: Item[] = []

  /**
   * @param threadsMax - items under way at the same time; may change from one to the next
   * @param start - begins the work on one of them; {@link ended} is called when it is over
   */
  constructor(
    private readonly threadsMax: () => number,
    private readonly start: (item: Item) => void
  ) {}

  /** Starts it now, or when those before it have been started and it has a thread. */
  begin(item: Item): void {
    this.waiting.push(item)
    this.startWaiting()
  }

  ended(): void {
    this.running--
    this.startWaiting()
  }

  private startWaiting(): void {
    while (this.waiting.length > 0 && this.running < this.threadsMax()) {
      this.running++
      this.start(this.waiting.shift()!)
    }
  }
}

/** Who reads beside whom: a unit that reads alone may have more of the pool than one among others. */
export class Company {
  private last: object | undefined
  private inARow = 0

  /** A unit reads something, from the medium or from memory. */
  note(unit: object): void {
    this.inARow = this.last === unit ? this.inARow + 1 : 0
    this.last = unit
  }

  /** Nobody else has read anything since many reads of this one. */
  isAlone(unit: object): boolean {
    return this.last === unit && this.inARow >= ALONE_READS
  }
}

const ALONE_READS = 64

/** Threads of the pool; 4 is what libuv makes when nothing is said. */
const POOL_THREADS = Math.max(1, Number(process.env.UV_THREADPOOL_SIZE) || 4)

/** Most threads that wait for one file: others, and what a login needs, always find some. */
export const FILE_THREADS_MAX = Math.max(1, Math.floor(POOL_THREADS * 0.75))
/**
 * Most threads that the reads of one initiator's unit hold in its base: alone, and among others, who wait longer the more
 * threads it keeps busy; and most that work on its delta.
 */
export const UNIT_THREADS_MAX = Math.max(1, Math.floor(POOL_THREADS / 2))
export const CROWDED_UNIT_THREADS_MAX = Math.max(1, Math.floor(POOL_THREADS / 4))
export const DELTA_THREADS_MAX = Math.max(1, Math.floor(POOL_THREADS / 4))
