import { describe, expect, it } from '@jest/globals'
import { serialAdd, serialDistance, serialLess } from '../../lib/iscsi/serial.js'

describe('RFC 1982 §3: serial number arithmetic on 32 bits', () => {
  it.each([
    [0, 1, 1],
    [0xffffffff, 1, 0],
    [0xffffffff, 0x7fffffff, 0x7ffffffe],
    [0, -1, 0xffffffff]
  ])('%i + %i = %i', (left, right, sum) => {
    expect(serialAdd(left, right)).toBe(sum)
  })

  it.each([
    [0, 1, 1],
    [1, 0, -1],
    [5, 5, 0],
    [0xffffffff, 0, 1],
    [0, 0xffffffff, -1],
    [0xfffffff0, 0x10, 0x20],
    [0, 0x7fffffff, 0x7fffffff]
  ])('from %i to %i it is %i', (from, to, distance) => {
    expect(serialDistance(from, to)).toBe(distance)
    expect(serialLess(from, to)).toBe(distance > 0)
  })

  it('says of no two numbers that each comes before the other', () => {
    for (const left of [0, 1, 0x7fffffff, 0x80000000, 0xffffffff]) {
      for (const right of [0, 1, 0x7fffffff, 0x80000000, 0xffffffff]) {
        expect(serialLess(left, right) && serialLess(right, left)).toBe(false)
      }
    }
  })
})
