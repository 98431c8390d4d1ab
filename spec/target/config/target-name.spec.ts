import { describe, expect, it } from '@jest/globals'
import { normalizeIscsiName } from '../../../lib/iscsi/login/names.js'
import { defaultTargetName } from '../../../lib/target/config/target-name.js'

const PREFIX = 'iqn.2010-04.local.cloudx:'

describe('defaultTargetName', () => {
  it.each([
    ['/images/share.img', 'share'],
    ['share.img', 'share'],
    ['./sub/../Share.IMG', 'share'],
    ['C:\\images\\Win11 Pro.img', 'win11-pro'],
    ['/images/win11.v2.raw', 'win11.v2'],
    ['/dev/sdb', 'sdb'],
    ['/images/folder/', 'folder'],
    ['a_b (copy).img', 'a-b-copy'],
    ['.img', 'img'],
    ['-.-.img', 'disk-'],
    ['', 'disk-'],
    ['memory:64M', 'memory-64m'],
    ['공유 폴더.img', '공유-폴더'],
    // The same two syllables as one and as five code points, as macOS writes file names.
    ['\u1112\u1161\u11ab\u1100\u1173\u11af.img', '\ud55c\uae00'],
    ['Ｗｉｄｅ.img', 'wide'],
    ['Straße.img', 'straße'],
    ["rm -rf '$HOME'.img", 'rm-rf-home']
  ])('makes of %j a name that ends in %j', (path, end) => {
    const name = defaultTargetName(path)
    expect(name.startsWith(PREFIX + end)).toBe(true)
    if (!end.endsWith('-')) expect(name).toBe(PREFIX + end)
    expect(normalizeIscsiName(name)).toBe(name)
  })

  it('keeps partitions of one image apart', () => {
    expect(defaultTargetName('disk.img', 2)).toBe(`${PREFIX}disk-p2`)
  })

  it('finds a name for letters that cannot stand behind "iqn.", a different one for each', () => {
    const names = ['قرص.img', 'דיסק.img', '🙂.img'].map((path) => defaultTargetName(path))
    expect(new Set(names).size).toBe(3)
    for (const name of names) expect(normalizeIscsiName(name)).toBe(name)
  })

  it('shortens what is too long, by whole letters, and keeps two such names apart', () => {
    const [a, b] = [defaultTargetName(`${'가'.repeat(200)}a.img`, 3), defaultTargetName(`${'가'.repeat(200)}b.img`, 3)]
    expect(a).not.toBe(b)
    for (const name of [a, b]) {
      expect(Buffer.byteLength(name)).toBeLessThanOrEqual(223)
      expect(normalizeIscsiName(name)).toBe(name)
      expect(name.endsWith('-p3')).toBe(true)
    }
  })
})
