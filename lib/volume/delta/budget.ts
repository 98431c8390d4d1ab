/**
 * How much a delta may take. A delta asks before it makes a new chunk and gives back what it no longer needs; both are
 * counters, so that they can be asked for each write. What has a chunk already is overwritten without asking.
 */
export interface DeltaBudget {
  /** Asks for room. False means full, and then nothing was taken. */
  take(bytes: number): boolean
  /** Counts what is there already, full or not: a delta that is opened again. */
  occupy(bytes: number): void
  give(bytes: number): void
  /** True from the soft threshold on, until the use falls below it again. */
  readonly nearlyFull: boolean
}

/**
 * A limit in bytes, under a larger one if there is one: that of an initiator under the total, the total under what the
 * file system can spare. The owner moves the limit as it likes (the last one from a statfs in the background); one
 * that falls below the use refuses what is new and takes nothing away.
 */
export class SpaceBudget implements DeltaBudget {
  usedBytes = 0

  constructor(
    public limitBytes = Infinity,
    private readonly within?: DeltaBudget
  ) {}

  get nearlyFull(): boolean {
    return this.usedBytes >= this.limitBytes * SOFT_SHARE || (this.within?.nearlyFull ?? false)
  }

  take(bytes: number): boolean {
    if (this.usedBytes + bytes > this.limitBytes) return false
    if (this.within && !this.within.take(bytes)) return false
    this.usedBytes += bytes
    return true
  }

  occupy(bytes: number): void {
    this.usedBytes += bytes
    this.within?.occupy(bytes)
  }

  give(bytes: number): void {
    this.usedBytes -= bytes
    this.within?.give(bytes)
  }
}

/** The soft threshold, as a share of the limit. */
export const SOFT_SHARE = 0.8
