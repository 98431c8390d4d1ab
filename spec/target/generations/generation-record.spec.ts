import { describe, expect, it } from '@jest/globals'
import {
  GENERATIONS_MAX,
  firstRecord,
  formatGenerationRecord,
  isAvailable,
  isOver,
  layersOf,
  nextNumber,
  parseGenerationRecord,
  withGeneration,
  withHash,
  type Generation,
  type GenerationRecord
} from '../../../lib/target/generations/generation-record.js'

const SIZE = 1 << 30
const IDENTITY = { size: SIZE, mtimeNs: 1_795_406_091_361_123_456n, inode: 18_446_744_073_709_551_615n }

function generation(number: number, parent: number | undefined): Generation {
  const plain = { number, parent, time: 1000 + number, author: 'iqn.a', note: 'n', size: SIZE }
  return { ...plain, layerBytes: 4096, hash: undefined, source: undefined }
}

/** 0 ── 1 ── 2 ── 4, and 3 over 2. */
function tree(raw = 0, current = 4): GenerationRecord {
  const first = firstRecord(SIZE, 1000, IDENTITY)
  const pairs = [
    [1, 0],
    [2, 1],
    [3, 2],
    [4, 2]
  ] as const
  const all = pairs.reduce((record, [number, parent]) => withGeneration(record, generation(number, parent)), first)
  return { ...all, raw, current }
}

describe('the record of generations', () => {
  it.each<[number, number, number[] | undefined]>([
    [0, 0, []],
    [0, 1, [1]],
    [0, 4, [1, 2, 4]],
    [0, 3, [1, 2, 3]],
    [2, 4, [4]],
    [2, 2, []],
    [2, 1, undefined],
    [2, 0, undefined],
    [4, 3, undefined],
    [0, 9, undefined]
  ])('with raw generation %i shows %i by the layers %j', (raw, number, layers) => {
    expect(layersOf(tree(raw), number)?.map((one) => one.number)).toEqual(layers)
    expect(isAvailable(tree(raw), number)).toBe(layers !== undefined)
  })

  it('knows what lies over what', () => {
    const over = (number: number, ancestor: number) => isOver(tree(), number, ancestor)
    expect([over(4, 2), over(4, 0), over(2, 2), over(4, 3), over(1, 2)]).toEqual([true, true, true, false, false])
  })

  it('never gives a number twice', () => expect([nextNumber(tree()), nextNumber(tree(4))]).toEqual([5, 5]))

  it('is read back as it was written, with numbers that JSON has not', () => {
    const source = { targetName: 't', initiatorName: 'i', lun: 0, epoch: 7 }
    const record = {
      ...withHash(withGeneration(tree(2), { ...generation(5, 4), source }), 4, 'ab'),
      tests: [{ match: 'iqn.*', generation: 5 }],
      flattening: 4
    }
    const text = JSON.stringify(formatGenerationRecord(record))
    expect(parseGenerationRecord('x.json', JSON.parse(text))).toEqual(record)
  })

  it.each<[string, (record: Record<string, unknown>) => void]>([
    ['a later version', (record) => (record.version = 2)],
    ['no generations', (record) => (record.generations = [])],
    ['a current one that does not exist', (record) => (record.current = 9)],
    ['a current one below the raw file', (record) => Object.assign(record, { raw: 4, current: 1 })],
    ['a raw one that does not exist', (record) => (record.raw = 9)],
    ['parents in a circle', (record) => Object.assign((record.generations as object[])[1]!, { parent: 2 })],
    ['an inode that is no number', (record) => Object.assign(record.rawIdentity as object, { inode: '1e3' })],
    ['a size that is a text', (record) => Object.assign((record.generations as object[])[0]!, { size: '5' })]
  ])('is refused with %s', (_what, spoil) => {
    const value = JSON.parse(JSON.stringify(formatGenerationRecord(tree()))) as Record<string, unknown>
    spoil(value)
    expect(() => parseGenerationRecord('x.json', value)).toThrow(/x\.json/)
  })

  it('forgets the oldest of those that are gone when there are too many', () => {
    let record = tree(4)
    while (record.generations.length < GENERATIONS_MAX)
      record = withGeneration(record, generation(nextNumber(record), 4))
    const numbers = withGeneration(record, generation(nextNumber(record), 4)).generations.map(({ number }) => number)
    expect([numbers.length, numbers.slice(0, 4)]).toEqual([GENERATIONS_MAX, [1, 2, 3, 4]])
  })
})
