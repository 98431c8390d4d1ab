import { execFileSync } from 'node:child_process'
import { describe, expect, it } from '@jest/globals'
import { quoted } from '../../lib/util/quoted.js'

describe('quoted', () => {
  it.each(['/srv/share.img', '/srv/수업용 PC.img', "/srv/Kim's $HOME`x`.img", '/srv/a\\b.img', ''])(
    'makes one word of a POSIX shell of "%s"',
    (path) => {
      expect(execFileSync('/bin/sh', ['-c', `printf %s ${quoted(path, 'linux')}`], { encoding: 'utf8' })).toBe(path)
    }
  )

  it.each([
    ['D:\\share.img', 'D:\\share.img'],
    ['D:\\my share.img', '"D:\\my share.img"'],
    ['D:\\수업.img', 'D:\\수업.img']
  ])('of %s is %s on Windows', (path, word) => {
    expect(quoted(path, 'win32')).toBe(word)
  })
})
