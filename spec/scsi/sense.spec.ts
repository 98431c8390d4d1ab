import { describe, expect, it } from '@jest/globals'
import {
  INVALID_FIELD_IN_CDB,
  INVALID_FIELD_IN_PARAMETER_LIST,
  LBA_OUT_OF_RANGE,
  MISCOMPARE_DURING_VERIFY,
  NO_SENSE,
  SOFT_THRESHOLD_REACHED,
  encodeSense
} from '../../lib/scsi/sense.js'
import { hex } from '../support/scsi.js'

const IN_CDB = { field: { inCdb: true, byte: 2, bit: 5 } }
const IN_LIST = { field: { inCdb: false, byte: 300 } }

describe('sense data in fixed format (SPC-4 §4.5.3)', () => {
  it.each([
    ['nothing', NO_SENSE, {}, '70 00 00 00000000 0a 00000000 00 00 00 000000'],
    ['a key and two codes', LBA_OUT_OF_RANGE, {}, '70 00 05 00000000 0a 00000000 21 00 00 000000'],
    ['a bit in the CDB', INVALID_FIELD_IN_CDB, IN_CDB, '70 00 05 00000000 0a 00000000 24 00 00 cd0002'],
    [
      'a byte in a parameter list',
      INVALID_FIELD_IN_PARAMETER_LIST,
      IN_LIST,
      '70 00 05 00000000 0a 00000000 26 00 00 80012c'
    ],
    ['INFORMATION', MISCOMPARE_DURING_VERIFY, { information: 0x1fe }, 'f0 00 0e 000001fe 0a 00000000 1d 00 00 000000'],
    [
      'INFORMATION that fills its field',
      MISCOMPARE_DURING_VERIFY,
      { information: 0xffffffff },
      'f0 00 0e ffffffff 0a 00000000 1d 00 00 000000'
    ],
    [
      'INFORMATION that does not fit, as not valid',
      MISCOMPARE_DURING_VERIFY,
      { information: 0x100000000 },
      '70 00 0e 00000000 0a 00000000 1d 00 00 000000'
    ],
    ['INFORMATION of the condition', SOFT_THRESHOLD_REACHED, {}, 'f0 00 06 00000010 0a 00000000 38 07 00 000000']
  ])('says %s', (_what, condition, detail, expected) => {
    expect(encodeSense(condition, detail).toString('hex')).toBe(hex(expected))
  })
})

describe('sense data in descriptor format (SPC-4 §4.5.2)', () => {
  it.each([
    ['nothing', NO_SENSE, {}, '72 00 00 00 000000 00'],
    ['a key and two codes', LBA_OUT_OF_RANGE, {}, '72 05 21 00 000000 00'],
    ['a bit in the CDB', INVALID_FIELD_IN_CDB, IN_CDB, '72 05 24 00 000000 08 02 06 0000 cd0002 00'],
    [
      'INFORMATION of eight bytes',
      MISCOMPARE_DURING_VERIFY,
      { information: 0x100000000 },
      '72 0e 1d 00 000000 0c 00 0a 80 00 0000000100000000'
    ],
    [
      'both',
      INVALID_FIELD_IN_PARAMETER_LIST,
      { information: 1, ...IN_LIST },
      '72 05 26 00 000000 14 00 0a 80 00 0000000000000001 02 06 0000 80012c 00'
    ]
  ])('says %s', (_what, condition, detail, expected) => {
    expect(encodeSense(condition, detail, true).toString('hex')).toBe(hex(expected))
  })
})
