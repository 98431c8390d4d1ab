import { describe, expect, it } from '@jest/globals'
import { basicHeader, BHS_LENGTH, FLAG_FINAL, RESERVED_TAG } from '../../lib/pdu/bhs.js'

const GOLDEN = Buffer.from('4181aabb02000103 4000000000000000 11223344'.replaceAll(' ', '') + '5a'.repeat(28), 'hex')

describe('RFC 7143 §11.2.1: the basic header segment', () => {
  it('reads what all headers share', () => {
    const view = basicHeader.view().at(GOLDEN)
    expect(GOLDEN).toHaveLength(48)
    expect(BHS_LENGTH).toBe(48)
    expect(view.opcode).toBe(0x41)
    expect(view.flags & FLAG_FINAL).toBe(0x80)
    expect(view.specific).toBe(0xaabb)
    expect(view.totalAhsLength).toBe(2)
    expect(view.dataSegmentLength).toBe(0x103)
    expect(view.lun).toEqual(Buffer.from('4000000000000000', 'hex'))
    expect(view.initiatorTaskTag).toBe(0x11223344)
    expect(view.opcodeSpecific).toEqual(Buffer.alloc(28, 0x5a))
  })

  it('has a reserved tag of all ones', () => {
    expect(RESERVED_TAG).toBe(2 ** 32 - 1)
  })
})
