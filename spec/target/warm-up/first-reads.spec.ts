import { describe, expect, it } from '@jest/globals'
import { FirstReads, PIECE_BYTES } from '../../../lib/target/warm-up/first-reads.js'

describe('the first reads of a disk', () => {
  it('are pieces of 64 KiB, each once, in the order in which they were read first', () => {
    expect(PIECE_BYTES).toBe(65536)
    const reads = new FirstReads(100)
    reads.note(65536 * 7 + 512, 512)
    reads.note(0, 65536)
    reads.note(65536 * 7, 4096)
    reads.note(65535, 2)
    expect(reads.before([])).toEqual([7, 0, 1])
  })

  it('are all pieces that a read touches', () => {
    const reads = new FirstReads(100)
    reads.note(65536 * 2 - 1, 65536 + 2)
    expect(reads.before([])).toEqual([1, 2, 3])
  })

  it('are none for a read of nothing', () => {
    const reads = new FirstReads(100)
    reads.note(65536, 0)
    expect(reads.count).toBe(0)
  })

  it('are no more than there is room for, in one read or in many', () => {
    const reads = new FirstReads(3)
    reads.note(0, 65536 * 1000)
    reads.note(65536 * 2000, 512)
    expect(reads.before([5000])).toEqual([0, 1, 2])
  })

  it('come before those of earlier times, of which the last fall off the end', () => {
    const reads = new FirstReads(4)
    reads.note(65536 * 9, 512)
    reads.note(65536 * 2, 512)
    expect(reads.before([1, 2, 3, 4])).toEqual([9, 2, 1, 3])
  })
})
