import { beforeEach, describe, expect, it } from '@jest/globals'
import { WallClockWatch } from '../../lib/target/wall-clock-watch.js'
import { FakeClock } from '../support/fake-clock.js'
import { LogRecorder } from '../support/log-recorder.js'

const NOON = Date.UTC(2026, 0, 5, 12)
const HOUR = 3_600_000

let clock: FakeClock
let log: LogRecorder
beforeEach(() => {
  clock = new FakeClock(NOON)
  log = new LogRecorder()
})

function watch(latest: number): WallClockWatch {
  const watch = new WallClockWatch(clock, latest, log)
  watch.start()
  return watch
}

describe('WallClockWatch', () => {
  it.each([
    ['never seen a server', 0],
    ['stopped an hour ago', NOON - HOUR],
    ['stopped two minutes from now, which a time server may have mended', NOON + 120_000]
  ])('has nothing to say where the state directory has %s', (_title, latest) => {
    watch(latest)
    clock.advance(HOUR)
    expect(log.lines).toEqual([])
  })

  it('says at the start that the clock was set back, by how much, that nothing is lost and what to do', () => {
    watch(NOON + 26 * HOUR)
    expect(log.lines).toEqual([
      'warn: the clock of this PC was set back by 26 h: it says 2026-01-05 12:00 UTC, and a server has run here at ' +
        '2026-01-06 14:00 UTC; nothing is lost, since deltas are kept for hours of service and not by the clock, but ' +
        'times in lists and logs are wrong until it is right: "cloudx doctor" names the command for that'
    ])
  })

  it('says it once', () => {
    watch(NOON + HOUR)
    clock.advance(HOUR)
    expect(log.lines).toHaveLength(1)
  })

  it('sees within a minute that the clock was set back while the server runs', () => {
    watch(NOON)
    clock.advance(10 * HOUR)
    clock.jump(-3 * HOUR)
    clock.advance(60_000)
    expect(log.lines).toHaveLength(1)
    expect(log.lines[0]).toMatch(/set back by 3 h: it says 2026-01-05 19:01 UTC, .* 2026-01-05 22:01 UTC/)
  })

  it('takes a clock that jumps on for a PC that slept', () => {
    watch(NOON)
    clock.jump(10 * HOUR)
    clock.advance(HOUR)
    expect(log.lines).toEqual([])
  })

  it('leaves no timer behind', () => {
    const ended = watch(NOON)
    clock.advance(HOUR)
    ended.stop()
    expect(clock.pendingTimers).toBe(0)
  })
})
