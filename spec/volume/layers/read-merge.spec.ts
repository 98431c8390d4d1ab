import { beforeEach, describe, expect, it } from '@jest/globals'
import { COPIED, DeltaMap, ZERO } from '../../../lib/volume/delta/delta-map.js'
import { ReadMerge } from '../../../lib/volume/layers/read-merge.js'
import { Random, seedOf, steps } from '../../support/random.js'

const CHUNKS = 64

describe('ReadMerge', () => {
  let map: DeltaMap

  beforeEach(() => {
    map = new DeltaMap(CHUNKS)
  })

  /** The accesses of a read of these chunks: `B first count` of the base, `S slot count`. Zeroes take none. */
  function accesses(first: number, count: number): string[] {
    const merge = new ReadMerge()
    merge.begin()
    const made: string[] = []
    for (let done = 0; done < count;) {
      const chunk = first + done
      const length = map.run(chunk, count - done)
      const { entry } = map
      if (entry !== ZERO && !merge.has(chunk, entry)) {
        const span = merge.span(map, chunk, length, count - done)
        if (entry === 0) made.push(`B ${chunk} ${span}`)
        else if (entry >= COPIED) made.push(`C ${entry - COPIED} ${span}`)
        else made.push(`S ${entry - 1} ${span}`)
      }
      done += length
    }
    return made
  }

  it('reads the base over chunks that are elsewhere, and those over it', () => {
    map.assign(2, 1, 10)
    map.assign(5, 2, 31)
    expect(accesses(0, 10)).toEqual(['B 0 10', 'S 9 1', 'S 30 2'])
  })

  it('reads a group over a chunk that is astray', () => {
    map.assign(0, 16, 101)
    map.assign(3, 1, 7)
    map.assign(9, 1, 8)
    expect(accesses(0, 16)).toEqual(['S 100 16', 'S 6 1', 'S 7 1'])
  })

  it('goes no further than a gap of two chunks, and not to its end', () => {
    map.assign(2, 3, 10)
    expect(accesses(0, 8)).toEqual(['B 0 2', 'S 9 3', 'B 5 3'])
    map.assign(2, 3, 0)
    map.assign(6, 2, 10)
    expect(accesses(0, 8)).toEqual(['B 0 6', 'S 9 2'])
  })

  it('does not read slots over chunks of the base, whose places are holes', () => {
    map.assign(0, 2, 101)
    map.assign(3, 2, 104)
    expect(accesses(0, 5)).toEqual(['S 100 2', 'B 2 1', 'S 103 2'])
  })

  it('reads the base over zeroes, and leaves copies alone', () => {
    map.assign(1, 1, ZERO)
    map.assign(4, 1, COPIED + 40)
    expect(accesses(0, 6)).toEqual(['B 0 6', 'C 40 1'])
  })

  it('counts pieces of a gap together', () => {
    map.assign(1, 1, 50)
    map.assign(2, 1, 60)
    map.assign(3, 1, 70)
    expect(accesses(0, 5)).toEqual(['B 0 1', 'S 49 1', 'S 59 1', 'S 69 1', 'B 4 1'])
  })

  it('forgets what it has read when the next request begins', () => {
    map.assign(1, 1, 50)
    const merge = new ReadMerge()
    merge.begin()
    expect(merge.span(map, 0, map.run(0, 3), 3)).toBe(3)
    expect(merge.has(2, 0)).toBe(true)
    merge.begin()
    expect(merge.has(2, 0)).toBe(false)
  })

  it(`leaves in each place what belongs there (seed ${seedOf(7)})`, () => {
    const random = new Random(seedOf(7))
    for (let round = 0; round < steps(400); round++) {
      map = new DeltaMap(CHUNKS)
      for (let change = 0; change < 12; change++) {
        const chunk = random.int(CHUNKS - 4)
        const entry = random.pick([0, ZERO, 1 + random.int(200), 101 + chunk, COPIED + random.int(CHUNKS - 4)])
        map.assign(chunk, 1 + random.int(4), entry)
      }
      const first = random.int(CHUNKS)
      const count = 1 + random.int(CHUNKS - first)
      const wanted = Array.from({ length: count }, (_, at) => {
        const entry = map.get(first + at)
        return entry === 0 ? COPIED + first + at : entry
      })
      expect(read(first, count)).toEqual(wanted)
    }
  })

  /** Reads names instead of bytes: that of the slot's entry, or of the chunk of the base. */
  function read(first: number, count: number): number[] {
    const merge = new ReadMerge()
    merge.begin()
    const got = new Array<number>(count).fill(-1)
    for (let done = 0; done < count;) {
      const length = map.run(first + done, count - done)
      const { entry } = map
      if (entry === ZERO) got.fill(ZERO, done, done + length)
      else if (!merge.has(first + done, entry)) {
        const span = merge.span(map, first + done, length, count - done)
        for (let at = 0; at < span; at++) got[done + at] = (entry === 0 ? COPIED + first + done : entry) + at
      }
      done += length
    }
    return got
  }
})
