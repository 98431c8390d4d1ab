import { describe, expect, it } from '@jest/globals'
import {
  MAX_TRANSFER_BYTES,
  maxCompareAndWriteBlocks,
  maxTransferBlocks,
  maxWriteSameBlocks,
  optimalTransferBlocks
} from '../../lib/scsi/limits.js'
import { MAX_GATHERED_BYTES } from '../../lib/scsi/task.js'
import { makeUnit } from '../support/scsi.js'

describe('the limits of a unit', () => {
  it.each([
    [512, 65536, 512, 262144, 1],
    [4096, 8192, 64, 32768, 1]
  ])('with blocks of %d bytes', (blockSize, transfer, optimal, writeSame, compareAndWrite) => {
    const unit = makeUnit({ blockSize })
    expect(maxTransferBlocks(unit)).toBe(transfer)
    expect(optimalTransferBlocks(unit)).toBe(optimal)
    expect(maxWriteSameBlocks(unit)).toBe(writeSame)
    expect(maxCompareAndWriteBlocks()).toBe(compareAndWrite)
    expect(2 * compareAndWrite * blockSize).toBeLessThanOrEqual(MAX_GATHERED_BYTES)
    expect(transfer * blockSize).toBe(MAX_TRANSFER_BYTES)
  })
})
