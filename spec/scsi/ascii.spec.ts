import { describe, expect, it } from '@jest/globals'
import { ascii } from '../../lib/scsi/ascii.js'

describe('an ASCII field', () => {
  it.each([
    ['', 4, '    '],
    ['AB', 4, 'AB  '],
    ['ABCD', 4, 'ABCD'],
    ['ABCDE', 4, 'ABCD']
  ])('holds "%s" in %d bytes as "%s"', (text, length, expected) => {
    expect(ascii(text, length).toString('latin1')).toBe(expected)
  })
})
