import { describe, expect, it } from '@jest/globals'
import { BufferPool, type BufferHolder, type PooledBuffer } from '../../lib/util/buffer-pool.js'

/** Notes what it is told; `onResume` is what it does then. */
class Holder implements BufferHolder {
  readonly told: string[] = []
  onResume: () => void = () => {}

  constructor(
    readonly name = 'holder',
    readonly log: string[] = []
  ) {}

  released(buffer: PooledBuffer): void {
    this.told.push(`released, ${buffer.uses} uses left`)
  }

  resume(): void {
    this.log.push(this.name)
    this.onResume()
  }
}

describe('a BufferPool', () => {
  it('gives buffers of its length, up to its capacity', () => {
    const pool = new BufferPool({ capacity: 2, lengthBytes: 64 })
    const holder = new Holder()
    const [first, second] = [pool.take(holder, 0), pool.take(holder, 1)]
    expect([first!.bytes.length, second!.bytes.length]).toEqual([64, 64])
    expect(pool.take(holder, 2)).toBeUndefined()
    expect([pool.capacity, pool.free, pool.used, pool.lengthBytes]).toEqual([2, 0, 2, 64])
  })

  it('gives the same buffer again that came back', () => {
    const pool = new BufferPool({ capacity: 2, lengthBytes: 64 })
    const buffer = pool.take(new Holder(), 0)!
    pool.give(buffer)
    const other = new Holder()
    expect(pool.take(other, 0)).toBe(buffer)
    expect(buffer.holder).toBe(other)
  })

  it('keeps its reserve for those who hold none', () => {
    const pool = new BufferPool({ capacity: 3, lengthBytes: 64, reserve: 2 })
    const [greedy, modest] = [new Holder(), new Holder()]
    expect(pool.take(greedy, 0)).toBeDefined()
    expect(pool.take(greedy, 1)).toBeUndefined()
    expect(pool.take(modest, 0)).toBeDefined()
    expect(pool.take(new Holder(), 0)).toBeDefined()
  })

  it('gives its long ones to those who hold none, as long as there are any', () => {
    const pool = new BufferPool({ capacity: 4, lengthBytes: 64, reserve: 3, long: { count: 1, lengthBytes: 256 } })
    const [first, second] = [new Holder(), new Holder()]
    const long = pool.take(first, 0)!
    const lengths = [long, pool.take(first, 1)!, pool.take(second, 0)!].map(({ bytes }) => bytes.length)
    expect(lengths).toEqual([256, 64, 64])
    expect([pool.free, pool.used]).toEqual([2, 3])
    pool.give(long)
    expect(pool.take(second, 1)).toBeUndefined()
    expect(pool.take(new Holder(), 0)).toBe(long)
  })

  it('calls who waits when a long one has come back', async () => {
    const pool = new BufferPool({ capacity: 1, lengthBytes: 64, long: { count: 1, lengthBytes: 256 } })
    const [long] = [pool.take(new Holder(), 0)!, pool.take(new Holder(), 0)!]
    const waiting = new Holder()
    const called = new Promise<void>((resolve) => (waiting.onResume = resolve))
    expect(pool.take(waiting, 0)).toBeUndefined()
    pool.wait(waiting)
    pool.give(long)
    await called
    expect(pool.take(waiting, 0)).toBe(long)
  })

  it('asserts that a reserve leaves something', () => {
    expect(() => new BufferPool({ capacity: 2, lengthBytes: 64, reserve: 2 })).toThrow('reserve')
  })

  it('asserts that a buffer comes back once, and unused', () => {
    const pool = new BufferPool({ capacity: 2, lengthBytes: 64 })
    const [used, given] = [pool.take(new Holder(), 0)!, pool.take(new Holder(), 0)!]
    used.uses++
    expect(() => pool.give(used)).toThrow('in use')
    pool.give(given)
    expect(() => pool.give(given)).toThrow('twice')
  })
})

describe('the release of a buffer', () => {
  it('counts a use down and tells the holder', () => {
    const holder = new Holder()
    const buffer = new BufferPool({ capacity: 1, lengthBytes: 64 }).take(holder, 0)!
    buffer.uses = 2
    const { release } = buffer
    release()
    release()
    expect(holder.told).toEqual(['released, 1 uses left', 'released, 0 uses left'])
    expect(() => release()).toThrow('more often than used')
  })
})

describe('those who wait for a buffer', () => {
  it('are called in the order of asking, from a microtask, as long as there are buffers', async () => {
    const pool = new BufferPool({ capacity: 2, lengthBytes: 64 })
    const log: string[] = []
    const taken = [pool.take(new Holder(), 0)!, pool.take(new Holder(), 0)!]
    for (const name of ['a', 'b', 'c']) {
      const holder = new Holder(name, log)
      holder.onResume = () => pool.take(holder, 0)
      pool.wait(holder)
    }
    for (const buffer of taken) pool.give(buffer)
    log.push('given')
    await Promise.resolve()
    expect(log).toEqual(['given', 'a', 'b'])
    expect(pool.free).toBe(0)
  })

  it('are called once for one asking, and again when they ask again', async () => {
    const pool = new BufferPool({ capacity: 1, lengthBytes: 64 })
    const log: string[] = []
    const holder = new Holder('a', log)
    pool.wait(holder)
    pool.wait(holder)
    await turn(pool)
    await turn(pool)
    expect(log).toEqual(['a'])
    pool.wait(holder)
    await turn(pool)
    expect(log).toEqual(['a', 'a'])
  })

  it('pass the buffer on when they do not take it, and may ask again without being called for ever', async () => {
    const pool = new BufferPool({ capacity: 1, lengthBytes: 64 })
    const log: string[] = []
    const stubborn = new Holder('stubborn', log)
    stubborn.onResume = () => pool.wait(stubborn)
    pool.wait(stubborn)
    pool.wait(new Holder('next', log))
    await turn(pool)
    expect(log).toEqual(['stubborn', 'next'])
  })

  it('are not called when they took it back', async () => {
    const pool = new BufferPool({ capacity: 1, lengthBytes: 64 })
    const log: string[] = []
    const holder = new Holder('a', log)
    pool.wait(holder)
    pool.forget(holder)
    await turn(pool)
    expect(log).toEqual([])
  })

  it('stay in the queue when somebody else was quicker', async () => {
    const pool = new BufferPool({ capacity: 1, lengthBytes: 64 })
    const log: string[] = []
    const first = pool.take(new Holder(), 0)!
    pool.wait(new Holder('a', log))
    pool.give(first)
    const quick = pool.take(new Holder(), 0)!
    await Promise.resolve()
    expect(log).toEqual([])
    pool.give(quick)
    await Promise.resolve()
    expect(log).toEqual(['a'])
  })
})

/** Takes a buffer, gives it back and lets the microtask run. */
async function turn(pool: BufferPool): Promise<void> {
  pool.give(pool.take(new Holder(), 0)!)
  await Promise.resolve()
}
