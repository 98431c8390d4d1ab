import { describe, expect, it } from '@jest/globals'
import {
  MAX_TRANSFER_BYTES,
  MAX_COMPARE_AND_WRITE_BLOCKS,
  maxTransferBlocks,
  maxWriteSameBlocks,
  optimalTransferBlocks
} from '../../lib/scsi/limits.js'
import { MAX_GATHERED_BYTES } from '../../lib/scsi/task.js'
import { makeUnit } from '../support/scsi.js'

describe('the limits of a unit', () => {
  it.each([
    [512, 65536, 512, 262144],
    [4096, 8192, 64, 32768]
  ])('with blocks of %d bytes', (blockSize, transfer, optimal, writeSame) => {
    const unit = makeUnit({ blockSize })
    expect(maxTransferBlocks(unit)).toBe(transfer)
    expect(optimalTransferBlocks(unit)).toBe(optimal)
    expect(maxWriteSameBlocks(unit)).toBe(writeSame)
    expect(2 * MAX_COMPARE_AND_WRITE_BLOCKS * blockSize).toBeLessThanOrEqual(MAX_GATHERED_BYTES)
    expect(transfer * blockSize).toBe(MAX_TRANSFER_BYTES)
  })
})
