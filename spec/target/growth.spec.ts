import { describe, expect, it } from '@jest/globals'
import { Growth, GROWTH_STEP_MS } from '../../lib/target/growth.js'

const MIB = 1 << 20

describe('Growth', () => {
  it('says nothing before two looks lie far enough apart', () => {
    const growth = new Growth()
    expect(growth.perMinute(0, 5)).toBe(undefined)
    growth.look(0, 0)
    expect(growth.perMinute(GROWTH_STEP_MS - 1, MIB)).toBe(undefined)
    expect(growth.perMinute(GROWTH_STEP_MS, MIB)).toBe(6 * MIB)
  })

  it('counts the last minute alone, and what has gone as less than nothing', () => {
    const growth = new Growth()
    for (let step = 0; step <= 20; step++) growth.look(step * GROWTH_STEP_MS, step < 10 ? step * MIB : 10 * MIB)
    expect(growth.perMinute(20 * GROWTH_STEP_MS, 10 * MIB)).toBe(0)
    expect(growth.perMinute(20 * GROWTH_STEP_MS, 4 * MIB)).toBe(-6 * MIB)
  })
})
