import { describe, expect, it } from '@jest/globals'
import { plain } from '../../lib/util/plain.js'

describe('plain', () => {
  it.each([
    ['colours and line ends', 'a\u001b[2J\n', 'a\\u001b[2J\\u000a'],
    ['the second block of control characters', '\u009b31m', '\\u009b31m'],
    ['line ends of Unicode', '\u2028\u2029', '\\u2028\\u2029']
  ])('shows %s', (_title, text, shown) => expect(plain(text)).toBe(shown))

  it('leaves letters of every script alone', () => expect(plain('자료 €😀')).toBe('자료 €😀'))
})
