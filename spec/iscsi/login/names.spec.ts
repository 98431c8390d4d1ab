import assert from 'node:assert/strict'
import { describe, expect, it } from '@jest/globals'
import { normalizeIscsiName } from '../../../lib/iscsi/login/names.js'
import { Random, seedOf, steps } from '../../support/random.js'

const SEED = seedOf(7001)

describe('normalizeIscsiName', () => {
  it.each([
    'iqn.1991-05.com.microsoft:win2003s',
    'iqn.2001-04.com.example:storage.disk2.sys1.xyz',
    'iqn.2001-04.com.example',
    'iqn.2010-04.org.ipxe:00112233-4455-6677-8899-aabbccddeeff',
    'iqn.1993-08.org.debian:01:5c3f1f2d9e3a',
    'iqn.2025-01.org.example:my_pc',
    'eui.02004567a425678d',
    'naa.52004567ba64678d',
    'naa.62004567ba64678d0123456789abcdef'
  ])('takes %s as it is', (name) => {
    expect(normalizeIscsiName(name)).toBe(name)
  })

  it.each([
    ['IQN.1991-05.COM.MICROSOFT:Win2003S', 'iqn.1991-05.com.microsoft:win2003s', 'lower case'],
    ['eui.02004567A425678D', 'eui.02004567a425678d', 'lower case digits'],
    ['iqn.2025-01.org.example:Stra\u00dfe', 'iqn.2025-01.org.example:stra\u00dfe', 'letters of Latin-1'],
    ['iqn.2025-01.org.example:B\u00fcro', 'iqn.2025-01.org.example:b\u00fcro', 'a composed letter'],
    ['iqn.2025-01.org.example:Bu\u0308ro', 'iqn.2025-01.org.example:b\u00fcro', 'a letter and its mark'],
    ['iqn.2025-01.org.example:\uff30\uff23', 'iqn.2025-01.org.example:pc', 'full-width letters'],
    ['iqn.2025-01.org.example:\u2122', 'iqn.2025-01.org.example:tm', 'a sign that NFKC makes capitals of'],
    ['iqn.2025-01.org.example:\ud55c\uad6d', 'iqn.2025-01.org.example:\ud55c\uad6d', 'Hangul syllables'],
    ['iqn.2025-01.org.example:\u1112\u1161\u11ab', 'iqn.2025-01.org.example:\ud55c', 'Hangul in parts']
  ])('makes of %j the name %j: %s', (text, name) => {
    expect(normalizeIscsiName(text)).toBe(name)
  })

  it.each([
    ['', 'nothing'],
    ['win2003s', 'no type'],
    ['iqn.', 'a type and no more'],
    ['iqn.2001-04', 'no naming authority'],
    ['iqn.2001-04.', 'an empty naming authority'],
    ['iqn.2001-04.com..example', 'an empty label'],
    ['iqn.2001-04.com.example:', 'an empty suffix'],
    ['iqn.2001-13.com.example', 'a month 13'],
    ['iqn.2001-00.com.example', 'a month 0'],
    ['iqn.01-04.com.example', 'a year of two digits'],
    ['iqn.2001-04.com.example:a/b', 'a slash'],
    ['iqn.2001-04.com.example:a\\b', 'a backslash'],
    ['iqn.2001-04.com.example:a b', 'a blank'],
    ['iqn.2001-04.com.example:a\0b', 'a NUL'],
    ['iqn.2001-04.com.example:a\nb', 'a line feed'],
    ['iqn.2001-04.com.example:a,b', 'a comma'],
    ['iqn.2001-04.com.example:a"b', 'a quote'],
    ['iqn.2001-04.com.example:%2e', 'a per cent sign'],
    ['iqn.2001-04.com.example:a\u3002b', 'an ideographic full stop'],
    ['iqn.2001-04.com.example:a\u200bb', 'a zero-width space'],
    ['iqn.2001-04.com.example:a\u202eb', 'a change of direction'],
    ['iqn.2001-04.com.example:\u05d0', 'a letter from right to left'],
    ['iqn.2001-04.com.example:\ud800', 'half a surrogate pair'],
    ['iqn.2001-04.com.example:\u2215', 'a division slash'],
    ['iqn.2001-04.com.example:\uff0f', 'a full-width slash, which NFKC makes a slash'],
    ['..', 'the parent folder'],
    ['/etc/passwd', 'a path'],
    ['__proto__', 'a name that objects have'],
    ['constructor', 'another name that objects have'],
    ['eui.02004567a425678', 'an EUI of 15 digits'],
    ['eui.02004567a425678d0', 'an EUI of 17 digits'],
    ['eui.02004567a425678g', 'an EUI with another letter'],
    ['naa.52004567ba64678d0', 'an NAA of 17 digits'],
    ['naa.52004567ba64678d0123456789abcde', 'an NAA of 31 digits'],
    ['t10.example', 'a type that iSCSI does not know']
  ])('refuses %j: %s', (text) => {
    expect(normalizeIscsiName(text)).toBeUndefined()
  })

  it('takes 223 bytes of UTF-8 and refuses 224', () => {
    const prefix = 'iqn.2001-04.com.example:'
    expect(normalizeIscsiName(prefix + 'a'.repeat(223 - prefix.length))).toHaveLength(223)
    expect(normalizeIscsiName(prefix + 'a'.repeat(224 - prefix.length))).toBeUndefined()
    // 66 syllables of three bytes are 222 bytes with the prefix.
    expect(normalizeIscsiName(prefix + '\ud55c'.repeat(66))).toHaveLength(24 + 66)
    expect(normalizeIscsiName(prefix + '\ud55c'.repeat(67))).toBeUndefined()
  })

  it('refuses a very long text at once', () => {
    expect(normalizeIscsiName(`iqn.2001-04.com.example:${'\u0300'.repeat(5_000_000)}`)).toBeUndefined()
  })

  it(`gives a normal form that is its own normal form and safe as a path (seed ${SEED})`, () => {
    const random = new Random(SEED)
    const runs = steps(20_000)
    let named = 0
    for (let run = 0; run < runs; run++) {
      const length = 1 + random.int(6)
      const suffix = Array.from({ length }, () => String.fromCodePoint(randomCodePoint(random))).join('')
      const name = normalizeIscsiName(`iqn.2001-04.com.example:${suffix}`)
      if (name === undefined) continue
      named++
      assert.equal(normalizeIscsiName(name), name)
      // oxlint-disable-next-line no-control-regex
      assert.doesNotMatch(name, /[/\\\s\u0000-\u0020'"`$*?<>|&;%]/)
    }
    expect(named).toBeGreaterThan(runs / 20)
  })
})

/** Half of them ASCII, the rest from everywhere, surrogates included. */
function randomCodePoint(random: Random): number {
  return random.chance(0.5) ? random.int(128) : random.int(random.chance(0.8) ? 0x3000 : 0x110000)
}
