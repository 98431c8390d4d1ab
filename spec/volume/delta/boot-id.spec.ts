import { describe, expect, it } from '@jest/globals'
import { bootId, bootIdOfTime, sameBoot } from '../../../lib/volume/delta/boot-id.js'

describe('the id of a boot', () => {
  it('is 16 bytes and the same when it is asked again', () => {
    expect(bootId()).toHaveLength(16)
    expect(sameBoot(bootId(), bootId())).toBe(true)
  })

  it('tells two random ones apart by any bit', () => {
    const one = Buffer.alloc(16, 0x77)
    for (let bit = 0; bit < 128; bit++) {
      const other = Buffer.from(one)
      other[bit >> 3]! ^= 1 << (bit & 7)
      expect(sameBoot(one, other)).toBe(false)
    }
  })

  it.each([
    [0, true],
    [19_000, true],
    [-19_000, true],
    [21_000, false],
    [-21_000, false]
  ])('of two times of boot that are %d ms apart says %s', (apartMs, same) => {
    expect(sameBoot(bootIdOfTime(1.7e12), bootIdOfTime(1.7e12 + apartMs))).toBe(same)
  })

  it('never takes a time for a random one', () => {
    expect(sameBoot(bootIdOfTime(1.7e12), Buffer.alloc(16, 1))).toBe(false)
  })
})
