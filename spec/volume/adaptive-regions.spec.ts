import { describe, expect, it } from '@jest/globals'
import { AdaptiveRegions } from '../../lib/volume/adaptive-regions.js'
import type { MediumWatch } from '../../lib/volume/medium-watch.js'

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
})
