import { describe, expect, it } from '@jest/globals'
import { displayWidth, plain, table } from '../../lib/cli/table.js'

describe('table', () => {
  it('makes each column as wide as its widest cell, and leaves no blanks at the end', () => {
    expect(
      table(
        ['A', 'LONG'],
        [
          ['abc', ''],
          ['', 'x']
        ]
      )
    ).toEqual(['A    LONG', 'abc', '     x'])
  })

  it('gives a Hangul syllable two columns, so that what follows stands in line', () => {
    expect(
      table(
        ['N', 'X'],
        [
          ['공유', '1'],
          ['abcd', '2']
        ]
      )
    ).toEqual(['N     X', '공유  1', 'abcd  2'])
    expect(displayWidth('가a')).toBe(3)
    // The same syllable, decomposed: the vowel stands in the columns of the consonant.
    expect(displayWidth('e\u0301')).toBe(1)
  })

  it('shows control characters instead of sending them to the terminal', () => {
    expect(plain('a\u001b[2J\n')).toBe('a\\u001b[2J\\u000a')
    expect(table(['A'], [['\u0007']])[1]).toBe('\\u0007')
  })
})
