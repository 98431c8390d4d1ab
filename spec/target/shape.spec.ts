import { describe, expect, it } from '@jest/globals'
import { TargetError } from '../../lib/target/errors.js'
import { Fields } from '../../lib/target/shape.js'

const fields = new Fields('a.json', { s: 'x', n: 3, b: false, l: ['a'], r: [{ n: 1 }, { n: 2 }], nothing: null })

describe('Fields', () => {
  it('reads what has the right type', () => {
    expect(fields.string('s')).toBe('x')
    expect(fields.count('n')).toBe(3)
    expect(fields.boolean('b')).toBe(false)
    expect(fields.strings('l')).toEqual(['a'])
    expect(fields.records('r', (record) => record.count('n'))).toEqual([1, 2])
    expect(fields.optionalString('nothing')).toBeUndefined()
    expect(fields.optionalCount('none')).toBeUndefined()
  })

  it.each([
    ['n as a string', () => fields.string('n')],
    ['s as a number', () => fields.count('s')],
    ['a fraction', () => new Fields('a.json', { n: 1.5 }).count('n')],
    ['a number beyond 2^53', () => new Fields('a.json', { n: 2 ** 53 }).count('n')],
    ['s as a list', () => fields.strings('s')],
    ['numbers as strings', () => new Fields('a.json', { l: [1] }).strings('l')],
    ['strings as records', () => fields.records('l', () => 0)],
    ['what is missing', () => fields.string('none')],
    ['an inherited name', () => fields.string('toString')]
  ])('names file and field for %s', (_what, read) => {
    expect(read).toThrow(TargetError)
    expect(read).toThrow(/^a\.json/)
  })
})
