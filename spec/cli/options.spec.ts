import { describe, expect, it } from '@jest/globals'
import { entriesOf, single, unknownOptions, wholeNumber } from '../../lib/cli/options.js'

describe('entriesOf', () => {
  it('keeps every value as it was typed, with its option and the folder that paths start from', () => {
    expect(entriesOf({ size: '20G', multipath: true, lun: ['a', 'b'] }, ['c'], '/images')).toEqual(
      new Map([
        ['size', [{ text: '20G', where: '--size', directory: '/images' }]],
        ['multipath', [{ text: 'true', where: '--multipath', directory: '/images' }]],
        ['lun', ['a', 'b', 'c'].map((text) => ({ text, where: '--lun', directory: '/images' }))]
      ])
    )
  })

  it('has no entry for what was not given', () => expect(entriesOf({}, [], '/').size).toBe(0))

  it('refuses a second value for what has only one', () => {
    expect(() => entriesOf({ port: ['1', '2'] }, [], '/')).toThrow('--port: was given 2 times')
  })

  it('does not take from the command line what only a unit can have', () => {
    expect(entriesOf({ partition: '2' }, [], '/').size).toBe(0)
  })
})

describe('single', () => {
  it('is the one value, or undefined', () => {
    expect(single({ config: 'a' }, 'config')).toBe('a')
    expect(single({}, 'config')).toBeUndefined()
  })

  it('refuses two', () => expect(() => single({ config: ['a', 'b'] }, 'config')).toThrow('--config: was given 2 times'))
})

describe('wholeNumber', () => {
  const of = (text: string | undefined, range: [number, number]) => wholeNumber({ keep: text }, 'keep', range, 'right')

  it.each<[string, [number, number], number]>([
    ['1', [1, 999], 1],
    ['999', [1, 999], 999],
    ['0', [0, 255], 0],
    ['007', [0, 255], 7]
  ])('reads %s', (text, range, number) => {
    expect(of(text, range)).toBe(number)
    expect(of(undefined, range)).toBeUndefined()
  })

  it.each<[string, [number, number]]>([
    ['0', [1, 999]],
    ['01', [1, 999]],
    ['1000', [1, 999]],
    ['256', [0, 255]],
    ['0007', [0, 255]],
    ['-1', [0, 255]],
    ['1e2', [0, 255]],
    ['1.5', [0, 255]],
    ['', [0, 255]]
  ])('refuses "%s"', (text, range) => {
    expect(() => of(text, range)).toThrow(`--keep: "${text}" must be right`)
  })
})

describe('unknownOptions', () => {
  it('has a sentence for each', () => {
    expect(unknownOptions(['prot', 'x', 'banana'], ['port', 'lun']).problems).toEqual([
      'Unknown option --prot; did you mean --port?',
      'Unknown option -x; --help lists all of them.',
      'Unknown option --banana; --help lists all of them.'
    ])
  })
})
