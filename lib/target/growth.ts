/** How often a delta in use is looked at. */
export const GROWTH_STEP_MS = 10_000
/** So many looks back: one minute. */
const STEPS = 6
const MINUTE_MS = 60_000

/** How fast something grows, from looks at it that lie {@link GROWTH_STEP_MS} apart or so. */
export class Growth {
  private readonly looks: { readonly at: number; readonly bytes: number }[] = []

  /** @param at - ms on any clock that only goes forward */
  look(at: number, bytes: number): void {
    this.looks.push({ at, bytes })
    if (this.looks.length > STEPS + 1) this.looks.shift()
  }

  /**
   * Bytes in a minute over the last minute, or the time since the first look when that is shorter; less than 0 when it
   * shrinks, undefined while nothing can be said.
   */
  perMinute(at: number, bytes: number): number | undefined {
    const first = this.looks[0]
    if (!first || at - first.at < GROWTH_STEP_MS) return undefined
    return Math.round(((bytes - first.bytes) * MINUTE_MS) / (at - first.at))
  }
}
