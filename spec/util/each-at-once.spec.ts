import { describe, expect, it } from '@jest/globals'
import { eachAtOnce } from '../../lib/util/each-at-once.js'

/** Work that ends when it is told to. */
class Bench {
  readonly begun: number[] = []
  private readonly ends = new Map<number, (error?: Error) => void>()

  readonly work = (item: number): Promise<void> => {
    this.begun.push(item)
    return new Promise((resolve, reject) => this.ends.set(item, (error) => (error ? reject(error) : resolve())))
  }

  async end(item: number, error?: Error): Promise<void> {
    this.ends.get(item)!(error)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

describe('work for each of many, a few at a time', () => {
  it('begins the next when one has ended', async () => {
    const bench = new Bench()
    const all = eachAtOnce([1, 2, 3, 4], 2, bench.work)
    expect(bench.begun).toEqual([1, 2])
    await bench.end(2)
    expect(bench.begun).toEqual([1, 2, 3])
    await bench.end(1)
    await bench.end(3)
    await bench.end(4)
    await expect(all).resolves.toBeUndefined()
    expect(bench.begun).toEqual([1, 2, 3, 4])
  })

  it('begins nothing behind a failure, and tells it when the others have ended', async () => {
    const bench = new Bench()
    let told: Error | undefined
    const all = eachAtOnce([1, 2, 3], 2, bench.work).catch((error: Error) => (told = error))
    await bench.end(1, new Error('no more'))
    expect([bench.begun, told]).toEqual([[1, 2], undefined])
    await bench.end(2)
    await all
    expect(told).toEqual(new Error('no more'))
  })

  it('has nothing to do for nobody', async () => {
    await expect(eachAtOnce([], 4, () => Promise.reject(new Error('who?')))).resolves.toBeUndefined()
  })
})
