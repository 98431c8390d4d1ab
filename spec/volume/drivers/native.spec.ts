import { describe, expect, it } from '@jest/globals'
import { nativeExtensions } from '../../../lib/volume/drivers/native.js'

describe('the optional native module', () => {
  it('is looked for once', () => {
    expect(nativeExtensions()).toBe(nativeExtensions())
  })

  it('has what Cloud-x uses of it, where it is installed', () => {
    const found = nativeExtensions()
    const uses = ['tryLock', 'unlock', 'trim', 'sparse'] as const
    expect(uses.map((name) => typeof found?.[name])).toEqual(uses.map(() => (found ? 'function' : 'undefined')))
  })
})
