import { describe, expect, it } from '@jest/globals'
import { CROWDED_READS, CROWD_MIN, YIELD_EVERY } from '../../lib/iscsi/limits.js'
import { Reader, ReadingOrder } from '../../lib/iscsi/reading-order.js'

const readers = (count: number): Reader[] => Array.from({ length: count }, () => new Reader())

/** How often each of them lets the others go first, when they always come in the same order. */
function yields(all: readonly Reader[], rounds: number): number[] {
  const order = new ReadingOrder()
  const counts = all.map(() => 0)
  for (let round = 0; round < rounds; round++) {
    for (const [index, reader] of all.entries()) if (order.next(reader)) counts[index]!++
  }
  return counts
}

describe('the order of reading', () => {
  it('lets each of a crowd give way as often as any other', () => {
    expect(yields(readers(16), 5 * YIELD_EVERY)).toEqual(new Array(16).fill(5))
    expect(yields(readers(9), 7 * YIELD_EVERY)).toEqual(new Array(9).fill(7))
  })

  it('asks nobody to give way to few: a hot session beside a busy one is not sent behind it', () => {
    expect(yields(readers(CROWD_MIN), 100 * YIELD_EVERY)).toEqual(new Array(CROWD_MIN).fill(0))
  })

  it('makes sessions even that are served by position, of which the last ones miss rounds', () => {
    // A round serves all but the last three of the list; those come too late, for this round, and stay at its end.
    const order = new ReadingOrder()
    const list = readers(16)
    const turns = new Map(list.map((reader) => [reader, 0]))
    for (let round = 0; round < 4000; round++) {
      const served = list.splice(0, round % 2 === 0 ? 13 : 16)
      const gaveWay: Reader[] = []
      for (const reader of served) {
        turns.set(reader, turns.get(reader)! + 1)
        if (order.next(reader)) gaveWay.push(reader)
      }
      const others = served.filter((reader) => !gaveWay.includes(reader))
      list.unshift(...others)
      list.push(...gaveWay)
    }
    const counts = [...turns.values()]
    expect(Math.min(...counts) / Math.max(...counts)).toBeGreaterThan(0.9)
  })

  it('knows a crowd by who else has received something lately', () => {
    const order = new ReadingOrder()
    const [one, other] = readers(2) as [Reader, Reader]
    order.next(one)
    expect(order.crowded(other)).toBe(true)
    for (let reads = 1; reads < CROWDED_READS; reads++) order.next(one)
    expect(order.crowded(one)).toBe(true)
    order.next(one)
    expect(order.crowded(one)).toBe(false)
    order.next(other)
    expect(order.crowded(one)).toBe(true)
  })
})
