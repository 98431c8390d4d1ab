import { describe, expect, it } from '@jest/globals'
import { describePush, nextTime, pushOf } from '../../lib/cli/push.js'
import type { PushView } from '../../lib/target/control.js'

/** A Monday; local time, whatever the zone of this computer is. */
const NOW = new Date(2026, 10, 23, 18, 30, 12, 345).getTime()

describe('the time of a push', () => {
  it.each([
    ['19:00', new Date(2026, 10, 23, 19, 0)],
    [' 18:31 ', new Date(2026, 10, 23, 18, 31)],
    ['23:59', new Date(2026, 10, 23, 23, 59)],
    // What is past today means tomorrow, also within this minute.
    ['18:30', new Date(2026, 10, 24, 18, 30)],
    ['7:05', new Date(2026, 10, 24, 7, 5)],
    ['00:00', new Date(2026, 10, 24, 0, 0)]
  ])('%s is the next time that the clocks here show so', (text, expected) => {
    expect(nextTime(text, NOW)).toBe(expected.getTime())
  })

  it('is tomorrow across the end of a month', () => {
    expect(nextTime('08:00', new Date(2026, 11, 31, 12, 0).getTime())).toBe(new Date(2027, 0, 1, 8, 0).getTime())
  })

  it.each(['', '19', '19:60', '24:00', '19:0', '-1:00', '7pm', '19:00:00', '2026-11-23 19:00'])('is not %j', (text) =>
    expect(() => nextTime(text, NOW)).toThrow(/--at: ".*" must be a time of day such as 19:00/)
  )

  it('is now when none is said', () => {
    expect(pushOf({}, NOW)).toEqual({ at: undefined, dropDeltas: false })
    expect(pushOf({ at: '19:00', 'drop-deltas': true }, NOW)).toEqual({
      at: new Date(2026, 10, 23, 19, 0).getTime(),
      dropDeltas: true
    })
    expect(() => pushOf({ at: ['19:00', '20:00'] }, NOW)).toThrow(/was given 2 times/)
  })
})

describe('what is said of a push', () => {
  const view: PushView = {
    state: 'planned',
    at: new Date(2026, 10, 23, 19, 0).getTime(),
    dropDeltas: false,
    done: 0,
    total: 0,
    moved: 0,
    stayed: [],
    message: ''
  }

  it('is when it will be, and how it is taken back', () => {
    expect(describePush(view, NOW)).toEqual([
      'At 19:00 clients on older generations are asked to log in again; those that wrote something stay. ' +
        'Take it back with: cloudx image push --cancel'
    ])
    expect(describePush({ ...view, dropDeltas: true }, NOW)[0]).toMatch(/; what they wrote is dropped\./)
  })

  it('is how far it is, that it was missed, and nothing when there was none', () => {
    const running = { ...view, state: 'running' as const, done: 3, total: 7 }
    expect(describePush(running, NOW)).toEqual(['Clients are being asked to log in again: 3 of 7.'])
    expect(describePush({ ...view, state: 'missed', message: 'the push was missed' }, NOW)).toEqual([
      'the push was missed.'
    ])
    expect(describePush(undefined, NOW)).toEqual([])
  })

  it('is who stays on which generation, and why', () => {
    const stay = {
      initiatorName: 'iqn.2026-01.org.example:pc',
      targetName: 'iqn.2026-01.org.example:disk',
      generation: 3
    }
    const stayed = [{ ...stay, bytes: 4096, reason: 'wrote' as const }]
    const lines = describePush({ ...view, state: 'done', message: '1 client stayed', stayed }, NOW)
    expect(lines[0]).toBe('Push of 19:00: 1 client stayed.')
    expect(lines.at(-1)).toMatch(/^3 +iqn.2026-01.org.example:pc +iqn.2026-01.org.example:disk +4 KiB +it would lose/)
  })
})
