import { describe, expect, it } from '@jest/globals'
import { LID1, LID4, parseCopyList, type CopyList, type CopyListFault } from '../../lib/scsi/copy-list.js'
import { copyList, cscd, segmentOfBlocks, segmentOfBytes } from '../support/copy-list.js'
import { hex } from '../support/scsi.js'

const NAA = Buffer.from('60243780000000000000000000000001', 'hex')

function fault(list: Buffer): string | undefined {
  const parsed: CopyList | CopyListFault = parseCopyList(list, LID1)
  if (!('condition' in parsed)) return undefined
  return parsed.byte === undefined ? parsed.condition.name : `${parsed.condition.name} at ${parsed.byte}`
}

describe('parseCopyList', () => {
  it('reads a list of SPC-4 §6.4 byte by byte', () => {
    const list = Buffer.from(
      hex(`07 00 0020 00000000 0000001c 00000000
           e4 00 0000 01 03 00 10 60243780000000000000000000000001 00000000 00 000200
           02 02 0018 0000 ffff 0000 0800 0000000000000010 0000000000000020`),
      'hex'
    )
    expect(parseCopyList(list, LID1)).toEqual({
      listId: 7,
      cscds: [{ designatorType: 3, codeSet: 1, designator: NAA, blockSize: 512 }],
      segments: [
        {
          source: 0,
          destination: 0xffff,
          sourceLba: 16,
          destinationLba: 32,
          sourceOffset: 0,
          destinationOffset: 0,
          count: 2048,
          unit: 'destination-blocks'
        }
      ]
    })
  })

  it('reads the segment that counts bytes', () => {
    const list = Buffer.from(
      hex(`00 18 0000 00000000 00000020 00000000
           0a 00 001c ffff ffff 00010000 0000000000000010 0000000000000020 0200 0400`),
      'hex'
    )
    const parsed = parseCopyList(list, LID1) as CopyList
    expect(parsed.listId).toBeUndefined()
    expect(parsed.segments[0]).toMatchObject({
      count: 65536,
      unit: 'bytes',
      sourceOffset: 512,
      destinationOffset: 1024
    })
  })

  const one = cscd(NAA)
  const segment = segmentOfBlocks(0, 0, 8, 0, 8)
  it.each([
    ['a header that is cut', copyList([], []).subarray(0, 15), 'PARAMETER LIST LENGTH ERROR'],
    ['a CSCD that is cut', copyList([one], []).subarray(0, 47), 'PARAMETER LIST LENGTH ERROR'],
    ['a segment that is cut', copyList([one], [segment]).subarray(0, -1), 'PARAMETER LIST LENGTH ERROR'],
    [
      'more descriptors than there may be bytes',
      copyList([], Array(147).fill(segment) as Buffer[]),
      'PARAMETER LIST LENGTH ERROR'
    ],
    [
      'a segment longer than the list of segments',
      copyList([], [segment.subarray(0, 20)]),
      'PARAMETER LIST LENGTH ERROR'
    ],
    ['17 CSCDs', copyList(Array(17).fill(one) as Buffer[], []), 'TOO MANY TARGET DESCRIPTORS'],
    ['65 segments', copyList([], Array(65).fill(segment) as Buffer[]), 'TOO MANY SEGMENT DESCRIPTORS'],
    [
      'a CSCD by its Fibre Channel name',
      copyList([cscd(NAA, { type: 0xe0 })], []),
      'UNSUPPORTED TARGET DESCRIPTOR TYPE CODE at 16'
    ],
    ['a tape', copyList([cscd(NAA, { deviceType: 1 })], []), 'INVALID FIELD IN PARAMETER LIST at 17'],
    [
      'a designator longer than its field',
      copyList([cscd(NAA, { length: 21 })], []),
      'INVALID FIELD IN PARAMETER LIST at 23'
    ],
    [
      'a stream segment',
      copyList([one], [Buffer.from(hex('03 00 0010') + '00'.repeat(16), 'hex')]),
      'UNSUPPORTED SEGMENT DESCRIPTOR TYPE CODE at 48'
    ],
    [
      'a segment of another length than its type',
      copyList([one], [Buffer.concat([Buffer.from(hex('02 00 0019'), 'hex'), segment.subarray(4)])]),
      'INVALID FIELD IN PARAMETER LIST at 50'
    ],
    ['a list of CSCDs of no whole number', copyList([one.subarray(0, 31)], []), 'INVALID FIELD IN PARAMETER LIST at 2'],
    ['inline data', copyList([], [], { inlineLength: 4 }), 'INVALID FIELD IN PARAMETER LIST at 12'],
    [
      'an identifier where it says that there is none',
      copyList([], [], { listId: 1, usage: 3 }),
      'INVALID FIELD IN PARAMETER LIST at 0'
    ]
  ])('refuses %s', (_what, list, expected) => {
    expect(fault(list)).toBe(expected)
  })

  it('takes as much as it promises', () => {
    const list = copyList(Array(16).fill(one) as Buffer[], Array(64).fill(segmentOfBytes(0, 0, 512, 0, 8)) as Buffer[])
    expect(fault(list)).toBeUndefined()
  })
})

/** The header of SPC-4 table 126 before descriptors, made by hand. */
function list4(
  fixed: Readonly<Record<number, number>> = {},
  cscdLength = 0x20,
  segmentLength = 0x1c,
  inline = 0
): Buffer {
  const header = Buffer.from(
    hex(`01 00 0020 0000000000000000000000 00 ff 000000 8000000a 000000000000000000000000000000000000`) +
      [cscdLength, segmentLength, inline].map((length) => length.toString(16).padStart(4, '0')).join(''),
    'hex'
  )
  for (const [at, value] of Object.entries(fixed)) header[Number(at)] = value
  return Buffer.concat([header, cscd(NAA), segmentOfBlocks(0, 0, 8, 0, 8)])
}

describe('the list of EXTENDED COPY(LID4)', () => {
  it('has a longer header with an identifier of 32 bits, and the same descriptors', () => {
    const parsed = parseCopyList(list4(), LID4) as CopyList
    expect([parsed.listId, parsed.cscds.length, parsed.segments.length]).toEqual([0x8000000a, 1, 1])
    expect((parseCopyList(list4({ 1: 0x18, 20: 0, 23: 0 }), LID4) as CopyList).listId).toBeUndefined()
  })

  it('takes IMMED for 0', () => {
    expect(parseCopyList(list4({ 15: 0x01 }), LID4)).not.toHaveProperty('condition')
  })

  it.each([
    ['another format', list4({ 0: 0x02 }), 0],
    ['a header of another length', list4({ 3: 0x21 }), 3],
    ['sense data with GOOD (G_SENSE)', list4({ 15: 0x02 }), 15],
    ['a header of another type', list4({ 16: 0xe4 }), 16],
    ['an identifier although there is none', list4({ 1: 0x18 }), 20],
    ['CSCDs that do not come out even', Buffer.concat([list4({}, 0x21, 0x1c), Buffer.alloc(1)]), 42],
    ['inline data', Buffer.concat([list4({}, 0x20, 0x1c, 1), Buffer.alloc(1)]), 46]
  ])('with %s is refused at its byte', (_what, list, byte) => {
    const parsed = parseCopyList(list, LID4) as CopyListFault
    expect([parsed.condition.name, parsed.byte]).toEqual(['INVALID FIELD IN PARAMETER LIST', byte])
  })

  it.each([47, 48, 79, 107])('of %d bytes is too short', (length) => {
    expect(parseCopyList(list4().subarray(0, length), LID4)).toEqual({
      condition: expect.objectContaining({ name: 'PARAMETER LIST LENGTH ERROR' })
    })
  })
})
