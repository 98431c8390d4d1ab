/**
 * Time stamps of exFAT, §7.4.8 to §7.4.10: local time in steps of two seconds, hundredths up to two seconds more, and
 * how far that clock is from UTC. Windows and Linux reckon with the distance; old readers show the local time of
 * whoever made the volume.
 */
export interface Timestamp {
  /** The 32-bit field: date in the upper half, time in the lower. */
  readonly doubleSeconds: number
  /** 10msIncrement, 0 to 199. */
  readonly hundredths: number
  /** UtcOffset: bit 7 says that the rest is valid, a signed number of quarters of an hour. */
  readonly utcOffset: number
}

const MINUTE_MS = 60_000
const QUARTER_MINUTES = 15
const OFFSET_VALID = 0x80
const FIRST_MS = Date.UTC(1980, 0, 1)
const LAST_MS = Date.UTC(2107, 11, 31, 23, 59, 59, 990)

/**
 * A moment outside of 1980 to 2107 becomes the nearest one that there is.
 * @param ms - milliseconds since 1970 UTC
 * @param offsetMinutes - local time less UTC; one that is no quarter of an hour counts as UTC
 */
export function timestamp(ms: number, offsetMinutes = localOffsetMinutes(ms)): Timestamp {
  const offset = offsetMinutes % QUARTER_MINUTES === 0 ? offsetMinutes : 0
  const local = new Date(Math.min(Math.max(ms + offset * MINUTE_MS, FIRST_MS), LAST_MS))
  const date = ((local.getUTCFullYear() - 1980) << 9) | ((local.getUTCMonth() + 1) << 5) | local.getUTCDate()
  const time = (local.getUTCHours() << 11) | (local.getUTCMinutes() << 5) | (local.getUTCSeconds() >> 1)
  const hundredths = (local.getUTCSeconds() % 2) * 100 + Math.floor(local.getUTCMilliseconds() / 10)
  const utcOffset = OFFSET_VALID | ((offset / QUARTER_MINUTES) & 0x7f)
  return { doubleSeconds: ((date << 16) | time) >>> 0, hundredths, utcOffset }
}

/** As this PC's clock was set at that moment. */
function localOffsetMinutes(ms: number): number {
  const minutes = new Date(ms).getTimezoneOffset()
  return Number.isNaN(minutes) ? 0 : -minutes
}
