import assert from 'node:assert/strict'
import { describe, expect, it } from '@jest/globals'
import type { PduError } from '../../lib/pdu/errors.js'
import { pduLengthMax, PduReader, type PduSink } from '../../lib/pdu/reader.js'
import * as build from '../support/pdu-builder.js'
import { Random, seedOf, steps } from '../support/random.js'

const DIGESTS = [
  { headerDigest: false, dataDigest: false },
  { headerDigest: true, dataDigest: false },
  { headerDigest: false, dataDigest: true },
  { headerDigest: true, dataDigest: true }
]
const PLAIN = { maxDataSegmentLength: 8192, headerDigest: false, dataDigest: false }
/** A type that the RFC reserves, with five bytes; whole in itself. */
const AHS = Buffer.from('00053f0102030405', 'hex')
/** A segment of nine bytes of which only five are there. */
const BAD_AHS = Buffer.from('00093f0102030405', 'hex')

/** Writes down every call, with copies of the bytes. */
class Transcript implements PduSink {
  readonly calls: string[] = []
  /** What to answer; called after the call has been written down. */
  answer: (bhsOffset: number) => boolean = () => true

  pdu(ring: Buffer, bhsOffset: number, ahsLength: number, dataOffset: number, dataLength: number): boolean {
    const bhs = ring.toString('hex', bhsOffset, bhsOffset + 48)
    const ahs = ring.toString('hex', bhsOffset + 48, bhsOffset + 48 + ahsLength)
    this.calls.push(`pdu ${bhs} ${ahs} ${ring.toString('hex', dataOffset, dataOffset + dataLength)}`)
    return this.answer(bhsOffset)
  }
  reject(error: PduError, ring: Buffer, bhsOffset: number): boolean {
    this.calls.push(`reject ${error.code} ${error.reason} ${ring.toString('hex', bhsOffset, bhsOffset + 48)}`)
    return this.answer(bhsOffset)
  }
  error(error: PduError, _ring: Buffer, bhsOffset: number): void {
    this.calls.push(`error ${error.code} ${error.reason} at ${bhsOffset}`)
  }
}

/** Six PDUs that have everything: no data, data of every padding, an AHS, non-zero padding. */
function streamOf(digests: { headerDigest: boolean; dataDigest: boolean }) {
  const parts = [
    build.nopOut({ itt: 1, ...digests }),
    build.scsiCommand({ itt: 2, flags: 0xa1, edtl: 5, data: 'hello', padByte: 0x77, ...digests }),
    build.dataOut({ itt: 3, data: Buffer.alloc(12, 0x33), ...digests }),
    build.scsiCommand({ itt: 4, ahs: AHS, ...digests }),
    build.textRequest({ itt: 5, data: build.textOf('SendTargets=All'), ahs: AHS, ...digests }),
    build.nopOut({ itt: 6, data: Buffer.from([1, 2, 3]), ...digests })
  ]
  const expected = [
    ['', ''],
    ['', '68656c6c6f'],
    ['', '33'.repeat(12)],
    [AHS.toString('hex'), ''],
    [AHS.toString('hex'), Buffer.from('SendTargets=All\0').toString('hex')],
    ['', '010203']
  ].map(([ahs, data], i) => `pdu ${parts[i]!.toString('hex', 0, 48)} ${ahs} ${data}`)
  return { parts, bytes: Buffer.concat(parts), expected }
}

describe('a PduReader', () => {
  it('hands out every PDU in place, with the offsets of its parts', () => {
    const ring = Buffer.concat([Buffer.alloc(7, 0xee), build.scsiCommand({ ahs: AHS, data: 'hello' }), Buffer.alloc(9)])
    const seen: unknown[] = []
    const sink = sinkOf((...call) => seen.push(call) > 0)
    expect(new PduReader(PLAIN).parse(ring, 7, 7 + 48 + 8 + 8, sink)).toBe(71)
    expect(seen).toEqual([[ring, 7, 8, 63, 5]])
    expect((seen[0] as unknown[])[0]).toBe(ring)
  })

  describe.each(DIGESTS)('with digests %j', (digests) => {
    const { bytes, parts, expected } = streamOf(digests)
    const options = { maxDataSegmentLength: 100, ...digests }

    it('gives the PDUs of a stream in order', () => {
      const transcript = new Transcript()
      expect(new PduReader(options).parse(bytes, 0, bytes.length, transcript)).toBe(bytes.length)
      expect(transcript.calls).toEqual(expected)
    })

    it('gives the same however the stream is cut in two', () => {
      for (let cut = 0; cut <= bytes.length; cut++) {
        const transcript = new Transcript()
        const reader = new PduReader(options)
        const consumed = reader.parse(bytes, 0, cut, transcript)
        expect(reader.parse(bytes, consumed, bytes.length, transcript)).toBe(bytes.length)
        expect([cut, transcript.calls]).toEqual([cut, expected])
      }
    })

    it('gives the same byte by byte, each PDU with its last byte', () => {
      const transcript = new Transcript()
      const reader = new PduReader(options)
      const ends: number[] = []
      let consumed = 0
      for (let end = 0; end <= bytes.length; end++) {
        const before = transcript.calls.length
        consumed = reader.parse(bytes, consumed, end, transcript)
        if (transcript.calls.length > before) ends.push(end)
      }
      expect(transcript.calls).toEqual(expected)
      expect(ends).toEqual(parts.map((_, i) => parts.slice(0, i + 1).reduce((sum, { length }) => sum + length, 0)))
    })

    it('needs no byte more than the PDU at the head has, and never believes an unverified header', () => {
      const [pdu] = [parts[4]!]
      const reader = new PduReader(options)
      const headerLength = 48 + 8 + (digests.headerDigest ? 4 : 0)
      for (let end = 0; end < pdu.length; end++) {
        expect(reader.parse(pdu, 0, end, new Transcript())).toBe(0)
        expect([end, reader.needed]).toEqual([end, end < 48 ? 48 : end < headerLength ? headerLength : pdu.length])
      }
      reader.parse(pdu, 0, pdu.length, new Transcript())
      expect(reader.needed).toBe(48)
    })
  })

  it('takes data up to the length that was declared', () => {
    const pdu = build.nopOut({ data: Buffer.alloc(8192) })
    const transcript = new Transcript()
    expect(new PduReader(PLAIN).parse(pdu, 0, pdu.length, transcript)).toBe(pdu.length)
    expect(transcript.calls).toHaveLength(1)
  })

  it('takes all three bytes of DataSegmentLength', () => {
    const data = Buffer.alloc(0x010203, 0x5a)
    const pdu = build.dataOut({ itt: 1, data })
    expect(pdu.toString('hex', 4, 8)).toBe('00010203')
    const lengths: number[] = []
    const sink = sinkOf((_ring, _bhsOffset, _ahsLength, _dataOffset, dataLength) => lengths.push(dataLength) > 0)
    const reader = new PduReader({ ...PLAIN, maxDataSegmentLength: 1 << 17 })
    expect(reader.parse(pdu, 0, pdu.length, sink)).toBe(48 + 0x010204)
    expect(lengths).toEqual([0x010203])
  })

  it('knows the longest PDU: 255 words of AHS, both digests, padding', () => {
    expect(pduLengthMax(8192)).toBe(48 + 1020 + 4 + 8192 + 4)
    expect(pduLengthMax(8193)).toBe(48 + 1020 + 4 + 8196 + 4)
  })
})

describe('a sink that wants no more', () => {
  const { bytes, parts, expected } = streamOf(DIGESTS[3]!)
  const options = { ...PLAIN, ...DIGESTS[3]! }

  it('stops the reader behind the PDU by answering false', () => {
    const transcript = new Transcript()
    transcript.answer = () => false
    const reader = new PduReader(options)
    let offset = 0
    for (const part of parts) {
      const next = reader.parse(bytes, offset, bytes.length, transcript)
      expect(next - offset).toBe(part.length)
      offset = next
    }
    expect(transcript.calls).toEqual(expected)
  })

  it('gets a PDU again that it did not consume', () => {
    const transcript = new Transcript()
    const reader = new PduReader(options)
    const second = parts[0]!.length
    transcript.answer = (bhsOffset) => (bhsOffset === second ? reader.unread() : true)
    expect(reader.parse(bytes, 0, bytes.length, transcript)).toBe(second)
    expect(reader.needed).toBe(parts[1]!.length)
    expect(transcript.calls).toEqual(expected.slice(0, 2))
    transcript.answer = () => true
    expect(reader.parse(bytes, second, bytes.length, transcript)).toBe(bytes.length)
    expect(transcript.calls).toEqual([...expected.slice(0, 2), ...expected.slice(1)])
  })

  it('gets a PDU to reject again too', () => {
    const pdu = build.scsiCommand({ ahs: BAD_AHS })
    const transcript = new Transcript()
    const reader = new PduReader(PLAIN)
    transcript.answer = () => reader.unread()
    expect(reader.parse(pdu, 0, pdu.length, transcript)).toBe(0)
    transcript.answer = () => false
    expect(reader.parse(pdu, 0, pdu.length, transcript)).toBe(pdu.length)
    expect(transcript.calls).toHaveLength(2)
  })
})

describe('a login that ends within one parse', () => {
  it('switches digests on from the very next PDU', () => {
    const last = build.loginRequest({ data: build.textOf('HeaderDigest=CRC32C') })
    const next = build.nopOut({ data: 'abc', headerDigest: true, dataDigest: true })
    const bytes = Buffer.concat([last, next])
    const reader = new PduReader(PLAIN)
    const transcript = new Transcript()
    transcript.answer = () => (reader.headerDigest = reader.dataDigest = true)
    expect(reader.parse(bytes, 0, bytes.length, transcript)).toBe(bytes.length)
    expect(transcript.calls.map((call) => call.slice(0, 6))).toEqual(['pdu 43', 'pdu 40'])
  })

  it('changes the length of data from the very next PDU', () => {
    const pdus = Buffer.concat([build.loginRequest(), build.nopOut({ data: Buffer.alloc(20000) })])
    const reader = new PduReader(PLAIN)
    const transcript = new Transcript()
    transcript.answer = () => (reader.maxDataSegmentLength = 262144) > 0
    expect(reader.parse(pdus, 0, pdus.length, transcript)).toBe(pdus.length)
    expect(transcript.calls).toHaveLength(2)
  })
})

describe('RFC 7143 §7.8: a fault that leaves framing whole', () => {
  const good = { headerDigest: true, dataDigest: true }
  const options = { ...PLAIN, ...good }
  const after = build.nopOut({ itt: 99, ...good })

  it.each([
    ['a data byte', 52],
    ['a padding byte', 52 + 6],
    ['the digest', 52 + 8]
  ])('a wrong data digest because of %s is rejected with reason 02h, and the next PDU follows', (_title, at) => {
    const bytes = Buffer.concat([build.nopOut({ itt: 98, data: 'hello', ...good }), after])
    bytes[at]! ^= 0x01
    const transcript = new Transcript()
    expect(new PduReader(options).parse(bytes, 0, bytes.length, transcript)).toBe(bytes.length)
    expect(transcript.calls).toEqual([
      `reject ERR_ISCSI_DATA_DIGEST 2 ${bytes.toString('hex', 0, 48)}`,
      `pdu ${after.toString('hex', 0, 48)}  `
    ])
  })

  it('a malformed AHS is rejected with reason 09h, and the next PDU follows', () => {
    const bytes = Buffer.concat([build.scsiCommand({ ahs: BAD_AHS, data: 'hello', ...good }), after])
    const transcript = new Transcript()
    expect(new PduReader(options).parse(bytes, 0, bytes.length, transcript)).toBe(bytes.length)
    expect(transcript.calls.map((call) => call.slice(0, 22))).toEqual([
      'reject ERR_ISCSI_AHS 9',
      `pdu ${after.toString('hex', 0, 9)}`
    ])
  })
})

describe('RFC 7143 §7.7: a fault that loses framing', () => {
  it.each([
    ['one byte more than was declared', { maxDataSegmentLength: 8192 }, 8193],
    ['FFFFFFh bytes before login', { maxDataSegmentLength: 8192 }, 0xffffff],
    ['one byte when none was declared', { maxDataSegmentLength: 0 }, 1]
  ])('a data segment of %s ends it at the header, with 255 words of AHS or without', (_title, limit, length) => {
    for (const ahsWords of [0, 255]) {
      const bhs = build.loginRequest()
      bhs.writeUInt8(ahsWords, 4)
      bhs.writeUIntBE(length, 5, 3)
      const transcript = new Transcript()
      const reader = new PduReader({ ...PLAIN, ...limit })
      expect(reader.parse(bhs, 0, 48, transcript)).toBe(48)
      expect(transcript.calls).toEqual(['error ERR_ISCSI_DATA_SEGMENT_LENGTH 4 at 0'])
      expect([reader.failed, reader.needed]).toEqual([true, 48])
    }
  })

  it.each([0, 4, 7, 16, 47, 48, 55, 56, 59])('a wrong header digest because of byte %d ends it', (at) => {
    const good = { headerDigest: true, dataDigest: true }
    const bytes = Buffer.concat([build.scsiCommand({ ahs: AHS, ...good }), build.nopOut(good), Buffer.alloc(2000)])
    bytes[at]! ^= 0x01
    const transcript = new Transcript()
    expect(new PduReader({ ...PLAIN, ...good }).parse(bytes, 0, bytes.length, transcript)).toBe(bytes.length)
    expect(transcript.calls).toEqual(['error ERR_ISCSI_HEADER_DIGEST 4 at 0'])
  })

  it('a wrong header digest is told before any data has come', () => {
    const pdu = build.nopOut({ headerDigest: true, data: Buffer.alloc(8000) })
    pdu[20]! ^= 0x80
    const transcript = new Transcript()
    new PduReader({ ...PLAIN, headerDigest: true }).parse(pdu, 0, 52, transcript)
    expect(transcript.calls).toEqual(['error ERR_ISCSI_HEADER_DIGEST 4 at 0'])
  })

  it('is told once, after the PDUs before it, and swallows whatever comes then', () => {
    const bytes = Buffer.concat([build.nopOut(), Buffer.from('GET / HTTP/1.1\r\n'.repeat(10)), build.nopOut()])
    const transcript = new Transcript()
    const reader = new PduReader(PLAIN)
    expect(reader.parse(bytes, 0, bytes.length, transcript)).toBe(bytes.length)
    expect(reader.parse(bytes, 5, 200, transcript)).toBe(200)
    expect(transcript.calls.map((call) => call.slice(0, 5))).toEqual(['pdu 4', 'error'])
  })
})

describe('hostile bytes', () => {
  const seed = seedOf(3260)

  it(`never throw, and what lies outside the range is never looked at, seed ${seed}`, () => {
    const random = new Random(seed)
    for (let round = 0; round < steps(2000); round++) {
      const digests = random.pick(DIGESTS)
      const bytes = random.chance(0.2) ? random.bytes(Buffer.alloc(random.int(400))) : streamOf(digests).bytes
      for (let damage = random.int(6); damage > 0 && bytes.length > 0; damage--) {
        bytes[random.int(bytes.length)] = random.int(256)
      }
      const start = random.int(bytes.length + 1)
      const options = { maxDataSegmentLength: random.pick([0, 64, 8192, 0xffffff]), ...digests }
      const outcomes = [0x00, 0xff].map((outside) => {
        const ring = Buffer.concat([Buffer.alloc(64, outside), bytes, Buffer.alloc(64, outside)])
        return attempt(new PduReader(options), ring, 64 + start, 64 + bytes.length)
      })
      assert.deepEqual(outcomes[0], outcomes[1], `round ${round}`)
    }
  })

  it(`of any damage to a stream with both digests none passes for a PDU that was not sent, seed ${seed}`, () => {
    const random = new Random(seed)
    const { bytes, expected } = streamOf(DIGESTS[3]!)
    for (let round = 0; round < steps(2000); round++) {
      const damaged = Buffer.from(bytes)
      for (let damage = 1 + random.int(3); damage > 0; damage--) {
        damaged[random.int(damaged.length)]! ^= 1 << random.int(8)
      }
      const { calls } = attempt(new PduReader({ ...PLAIN, ...DIGESTS[3]! }), damaged, 0, damaged.length)
      for (const call of calls) assert(!call.startsWith('pdu') || expected.includes(call), `round ${round}: ${call}`)
    }
  })
})

function attempt(reader: PduReader, ring: Buffer, start: number, end: number) {
  const transcript = new Transcript()
  const consumed = reader.parse(ring, start, end, transcript)
  assert(consumed >= start && consumed <= end)
  assert(reader.needed <= pduLengthMax(reader.maxDataSegmentLength))
  return { calls: transcript.calls, consumed, needed: reader.needed, failed: reader.failed }
}

function sinkOf(pdu: PduSink['pdu']): PduSink {
  return {
    pdu,
    reject: (error) => {
      throw error
    },
    error: (error) => {
      throw error
    }
  }
}
