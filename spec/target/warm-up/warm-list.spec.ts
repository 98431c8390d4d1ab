import { describe, expect, it } from '@jest/globals'
import { formatWarmList, parseWarmList } from '../../../lib/target/warm-up/warm-list.js'
import { codeOf } from '../../../lib/util/errors.js'

const SIZE = 100 * 65536
const record = (pieces: unknown, changes = {}) => ({ version: 1, identity: 'x', pieceBytes: 65536, pieces, ...changes })

describe('the list of first reads', () => {
  it('keeps runs of pieces in the order of reading', () => {
    expect(formatWarmList({ identity: 'x', pieces: [4, 5, 6, 0, 99, 1] })).toEqual(record('4+3 0 99 1'))
    expect(parseWarmList('list', record('4+3 0 99 1'), SIZE, 50).pieces).toEqual([4, 5, 6, 0, 99, 1])
  })

  it('may be empty', () => {
    expect(formatWarmList({ identity: 'x', pieces: [] })).toEqual(record(''))
    expect(parseWarmList('list', record(''), SIZE, 50).pieces).toEqual([])
  })

  it('ends where the budget does', () => {
    expect(parseWarmList('list', record('0+100'), SIZE, 3).pieces).toEqual([0, 1, 2])
  })

  it('takes the piece at an end that is no whole one', () => {
    expect(parseWarmList('list', record('0+2'), 65537, 50).pieces).toEqual([0, 1])
  })

  it.each([
    ['a piece behind the end of the disk', record('100')],
    ['a run that leads behind it', record('99+2')],
    ['a run of nothing', record('5+0')],
    ['a negative piece', record('-1')],
    ['two spaces', record('1  2')],
    ['other words', record('all')],
    ['a number beyond all disks', record('9999999999999')],
    ['a run that would take for ever', record('0+9999999')],
    ['no text', record([1, 2])],
    ['other pieces', record('1', { pieceBytes: 4096 })],
    ['another version', record('1', { version: 2 })],
    ['no identity', record('1', { identity: undefined })],
    ['no record', 'list']
  ])('is none with %s', (_what, value) => {
    let error: unknown
    try {
      parseWarmList('list', value, SIZE, 50)
    } catch (reason) {
      error = reason
    }
    expect(codeOf(error)).toBe('ERR_ISCSI_STATE')
  })
})
