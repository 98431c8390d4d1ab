/** Looked up once: jest runs a spec in a context of its own, where each look at a global costs more than a step. */
const { floor, imul } = Math

/**
 * A seeded generator (mulberry32) for specs: the same seed gives the same run. Put the seed into the title of the spec,
 * so that a failure prints it; `SPEC_SEED=n` runs every seeded spec with n.
 */
export class Random {
  private state: number

  constructor(readonly seed: number) {
    this.state = seed >>> 0
  }

  /** A number in [0, 1). */
  next(): number {
    return this.word() / 0x100000000
  }

  /** An integer in [0, n), n up to 2^53. */
  int(n: number): number {
    if (n <= 0x100000000) return floor(this.next() * n)
    return floor(((this.word() & 0x1fffff) / 0x200000 + this.word() / 0x20000000000000) * n)
  }

  /** True with the given probability. */
  chance(probability: number): boolean {
    return this.next() < probability
  }

  pick<T>(items: readonly T[]): T {
    return items[this.int(items.length)]!
  }

  /** Puts the items in random order, in place. */
  shuffle<T>(items: T[]): T[] {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.int(i + 1)
      const item = items[i]!
      items[i] = items[j]!
      items[j] = item
    }
    return items
  }

  /** Fills the buffer with random bytes and returns it. */
  bytes(buffer: Buffer): Buffer {
    const words = buffer.length >>> 2
    let i = 0
    for (let n = 0; n < words; n++) {
      const word = this.word()
      buffer[i++] = word
      buffer[i++] = word >>> 8
      buffer[i++] = word >>> 16
      buffer[i++] = word >>> 24
    }
    while (i < buffer.length) buffer[i++] = this.word() >>> 24
    return buffer
  }

  private word(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0
    let t = this.state
    t = imul(t ^ (t >>> 15), t | 1)
    t ^= t + imul(t ^ (t >>> 7), t | 61)
    return (t ^ (t >>> 14)) >>> 0
  }
}

/** The seed of a spec: the one that it is written with, or what `SPEC_SEED` orders. */
export function seedOf(written: number): number {
  const ordered = process.env.SPEC_SEED
  return ordered === undefined ? written : Number(ordered)
}

/**
 * How many steps a seeded campaign takes: the written count in `npm test`, a share of it in `npm run check`, many times
 * that in `npm run soak`, as SPEC_STEPS_FACTOR says.
 */
export function steps(written: number): number {
  return Math.max(1, Math.round(written * Number(process.env.SPEC_STEPS_FACTOR ?? 1)))
}
