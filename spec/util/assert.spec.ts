import { describe, expect, it } from '@jest/globals'
import { assert, AssertionError } from '../../lib/util/assert.js'

describe('assert', () => {
  it.each([true, 1, 'x', {}, []])('lets %j pass', (value) => expect(() => assert(value, 'never')).not.toThrow())

  it.each([false, 0, '', null, undefined, NaN])('throws its own kind of error for %j', (value) => {
    expect(() => assert(value, 'a slot is mapped twice')).toThrow(AssertionError)
    expect(() => assert(value, 'a slot is mapped twice')).toThrow('a slot is mapped twice')
  })
})
