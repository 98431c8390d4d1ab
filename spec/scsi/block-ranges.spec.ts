import { describe, expect, it } from '@jest/globals'
import { readBlockRanges, without } from '../../lib/scsi/block-ranges.js'
import { makeUnit, FakeVolume } from '../support/scsi.js'
import { populateList, type ListOptions, type Range } from '../support/token-list.js'

/** 1 Mi blocks of 4096 bytes, so that a list can ask for more than a token may stand for. */
const unit = makeUnit({ blockSize: 4096, volume: sized(2 ** 32) })

function sized(size: number): FakeVolume {
  const volume = new FakeVolume(4096)
  return Object.create(volume, { size: { value: size } }) as FakeVolume
}

function read(ranges: readonly Range[], options: ListOptions & { length?: number } = {}) {
  const list = populateList(ranges, options)
  return readBlockRanges(list.subarray(0, options.length ?? list.length), 16, unit)
}

function fault(ranges: readonly Range[], options: ListOptions & { length?: number } = {}): string {
  const found = read(ranges, options)
  if (!('condition' in found)) return 'none'
  const { key, asc, ascq } = found.condition
  const sense = [key, asc, ascq].map((code) => code.toString(16).padStart(2, '0')).join('/')
  return found.byte === undefined ? sense : `${sense} at ${found.byte}`
}

const many = (count: number): Range[] => Array.from({ length: count }, (_unused, index) => [index, 1])

describe('block device range descriptors (SBC-3 §5.7.3)', () => {
  it('are bytes of the unit, in their order, without those of no blocks', () => {
    expect(
      read([
        [7, 2],
        [100, 0],
        [0, 1]
      ])
    ).toEqual([
      { offset: 7 * 4096, length: 8192 },
      { offset: 0, length: 4096 }
    ])
  })

  it.each<[string, readonly Range[], ListOptions & { length?: number }, number]>([
    ['64 of them', many(64), {}, 64],
    [
      'ranges that touch',
      [
        [0, 8],
        [8, 8]
      ],
      {},
      2
    ],
    [
      '1 GiB in all',
      [
        [0, 2 ** 17],
        [2 ** 18, 2 ** 17]
      ],
      {},
      2
    ],
    ['the last block', [[2 ** 20 - 1, 1]], {}, 1],
    ['a last one that its own length cuts off', many(2), { rangesLength: 31 }, 1],
    ['a last one that the list cuts off', many(2), { length: 16 + 31 }, 1]
  ])('may be %s', (_what, ranges, options, count) => {
    expect(read(ranges, options)).toHaveLength(count)
  })

  it.each<[string, readonly Range[], ListOptions & { length?: number }, string]>([
    ['65 of them', many(65), {}, '05/26/08'],
    ['less than one by their length', many(1), { rangesLength: 15 }, '05/26/00 at 14'],
    ['none that is there as a whole', many(1), { length: 31 }, '05/1a/00'],
    ['none but their length', many(1), { length: 16 }, '05/1a/00'],
    ['one past the end', [[2 ** 20 - 1, 2]], {}, '05/21/00'],
    ['one that begins past the end and has no blocks', [[2 ** 20 + 1, 0]], {}, '05/21/00'],
    ['one at 2^64 - 1', [[2n ** 64n - 1n, 1]], {}, '05/21/00'],
    ['one of 2^32 - 1 blocks', [[0, 2 ** 32 - 1]], {}, '05/21/00'],
    [
      'the same twice',
      [
        [5, 3],
        [5, 3]
      ],
      {},
      '05/26/00 at 32'
    ],
    [
      'one that ends in another',
      [
        [5, 3],
        [3, 3]
      ],
      {},
      '05/26/00 at 32'
    ],
    [
      'one inside another',
      [
        [0, 9],
        [100, 1],
        [4, 1]
      ],
      {},
      '05/26/00 at 48'
    ],
    [
      'a block more than 1 GiB',
      [
        [0, 2 ** 18],
        [2 ** 18, 1]
      ],
      {},
      '05/26/00 at 40'
    ],
    ['a block more than 1 GiB in one', [[0, 2 ** 18 + 1]], {}, '05/26/00 at 24']
  ])('cannot be %s', (_what, ranges, options, expected) => {
    expect(fault(ranges, options)).toBe(expected)
  })
})

describe('what of ranges lies in no others', () => {
  type Spans = readonly (readonly [from: number, end: number])[]
  const rangesOf = (spans: Spans) => spans.map(([from, end]) => ({ offset: from, length: end - from }))

  it.each<[string, Spans, Spans, Spans]>([
    ['all of it without others', [[4, 8]], [], [[4, 8]]],
    [
      'all of it beside them',
      [[4, 8]],
      [
        [0, 4],
        [8, 9]
      ],
      [[4, 8]]
    ],
    ['nothing inside of one', [[4, 8]], [[3, 9]], []],
    ['nothing where one is the same', [[4, 8]], [[4, 8]], []],
    ['its head', [[4, 8]], [[6, 9]], [[4, 6]]],
    ['its tail', [[4, 8]], [[0, 5]], [[5, 8]]],
    [
      'both ends',
      [[4, 8]],
      [[5, 6]],
      [
        [4, 5],
        [6, 8]
      ]
    ],
    [
      'what several leave of several',
      [
        [0, 10],
        [20, 30]
      ],
      [
        [25, 26],
        [2, 4],
        [8, 22]
      ],
      [
        [0, 2],
        [4, 8],
        [22, 25],
        [26, 30]
      ]
    ]
  ])('is %s', (_what, ranges, others, left) => {
    expect(without(rangesOf(ranges), rangesOf(others))).toEqual(rangesOf(left))
  })
})
