import { statfs } from 'node:fs/promises'
import { LeasedBudget, SpaceBudget, type DeltaBudget } from '../volume/delta/budget.js'
import type { Clock, Timer } from '../util/clock.js'
import { messageOf } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import { formatSize } from '../util/units.js'

/** What stays free of the file system under the state directory: the larger of the two. */
export const MIN_FREE_BYTES = 5 * 2 ** 30
export const MIN_FREE_SHARE = 0.05
/** How old the answer of statfs may be; what deltas took since is counted on top. */
const REFRESH_INTERVAL_MS = 5000

export interface SpaceOptions {
  /** A path in the file system that is watched. */
  readonly path: string
  /** For all initiators together; undefined = only what the file system can spare. */
  readonly totalBytes: number | undefined
  /** Processes that use it at the same time; this one alone when left out. */
  readonly shareCount?: number | undefined
  /** Asks for more of what they have in common; needed when they are several. */
  readonly askForRoom?: ((bytes: number) => Promise<void>) | undefined
  /** Another of them says in the log what all of them see. */
  readonly silent?: boolean | undefined
  readonly clock: Clock
  readonly log: Logger
  /** Space is short: give back what can be done without (the bin). Called after a refresh, at most once for each. */
  readonly reclaim: () => void
  /** Hears of each answer what deltas may still take of the file system. */
  readonly spare?: (bytes: number) => void
  readonly statfs?: (path: string) => Promise<{ bsize: number; blocks: number; bavail: number }>
}

/**
 * The room of all deltas in one state directory: `--delta-total`, under what the file system can spare. The file system
 * is asked in the background, so that a write only looks at counters.
 */
export class Space {
  private readonly fileSystem = new SpaceBudget(0)
  private readonly total: SpaceBudget
  /** The part of the total that this process has, when several share it. */
  readonly leased: LeasedBudget | undefined
  private readonly options: SpaceOptions
  private timer: Timer | undefined
  private stopped = false
  private warned = false
  private answered = false
  private silent = false

  constructor(options: SpaceOptions) {
    this.options = options
    const { totalBytes, askForRoom } = options
    if (totalBytes !== undefined && askForRoom) {
      this.leased = new LeasedBudget(totalBytes, this.fileSystem, askForRoom)
    }
    this.total = this.leased ?? new SpaceBudget(totalBytes ?? Infinity, this.fileSystem)
  }

  /** A budget for one initiator, under that of all. */
  budget(limitBytes: number | undefined): SpaceBudget {
    return new SpaceBudget(limitBytes ?? Infinity, this.total)
  }

  /** What all deltas may take in all, as known now. */
  get limitBytes(): number {
    return Math.min(this.total.limitBytes, this.fileSystem.limitBytes)
  }

  /** The part of it that this process may take; those of all processes together are the limit. */
  get ownLimitBytes(): number {
    return Math.min(this.leased?.leaseBytes ?? Infinity, this.limitBytes)
  }

  get usedBytes(): number {
    return this.total.usedBytes
  }

  get within(): DeltaBudget {
    return this.total
  }

  /** Asks the file system now, and then again and again until {@link stop}. */
  async start(): Promise<void> {
    await this.refresh()
    this.arm()
  }

  stop(): void {
    this.stopped = true
    this.timer?.cancel()
  }

  async refresh(): Promise<void> {
    try {
      const { bsize, blocks, bavail } = await (this.options.statfs ?? statfs)(this.options.path)
      // Each of several processes knows only what it has taken itself since the file system was asked.
      const spare = Math.max(0, bavail * bsize - minFreeBytes(blocks * bsize)) / (this.options.shareCount ?? 1)
      this.fileSystem.limitBytes = this.fileSystem.usedBytes + spare
      this.answered = true
      this.silent = false
      this.judge()
      this.options.spare?.(spare)
    } catch (error) {
      this.doWithout(error)
    }
  }

  /** The last known limit stays in force. Without one, nobody writes less because a question has no answer. */
  private doWithout(error: unknown): void {
    if (!this.answered) this.fileSystem.limitBytes = Infinity
    if (this.silent || this.options.silent) return
    this.silent = true
    const until = this.answered
      ? 'what was free last counts until it answers again'
      : 'deltas may fill it; --delta-total limits them'
    this.options.log.warn(`cannot ask how much of ${this.options.path} is free (${messageOf(error)}): ${until}`)
  }

  private judge(): void {
    const short = this.total.nearlyFull
    if (short) this.options.reclaim()
    if (short && !this.warned && !this.options.silent) {
      const used = this.usedBytes + (this.leased?.usedElsewhereBytes ?? 0)
      const left = Math.max(0, this.limitBytes - used)
      this.options.log.warn(`space for deltas runs short: ${formatSize(left)} left under ${this.options.path}`)
    }
    this.warned = short
  }

  private arm(): void {
    if (this.stopped) return
    this.timer = this.options.clock.setTimer(REFRESH_INTERVAL_MS, () => void this.refresh().then(() => this.arm()))
  }
}

/** What must stay free of a file system of this size. */
export function minFreeBytes(sizeBytes: number): number {
  return Math.max(MIN_FREE_BYTES, sizeBytes * MIN_FREE_SHARE)
}
