/** Time as the control plane sees it, so that a spec can turn the hands. */
export interface Clock {
  /** Wall clock in milliseconds since 1970; may jump. */
  now(): number
  /** Monotonic milliseconds; never goes back. */
  monotonic(): number
  /** Calls back once after `delayMs`; the timer does not keep the process alive. */
  setTimer(delayMs: number, callback: () => void): Timer
}

export interface Timer {
  cancel(): void
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimer(delayMs, callback) {
    // setTimeout takes at most 2^31 - 1 ms (24.8 days); a longer delay would fire at once.
    const timer = setTimeout(callback, Math.min(delayMs, 0x7fffffff))
    timer.unref()
    return { cancel: () => clearTimeout(timer) }
  }
}
