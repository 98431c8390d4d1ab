import { describe, expect, it } from '@jest/globals'
import { vpdPages } from '../../../lib/scsi/vpd/index.js'

describe('the list of VPD pages', () => {
  it('is strictly ascending, from 00h on', () => {
    expect(vpdPages.map(({ code }) => code)).toEqual([0x00, 0x80, 0x83, 0x86, 0x87, 0x8f, 0xb0, 0xb1, 0xb2])
  })
})
