import { describe, expect, it } from '@jest/globals'
import { closest, editDistance } from '../../lib/util/closest.js'

describe('editDistance', () => {
  it.each([
    ['', '', 0],
    ['', 'abc', 3],
    ['abc', '', 3],
    ['port', 'port', 0],
    ['prot', 'port', 1],
    ['kitten', 'sitting', 3],
    ['ca', 'abc', 3],
    ['gracee', 'grace', 1]
  ])('from %j to %j is %d', (a, b, distance) => {
    expect(editDistance(a, b)).toBe(distance)
    expect(editDistance(b, a)).toBe(distance)
  })
})

describe('closest', () => {
  it('finds what a typing error came from', () => expect(closest('sizes', ['lun', 'size', 'cache'])).toBe('size'))
  it('takes the nearest of several', () =>
    expect(closest('grace-close', ['grace', 'grace-closed'])).toBe('grace-closed'))
  it('does not look at letter case', () => expect(closest('LUN', ['lun'])).toBe('lun'))
  it('has nothing for a word that is like none', () => expect(closest('banana', ['lun', 'size'])).toBeUndefined())
  it('has nothing among nothing', () => expect(closest('lun', [])).toBeUndefined())
})
