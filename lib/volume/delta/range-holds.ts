/**
 * Ranges of chunks that somebody is changing, in pieces that others must not see or interleave with: the copy-up of a
 * chunk, a write through the thread pool. Whoever asks for a range that overlaps one held, or one asked for earlier,
 * waits, first come first served. There are never more than the requests that the transport lets in.
 */
export class RangeHolds {
  /** Held ones and waiting ones, in the order in which they came. */
  private readonly holds: Hold[] = []

  get empty(): boolean {
    return this.holds.length === 0
  }

  /** Whether any chunk from `first` to `last` is held or waited for. */
  overlaps(first: number, last: number): boolean {
    for (const hold of this.holds) if (hold.first <= last && first <= hold.last) return true
    return false
  }

  /** Takes its place in the order at once; calls back, now or later, when the range is the caller's. */
  acquire(first: number, last: number, granted: () => void): Hold {
    const hold: Hold = { first, last, granted: undefined }
    if (this.overlaps(first, last)) hold.granted = granted
    this.holds.push(hold)
    if (!hold.granted) granted()
    return hold
  }

  release(hold: Hold): void {
    this.holds.splice(this.holds.indexOf(hold), 1)
    this.holds.filter((other, index) => other.granted && this.isFirst(other, index)).forEach(grant)
  }

  /** Whether none that came earlier overlaps it. */
  private isFirst(hold: Hold, index: number): boolean {
    for (let i = 0; i < index; i++) {
      const earlier = this.holds[i]!
      if (earlier.first <= hold.last && hold.first <= earlier.last) return false
    }
    return true
  }
}

export interface Hold {
  readonly first: number
  readonly last: number
  /** Set while it waits. */
  granted: (() => void) | undefined
}

function grant(hold: Hold): void {
  const { granted } = hold
  hold.granted = undefined
  granted!()
}
