import { describe, expect, it } from '@jest/globals'
import { Adaptive } from '../../lib/volume/adaptive.js'
import { AdaptiveRegions } from '../../lib/volume/adaptive-regions.js'
import type { MediumWatch } from '../../lib/volume/medium-watch.js'
import { Random, seedOf, steps } from '../support/random.js'

const GIB = 2 ** 30
const COLD: MediumWatch = { waited: () => true }

/** Over a file of 64 GiB, in regions of 64 MiB, of which these places have been read before. */
function awake(sizeBytes = 64 * GIB, ...offsets: number[]): AdaptiveRegions {
  const rule = new AdaptiveRegions(false, sizeBytes, COLD)
  rule.allows(0, 0)
  for (const offset of [0, ...offsets]) through(rule, offset)
  return rule
}

/** One access through the pool. */
function through(rule: AdaptiveRegions, offset: number, elapsedMs = 0.04): void {
  rule.poolStarted(offset)
  rule.poolEnded(0, offset, elapsedMs, 4096)
}

describe('the adaptive rule by regions', () => {
  it('sends the first access of a file through the pool, and all others until it has come back', () => {
    const rule = new AdaptiveRegions(false, 64 * GIB, COLD)
    expect(rule.allows(0, 0)).toBe(false)
    rule.poolStarted(0)
    expect(rule.allows(1, 5 * GIB)).toBe(false)
    rule.poolEnded(2, 0, 0.04, 4096)
    expect(rule.allows(3, 0)).toBe(true)
  })

  it('sends the first access of each region through the pool', () => {
    const rule = awake()
    expect(rule.allows(1, 5 * GIB)).toBe(false)
    through(rule, 5 * GIB)
    expect(rule.allows(1, 5 * GIB)).toBe(true)
    expect(rule.allows(1, 6 * GIB)).toBe(false)
  })

  it('never makes an attempt where one access after the other waits for the medium', () => {
    const rule = awake()
    let allowed = 0
    for (let i = 0; i < 2000; i++) {
      if (rule.allows(1, GIB)) allowed++
      through(rule, GIB, 3)
    }
    expect(allowed).toBe(0)
    for (let i = 0; i < 16; i++) through(rule, GIB)
    expect(rule.allows(1, GIB)).toBe(true)
  })

  it('sends accesses of a region through the pool after a cold one there, and of no other', () => {
    const rule = awake(64 * GIB, 5 * GIB, 5 * GIB + (64 << 20), 5 * GIB - 1)
    rule.took(0.1, 4096, 5 * GIB)
    expect(rule.allows(1, 5 * GIB)).toBe(false)
    expect(rule.allows(1, 5 * GIB + (64 << 20) - 1)).toBe(false)
    expect(rule.allows(1, 5 * GIB + (64 << 20))).toBe(true)
    expect(rule.allows(1, 5 * GIB - 1)).toBe(true)
  })

  it('tries a region again when its batch has come back, whatever the others do', () => {
    const rule = awake(64 * GIB, GIB)
    rule.took(0.1, 4096, GIB)
    rule.poolStarted(7 * GIB)
    for (let i = 0; i < 8; i++) {
      expect(rule.allows(1, GIB)).toBe(false)
      rule.poolStarted(GIB)
      rule.poolEnded(1, GIB, 0.04, 4096)
    }
    expect(rule.allows(1, GIB)).toBe(true)
  })

  it('leaves the whole file to the pool after a stall', () => {
    const rule = awake(64 * GIB, GIB, 9 * GIB)
    rule.allows(100, GIB)
    rule.took(50, 4096, GIB)
    for (let i = 0; i < 10; i++) {
      rule.poolStarted(9 * GIB)
      rule.poolEnded(150, 9 * GIB, 0.04, 4096)
    }
    expect(rule.allows(299, 9 * GIB)).toBe(false)
    expect(rule.allows(300, 9 * GIB)).toBe(true)
  })

  it('starts in the pool again after ten seconds without an access anywhere', () => {
    const rule = awake(64 * GIB, GIB, 2 * GIB)
    expect(rule.allows(9000, GIB)).toBe(true)
    expect(rule.allows(18_000, 2 * GIB)).toBe(true)
    expect(rule.allows(28_001, GIB)).toBe(false)
  })

  it.each([512, 1 << 20, (1 << 20) + 512, 2 ** 45])('takes the last byte of a file of %d bytes', (size) => {
    const rule = awake(size, size - 1)
    expect(rule.allows(1, size - 1)).toBe(true)
    rule.took(0.1, 1, size - 1)
    expect(rule.allows(1, size - 1)).toBe(false)
  })

  it('never allows a synchronous access to a file that is always pooled', () => {
    const rule = new AdaptiveRegions(true, GIB, COLD)
    rule.allows(0, 0)
    rule.poolStarted(0)
    rule.poolEnded(0, 0, 0.04, 4096)
    expect(rule.allows(1, 0)).toBe(false)
  })

  it.each([7001, 7002, 7003, 7004])(
    'answers as one rule for each region and one for the whole do, seed %d',
    (written) => {
      const seed = seedOf(written)
      const random = new Random(seed)
      let waited = false
      const medium: MediumWatch = { waited: () => waited }
      const rule = new AdaptiveRegions(false, 4 * REGION, medium)
      const model = new Model(medium)
      const pooled: number[] = []
      let now = 0
      for (let step = 0; step < steps(8000); step++) {
        waited = random.chance(0.5)
        now += random.chance(0.001) ? 20_000 : random.next()
        if (pooled.length > 0 && random.chance(0.3)) {
          const offset = pooled.splice(random.int(pooled.length), 1)[0]!
          const elapsedMs = random.pick([0.04, 0.04, 3])
          for (const each of [rule, model]) each.poolEnded(now, offset, elapsedMs, 4096)
          continue
        }
        const offset = random.int(4 * REGION)
        const allowed = rule.allows(now, offset)
        expect(allowed).toBe(model.allows(now, offset))
        if (!allowed) {
          pooled.push(offset)
          for (const each of [rule, model]) each.poolStarted(offset)
          continue
        }
        const elapsedMs = random.pick([...QUICK, 0.05, 0.3, random.chance(0.05) ? 60 : 0.001])
        for (const each of [rule, model]) each.took(elapsedMs, 4096, offset)
      }
    }
  )
})

const REGION = 1 << 20
const QUICK = Array.from({ length: 12 }, () => 0.002)

/** {@link AdaptiveRegions} without the byte that spares it a look at the rule. */
class Model {
  private readonly whole: Adaptive
  private readonly regions: Adaptive[]

  constructor(medium: MediumWatch) {
    this.whole = new Adaptive(false, 'read', medium)
    this.regions = Array.from({ length: 4 }, () => new Adaptive(false, 'read', medium, Infinity))
    for (const region of this.regions) region.beginInPool()
  }

  allows(now: number, offset: number): boolean {
    return this.whole.allows(now) && this.at(offset).allows(now)
  }

  took(elapsedMs: number, lengthBytes: number, offset: number): void {
    const concerned = elapsedMs >= 50 ? this.whole : this.at(offset)
    concerned.took(elapsedMs, lengthBytes)
  }

  poolStarted(offset: number): void {
    this.whole.poolStarted()
    this.at(offset).poolStarted()
  }

  poolEnded(now: number, offset: number, elapsedMs: number, lengthBytes: number): void {
    this.whole.poolEnded(now, 0, lengthBytes)
    this.at(offset).poolEnded(now, elapsedMs, lengthBytes)
  }

  private at(offset: number): Adaptive {
    return this.regions[Math.floor(offset / REGION)]!
  }
}
