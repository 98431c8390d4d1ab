import { describe, expect, it } from '@jest/globals'
import { checksum16, checksum32 } from '../../lib/filesystem/checksum.js'

describe('checksums of exFAT', () => {
  // Counted by hand: the sum so far is rotated right by one bit before each byte is added.
  it.each([
    [[], 0, 0],
    [[1], 1, 1],
    [[1, 2], 0x8002, 0x80000002],
    [[1, 2, 3], 0x4004, 0x40000004],
    [[0xff, 0xff], 0x817e, 0x8000017e]
  ])('of %j are %i and %i', (bytes, sixteen, thirtyTwo) => {
    expect(checksum16(Buffer.from(bytes))).toBe(sixteen)
    expect(checksum32(Buffer.from(bytes))).toBe(thirtyTwo)
  })

  it('leave out the bytes that are named', () => {
    expect(checksum16(Buffer.from([9, 1, 9, 2]), [0, 2])).toBe(0x8002)
    expect(checksum32(Buffer.from([9, 1, 9, 2]), [0, 2])).toBe(0x80000002)
  })
})
