import { describe, expect, it } from '@jest/globals'
import { quote } from '../../../lib/iscsi/login/quote.js'

describe('quote', () => {
  it.each([
    ['disk', '"disk"'],
    ['', '""'],
    ['a"b\\c', '"a\\"b\\\\c"'],
    ['line\r\nbreak', '"line\\r\\nbreak"'],
    ['\u001b[31mred', '"\\u001b[31mred"'],
    ['\u009b31mred', '"\\u009b31mred"'],
    ['\u202ereversed', '"\\u202ereversed"'],
    ['B\u00fcro', '"B\\u00fcro"']
  ])('shows %j as %s', (text, shown) => {
    expect(quote(text)).toBe(shown)
  })

  it('cuts a long text', () => {
    expect(quote('a'.repeat(64))).toBe(`"${'a'.repeat(64)}"`)
    expect(quote('a'.repeat(100_000))).toBe(`"${'a'.repeat(64)}\u2026"`)
  })
})
