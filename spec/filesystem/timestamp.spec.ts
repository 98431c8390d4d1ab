import { describe, expect, it } from '@jest/globals'
import { timestamp } from '../../lib/filesystem/timestamp.js'

/** Counted by hand from exFAT §7.4.8: year - 1980 in 7 bits, month in 4, day in 5; hours 5, minutes 6, seconds / 2. */
function field(year: number, month: number, day: number, hour: number, minute: number, second: number): number {
  return (
    (year - 1980) * 2 ** 25 +
    month * 2 ** 21 +
    day * 2 ** 16 +
    hour * 2 ** 11 +
    minute * 2 ** 5 +
    Math.floor(second / 2)
  )
}

describe('a time stamp', () => {
  it('has the fields of the specification', () => {
    expect(field(2026, 1, 2, 3, 4, 5)).toBe(0x5c221882)
    const ms = Date.UTC(2026, 0, 2, 3, 4, 5, 678)
    expect(timestamp(ms, 0)).toEqual({ doubleSeconds: 0x5c221882, hundredths: 167, utcOffset: 0x80 })
  })

  it.each([
    ['Korea', 540, field(2026, 1, 2, 12, 4, 5), 0xa4],
    ['New York in winter', -300, field(2026, 1, 1, 22, 4, 5), 0xec],
    ['Nepal, at a quarter', 345, field(2026, 1, 2, 8, 49, 5), 0x97],
    ['a zone of old with odd minutes, in UTC', 508, field(2026, 1, 2, 3, 4, 5), 0x80]
  ])('is local time with its distance from UTC: %s', (_place, offset, doubleSeconds, utcOffset) => {
    const ms = Date.UTC(2026, 0, 2, 3, 4, 5)
    expect(timestamp(ms, offset)).toEqual({ doubleSeconds, hundredths: 100, utcOffset })
  })

  it.each([
    ['before 1980', Date.UTC(1970, 0, 1), field(1980, 1, 1, 0, 0, 0), 0],
    ['after 2107', Date.UTC(2300, 0, 1), field(2107, 12, 31, 23, 59, 59), 199]
  ])('%s becomes the nearest that there is', (_when, ms, doubleSeconds, hundredths) => {
    expect(timestamp(ms, 0)).toEqual({ doubleSeconds, hundredths, utcOffset: 0x80 })
  })

  it("uses this PC's clock when no distance is given", () => {
    const ms = Date.UTC(2026, 6, 1)
    expect(timestamp(ms)).toEqual(timestamp(ms, -new Date(ms).getTimezoneOffset()))
  })
})
