import { describe, expect, it } from '@jest/globals'
import { labelProblem, nameHash, nameKey, nameProblem, normalizeName } from '../../lib/filesystem/file-name.js'

describe('a name', () => {
  it.each(['a', '.hidden', 'a b', 'x'.repeat(255), '읽어주세요.txt', '😀', 'a,b;c=d[e]', '~$a.docx', 'CON'])(
    'may be %s',
    (name) => {
      expect(nameProblem(name)).toBeUndefined()
    }
  )

  it.each([
    ['', /empty/],
    ['.', /reserved/],
    ['..', /reserved/],
    ['x'.repeat(256), /256 UTF-16 units/],
    ['😀'.repeat(128), /256 UTF-16 units/],
    ['a:b', /the character :/],
    ['what?', /the character \?/],
    ['a"b', /the character "/],
    ['a*', /the character \*/],
    ['a<b', /the character </],
    ['a>b', /the character >/],
    ['a|b', /the character \|/],
    ['a\\b', /the character \\/],
    ['a/b', /the character \//],
    ['a\nb', /the control character 10/],
    ['a\0', /the control character 0/],
    ['a.', /ends in a dot or a space/],
    ['a ', /ends in a dot or a space/]
  ])('may not be %j', (name, reason) => {
    expect(nameProblem(name)).toMatch(reason)
  })

  it('is composed, whatever macOS made of it', () => {
    expect(normalizeName('\u1112\u1161\u11ab\u1100\u1173\u11af')).toBe('한글')
    expect(normalizeName('e\u0301')).toBe('é')
  })

  it('is the same as another where only the case differs', () => {
    expect(nameKey('Straße.TXT')).toBe(nameKey('STRAßE.txt'))
    expect(nameKey('a')).not.toBe(nameKey('b'))
  })

  // By hand: A is 41h 00h; 41h rotated right in 16 bits is 8020h.
  it('is hashed in upper case', () => {
    expect(nameHash('a')).toBe(0x8020)
    expect(nameHash('A')).toBe(0x8020)
  })
})

describe('a label', () => {
  it.each(['CLOUD-X', '공유 폴더', 'x'.repeat(11)])('may be %s', (label) => {
    expect(labelProblem(label)).toBeUndefined()
  })

  it.each([
    ['', /empty/],
    ['x'.repeat(12), /12 characters/],
    ['a/b', /the character \//],
    ['a\tb', /control character 9/]
  ])('may not be %j', (label, reason) => {
    expect(labelProblem(label)).toMatch(reason)
  })
})
