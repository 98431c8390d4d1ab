import { describe, expect, it } from '@jest/globals'
import { conditionOf } from '../../lib/scsi/volume-errors.js'

describe('the sense condition of a volume error', () => {
  it.each([
    ['ENOSPC', 'write', '7/27/7'],
    ['EDQUOT', 'write', '7/27/7'],
    ['EFBIG', 'write', '7/27/7'],
    ['EROFS', 'write', '7/27/0'],
    ['EPERM', 'write', '7/27/0'],
    ['EACCES', 'write', '7/27/0'],
    ['ERR_ISCSI_OUTSIDE_PARTITION', 'write', '7/27/0'],
    ['EIO', 'read', '3/11/0'],
    ['EIO', 'write', '3/c/0'],
    ['EIO', 'none', '4/44/0'],
    ['EBADF', 'read', '4/44/0'],
    ['ETIMEDOUT', 'write', '4/44/0']
  ] as const)('of %s in a command that does %s is %s', (code, access, expected) => {
    const { key, asc, ascq } = conditionOf(Object.assign(new Error(code), { code }), access)
    expect([key, asc, ascq].map((part) => part.toString(16)).join('/')).toBe(expected)
  })

  it.each([[new Error('no code')], ['a text'], [undefined]])('of %s is an internal failure', (error) => {
    expect(conditionOf(error, 'read')).toMatchObject({ key: 4, asc: 0x44, ascq: 0 })
  })
})
