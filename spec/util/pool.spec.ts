import { describe, expect, it } from '@jest/globals'
import { AssertionError } from '../../lib/util/assert.js'
import { Pool } from '../../lib/util/pool.js'

function poolOf(capacity: number): { pool: Pool<{ id: number }>; made: () => number } {
  let count = 0
  const pool = new Pool(capacity, () => ({ id: count++ }))
  return { pool, made: () => count }
}

describe('Pool', () => {
  it('makes an object only when one is wanted', () => {
    const { pool, made } = poolOf(3)
    expect([made(), pool.free, pool.used]).toEqual([0, 3, 0])
    pool.take()
    expect([made(), pool.free, pool.used]).toEqual([1, 2, 1])
  })

  it('gives a returned object out again before it makes another', () => {
    const { pool, made } = poolOf(3)
    const first = pool.take()!
    pool.give(first)
    expect(pool.take()).toBe(first)
    expect(made()).toBe(1)
  })

  it('has nothing beyond its capacity until something comes back', () => {
    const { pool } = poolOf(2)
    const first = pool.take()!
    pool.take()
    expect(pool.take()).toBeUndefined()
    expect(pool.free).toBe(0)
    pool.give(first)
    expect(pool.take()).toBe(first)
  })

  it('is empty from the beginning with capacity 0', () => expect(poolOf(0).pool.take()).toBeUndefined())

  it('notices more returns than were taken', () => {
    const { pool } = poolOf(2)
    const object = pool.take()!
    pool.give(object)
    expect(() => pool.give(object)).toThrow(AssertionError)
  })
})
