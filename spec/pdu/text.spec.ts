import assert from 'node:assert/strict'
import { describe, expect, it } from '@jest/globals'
import { PduError } from '../../lib/pdu/errors.js'
import {
  formatBinary,
  formatText,
  parseBinary,
  parseBoolean,
  parseList,
  parseNumber,
  parseText
} from '../../lib/pdu/text.js'
import { Random, seedOf, steps } from '../support/random.js'

const WINDOWS_LOGIN =
  'InitiatorName=iqn.1991-05.com.microsoft:win2003s\0SessionType=Normal\0' +
  'TargetName=iqn.2001-04.com.example:storage.disk2.sys1.lbd\0AuthMethod=None\0'

describe('RFC 7143 §6.1: parseText', () => {
  it('gives the pairs of a Windows login in their order', () => {
    expect(parse(WINDOWS_LOGIN)).toEqual([
      ['InitiatorName', 'iqn.1991-05.com.microsoft:win2003s'],
      ['SessionType', 'Normal'],
      ['TargetName', 'iqn.2001-04.com.example:storage.disk2.sys1.lbd'],
      ['AuthMethod', 'None']
    ])
  })

  it.each([
    ['no text', '', []],
    ['an empty value', 'SendTargets=\0', [['SendTargets', '']]],
    ['an equals sign within the value', 'CHAP_C=0bAA==\0', [['CHAP_C', '0bAA==']]],
    ['UTF-8', 'TargetAlias=Größe €\0', [['TargetAlias', 'Größe €']]],
    ['a vendor key', 'X-com.example.foo=1\0', [['X-com.example.foo', '1']]],
    ['a registered extension', 'X#NodeArchitecture=x\0', [['X#NodeArchitecture', 'x']]],
    ['a key that is no standard label', 'lower/case=1\0', [['lower/case', '1']]],
    ['a key that objects know', '__proto__=1\0', [['__proto__', '1']]],
    ['keys that differ in case alone', 'A=1\0a=2\0', [['A', '1'], ['a', '2']]], // prettier-ignore
    ['one NUL of counted padding', 'A=1\0\0', [['A', '1']]],
    ['three NULs of counted padding', 'A=1\0\0\0\0', [['A', '1']]],
    ['a key of 63 bytes', `${'K'.repeat(63)}=1\0`, [['K'.repeat(63), '1']]],
    ['a value of 8192 bytes', `A=${'v'.repeat(8192)}\0`, [['A', 'v'.repeat(8192)]]]
  ])('takes %s', (_title, text, pairs) => {
    expect(parse(text)).toEqual(pairs)
  })

  it.each([
    ['a last pair without its NUL', 'A=1\0B=2'],
    ['a pair without an equals sign', 'A=1\0B\0'],
    ['nothing but text', 'hello'],
    ['nothing but a NUL', '\0'],
    ['nothing but NULs', '\0\0\0'],
    ['an empty pair between others', 'A=1\0\0B=2\0'],
    ['an empty pair at the beginning', '\0A=1\0'],
    ['four NULs behind the last pair', 'A=1\0\0\0\0\0'],
    ['an empty key', '=1\0'],
    ['a key of 64 bytes', `${'K'.repeat(64)}=1\0`],
    ['a very long key', `${'K'.repeat(60000)}=1\0`],
    ['a key with a space', 'A B=1\0'],
    ['a key with a control character', 'A\x1b=1\0'],
    ['a key with DEL', 'A\x7f=1\0'],
    ['a key with a letter beyond ASCII', 'Ä=1\0'],
    ['a key with byte FFh', Buffer.from('41ff3d3100', 'hex')],
    ['a value that is not UTF-8', Buffer.from('413dff00', 'hex')],
    ['a value with a cut character', Buffer.from('413de28200', 'hex')],
    ['a value with a surrogate', Buffer.from('413deda08000', 'hex')],
    ['a value of 8193 bytes', `A=${'v'.repeat(8193)}\0`],
    ['the same key twice', 'A=1\0B=2\0A=1\0'],
    ['10000 keys', Array.from({ length: 10000 }, (_, i) => `K${i}=1\0`).join('')]
  ])('refuses %s', (_title, text) => {
    expect(() => parse(text)).toThrow(PduError)
    expect(() => parse(text)).toThrow(expect.objectContaining({ code: 'ERR_ISCSI_TEXT', reason: 0x04 }))
  })

  it('does not look beyond its end for a NUL or an equals sign', () => {
    const buffer = Buffer.from('zzA=1\0B=2\0')
    expect(parseText(buffer, 2, 6)).toEqual([['A', '1']])
    expect(() => parseText(buffer, 2, 5)).toThrow('no NUL')
    expect(() => parseText(Buffer.from('A\0=1\0'), 0, 2)).toThrow('no equals sign')
  })

  it('obeys the limits it is given', () => {
    const limits = { valueLengthMax: 3, pairsMax: 2, repeats: true }
    const within = Buffer.from('A=123\0A=456\0')
    expect(parseText(within, 0, within.length, limits)).toEqual([
      ['A', '123'],
      ['A', '456']
    ])
    for (const text of ['A=1234\0', 'A=1\0B=2\0C=3\0']) {
      const beyond = Buffer.from(text)
      expect(() => parseText(beyond, 0, beyond.length, limits)).toThrow(PduError)
    }
  })

  it('never quotes more of a peer’s key than 63 bytes in its error', () => {
    const text = `${'K'.repeat(63)}=${'v'.repeat(9000)}\0`
    expect(() => parse(text)).toThrow(/^.{1,160}$/)
  })

  const seed = seedOf(61)
  it(`gives pairs or a PduError for random and for damaged text, seed ${seed}`, () => {
    const random = new Random(seed)
    const whole = Buffer.from(WINDOWS_LOGIN)
    for (let round = 0; round < steps(3000); round++) {
      const text = random.chance(0.3) ? random.bytes(Buffer.alloc(random.int(200))) : Buffer.from(whole)
      for (let damage = random.int(4); damage > 0 && text.length > 0; damage--) {
        text[random.int(text.length)] = random.pick([0x00, 0x3d, 0xff, 0x41, random.int(256)])
      }
      const start = random.int(text.length + 1)
      const pairs = attempt(text, start, start + random.int(text.length - start + 1))
      for (const [key, value] of pairs) assert(!key.includes('=') && !`${key}${value}`.includes('\0'))
    }
  })
})

describe('formatText', () => {
  it('puts a NUL behind every pair', () => {
    const pairs = [
      ['TargetAlias', 'Größe'],
      ['AuthMethod', 'None'],
      ['SendTargets', '']
    ] as const
    expect(formatText(pairs)).toEqual(Buffer.from('TargetAlias=Größe\0AuthMethod=None\0SendTargets=\0'))
    expect(formatText([])).toHaveLength(0)
  })

  it.each([
    ['', '1'],
    ['A=', '1'],
    ['A B', '1'],
    ['K'.repeat(64), '1'],
    ['A', '1\0B=2']
  ])(
    // prettier-ignore
    'asserts that %j=%j is a pair',
    (key, value) => {
      expect(() => formatText([[key, value]])).toThrow()
    }
  )
})

describe('RFC 7143 §6.1: numbers', () => {
  it.each([
    ['0', 0],
    ['1', 1],
    ['262144', 262144],
    ['16777215', 16777215],
    ['4294967296', 4294967296],
    ['9007199254740991', 9007199254740991],
    ['0x0', 0],
    ['0xff', 255],
    ['0XFF', 255],
    ['0x0000000000000000000000001', 1],
    ['0x1fffffffffffff', 9007199254740991]
  ])('reads %s', (text, number) => {
    expect(parseNumber(text)).toBe(number)
  })

  it.each(
    [
      '',
      ' ',
      '-1',
      '+1',
      ' 1',
      '1 ',
      '1\n',
      '01',
      '00',
      '1e9',
      '1.0',
      '1_000',
      '0x',
      '0xG',
      '0x1 ',
      '-0x1',
      'x1',
      '0b1'
    ]
      .concat(['0b', 'NaN', 'Infinity', '١', '９', '9007199254740992', '0x20000000000000', '18446744073709551615'])
      .concat(['9'.repeat(10000), `0x${'f'.repeat(10000)}`, 'Yes', '1,2', '1~2'])
  )('does not read %j', (text) => {
    expect(parseNumber(text)).toBeUndefined()
  })
})

describe('RFC 7143 §6.1: binary values', () => {
  it.each([
    ['0x00', '00'],
    ['0x1', '01'],
    ['0xabc', '0abc'],
    ['0XDeadBeef', 'deadbeef'],
    ['0bAA==', '00'],
    ['0bAAE=', '0001'],
    ['0bAAEC', '000102'],
    ['0B+/+/', 'fbffbf'],
    [`0x${'5a'.repeat(16)}`, '5a'.repeat(16)]
  ])('reads %s', (text, hex) => {
    expect(parseBinary(text, 16)?.toString('hex')).toBe(hex)
  })

  it.each(
    ['', '0', '0x', '0b', '1234', 'abcd', '0xg0', '0x 00', '0x00 ', '0x00\n', '0bA', '0bAA', '0bAAA', '0bAA=', '0b=']
      .concat(['0bAAEC=', '0bAA==AA==', '0bA===', '0bAA-_', '0bAB==', '0bAAF=', '0b\u00e4AAA', '0d00'])
      .concat([`0x${'5a'.repeat(17)}`, `0x0${'5a'.repeat(16)}`, `0x${'0'.repeat(1000000)}`])
      .concat([`0b${'A'.repeat(1000000)}`, '0bAAAAAAAAAAAAAAAAAAAAAAA='])
  )('does not read %.40j', (text) => {
    expect(parseBinary(text, 16)).toBeUndefined()
  })

  it('reads nothing longer than its limit, in either encoding', () => {
    expect(parseBinary('0x0001', 2)?.length).toBe(2)
    expect(parseBinary('0x000102', 2)).toBeUndefined()
    expect(parseBinary('0bAAE=', 2)?.length).toBe(2)
    expect(parseBinary('0bAAEC', 2)).toBeUndefined()
    expect(parseBinary('0bAA==', 1)?.length).toBe(1)
  })

  it('are written in hexadecimal', () => {
    expect(formatBinary(Buffer.from([0x00, 0xab, 0x0c]))).toBe('0x00ab0c')
  })
})

describe('RFC 7143 §6.1: booleans and lists', () => {
  it.each([
    ['Yes', true],
    ['No', false],
    ['yes', undefined],
    ['NO', undefined],
    ['', undefined],
    ['Maybe', undefined],
    ['Yes,No', undefined],
    ['constructor', undefined]
  ])('%j is %j', (text, value) => {
    expect(parseBoolean(text)).toBe(value)
  })

  it.each([
    ['None', ['None']],
    ['CRC32C,None', ['CRC32C', 'None']],
    ['', undefined],
    [',', undefined],
    ['None,', undefined],
    [',None', undefined],
    ['a,,b', undefined]
  ])('%j is the list %j', (text, values) => {
    expect(parseList(text)).toEqual(values)
  })
})

function parse(text: string | Buffer) {
  const buffer = Buffer.from(text as string)
  return parseText(buffer, 0, buffer.length)
}

function attempt(text: Buffer, start: number, end: number) {
  try {
    return parseText(text, start, end)
  } catch (error) {
    expect(error).toBeInstanceOf(PduError)
    return []
  }
}
