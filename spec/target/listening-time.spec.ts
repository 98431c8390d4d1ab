import { describe, expect, it } from '@jest/globals'
import { ListeningTime } from '../../lib/target/listening-time.js'
import { FakeClock } from '../support/fake-clock.js'

function make(total = 0) {
  const clock = new FakeClock()
  const saved: number[] = []
  return { clock, saved, time: new ListeningTime(clock, total, (value) => saved.push(value)) }
}

describe('ListeningTime', () => {
  it('runs only between start and stop, on top of earlier runs', () => {
    const { clock, time } = make(1000)
    clock.advance(500)
    expect(time.now()).toBe(1000)
    time.start()
    clock.advance(250)
    expect(time.now()).toBe(1250)
    time.stop()
    clock.advance(9999)
    expect(time.now()).toBe(1250)
  })

  it('does not follow the wall clock', () => {
    const { clock, time } = make()
    time.start()
    clock.jump(1_000_000)
    expect(time.now()).toBe(0)
    clock.jump(-5_000_000)
    clock.advance(10)
    expect(time.now()).toBe(10)
  })

  it('calls back at a deadline, once, and not before it listens', () => {
    const { clock, time } = make()
    let calls = 0
    time.setDeadline('a', 1000, () => calls++)
    clock.advance(5000)
    expect(calls).toBe(0)
    time.start()
    clock.advance(999)
    expect(calls).toBe(0)
    clock.advance(1)
    expect(calls).toBe(1)
    clock.advance(100_000)
    expect(calls).toBe(1)
  })

  it('takes a new deadline for the same key in place of the old one, and forgets one that is cleared', () => {
    const { clock, time } = make()
    const seen: string[] = []
    time.start()
    time.setDeadline('a', 1000, () => seen.push('old'))
    time.setDeadline('a', 3000, () => seen.push('new'))
    time.setDeadline('b', 2000, () => seen.push('cleared'))
    time.clearDeadline('b')
    clock.advance(2500)
    expect(seen).toEqual([])
    clock.advance(1000)
    expect(seen).toEqual(['new'])
  })

  it('carries a deadline over a pause', () => {
    const { clock, time } = make()
    let calls = 0
    time.start()
    time.setDeadline('a', 1000, () => calls++)
    clock.advance(600)
    time.stop()
    clock.advance(10_000)
    time.start()
    clock.advance(399)
    expect(calls).toBe(0)
    clock.advance(1)
    expect(calls).toBe(1)
  })

  it('saves the total about once a minute while somebody waits, and has no timer when nobody does', () => {
    const { clock, saved, time } = make()
    time.start()
    clock.advance(600_000)
    expect(saved).toEqual([])
    expect(clock.pendingTimers).toBe(0)
    time.setDeadline('a', 10_000_000, () => undefined)
    clock.advance(300_000)
    expect(saved).toEqual([660_000, 720_000, 780_000, 840_000, 900_000])
  })

  it('lets a callback set the next deadline', () => {
    const { clock, time } = make()
    const seen: number[] = []
    time.start()
    const again = (): void => {
      seen.push(time.now())
      if (seen.length < 3) time.setDeadline('a', time.now() + 100, again)
    }
    time.setDeadline('a', 100, again)
    clock.advance(1000)
    expect(seen).toEqual([100, 200, 300])
  })
})
