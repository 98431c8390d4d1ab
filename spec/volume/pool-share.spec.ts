import { describe, expect, it } from '@jest/globals'
import {
  Company,
  CROWDED_UNIT_THREADS_MAX,
  DELTA_THREADS_MAX,
  FILE_THREADS_MAX,
  PoolShare,
  UNIT_THREADS_MAX
} from '../../lib/volume/pool-share.js'

function recorded(threadsMax: number): { share: PoolShare<number>; started: number[] } {
  const started: number[] = []
  return {
    share: new PoolShare<number>(
      () => threadsMax,
      (item) => started.push(item)
    ),
    started
  }
}

describe('a share of the thread pool', () => {
  it('starts what it is given at once, up to so many', () => {
    const { share, started } = recorded(3)
    for (const item of [1, 2, 3, 4, 5]) share.begin(item)
    expect(started).toEqual([1, 2, 3])
  })

  it('starts what waits in the order in which it came, one for each that ends', () => {
    const { share, started } = recorded(2)
    for (const item of [1, 2, 3, 4, 5]) share.begin(item)
    share.ended()
    expect(started).toEqual([1, 2, 3])
    share.ended()
    share.ended()
    expect(started).toEqual([1, 2, 3, 4, 5])
  })

  it('is free again when all have ended', () => {
    const { share, started } = recorded(2)
    for (let round = 0; round < 10; round++) {
      for (const item of [1, 2, 3]) share.begin(item)
      for (let ends = 0; ends < 3; ends++) share.ended()
    }
    share.begin(7)
    share.begin(8)
    share.begin(9)
    expect(started).toHaveLength(32)
    expect(started.slice(-2)).toEqual([7, 8])
  })

  it('lets an item begin that another one asks for while it starts', () => {
    const started: number[] = []
    const share: PoolShare<number> = new PoolShare(
      () => 2,
      (item) => {
        started.push(item)
        if (item === 1) share.begin(2)
      }
    )
    share.begin(1)
    share.begin(3)
    expect(started).toEqual([1, 2])
    share.ended()
    expect(started).toEqual([1, 2, 3])
  })

  it('grows and shrinks with what it may have, in the order in which items came', () => {
    let threadsMax = 1
    const started: number[] = []
    const share = new PoolShare<number>(
      () => threadsMax,
      (item) => started.push(item)
    )
    for (const item of [1, 2, 3, 4, 5, 6, 7]) share.begin(item)
    expect(started).toEqual([1])
    threadsMax = 4
    share.ended()
    expect(started).toEqual([1, 2, 3, 4, 5])
    threadsMax = 2
    share.ended()
    share.ended()
    expect(started).toHaveLength(5)
    share.ended()
    expect(started).toEqual([1, 2, 3, 4, 5, 6])
    share.begin(8)
    expect(started).toHaveLength(6)
  })

  it('never is all of the pool, unless that has one thread', () => {
    const threads = Number(process.env.UV_THREADPOOL_SIZE) || 4
    for (const share of [FILE_THREADS_MAX, UNIT_THREADS_MAX, CROWDED_UNIT_THREADS_MAX, DELTA_THREADS_MAX]) {
      expect(share).toBeGreaterThanOrEqual(1)
      if (threads > 1) expect(share).toBeLessThan(threads)
    }
  })
})

describe('the company of a unit', () => {
  const [one, other] = [{}, {}]

  it('is none when it alone has read for a while', () => {
    const company = new Company()
    company.note(other)
    for (let reads = 0; reads < 1000; reads++) company.note(one)
    expect(company.isAlone(one)).toBe(true)
    expect(company.isAlone(other)).toBe(false)
  })

  it('is there as soon as another one reads, and for some reads more', () => {
    const company = new Company()
    for (let reads = 0; reads < 1000; reads++) company.note(one)
    company.note(other)
    expect(company.isAlone(one)).toBe(false)
    company.note(one)
    expect(company.isAlone(one)).toBe(false)
    expect(company.isAlone(other)).toBe(false)
  })
})
