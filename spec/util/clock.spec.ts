import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals'
import { systemClock } from '../../lib/util/clock.js'

describe('systemClock', () => {
  beforeEach(() => void jest.useFakeTimers({ now: 1_000_000 }))
  afterEach(() => void jest.useRealTimers())

  it('tells the wall clock and a clock that goes on with it', () => {
    const before = systemClock.monotonic()
    expect(systemClock.now()).toBe(1_000_000)
    jest.advanceTimersByTime(500)
    expect(systemClock.now()).toBe(1_000_500)
    expect(systemClock.monotonic() - before).toBe(500)
  })

  it('calls back once, after the delay', () => {
    const callback = jest.fn()
    systemClock.setTimer(100, callback)
    jest.advanceTimersByTime(99)
    expect(callback).not.toHaveBeenCalled()
    jest.advanceTimersByTime(1000)
    expect(callback).toHaveBeenCalledTimes(1)
  })

  it('does not call back after cancel', () => {
    const callback = jest.fn()
    systemClock.setTimer(100, callback).cancel()
    jest.advanceTimersByTime(1000)
    expect(callback).not.toHaveBeenCalled()
  })

  it('does not call at once for a delay longer than a timer can hold', () => {
    const callback = jest.fn()
    const timer = systemClock.setTimer(2 ** 40, callback)
    jest.advanceTimersByTime(2 ** 31 - 2)
    expect(callback).not.toHaveBeenCalled()
    timer.cancel()
  })
})
