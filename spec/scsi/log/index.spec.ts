import { describe, expect, it } from '@jest/globals'
import { logPages } from '../../../lib/scsi/log/index.js'

describe('the list of log pages', () => {
  it('is in ascending order of page and subpage', () => {
    expect(logPages.map(({ code, subpage }) => code * 256 + subpage)).toEqual([0x0000, 0x00ff, 0x0c00])
  })
})
