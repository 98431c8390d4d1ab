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
  /** Whether {@link refill} may make room that {@link take} did not find. */
  readonly mayRefill?: boolean
  /** Asks others, who have more than they use, for so much. Resolves when it is worth another try. */
  refill?(bytes: number): Promise<void>
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

  get mayRefill(): boolean {
    return this.within?.mayRefill ?? false
  }

  async refill(bytes: number): Promise<void> {
    if (this.usedBytes + bytes <= this.limitBytes) await this.within?.refill?.(bytes)
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

/**
 * A limit that several processes have in common. Each may use what was leased to it, all leases together are never more
 * than the limit, and whoever needs more asks for it.
 */
export class LeasedBudget extends SpaceBudget {
  leaseBytes = 0
  /** What the other processes used when the lease was given. */
  usedElsewhereBytes = 0

  /** @param ask - asks for room; resolves when the leases have been given anew */
  constructor(
    limitBytes: number,
    within: DeltaBudget,
    private readonly ask: (bytes: number) => Promise<void>
  ) {
    super(limitBytes, within)
  }

  override get mayRefill(): boolean {
    return true
  }

  override get nearlyFull(): boolean {
    return this.usedBytes + this.usedElsewhereBytes >= this.limitBytes * SOFT_SHARE || super.nearlyFull
  }

  override take(bytes: number): boolean {
    return this.usedBytes + bytes <= this.leaseBytes && super.take(bytes)
  }

  override refill(bytes: number): Promise<void> {
    return this.usedBytes + bytes <= this.leaseBytes ? super.refill(bytes) : this.ask(bytes)
  }

  /** Gives back what is not used. @returns what is */
  yield(): number {
    this.leaseBytes = this.usedBytes
    return this.usedBytes
  }
}
