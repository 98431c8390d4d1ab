import assert from 'node:assert/strict'
import { describe, expect, it } from '@jest/globals'
import { RangeHolds, type Hold } from '../../../lib/volume/delta/range-holds.js'
import { Random, seedOf, steps } from '../../support/random.js'

describe('RangeHolds', () => {
  it('grants ranges that do not meet at once, and lets one that does wait', () => {
    const holds = new RangeHolds()
    const granted: string[] = []
    const first = holds.acquire(0, 4, () => granted.push('0-4'))
    holds.acquire(5, 9, () => granted.push('5-9'))
    holds.acquire(4, 4, () => granted.push('4'))
    expect(granted).toEqual(['0-4', '5-9'])
    holds.release(first)
    expect(granted).toEqual(['0-4', '5-9', '4'])
  })

  it('lets a late one wait for an earlier one that waits itself', () => {
    const holds = new RangeHolds()
    const granted: string[] = []
    const first = holds.acquire(0, 0, () => granted.push('first'))
    const long = holds.acquire(0, 9, () => granted.push('long'))
    holds.acquire(9, 9, () => granted.push('late'))
    expect(granted).toEqual(['first'])
    holds.release(first)
    expect(granted).toEqual(['first', 'long'])
    holds.release(long)
    expect(granted).toEqual(['first', 'long', 'late'])
  })

  it('says which chunks are held or waited for', () => {
    const holds = new RangeHolds()
    const hold = holds.acquire(3, 5, () => undefined)
    expect([holds.overlaps(0, 2), holds.overlaps(0, 3), holds.overlaps(5, 5), holds.overlaps(6, 9)]).toEqual([
      false,
      true,
      true,
      false
    ])
    holds.release(hold)
    expect(holds.empty).toBe(true)
  })

  it(`never grants two that meet, keeps their order and starves nobody (seed ${seedOf(4)})`, () => {
    const random = new Random(seedOf(4))
    const holds = new RangeHolds()
    const out: { hold: Hold; first: number; last: number; number: number; granted: boolean }[] = []
    let number = 0
    for (let step = 0; step < steps(4000); step++) {
      const ready = out.filter((one) => one.granted)
      if (out.length < 30 && random.chance(0.5)) {
        const first = random.int(40)
        const one = {
          hold: undefined as never as Hold,
          first,
          last: first + random.int(6),
          number: number++,
          granted: false
        }
        out.push(one)
        one.hold = holds.acquire(one.first, one.last, () => (one.granted = true))
      } else if (ready.length > 0) {
        const one = random.pick(ready)
        out.splice(out.indexOf(one), 1)
        holds.release(one.hold)
      }
      for (const one of out) {
        const blocked = out.some((o) => o.number < one.number && o.first <= one.last && one.first <= o.last)
        assert.equal(one.granted, !blocked, `step ${step}`)
      }
    }
  })
})
