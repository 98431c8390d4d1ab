import { describe, expect, it } from '@jest/globals'
import { isInitiatorOpcode, Opcode, opcodeName } from '../../lib/pdu/opcodes.js'

/** The lists of RFC 7143 §11.2.1.2. */
const INITIATOR = [0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x10]
const TARGET = [0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x31, 0x32, 0x3f]
const ALL_BYTES = Array.from({ length: 256 }, (_, byte) => byte)

describe('RFC 7143 §11.2.1.2: opcodes', () => {
  it('has the eight of the initiator and the ten of the target', () => {
    expect(Object.values(Opcode).sort((a, b) => a - b)).toEqual([...INITIATOR, ...TARGET])
  })

  it('takes as the initiator’s its own eight alone, with and without the I bit', () => {
    expect(ALL_BYTES.filter((byte) => isInitiatorOpcode(byte) && byte < 0x40)).toEqual(INITIATOR)
    expect(ALL_BYTES.filter((byte) => isInitiatorOpcode(byte) && (byte & 0xc0) === 0x40)).toEqual(
      INITIATOR.map((opcode) => opcode | 0x40)
    )
  })

  it.each([
    [0x01, 'SCSI Command'],
    [0x41, 'SCSI Command'],
    [0x43, 'Login Request'],
    [0x31, 'Ready To Transfer'],
    [0x3f, 'Reject'],
    [0x1c, 'unknown opcode 0x1c'],
    [0x07, 'unknown opcode 0x07']
  ])('names byte %d as %s', (byte, name) => {
    expect(opcodeName(byte)).toBe(name)
  })

  it('has a name for each, no two the same', () => {
    const names = [...INITIATOR, ...TARGET].map(opcodeName)
    expect(new Set(names).size).toBe(18)
    expect(names.filter((name) => name.startsWith('unknown'))).toEqual([])
  })
})
