import type { Clock, Timer } from '../util/clock.js'
import type { DeltaDisk } from './delta-disk.js'

/** What is flushed. */
export type Flushable = Pick<DeltaDisk, 'dirty' | 'failure' | 'flush'>

/**
 * Flushes deltas at intervals, so that a power cut takes no more than that from a client that never flushes. Each disk
 * has one flush at a time; one that takes longer than the interval misses its turn.
 */
export class BackgroundFlusher {
  private readonly disks = new Map<Flushable, (error: unknown) => void>()
  private readonly flushing = new Set<Flushable>()
  private timer: Timer | undefined

  /** @param intervalMs - 0 = never */
  constructor(
    private readonly clock: Clock,
    private readonly intervalMs: number
  ) {}

  /** @param failed - hears of a flush that failed, once for each disk: none after it can succeed */
  add(disk: Flushable, failed: (error: unknown) => void): void {
    if (this.intervalMs === 0) return
    this.disks.set(disk, failed)
    this.timer ??= this.arm()
  }

  remove(disk: Flushable): void {
    this.disks.delete(disk)
    if (this.disks.size > 0) return
    this.timer?.cancel()
    this.timer = undefined
  }

  private arm(): Timer {
    return this.clock.setTimer(this.intervalMs, () => {
      for (const [disk, failed] of this.disks) if (this.isDue(disk)) void this.flush(disk, failed)
      this.timer = this.arm()
    })
  }

  private isDue(disk: Flushable): boolean {
    return disk.dirty && disk.failure === undefined && !this.flushing.has(disk)
  }

  private async flush(disk: Flushable, failed: (error: unknown) => void): Promise<void> {
    this.flushing.add(disk)
    try {
      await disk.flush()
    } catch (error) {
      // One that was closed meanwhile has flushed by itself.
      if (this.disks.has(disk)) failed(error)
    } finally {
      this.flushing.delete(disk)
    }
  }
}
