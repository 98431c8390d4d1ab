import { describe, expect, it } from '@jest/globals'
import { checkedKey, ConfigError, Problems } from '../../../lib/target/config/entries.js'
import type { Place } from '../../../lib/target/config/entries.js'

function check(name: string, place: Place): string | undefined {
  const problems = new Problems()
  const key = checkedKey(name, place, 'f:1', problems)
  problems.check()
  return key
}

describe('checkedKey', () => {
  it.each<[string, Place]>([
    ['port', 'file'],
    ['lun', 'file'],
    ['size', 'file'],
    ['lun', 'target'],
    ['size', 'target'],
    ['size', 'unit'],
    ['partition', 'unit']
  ])('lets %s stand in a %s', (name, place) => expect(check(name, place)).toBe(name))

  it.each<[string, Place]>([
    ['partition', 'file'],
    ['partition', 'target'],
    ['port', 'target'],
    ['port', 'unit'],
    ['lun', 'unit'],
    ['toString', 'file'],
    ['__proto__', 'unit'],
    ['', 'file']
  ])('does not let %j stand in a %s', (name, place) => expect(() => check(name, place)).toThrow(ConfigError))

  it('suggests the words that are no settings too', () => {
    expect(() => check('target', 'file')).toThrow('did you mean "targets"?')
    expect(() => check('paht', 'unit')).toThrow('did you mean "path"?')
  })
})

describe('Problems', () => {
  it('throws all sentences in one error, and nothing when there is none', () => {
    const problems = new Problems()
    expect(() => problems.check()).not.toThrow()
    problems.add('a', 'one')
    problems.add('b', 'two')
    expect(() => problems.check()).toThrow(new ConfigError(['a: one', 'b: two']))
  })
})
