import { describe, expect, it } from '@jest/globals'
import { upcase, upcaseTable } from '../../lib/filesystem/upcase-table.js'

describe('the up-case table', () => {
  it('is the recommended one: length and checksum are those of the specification', () => {
    const { bytes, checksum } = upcaseTable()
    expect(bytes.length).toBe(5836)
    expect(checksum).toBe(0xe619d30d)
    // §7.2.5.1 begins with 0000h to 0007h.
    expect(bytes.subarray(0, 16).toString('hex')).toBe('00000100020003000400050006000700')
  })

  it.each([
    ['README.txt', 'README.TXT'],
    ['straße', 'STRAßE'],
    ['éÿ', 'ÉŸ'],
    ['ǆ', 'Ǆ'],
    ['읽어주세요', '읽어주세요'],
    ['ａｂ', 'ＡＢ'],
    ['жёӂ', 'ЖЁӁ'],
    ['😀', '😀'],
    // Younger than the table.
    ['ꙁ', 'ꙁ']
  ])('takes %s for %s', (name, expected) => {
    expect(upcase(name)).toBe(expected)
  })
})
