import { describe, expect, it } from '@jest/globals'
import { UndoList } from '../../../lib/volume/delta/undo-list.js'

describe('UndoList', () => {
  it('gives back what was put in, the newest first, also when it had to grow', () => {
    const list = new UndoList()
    expect(list.empty).toBe(true)
    for (let i = 0; i < 100; i++) list.push(2 ** 37 + i, i, 0xffffffff)
    const seen: number[][] = []
    list.eachBackwards((...change) => seen.push(change))
    expect(seen).toEqual(Array.from({ length: 100 }, (_, i) => [2 ** 37 + 99 - i, 99 - i, 0xffffffff]))
  })

  it('is empty after a clear', () => {
    const list = new UndoList()
    for (let i = 0; i < 10_000; i++) list.push(i, 1, 0)
    list.clear()
    expect(list.empty).toBe(true)
    list.push(7, 8, 9)
    const seen: number[][] = []
    list.eachBackwards((...change) => seen.push(change))
    expect(seen).toEqual([[7, 8, 9]])
  })
})
