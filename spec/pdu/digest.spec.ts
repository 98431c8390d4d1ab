import { describe, expect, it } from '@jest/globals'
import { crc32c, nativeCrc32c, NATIVE_LENGTH_MIN, padLength, readDigest, writeDigest } from '../../lib/pdu/digest.js'
import { crc32c as plainCrc32c } from '../../lib/util/crc32c.js'
import { bitwiseCrc32c } from '../support/pdu-builder.js'
import { Random, seedOf, steps } from '../support/random.js'

const READ_COMMAND =
  '01c0000000000000 0000000000000000 1400000000000400 0000001400000018 2800000000000000 0200000000000000'

/** RFC 3720 B.4: bytes and the digest as it goes out. */
const vectors: [string, Buffer, string][] = [
  ['32 bytes of zeroes', Buffer.alloc(32), 'aa36918a'],
  ['32 bytes of ones', Buffer.alloc(32, 0xff), '43aba862'],
  ['32 ascending bytes', Buffer.from(Array.from({ length: 32 }, (_, i) => i)), '4e79dd46'],
  ['32 descending bytes', Buffer.from(Array.from({ length: 32 }, (_, i) => 31 - i)), '5cdb3f11'],
  ['an iSCSI SCSI Read(10) command PDU', Buffer.from(READ_COMMAND.replaceAll(' ', ''), 'hex'), '563a96d9']
]

describe('RFC 7143 §13.1: CRC32C', () => {
  it.each(vectors)('puts the digest of %s on the wire', (_title, bytes, wire) => {
    const digest = Buffer.alloc(6, 0xee)
    writeDigest(digest, 1, crc32c(bytes, 0, bytes.length))
    expect(digest.toString('hex')).toBe(`ee${wire}ee`)
  })

  it.each(vectors)('reads the digest of %s off the wire', (_title, bytes, wire) => {
    expect(readDigest(Buffer.from(`ee${wire}ee`, 'hex'), 1)).toBe(crc32c(bytes, 0, bytes.length))
  })

  // The package is optional: without it there is no native path to look at.
  const itNative = nativeCrc32c === undefined ? it.skip : it
  itNative.each(vectors)('the native path has the vector of %s too', (_title, bytes, wire) => {
    const digest = Buffer.alloc(4)
    writeDigest(digest, 0, nativeCrc32c!(bytes))
    expect(digest.toString('hex')).toBe(wire)
  })

  const seed = seedOf(7143)
  it(`agrees with the definition and with our own at every length around the switch, seed ${seed}`, () => {
    const random = new Random(seed)
    const bytes = random.bytes(Buffer.alloc(4 * NATIVE_LENGTH_MIN))
    for (let round = 0; round < 200; round++) {
      const start = random.int(64)
      const end = start + (round < 100 ? NATIVE_LENGTH_MIN - 50 + round : random.int(bytes.length - start))
      const sum = crc32c(bytes, start, end)
      expect(sum).toBe(bitwiseCrc32c(bytes.subarray(start, end)))
      expect(sum).toBe(plainCrc32c(bytes, start, end))
    }
  })

  it(`goes on from the checksum of the bytes before, across the switch, seed ${seed}`, () => {
    const random = new Random(seed)
    const bytes = random.bytes(Buffer.alloc(3 * NATIVE_LENGTH_MIN))
    const whole = bitwiseCrc32c(bytes)
    for (let round = 0; round < steps(100); round++) {
      const middle = random.int(bytes.length + 1)
      expect(crc32c(bytes, middle, bytes.length, crc32c(bytes, 0, middle))).toBe(whole)
    }
  })

  it('is 0 for nothing', () => {
    expect(crc32c(Buffer.alloc(4), 2, 2)).toBe(0)
  })
})

describe('padLength', () => {
  it.each([
    [0, 0],
    [1, 3],
    [2, 2],
    [3, 1],
    [4, 0],
    [142, 2],
    [0xffffff, 1]
  ])('for %d bytes it is %d', (length, padding) => {
    expect(padLength(length)).toBe(padding)
  })
})
