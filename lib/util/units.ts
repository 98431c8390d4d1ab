/**
 * Sizes and durations as people write them. Sizes are powers of 1024 whatever the spelling (`20G` = `20GiB`), as disk
 * images are made with; decimals are allowed as long as the result is a whole number.
 */

const SIZE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
  p: 2 ** 50
}
const DURATION_UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Bytes of `20G`, `512M`, `1.5T`, `4096` or `1024 KiB`; undefined when the text is no size below 2^53. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d{1,16}(?:\.\d{1,9})?) ?(?:([kmgtp])(?:i?b)?|b)?$/i.exec(text.trim())
  return match ? whole(match[1]!, SIZE_UNITS[(match[2] ?? '').toLowerCase()]!) : undefined
}

/** Milliseconds of `96h`, `30m`, `1.5d`, `45s`, `200ms` or `0`; undefined when the text is no duration. */
export function parseDuration(text: string): number | undefined {
  if (/^0+$/.test(text.trim())) return 0
  const match = /^(\d{1,12}(?:\.\d{1,9})?) ?(ms|s|m|h|d)$/i.exec(text.trim())
  return match ? whole(match[1]!, DURATION_UNITS[match[2]!.toLowerCase()]!) : undefined
}

/** `1536` → `1.5 KiB`: at most one decimal, for people. */
export function formatSize(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
  let value = bytes
  let unit = 0
  // 1023.95 would be printed as 1024.0.
  while (value >= 1023.95 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  if (unit === 0) return bytes === 1 ? '1 byte' : `${bytes} bytes`
  return `${trimmed(value)} ${units[unit]}`
}

/** `90000` → `1.5 min`: at most one decimal, for people. */
export function formatDuration(ms: number): string {
  if (ms < 999.5) return `${Math.round(ms)} ms`
  if (ms < 59_950) return `${trimmed(ms / 1000)} s`
  if (ms < 3_597_000) return `${trimmed(ms / 60_000)} min`
  return `${trimmed(ms / 3_600_000)} h`
}

/** `14:05` in local time, with the day in front when that is another one than `now` (both ms since 1970). */
export function formatTime(at: number, now: number): string {
  const [time, today] = [new Date(at), new Date(now)]
  const two = (value: number) => String(value).padStart(2, '0')
  const clock = `${two(time.getHours())}:${two(time.getMinutes())}`
  if (time.toDateString() === today.toDateString()) return clock
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${clock}`
}

function whole(digits: string, unit: number): number | undefined {
  const value = Number(digits) * unit
  return Number.isSafeInteger(value) ? value : undefined
}

function trimmed(value: number): string {
  return value.toFixed(1).replace(/\.0$/, '')
}
