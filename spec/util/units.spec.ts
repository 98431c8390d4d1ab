import { describe, expect, it } from '@jest/globals'
import { formatDuration, formatSize, parseDuration, parseSize } from '../../lib/util/units.js'

describe('parseSize', () => {
  it.each([
    ['0', 0],
    ['4096', 4096],
    ['20G', 21474836480],
    ['20g', 21474836480],
    ['20GB', 21474836480],
    ['20GiB', 21474836480],
    ['20 GiB', 21474836480],
    ['512M', 536870912],
    ['1.5K', 1536],
    ['1T', 1099511627776],
    ['7P', 7881299347898368],
    [' 8G ', 8589934592],
    ['100B', 100],
    ['9007199254740991', 9007199254740991]
  ])('reads %j as %d bytes', (text, bytes) => expect(parseSize(text)).toBe(bytes))

  it.each([
    '',
    ' ',
    'G',
    '-1',
    '+1',
    '20Q',
    '20GG',
    '20iB',
    '1e9',
    '0x10',
    '1,5G',
    '1.5',
    '1.',
    '.5G',
    '1 0G',
    '9007199254740992',
    '8P',
    'NaN',
    'Infinity',
    '20G\n20G'
  ])('refuses %j', (text) => expect(parseSize(text)).toBeUndefined())
})

describe('parseDuration', () => {
  it.each([
    ['0', 0],
    ['200ms', 200],
    ['45s', 45000],
    ['30m', 1800000],
    ['1.5h', 5400000],
    ['96h', 345600000],
    ['4d', 345600000],
    ['4 D', 345600000]
  ])('reads %j as %d ms', (text, ms) => expect(parseDuration(text)).toBe(ms))

  it.each(['', '5', '-1h', '1w', '1 hour', 'h', '1h30m', '0.0001s', '1e3s', '999999999999d'])('refuses %j', (text) =>
    expect(parseDuration(text)).toBeUndefined()
  )
})

describe('formatSize', () => {
  it.each([
    [0, '0 bytes'],
    [1, '1 byte'],
    [1023, '1023 bytes'],
    [1024, '1 KiB'],
    [1536, '1.5 KiB'],
    [1048575, '1 MiB'],
    [1048576, '1 MiB'],
    [8589934592, '8 GiB'],
    [1125899906842624, '1 PiB'],
    [1152921504606846976, '1024 PiB']
  ])('writes %d as %j', (bytes, text) => expect(formatSize(bytes)).toBe(text))
})

describe('formatDuration', () => {
  it.each([
    [0, '0 ms'],
    [0.4, '0 ms'],
    [999.4, '999 ms'],
    [999.6, '1 s'],
    [1500, '1.5 s'],
    [59_960, '1 min'],
    [90_000, '1.5 min'],
    [3_598_000, '1 h'],
    [345_600_000, '96 h']
  ])('writes %d ms as %j', (ms, text) => expect(formatDuration(ms)).toBe(text))
})
