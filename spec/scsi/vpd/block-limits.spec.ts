import { describe, expect, it } from '@jest/globals'
import { blockLimits } from '../../../lib/scsi/vpd/block-limits.js'
import { hex, makeNexus, makeUnit } from '../../support/scsi.js'

describe('VPD page B0h (SBC-3 §6.6.4), 3Ch bytes', () => {
  it.each([
    [
      'blocks of 512 bytes',
      makeUnit(),
      `01 ff 0008 00010000 00000200 00000000 00100000 00000100 00000008 80000000 0000000000040000`
    ],
    [
      'blocks of 4096 bytes',
      makeUnit({ blockSize: 4096, allocationBytes: 16384 }),
      `01 80 0001 00002000 00000040 00000000 00100000 00000100 00000004 80000000 0000000000008000`
    ],
    [
      'a unit that is not thin',
      makeUnit({ thin: false, physicalBlockSize: 512 }),
      `01 ff 0001 00010000 00000200 00000000 00000000 00000000 00000000 00000000 0000000000040000`
    ]
  ])('for %s', (_what, unit, expected) => {
    const body = blockLimits.build(unit, makeNexus([])).toString('hex')
    expect(body).toBe(hex(expected) + '00'.repeat(20))
    expect(body).toHaveLength(2 * 0x3c)
  })
})
