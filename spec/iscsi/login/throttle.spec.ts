import { describe, expect, it } from '@jest/globals'
import { LoginThrottle } from '../../../lib/iscsi/login/throttle.js'
import type { Clock } from '../../../lib/util/clock.js'

class HandClock implements Clock {
  private milliseconds = 5_000

  now(): number {
    return this.milliseconds
  }

  monotonic(): number {
    return this.milliseconds
  }

  setTimer(): never {
    throw new Error('a throttle has no timer')
  }

  turn(milliseconds: number): void {
    this.milliseconds += milliseconds
  }
}

function fail(throttle: LoginThrottle, address: string, times: number): void {
  for (let i = 0; i < times; i++) throttle.fail(address)
}

describe('LoginThrottle', () => {
  it('allows an address that never failed, however often it asks', () => {
    const throttle = new LoginThrottle(new HandClock(), 10)
    for (let i = 0; i < 1000; i++) expect(throttle.allows('192.0.2.1')).toBe(true)
    expect(throttle.size).toBe(0)
  })

  it('allows ten failures at once and refuses from then on', () => {
    const throttle = new LoginThrottle(new HandClock(), 10)
    for (let i = 0; i < 10; i++) {
      expect(throttle.allows('192.0.2.1')).toBe(true)
      throttle.fail('192.0.2.1')
    }
    expect(throttle.allows('192.0.2.1')).toBe(false)
  })

  it('does not make others pay', () => {
    const throttle = new LoginThrottle(new HandClock(), 10)
    fail(throttle, '192.0.2.1', 100)
    expect(throttle.allows('192.0.2.2')).toBe(true)
  })

  it('forgives one failure in a tenth of a second, and all of them in one second', () => {
    const clock = new HandClock()
    const throttle = new LoginThrottle(clock, 10)
    fail(throttle, '192.0.2.1', 1000)
    clock.turn(99)
    expect(throttle.allows('192.0.2.1')).toBe(false)
    clock.turn(1)
    expect(throttle.allows('192.0.2.1')).toBe(true)
    throttle.fail('192.0.2.1')
    expect(throttle.allows('192.0.2.1')).toBe(false)
    clock.turn(1000)
    expect(throttle.allows('192.0.2.1')).toBe(true)
    expect(throttle.size).toBe(0)
  })

  it('lets through ten guesses a second in the long run', () => {
    const clock = new HandClock()
    const throttle = new LoginThrottle(clock, 10)
    let guesses = 0
    for (let i = 0; i < 10_000; i++) {
      if (throttle.allows('192.0.2.1')) {
        throttle.fail('192.0.2.1')
        guesses++
      }
      clock.turn(10)
    }
    // Ten at once, then 100 seconds of ten.
    expect(guesses).toBeGreaterThanOrEqual(1000)
    expect(guesses).toBeLessThanOrEqual(1011)
  })

  it('remembers 1024 addresses and forgets the one that failed longest ago', () => {
    const throttle = new LoginThrottle(new HandClock(), 10)
    fail(throttle, 'first', 10)
    fail(throttle, 'second', 10)
    for (let i = 0; i < 1022; i++) throttle.fail(`address ${i}`)
    throttle.fail('first')
    throttle.fail('one more')
    expect(throttle.size).toBe(1024)
    expect(throttle.allows('first')).toBe(false)
    expect(throttle.allows('second')).toBe(true)
  })
})
