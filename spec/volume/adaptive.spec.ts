import { describe, expect, it } from '@jest/globals'
import { Adaptive } from '../../lib/volume/adaptive.js'
import type { MediumWatch } from '../../lib/volume/medium-watch.js'

const QUICK_MS = 0.002
const SLOW_MS = 0.1
/** By way of the pool, which takes longer. */
const POOL_QUICK_MS = 0.04
/** Every slow access has read from the medium. */
const COLD: MediumWatch = { waited: () => true }
/** Whatever is slow, it was the processor that was busy. */
const BUSY: MediumWatch = { waited: () => false }

/** A rule whose file has been in use, at the given time. */
function awake(now: number, direction: 'read' | 'write' = 'read', medium = COLD): Adaptive {
  const rule = new Adaptive(false, direction, medium)
  rule.allows(now)
  through(rule, 1, now)
  return rule
}

/** Sends that many accesses through the pool, one after the other. */
function through(rule: Adaptive, count: number, now: number): void {
  for (let i = 0; i < count; i++) {
    rule.poolStarted()
    rule.poolEnded(now, POOL_QUICK_MS, 4096)
  }
}

/** How many accesses go through the pool before the next attempt is allowed. */
function batchLength(rule: Adaptive, now: number): number {
  let count = 0
  for (; count < 5000 && !rule.allows(now); count++) through(rule, 1, now)
  return count
}

describe('the adaptive rule', () => {
  it('sends the first access of a file through the pool', () => {
    expect(new Adaptive(false).allows(0)).toBe(false)
  })

  it('allows a synchronous access once the first one has come back', () => {
    expect(awake(0).allows(1)).toBe(true)
  })

  it('does not allow one while the first one is still out, however many follow', () => {
    const rule = new Adaptive(false, 'read', COLD)
    rule.allows(0)
    for (let i = 0; i < 100; i++) {
      rule.poolStarted()
      expect(rule.allows(1)).toBe(false)
    }
    rule.poolEnded(5000, POOL_QUICK_MS, 4096)
    expect(rule.allows(5000)).toBe(true)
  })

  it.each([
    [4096, 0.0423, true],
    [4096, 0.0425, false],
    [65536, 0.0783, true],
    [65536, 0.0785, false],
    [1 << 20, 0.654, true],
    [1 << 20, 0.655, false]
  ])('takes %d bytes read in %d ms for quick: %s', (lengthBytes, elapsedMs, quick) => {
    const rule = awake(0)
    rule.took(elapsedMs, lengthBytes)
    expect(rule.allows(1)).toBe(quick)
  })

  it.each([
    [4096, 1.015, true],
    [4096, 1.017, false],
    [1 << 20, 5.09, true],
    [1 << 20, 5.1, false]
  ])('takes %d bytes written in %d ms for quick: %s', (lengthBytes, elapsedMs, quick) => {
    const rule = awake(0, 'write')
    rule.took(elapsedMs, lengthBytes)
    expect(rule.allows(1)).toBe(quick)
  })

  it('does not take a slow access for a cold one when nothing was read from a medium', () => {
    const rule = awake(0, 'read', BUSY)
    for (let i = 0; i < 100; i++) {
      rule.took(49.9, 4096)
      for (let quick = 0; quick < 4; quick++) rule.took(QUICK_MS, 4096)
    }
    expect(rule.allows(1)).toBe(true)
  })

  it('believes three slow accesses in a row all the same', () => {
    const rule = awake(0, 'read', BUSY)
    rule.took(SLOW_MS, 4096)
    rule.took(SLOW_MS, 4096)
    expect(rule.allows(1)).toBe(true)
    rule.took(SLOW_MS, 4096)
    expect(rule.allows(1)).toBe(false)
    expect(batchLength(rule, 1)).toBe(8)
  })

  it('leaves a file to the pool for 3 times as long as one access has stalled', () => {
    const rule = awake(0, 'write', BUSY)
    expect(rule.allows(100)).toBe(true)
    rule.took(50, 4096)
    through(rule, 100, 150)
    expect(rule.allows(299)).toBe(false)
    expect(rule.allows(300)).toBe(true)
  })

  it('asks whether something was read only after a slow access', () => {
    let asked = 0
    const rule = awake(0, 'read', { waited: () => ++asked < 0 })
    for (let i = 0; i < 100; i++) rule.took(QUICK_MS, 4096)
    expect(asked).toBe(0)
    rule.took(SLOW_MS, 4096)
    expect(asked).toBe(1)
  })

  it('sends 8 accesses through the pool after a slow one and doubles that up to 1024', () => {
    const rule = awake(0)
    const lengths: number[] = []
    for (let i = 0; i < 9; i++) {
      rule.took(SLOW_MS, 4096)
      lengths.push(batchLength(rule, 1))
    }
    expect(lengths).toEqual([8, 16, 32, 64, 128, 256, 512, 1024, 1024])
  })

  it('halves the number after four quick ones in a row', () => {
    const rule = awake(0)
    for (let i = 0; i < 3; i++) {
      rule.took(SLOW_MS, 4096)
      batchLength(rule, 1)
    }
    for (let i = 0; i < 8; i++) rule.took(QUICK_MS, 4096)
    rule.took(SLOW_MS, 4096)
    expect(batchLength(rule, 1)).toBe(16)
  })

  it('does not halve it when the four are not in a row', () => {
    const rule = awake(0)
    rule.took(SLOW_MS, 4096)
    batchLength(rule, 1)
    for (let i = 0; i < 3; i++) rule.took(QUICK_MS, 4096)
    rule.took(SLOW_MS, 4096)
    expect(batchLength(rule, 1)).toBe(16)
    for (let i = 0; i < 3; i++) rule.took(QUICK_MS, 4096)
    rule.took(SLOW_MS, 4096)
    expect(batchLength(rule, 1)).toBe(32)
  })

  it('never goes below 8', () => {
    const rule = awake(0)
    for (let i = 0; i < 100; i++) rule.took(QUICK_MS, 4096)
    rule.took(SLOW_MS, 4096)
    expect(batchLength(rule, 1)).toBe(8)
  })

  it('waits for what was in the pool when an access was slow', () => {
    const rule = awake(0)
    for (let i = 0; i < 3; i++) rule.poolStarted()
    rule.took(SLOW_MS, 4096)
    for (let i = 0; i < 8; i++) rule.poolStarted()
    for (let i = 0; i < 3; i++) rule.poolEnded(1, POOL_QUICK_MS, 4096)
    expect(rule.allows(1)).toBe(false)
    rule.poolEnded(1, POOL_QUICK_MS, 4096)
    expect(rule.allows(1)).toBe(true)
  })

  it('begins a batch again behind an access of it that waited in the pool', () => {
    const rule = awake(0)
    rule.took(SLOW_MS, 4096)
    through(rule, 7, 1)
    rule.poolStarted()
    rule.poolEnded(1, 1.1, 4096)
    expect(batchLength(rule, 1)).toBe(16)
  })

  it('takes one in the pool for quick below 1 ms and 4 µs for each KiB, or when nothing was read', () => {
    const rule = awake(0)
    rule.poolStarted()
    rule.poolEnded(1, 1.01, 4096)
    rule.poolStarted()
    rule.poolEnded(1, 4.9, 1 << 20)
    expect(rule.allows(1)).toBe(true)
    const busy = awake(0, 'read', BUSY)
    busy.poolStarted()
    busy.poolEnded(1, 40, 4096)
    expect(busy.allows(1)).toBe(true)
  })

  it('leaves writes to the pool as long as the kernel holds writers back, and asks ten times a second', () => {
    let held = true
    let asked = 0
    const kernel: MediumWatch = { lasting: true, waited: () => (asked++, held) }
    const rule = awake(0, 'write', kernel)
    rule.took(3, 4096)
    through(rule, 100, 0)
    expect(asked).toBe(1)
    let allowed = 0
    for (let now = 0; now < 1000; now++) if (rule.allows(now)) allowed++
    expect(allowed).toBe(0)
    expect(asked).toBe(11)
    held = false
    expect(rule.allows(1000)).toBe(true)
    expect(rule.allows(1001)).toBe(true)
    expect(asked).toBe(12)
  })

  it('hears from a write in the pool too that the kernel holds writers back', () => {
    const rule = awake(0, 'write', { lasting: true, waited: () => true })
    rule.poolStarted()
    rule.poolEnded(1, 30, 4096)
    through(rule, 100, 1)
    expect(rule.allows(2)).toBe(false)
  })

  it('starts in the pool again after ten seconds without an access', () => {
    const rule = awake(0)
    expect(rule.allows(10_000)).toBe(true)
    expect(rule.allows(20_001)).toBe(false)
    expect(rule.allows(20_002)).toBe(false)
    through(rule, 1, 20_003)
    expect(rule.allows(20_004)).toBe(true)
  })

  it('does not take a long access through the pool for idle time', () => {
    const rule = new Adaptive(false, 'read', BUSY)
    rule.allows(0)
    rule.poolStarted()
    rule.poolEnded(15_000, 15_000, 4096)
    expect(rule.allows(15_001)).toBe(true)
  })

  it('never allows a synchronous access to a file that is always pooled', () => {
    const rule = new Adaptive(true)
    rule.allows(0)
    through(rule, 2000, 0)
    expect(rule.allows(1)).toBe(false)
  })
})
