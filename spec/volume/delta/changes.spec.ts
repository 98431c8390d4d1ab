import { describe, expect, it } from '@jest/globals'
import { Changes } from '../../../lib/volume/delta/changes.js'
import { DeltaMap, ZERO } from '../../../lib/volume/delta/delta-map.js'
import { Random, seedOf } from '../../support/random.js'

const CHUNK = 4096

/** A map in which these chunks are in slots, or zero. */
function mapOf(chunkCount: number, slots: readonly number[], zeroes: readonly number[] = []): DeltaMap {
  const map = new DeltaMap(chunkCount)
  slots.forEach((chunk, index) => map.assign(chunk, 1, 1 + index * 2))
  for (const chunk of zeroes) map.assign(chunk, 1, ZERO)
  return map
}

describe('Changes', () => {
  it('tells areas in the order of the disk; what touches is one, written or zeroed', () => {
    const changes = new Changes(mapOf(100, [3, 4, 50], [5]), CHUNK, 100 * CHUNK)
    expect(changes.areas(10)).toEqual([
      { offset: 3 * CHUNK, lengthBytes: 3 * CHUNK, changedBytes: 3 * CHUNK },
      { offset: 50 * CHUNK, lengthBytes: CHUNK, changedBytes: CHUNK }
    ])
  })

  it('ends with the disk, whose last chunk may be short', () => {
    const changes = new Changes(mapOf(3, [2]), CHUNK, 2 * CHUNK + 512)
    expect(changes.areas(1)).toEqual([{ offset: 2 * CHUNK, lengthBytes: 512, changedBytes: 512 }])
    expect(changes.bytesIn(0, 10 * CHUNK)).toBe(512)
  })

  it('joins the areas that are nearest when there are too many', () => {
    const changes = new Changes(mapOf(1000, [0, 2, 500, 502, 900]), CHUNK, 1000 * CHUNK)
    expect(changes.areas(3)).toEqual([
      { offset: 0, lengthBytes: 3 * CHUNK, changedBytes: 2 * CHUNK },
      { offset: 500 * CHUNK, lengthBytes: 3 * CHUNK, changedBytes: 2 * CHUNK },
      { offset: 900 * CHUNK, lengthBytes: CHUNK, changedBytes: CHUNK }
    ])
    expect(changes.areas(1)).toEqual([{ offset: 0, lengthBytes: 901 * CHUNK, changedBytes: 5 * CHUNK }])
  })

  it('is nothing over an empty map', () => {
    const changes = new Changes(new DeltaMap(1000), CHUNK, 1000 * CHUNK)
    expect([changes.areas(5), changes.bytesIn(0, 1000 * CHUNK)]).toEqual([[], 0])
  })

  const SEED = seedOf(0x5eed)
  it(`counts the bytes of any range as a plain list of bytes does (seed ${SEED})`, () => {
    const random = new Random(SEED)
    const size = 40 * CHUNK + 1000
    for (let round = 0; round < 50; round++) {
      const chunks = Array.from({ length: 41 }, (_, chunk) => chunk).filter(() => random.int(3) === 0)
      const changes = new Changes(mapOf(41, chunks), CHUNK, size)
      const offset = random.int(size)
      const length = random.int(size)
      let expected = 0
      for (let at = offset; at < Math.min(offset + length, size); at++) {
        if (chunks.includes(Math.floor(at / CHUNK))) expected++
      }
      expect(changes.bytesIn(offset, length)).toBe(expected)
      const total = changes.areas(1 + random.int(9)).reduce((sum, { changedBytes }) => sum + changedBytes, 0)
      expect(total).toBe(changes.bytesIn(0, size))
    }
  })
})
