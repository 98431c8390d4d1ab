import { describe, expect, it } from '@jest/globals'
import { hasThreshold, thresholdExponent, thresholdSets } from '../../lib/scsi/provisioning.js'
import { makeUnit } from '../support/scsi.js'

const MIB = 1024 * 1024

function unitWith(usedBytes: number, limitBytes: number, thresholdBytes: number, blockSize = 512) {
  return makeUnit({ blockSize, provisioning: () => ({ usedBytes, limitBytes, thresholdBytes }) })
}

describe('threshold sets (SBC-3 §4.7.3.7.2)', () => {
  it.each([
    [512, 11],
    [4096, 8]
  ])('are a mebibyte: 2^n blocks of %d bytes with n = %d', (blockSize, exponent) => {
    expect(thresholdExponent(unitWith(0, 0, 0, blockSize))).toBe(exponent)
    expect(2 ** exponent * blockSize).toBe(MIB)
  })

  it.each([
    [0, 10 * MIB, 8 * MIB, 0, 10, 8],
    [1, 10 * MIB, 8 * MIB, 1, 9, 8],
    [MIB, 10 * MIB, 8 * MIB + 1, 1, 9, 8],
    [MIB + 1, 10 * MIB, 8 * MIB, 2, 8, 8],
    [11 * MIB, 10 * MIB, 8 * MIB, 11, 0, 8],
    [0, Infinity, Infinity, 0, 0xffffffff, 0xffffffff],
    [0, 2 ** 53, 0, 0, 0xffffffff, 0]
  ])('never make it look freer: %d of %d bytes, threshold %d', (used, limit, threshold, ...expected) => {
    const sets = thresholdSets(unitWith(used, limit, threshold))!
    expect([sets.used, sets.available, sets.threshold]).toEqual(expected)
  })

  it('are not there without provisioning, or on a unit that is not thin', () => {
    const provisioning = () => ({ usedBytes: 0, limitBytes: 1, thresholdBytes: 1 })
    for (const unit of [makeUnit(), makeUnit({ thin: false, provisioning })]) {
      expect(hasThreshold(unit)).toBe(false)
      expect(thresholdExponent(unit)).toBe(0)
      expect(thresholdSets(unit)).toBeUndefined()
    }
  })
})
