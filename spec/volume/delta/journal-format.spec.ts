import { describe, expect, it } from '@jest/globals'
import {
  RecordView,
  decodeHeader,
  encodeHeader,
  isChunkSize,
  RUNS_MAX,
  putBootRecord,
  putRecord,
  putRun,
  putRunsHead,
  sealRecord
} from '../../../lib/volume/delta/journal-format.js'
import { codeOf } from '../../../lib/util/errors.js'
import { thrown } from '../../contracts/volume.contract.js'
import { BOOT_ID, HEADER, SALT, alteredHeader, goldenHeader, record } from './golden.js'

/** Title, bytes of the whole record (checksums computed once by another program), fields. */
const RECORDS: [string, string, [number, number, number, number, number]][] = [
  ['slots', '01 03 000100000002 00000007 00000003 00000009 e5c951ac', [1, 0x100000002, 7, 3, 9]],
  ['zeroes', '02 03 000000000005 00000008 00000010 00000000 b1670a69', [2, 5, 8, 16, 0]],
  ['a barrier', '05 03 000000000000 00000009 00000008 00000000 784da9a1', [5, 0, 9, 8, 0]]
]
/** Two slots from 8 on, a gap of 256 chunks, zeroes; and a chunk that is another of the base. */
const RUNS = [
  '09 05 000000000400 00000007 0003 0002 00000009 0100 00000000 ffff ffffffff 00000000 18641d9d',
  '09 03 000100000002 00000008 0001 0001 80000005 22eb5347'
]
const BOOT = '04 04 019000000001 00000000 b0b1b2b3b4b5b6b7b8b9babbbcbdbebf 27b08a9f'

function runsOf(view: RecordView): number[][] {
  const [counts, entries] = [new Uint16Array(RUNS_MAX), new Int32Array(RUNS_MAX)]
  return Array.from({ length: view.readRuns(counts, entries) }, (_, index) => [counts[index]!, entries[index]!])
}

describe('the header of a map file', () => {
  it('is written byte by byte as the format says', () => {
    expect(encodeHeader(HEADER).toString('hex')).toBe(goldenHeader().toString('hex'))
  })

  it('is read as the format says', () => {
    expect(decodeHeader(goldenHeader())).toEqual(HEADER)
  })

  it('is unreadable when any one bit of it is wrong', () => {
    for (let bit = 0; bit < 4096 * 8; bit += bit < 130 * 8 || bit > 4090 * 8 ? 1 : 61) {
      const bytes = goldenHeader()
      bytes[bit >> 3]! ^= 1 << (bit & 7)
      expect(codeOf(thrown(() => decodeHeader(bytes)))).toBe('ERR_ISCSI_DELTA_UNREADABLE')
    }
  })

  it.each([
    ['is short', goldenHeader().subarray(0, 4095), 'ERR_ISCSI_DELTA_UNREADABLE'],
    ['is empty', Buffer.alloc(0), 'ERR_ISCSI_DELTA_UNREADABLE'],
    ['is all zeroes', Buffer.alloc(4096), 'ERR_ISCSI_DELTA_UNREADABLE'],
    ['is of a later version', alteredHeader(8, '0003'), 'ERR_ISCSI_DELTA_VERSION'],
    ['is of version 0', alteredHeader(8, '0000'), 'ERR_ISCSI_DELTA_VERSION'],
    ['has another length', alteredHeader(10, '2000'), 'ERR_ISCSI_DELTA_VERSION'],
    ['has a chunk size that is no power of two', alteredHeader(12, '00001800'), 'ERR_ISCSI_DELTA_UNREADABLE'],
    ['has a chunk size of nothing', alteredHeader(12, '00000000'), 'ERR_ISCSI_DELTA_UNREADABLE'],
    ['has a name that leaves it', alteredHeader(104, 'ffff'), 'ERR_ISCSI_DELTA_UNREADABLE']
  ])('is refused when it %s', (_title, bytes, code) => {
    expect(codeOf(thrown(() => decodeHeader(bytes)))).toBe(code)
  })

  it('has version 2 when the slots are encrypted, and nothing else differs', () => {
    expect(decodeHeader(alteredHeader(8, '0002'))).toEqual({ ...HEADER, encrypted: true })
    expect(encodeHeader({ ...HEADER, encrypted: true })).toEqual(alteredHeader(8, '0002'))
  })

  it('takes no name that is too long to be one', () => {
    expect(() => encodeHeader({ ...HEADER, owner: { ...HEADER.owner, chapUser: 'x'.repeat(1024) } })).toThrow(/name/)
  })
})

describe('a record', () => {
  it.each(RECORDS)('of %s is written as the format says', (_title, hex, [type, argument, sequence, count, slot]) => {
    const bytes = Buffer.alloc(24)
    putRecord(bytes, 0, type, argument, sequence, count, slot)
    expect(sealRecord(bytes, 0, SALT)).toBe(24)
    expect(bytes.toString('hex')).toBe(hex.replaceAll(' ', ''))
  })

  it.each(RECORDS)('of %s is read as the format says', (_title, hex, [type, argument, sequence, count, slot]) => {
    const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex')
    const view = new RecordView()
    expect(view.read(bytes, 0, bytes.length, SALT)).toBe(true)
    expect([view.type, view.argument, view.sequence, view.count, view.slot]).toEqual([
      type,
      argument,
      sequence,
      count,
      slot
    ])
    expect(view.length).toBe(24)
  })

  it('of a boot carries its id', () => {
    const bytes = Buffer.alloc(32)
    putBootRecord(bytes, 0, 0x019000000001, 0, BOOT_ID)
    sealRecord(bytes, 0, SALT)
    expect(bytes.toString('hex')).toBe(BOOT.replaceAll(' ', ''))
    const view = new RecordView()
    expect(view.read(bytes, 0, 32, SALT)).toBe(true)
    expect(view.bootId()).toEqual(BOOT_ID)
  })

  it('of runs is written as the format says, over whatever was there before', () => {
    const [three, one] = RUNS.map((hex) => Buffer.from(hex.replaceAll(' ', ''), 'hex'))
    const bytes = Buffer.alloc(64, 0xee)
    const runs = [
      [2, 9],
      [256, 0],
      [65535, 0xffffffff]
    ]
    for (const [index, [count, entry]] of runs.entries()) putRun(bytes, 0, index, count!, entry!)
    putRunsHead(bytes, 0, 0x400, 7, 3)
    putRun(bytes, 40, 0, 1, 0x80000005)
    putRunsHead(bytes, 40, 0x100000002, 8, 1)
    expect([sealRecord(bytes, 0, SALT), sealRecord(bytes, 40, SALT)]).toEqual([40, 64])
    expect(bytes.toString('hex')).toBe(Buffer.concat([three!, one!]).toString('hex'))
  })

  it('of runs is read as the format says', () => {
    const view = new RecordView()
    const read = RUNS.map((hex) => {
      const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex')
      expect(view.read(bytes, 0, bytes.length, SALT)).toBe(true)
      return [view.type, view.length, view.argument, view.sequence, runsOf(view)]
    })
    expect(read).toEqual([
      [
        9,
        40,
        0x400,
        7,
        [
          [2, 9],
          [256, 0],
          [65535, -1]
        ]
      ],
      // 80000005h as a signed number.
      [9, 24, 0x100000002, 8, [[1, 5 - 2 ** 31]]]
    ])
  })

  it('of as many runs as there can be fills the longest record', () => {
    expect(RUNS_MAX).toBe(337)
    const bytes = Buffer.alloc(4096)
    for (let index = 0; index < 337; index++) putRun(bytes, 0, index, 1, 2 * index + 1)
    putRunsHead(bytes, 0, 0, 1, 337)
    expect([sealRecord(bytes, 0, SALT), bytes[1]]).toEqual([2040, 255])
    const view = new RecordView()
    expect(view.read(bytes, 0, 2040, SALT)).toBe(true)
    expect([runsOf(view).length, runsOf(view).at(-1)]).toEqual([337, [1, 673]])
  })

  it('is none when any one bit is wrong, when it is cut, or of another delta', () => {
    const view = new RecordView()
    for (const hex of [...RECORDS.map(([, bytes]) => bytes), ...RUNS, BOOT]) {
      const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex')
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        const wrong = Buffer.concat([bytes, Buffer.alloc(2048)])
        wrong[bit >> 3]! ^= 1 << (bit & 7)
        expect(view.read(wrong, 0, wrong.length, SALT)).toBe(false)
      }
      for (let end = 0; end < bytes.length; end++) expect(view.read(bytes, 0, end, SALT)).toBe(false)
      expect(view.read(bytes, 0, bytes.length, SALT + 1)).toBe(false)
    }
  })

  it.each([
    ['of type 0', '00 03 000000000000 00000000 00000000 00000000'],
    ['of no length', '01 00 000000000000 00000000 00000000 00000000'],
    ['of slots that is too short', '01 02 000000000000 00000000'],
    ['of more runs than its length has', '09 03 000000000000 00000000 0002 0001 00000001'],
    ['of fewer runs than its length has', '09 04 000000000000 00000000 0001 0001 00000001 0001 00000001 0000'],
    ['of slots that is too long', '01 04 000000000000 00000000 00000000 00000000 0000000000000000']
  ])('%s is none, though its checksum be right', (_title, hex) => {
    const bytes = record(hex)
    expect(new RecordView().read(bytes, 0, bytes.length, SALT)).toBe(false)
  })
})

describe('a chunk size', () => {
  it.each([4096, 8192, 16384, 1 << 20])('may be %d', (size) => expect(isChunkSize(size)).toBe(true))
  it.each([0, 512, 2048, 4097, 12288, 2 << 20, 4096.5, NaN, -4096])('may not be %d', (size) =>
    expect(isChunkSize(size)).toBe(false)
  )
})
