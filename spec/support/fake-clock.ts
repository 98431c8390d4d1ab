import type { Clock, Timer } from '../../lib/util/clock.js'

/** A clock whose hands the spec turns. Timers fire in the order of their times, inside {@link advance}. */
export class FakeClock implements Clock {
  private ms = 0
  private readonly timers = new Set<FakeTimer>()

  constructor(private wallMs = Date.UTC(2026, 0, 1)) {}

  now(): number {
    return this.wallMs
  }

  monotonic(): number {
    return this.ms
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const timer = { at: this.ms + delayMs, callback }
    this.timers.add(timer)
    return { cancel: () => void this.timers.delete(timer) }
  }

  /** Time passes, on both clocks. */
  advance(ms: number): void {
    const end = this.ms + ms
    for (;;) {
      const due = this.firstDue(end)
      if (!due) break
      this.timers.delete(due)
      this.wallMs += Math.max(0, due.at - this.ms)
      this.ms = Math.max(this.ms, due.at)
      due.callback()
    }
    this.wallMs += end - this.ms
    this.ms = end
  }

  /** Of two that are due at the same time the older one. Hours are full of timers, so nothing is made here. */
  private firstDue(end: number): FakeTimer | undefined {
    let first: FakeTimer | undefined
    for (const timer of this.timers) if (timer.at <= end && (!first || timer.at < first.at)) first = timer
    return first
  }

  /** Somebody sets the wall clock. */
  jump(ms: number): void {
    this.wallMs += ms
  }

  get pendingTimers(): number {
    return this.timers.size
  }
}

interface FakeTimer {
  readonly at: number
  readonly callback: () => void
}
