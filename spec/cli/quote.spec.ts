import { execFileSync } from 'node:child_process'
import { describe, expect, it } from '@jest/globals'
import { powerShellText, powerShellWord, shellWord, wordFor } from '../../lib/cli/quote.js'

const NASTY = [
  'a',
  'a b',
  "it's",
  '"',
  '$HOME',
  '`x`',
  '공유 폴더.img',
  '*',
  '-x',
  '',
  '~',
  'a\\b',
  '!',
  ';',
  '%PATH%',
  '#',
  '('
]

describe('shellWord', () => {
  it('gives a shell back exactly what it was given', () => {
    const script = `printf '%s\\0' ${NASTY.map(shellWord).join(' ')}`
    expect(execFileSync('sh', ['-c', script]).toString().split('\0').slice(0, -1)).toEqual(NASTY)
  })
  it('leaves harmless words as they are', () => expect(shellWord('./share-1.img')).toBe('./share-1.img'))
})

describe('powerShellWord', () => {
  // about_Quoting_Rules: in single quotes all is literal, a quote is doubled, and U+2018 to U+201B are quotes too.
  it.each([
    ['share.img', 'share.img'],
    ['C:\\disks\\share.img', 'C:\\disks\\share.img'],
    ['C:\\My disks\\a.img', "'C:\\My disks\\a.img'"],
    ["it's", "'it''s'"],
    ['it’s', "'it’’s'"],
    ['$env:X', "'$env:X'"],
    ['a,b', "'a,b'"],
    ['--lun', "'--lun'"],
    ['@x', "'@x'"],
    ['', "''"]
  ])('writes %s as %s', (text, word) => expect(powerShellWord(text)).toBe(word))
  it('can be made to quote always', () => expect(powerShellText('a')).toBe("'a'"))
})

describe('wordFor', () => {
  it('quotes for the shell of the platform', () => {
    expect([wordFor('win32')("it's"), wordFor('linux')("it's")]).toEqual(["'it''s'", "'it'\\''s'"])
  })
})
