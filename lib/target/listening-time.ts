import { assert } from '../util/assert.js'
import type { Clock, Timer } from '../util/clock.js'

/** How often the total is handed to `save` while anybody waits for a deadline: what a crash can add to a grace time. */
const SAVE_INTERVAL_MS = 60_000

/**
 * A clock that runs only while the server listens, over all its runs. Grace and undo times are measured on it: a client
 * cannot come back to a server that is off, so the time of a power cut must not count. It takes the monotonic clock
 * for its steps, since the wall clock of an office PC jumps.
 *
 * Deadlines are points on this clock. A total that was not saved before a crash makes them later, never earlier.
 */
export class ListeningTime {
  private total: number
  private startedAt: number | undefined
  private savedTotal: number
  private timer: Timer | undefined
  /** Bounded by the initiators that have a delta, and by the entries of the bin. */
  private readonly deadlines = new Map<string, Deadline>()

  /**
   * @param total - milliseconds listened in earlier runs
   * @param save - stores the total; not called again before SAVE_INTERVAL_MS have passed
   */
  constructor(
    private readonly clock: Clock,
    total: number,
    private readonly save: (total: number) => void
  ) {
    this.total = total
    this.savedTotal = total
  }

  /** Milliseconds listened so far. */
  now(): number {
    if (this.startedAt === undefined) return this.total
    return this.total + Math.max(0, Math.floor(this.clock.monotonic() - this.startedAt))
  }

  start(): void {
    assert(this.startedAt === undefined, 'the listening time runs already')
    this.startedAt = this.clock.monotonic()
    this.arm()
  }

  stop(): void {
    this.total = this.now()
    this.startedAt = undefined
    this.timer?.cancel()
    this.timer = undefined
  }

  /** Calls back once when the clock has reached `at`; replaces an earlier deadline of this key. */
  setDeadline(key: string, at: number, reached: () => void): void {
    this.deadlines.set(key, { at, reached })
    this.arm()
  }

  clearDeadline(key: string): void {
    this.deadlines.delete(key)
  }

  private arm(): void {
    this.timer?.cancel()
    this.timer = undefined
    if (this.startedAt === undefined || this.deadlines.size === 0) return
    let next = Infinity
    for (const { at } of this.deadlines.values()) next = Math.min(next, at)
    const delay = Math.min(Math.max(next - this.now(), 1), SAVE_INTERVAL_MS)
    this.timer = this.clock.setTimer(delay, () => this.tick())
  }

  private tick(): void {
    const now = this.now()
    if (now - this.savedTotal >= SAVE_INTERVAL_MS) {
      this.savedTotal = now
      this.save(now)
    }
    const reached = [...this.deadlines].filter(([, { at }]) => at <= now)
    for (const [key] of reached) this.deadlines.delete(key)
    this.arm()
    for (const [, deadline] of reached) deadline.reached()
  }
}

interface Deadline {
  readonly at: number
  readonly reached: () => void
}
