import { describe, expect, it } from '@jest/globals'
import { SLICE_MS, Slices } from '../../lib/util/slices.js'

describe('slices of long work', () => {
  it('are over when their time is, and begin anew behind a rest', async () => {
    let now = 1000
    const slices = new Slices(() => now)
    now += SLICE_MS / 2
    expect(slices.over).toBe(false)
    now += SLICE_MS / 2
    expect(slices.over).toBe(true)
    now += 50
    await slices.rest()
    expect(slices.over).toBe(false)
    now += SLICE_MS
    expect(slices.over).toBe(true)
  })

  it('let everything run that waits for its turn', async () => {
    const slices = new Slices()
    let others = 0
    const timers = [1, 2, 3].map(() => setImmediate(() => others++))
    await slices.rest()
    expect(others).toBe(timers.length)
  })
})
