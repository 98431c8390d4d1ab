import { describe, expect, it } from '@jest/globals'
import { and, firstSupported, maximum, minimum, or } from '../../../lib/iscsi/login/results.js'

describe('result functions', () => {
  it.each([
    [true, true, true, true],
    [true, false, false, true],
    [false, true, false, true],
    [false, false, false, false]
  ])('of %j and %j: and gives %j, or gives %j', (theirs, ours, both, either) => {
    expect(and(theirs, ours)).toBe(both)
    expect(or(theirs, ours)).toBe(either)
  })

  it('minimum takes the smaller and maximum the larger number', () => {
    expect([minimum(512, 8192), minimum(8192, 512), minimum(0, 0)]).toEqual([512, 512, 0])
    expect([maximum(0, 2), maximum(3600, 2), maximum(2, 2)]).toEqual([2, 3600, 2])
  })

  it.each([
    [['None', 'CRC32C'], ['CRC32C', 'None'], 'None'],
    [['CRC32C', 'None'], ['None', 'CRC32C'], 'CRC32C'],
    [['X-sum', 'CRC32C'], ['None', 'CRC32C'], 'CRC32C'],
    [['X-sum'], ['None', 'CRC32C'], undefined],
    [[], ['None'], undefined],
    [['none'], ['None'], undefined]
  ])('of the list %j, against %j, the first that is supported is %j', (theirs, ours, result) => {
    expect(firstSupported(theirs, ours)).toBe(result)
  })
})
