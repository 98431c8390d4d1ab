import assert from 'node:assert/strict'
import { describe, expect, it } from '@jest/globals'
import { AHS_LENGTH_MAX, AhsType, bidirectionalReadLength, parseAhs, wholeCdb } from '../../lib/pdu/ahs.js'
import { PduError } from '../../lib/pdu/errors.js'
import { Random, seedOf, steps } from '../support/random.js'

// RFC 7143 §11.2.2.3: a CDB of 32 bytes has AHSLength 32 - 15 = 17: a reserved byte and the last 16 of the CDB.
const EXTENDED_CDB = '0011 01 00 a0a1a2a3a4a5a6a7a8a9aaabacadaeaf'
// RFC 7143 §11.2.2.4: AHSLength 5: a reserved byte and the length, here 0x12345678.
const BIDIRECTIONAL = '0005 02 00 12345678'
// A type that the RFC reserves, with three bytes and two of padding.
const RESERVED = '0003 3f 010203 eeee'

describe('RFC 7143 §11.2.2: additional header segments', () => {
  it('walks an extended CDB', () => {
    const [header, ...more] = parse(EXTENDED_CDB)
    expect(more).toEqual([])
    expect(header!.type).toBe(AhsType.ExtendedCdb)
    expect(header!.specific.toString('hex')).toBe('00a0a1a2a3a4a5a6a7a8a9aaabacadaeaf')
  })

  it('walks several, each from a word of its own, and skips the padding', () => {
    const list = parse(RESERVED + BIDIRECTIONAL + EXTENDED_CDB)
    expect(list.map(({ type, specific }) => [type, specific.length])).toEqual([
      [0x3f, 3],
      [2, 5],
      [1, 17]
    ])
  })

  it('ignores the two reserved bits beside the type', () => {
    expect(parse('0005 c2 00 12345678')[0]!.type).toBe(2)
  })

  it('has nothing to walk in no bytes', () => {
    expect(parse('')).toEqual([])
  })

  it.each([
    ['an empty segment', '0000 01 00'],
    ['an empty segment of a reserved type', '0000 3f 00'],
    ['a length that ends behind the last byte', '0009 3f 00 00000000'],
    ['a length of 65535', 'ffff 3f 00 00000000'],
    ['a bidirectional length of 4 bytes', '0004 02 00 12345600'],
    ['a bidirectional length of 9 bytes', '0009 02 00 12345678 00000000'],
    ['an extended CDB that extends nothing', '0001 01 00'],
    ['a CDB of more than 260 bytes', `00f6 01 00${'00'.repeat(248)}`],
    ['two extended CDBs', EXTENDED_CDB + EXTENDED_CDB],
    ['two bidirectional lengths', BIDIRECTIONAL + BIDIRECTIONAL],
    ['a rest that is no word', `${BIDIRECTIONAL} 0005`]
  ])('refuses %s', (_title, hex) => {
    expect(() => parse(hex)).toThrow(PduError)
    expect(() => parse(hex)).toThrow(expect.objectContaining({ code: 'ERR_ISCSI_AHS', reason: 0x09 }))
  })

  it('takes the longest CDB, of 260 bytes', () => {
    expect(parse(`00f5 01 00${'5a'.repeat(244)}`)[0]!.specific).toHaveLength(245)
  })

  it('lists as many segments as 255 words can hold', () => {
    expect(parse('0001 3f 00'.repeat(255))).toHaveLength(255)
    expect(AHS_LENGTH_MAX).toBe(1020)
  })

  const seed = seedOf(1122)
  it(`gives a list within the bytes or a PduError for random bytes, seed ${seed}`, () => {
    const random = new Random(seed)
    for (let round = 0; round < steps(3000); round++) {
      const bytes = random.bytes(Buffer.alloc(4 * random.int(20)))
      // Mostly small lengths, so that the walk comes beyond the first segment.
      for (let i = 0; i < bytes.length; i += 4) if (random.chance(0.9)) bytes.writeUInt16BE(random.int(8), i)
      const list = attempt(bytes)
      const used = list.reduce((sum, { specific }) => sum + Math.ceil((3 + specific.length) / 4) * 4, 0)
      assert([0, bytes.length].includes(used))
    }
  })
})

describe('wholeCdb', () => {
  const cdb = Buffer.from('7f000000000000180009000000000000', 'hex')

  it('puts the bytes of the extended CDB behind the 16 of the header', () => {
    expect(wholeCdb(cdb, parse(EXTENDED_CDB)).toString('hex')).toBe(
      '7f000000000000180009000000000000a0a1a2a3a4a5a6a7a8a9aaabacadaeaf'
    )
  })

  it('is a copy of those 16 without one', () => {
    const whole = wholeCdb(cdb, parse(BIDIRECTIONAL))
    expect(whole).toEqual(cdb)
    expect(whole.buffer === cdb.buffer && whole.byteOffset === cdb.byteOffset).toBe(false)
  })
})

describe('bidirectionalReadLength', () => {
  it('is the 32-bit length, or undefined', () => {
    expect(bidirectionalReadLength(parse(EXTENDED_CDB + BIDIRECTIONAL))).toBe(0x12345678)
    expect(bidirectionalReadLength(parse(EXTENDED_CDB))).toBeUndefined()
  })
})

/** Parses bytes that lie in the middle of others. */
function parse(hex: string) {
  const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex')
  return parseAhs(Buffer.concat([Buffer.alloc(48, 0xff), bytes, Buffer.alloc(48, 0xff)]), 48, bytes.length)
}

function attempt(bytes: Buffer) {
  try {
    return parseAhs(bytes, 0, bytes.length)
  } catch (error) {
    expect(error).toBeInstanceOf(PduError)
    return []
  }
}
