import { describe, expect, it } from '@jest/globals'
import { blockLimits } from '../../../lib/scsi/vpd/block-limits.js'
import { hex, makeNexus, makeUnit } from '../../support/scsi.js'

describe('VPD page B0h (SBC-3 §6.6.4), 3Ch bytes', () => {
  it.each([
    [
      'blocks of 512 bytes',
      makeUnit(),
      `01 01 0008 00010000 00000200 00000000 00100000 00000100 00000008 80000000 0000000000040000`
    ],
    [
      'blocks of 4096 bytes',
      makeUnit({ blockSize: 4096, allocationBytes: 16384 }),
      `01 01 0001 00002000 00000040 00000000 00100000 00000100 00000004 80000000 0000000000008000`
    ],
    [
      'a unit that is not thin',
      makeUnit({ thin: false, physicalBlockSize: 512 }),
      `00 01 0001 00010000 00000200 00000000 00000000 00000000 00000000 00000000 0000000000040000`
    ]
  ])('for %s', (_what, unit, expected) => {
    const body = blockLimits.build(unit, makeNexus([])).toString('hex')
    expect(body).toBe(hex(expected) + '00'.repeat(20))
    expect(body).toHaveLength(2 * 0x3c)
  })

  it.each([
    [512, '00000800 00000008 00000008 00000000 00000000'],
    [4096, '00000100 00000001 00000001 00000000 00000000']
  ])('promises atomic writes of up to 1 MiB in steps of 4 KiB: blocks of %d', (blockSize, expected) => {
    const body = blockLimits.build(makeUnit({ blockSize, atomicWrites: true }), makeNexus([]))
    expect(body.subarray(0x28).toString('hex')).toBe(hex(expected))
  })
})
