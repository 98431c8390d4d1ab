import { beforeEach, describe, expect, it } from '@jest/globals'
import { SharedSlots } from '../../../lib/volume/delta/shared-slots.js'

describe('SharedSlots', () => {
  let shared: SharedSlots
  let left: [number, number][]
  const leave = (slot: number, count: number): void => void left.push([slot, count])

  beforeEach(() => {
    shared = new SharedSlots()
    left = []
  })

  it('leaves every slot to one chunk, and costs no memory, as long as nothing was copied', () => {
    expect([shared.any, shared.has(5), shared.run(5, 100), shared.memoryBytes]).toEqual([false, false, 100, 0])
    shared.drop(5, 100, leave)
    expect(left).toEqual([[5, 100]])
    expect(shared.restore(5, 100)).toBe(100)
    shared.forget(5, 100)
    expect([shared.any, shared.memoryBytes]).toEqual([false, 0])
  })

  it('lets a slot go with its last chunk, and it stays shared until then', () => {
    shared.add(10, 3)
    shared.add(11, 1)
    shared.drop(10, 3, leave)
    expect(left).toEqual([])
    expect([10, 11, 12].map((slot) => shared.has(slot))).toEqual([true, true, true])
    shared.drop(8, 6, leave)
    expect(left).toEqual([
      [8, 3],
      [12, 2]
    ])
    shared.drop(11, 1, leave)
    expect(left.at(-1)).toEqual([11, 1])
  })

  it('tells how far slots are alike', () => {
    shared.add(1022, 4)
    expect([shared.run(1020, 100), shared.run(1022, 100), shared.run(1022, 3)]).toEqual([2, 4, 3])
    expect(shared.run(1026, 1 << 12)).toBe(1 << 12)
  })

  it('undoes what was dropped, the last chunk too', () => {
    shared.add(10, 1)
    shared.drop(10, 1, leave)
    shared.drop(10, 1, leave)
    expect(left).toEqual([[10, 1]])
    // 11 never was shared: its one chunk left it, and is back.
    expect(shared.restore(10, 2)).toBe(2)
    expect(shared.restore(10, 1)).toBe(0)
    shared.drop(10, 1, leave)
    expect(left).toHaveLength(1)
  })

  it('forgets a slot that is given out anew', () => {
    shared.add(10, 2)
    for (let chunks = 2; chunks > 0; chunks--) shared.drop(10, 2, leave)
    expect(shared.has(10)).toBe(true)
    shared.forget(10, 1)
    expect([shared.has(10), shared.has(11)]).toEqual([false, true])
    left = []
    shared.drop(10, 1, leave)
    expect(left).toEqual([[10, 1]])
  })

  it('counts the chunks of a journal that calls slots shared, one or many', () => {
    shared.mark(20, 2)
    shared.mark(20, 1)
    expect([shared.claim(20), shared.claim(20), shared.claim(21)]).toEqual([true, false, true])
    shared.drop(20, 2, leave)
    expect(left).toEqual([[21, 1]])
    shared.drop(20, 1, leave)
    expect(left.at(-1)).toEqual([20, 1])
  })

  it('keeps a page of 4 KiB where slots are shared, beside the last slot there can be', () => {
    shared.add(5, 1)
    shared.add(0x7ffffffd, 1)
    expect([shared.has(0x7ffffffd), shared.has(0x7ffffffc), shared.memoryBytes]).toEqual([true, false, 8192])
  })
})
