import { Adaptive, STALL_MS } from './adaptive.js'
import type { MediumWatch } from './medium-watch.js'

/**
 * The rule of {@link Adaptive} for each part of a large file by itself: one client that reads what nobody has read
 * before must not send the others, who read what is in the page cache, through the thread pool and into the queue
 * behind its reads.
 *
 * The first access of a part goes through the pool, so that a client that reads here and there in a cold file does not
 * hold up the others once in each. What concerns the disk as a whole, a stall and idle time, still holds for all parts
 * together.
 */
export class AdaptiveRegions {
  private readonly whole: Adaptive
  /** Made when they are first used. */
  private readonly regions: (Adaptive | undefined)[]
  /** 1 where {@link Adaptive.calm} holds: one byte to look at instead of an object and its numbers, for each access. */
  private readonly calm: Uint8Array
  private readonly regionBytes: number

  /** @param sizeBytes - of the file */
  constructor(
    readonly pooled: boolean,
    sizeBytes: number,
    private readonly medium?: MediumWatch
  ) {
    this.whole = new Adaptive(pooled, 'read', medium)
    this.regionBytes = Math.max(Math.ceil(sizeBytes / REGIONS_MAX), REGION_BYTES_MIN)
    this.regions = new Array<Adaptive | undefined>(Math.ceil(sizeBytes / this.regionBytes)).fill(undefined)
    this.calm = new Uint8Array(this.regions.length)
  }

  /** Whether an access there may be synchronous. */
  allows(now: number, offset: number): boolean {
    if (!this.whole.allows(now)) return false
    const index = this.indexOf(offset)
    return this.calm[index] === 1 || this.at(index).allows(now)
  }

  /** A synchronous access of that many bytes has ended. */
  took(elapsedMs: number, lengthBytes: number, offset: number): void {
    const index = this.indexOf(offset)
    if (this.calm[index] === 1 && this.whole.isQuick(elapsedMs, lengthBytes)) return
    if (elapsedMs >= STALL_MS) return this.whole.took(elapsedMs, lengthBytes)
    this.at(index).took(elapsedMs, lengthBytes)
    this.look(index)
  }

  poolStarted(offset: number): void {
    this.whole.poolStarted()
    const index = this.indexOf(offset)
    this.at(index).poolStarted()
    this.look(index)
  }

  poolEnded(now: number, offset: number, elapsedMs: number, lengthBytes: number): void {
    this.whole.poolEnded(now, 0, lengthBytes)
    const index = this.indexOf(offset)
    this.at(index).poolEnded(now, elapsedMs, lengthBytes)
    this.look(index)
  }

  private indexOf(offset: number): number {
    return Math.floor(offset / this.regionBytes)
  }

  private at(index: number): Adaptive {
    return (this.regions[index] ??= this.untried())
  }

  /** Whatever changes a part ends here. */
  private look(index: number): void {
    this.calm[index] = this.regions[index]!.calm ? 1 : 0
  }

  private untried(): Adaptive {
    const region = new Adaptive(this.pooled, 'read', this.medium, Infinity)
    region.beginInPool()
    return region
  }
}

/** Together they take some 100 KiB in a file whose parts have all been read. */
const REGIONS_MAX = 1024
const REGION_BYTES_MIN = 1 << 20
