import { describe, expect, it } from '@jest/globals'
import { table } from '../../lib/cli/table.js'

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
  })

  it('shows control characters instead of sending them to the terminal', () => {
    expect(table(['A'], [['\u0007']])[1]).toBe('\\u0007')
  })
})
