import { describe, expect, it } from '@jest/globals'
import { BackgroundFlusher, type Flushable } from '../../lib/target/background-flusher.js'
import { FakeClock } from '../support/fake-clock.js'

class Disk implements Flushable {
  dirty = true
  failure: Error | undefined
  flushes = 0
  finish: (() => void) | undefined
  private fail: ((error: Error) => void) | undefined

  flush(): Promise<void> {
    this.flushes++
    return new Promise((resolve, reject) => {
      this.finish = resolve
      this.fail = reject
    })
  }

  break(): void {
    this.failure = new Error('no medium')
    this.fail!(this.failure)
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

describe('the background flusher', () => {
  it('flushes what is dirty at each interval, and nothing else', async () => {
    const clock = new FakeClock()
    const flusher = new BackgroundFlusher(clock, 1000)
    const dirty = new Disk()
    const clean = Object.assign(new Disk(), { dirty: false })
    for (const disk of [dirty, clean]) flusher.add(disk, () => undefined)
    clock.advance(999)
    expect(dirty.flushes).toBe(0)
    clock.advance(1)
    expect([dirty.flushes, clean.flushes]).toEqual([1, 0])
    dirty.finish!()
    await turn()
    clock.advance(1000)
    expect([dirty.flushes, clean.flushes]).toEqual([2, 0])
  })

  it('begins none of a disk while one is under way', async () => {
    const clock = new FakeClock()
    const flusher = new BackgroundFlusher(clock, 1000)
    const disk = new Disk()
    flusher.add(disk, () => undefined)
    for (let i = 0; i < 5; i++) clock.advance(1000)
    expect(disk.flushes).toBe(1)
    disk.finish!()
    await turn()
    clock.advance(1000)
    expect(disk.flushes).toBe(2)
  })

  it('tells of a flush that failed, and tries no more', async () => {
    const clock = new FakeClock()
    const flusher = new BackgroundFlusher(clock, 1000)
    const disk = new Disk()
    const heard: unknown[] = []
    flusher.add(disk, (error) => heard.push(error))
    clock.advance(1000)
    disk.break()
    await turn()
    clock.advance(5000)
    expect([disk.flushes, heard]).toEqual([1, [disk.failure]])
  })

  it('is quiet about a disk that was taken away, and without disks has no timer', async () => {
    const clock = new FakeClock()
    const flusher = new BackgroundFlusher(clock, 1000)
    const disk = new Disk()
    const heard: unknown[] = []
    flusher.add(disk, (error) => heard.push(error))
    clock.advance(1000)
    flusher.remove(disk)
    disk.break()
    await turn()
    clock.advance(5000)
    expect([disk.flushes, heard]).toEqual([1, []])
  })

  it('does nothing with an interval of 0', () => {
    const clock = new FakeClock()
    const disk = new Disk()
    new BackgroundFlusher(clock, 0).add(disk, () => undefined)
    clock.advance(100_000)
    expect(disk.flushes).toBe(0)
  })
})
