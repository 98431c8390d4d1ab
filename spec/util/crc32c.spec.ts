import { describe, expect, it } from '@jest/globals'
import { crc32c } from '../../lib/util/crc32c.js'

/** RFC 3720 B.4 gives the bytes on the wire, least significant first. */
const VECTORS: [string, Uint8Array, string][] = [
  ['32 bytes of zeroes', new Uint8Array(32), 'aa36918a'],
  ['32 bytes of ones', new Uint8Array(32).fill(0xff), '43aba862'],
  ['32 incrementing bytes', Uint8Array.from({ length: 32 }, (_, i) => i), '4e79dd46'],
  ['32 decrementing bytes', Uint8Array.from({ length: 32 }, (_, i) => 31 - i), '5cdb3f11'],
  [
    'a SCSI Read (10) command PDU',
    Buffer.from(
      '01c00000' +
        '00000000' +
        '00000000' +
        '00000000' +
        '14000000' +
        '00000400' +
        '00000014' +
        '00000018' +
        '28000000' +
        '00000000' +
        '02000000' +
        '00000000',
      'hex'
    ),
    '563a96d9'
  ]
]

describe('crc32c', () => {
  it.each(VECTORS)('gives the vector of RFC 3720 B.4 for %s', (_title, bytes, wire) => {
    const digest = Buffer.alloc(4)
    digest.writeUInt32LE(crc32c(bytes))
    expect(digest.toString('hex')).toBe(wire)
  })

  it('gives the check value of the CRC catalogue for "123456789"', () => {
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283)
  })

  it('is 0 for no bytes', () => {
    expect(crc32c(new Uint8Array(0))).toBe(0)
  })

  it('agrees with the definition bit by bit, at every length and start around the step of eight', () => {
    const bytes = Uint8Array.from({ length: 64 }, (_, i) => (i * 151 + 7) & 0xff)
    for (let start = 0; start < 10; start++) {
      for (let end = start; end <= 40; end++)
        expect(crc32c(bytes, start, end)).toBe(bitwise(bytes.subarray(start, end)))
    }
  })

  it('goes on from the checksum of the bytes before, at every cut', () => {
    const bytes = Uint8Array.from({ length: 41 }, (_, i) => (i * 37 + 200) & 0xff)
    for (let cut = 0; cut <= bytes.length; cut++) {
      expect(crc32c(bytes, cut, bytes.length, crc32c(bytes, 0, cut))).toBe(crc32c(bytes))
    }
  })
})

/** Long division by 1EDC6F41h, most significant coefficient first, as RFC 7143 §13.1 describes it. */
function bitwise(bytes: Uint8Array): number {
  let remainder = 0xffffffff
  for (const byte of bytes) {
    for (let bit = 0; bit < 8; bit++) {
      const top = (remainder >>> 31) ^ ((byte >>> bit) & 1)
      remainder = (remainder << 1) >>> 0
      if (top) remainder = (remainder ^ 0x1edc6f41) >>> 0
    }
  }
  let reflected = 0
  for (let bit = 0; bit < 32; bit++) if ((remainder >>> bit) & 1) reflected |= 1 << (31 - bit)
  return ~reflected >>> 0
}
