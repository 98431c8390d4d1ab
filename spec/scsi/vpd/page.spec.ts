import { describe, expect, it } from '@jest/globals'
import { vpdPage } from '../../../lib/scsi/vpd/page.js'

describe('the header of a VPD page', () => {
  it.each([
    [0, '00b00000'],
    [1, '00b00001'],
    [300, '00b0012c']
  ])('says its length: %d', (length, expected) => {
    const page = vpdPage(0x00, 0xb0, Buffer.alloc(length, 0xee))
    expect(page.subarray(0, 4).toString('hex')).toBe(expected)
    expect(page).toHaveLength(4 + length)
  })

  it('says the peripheral', () => {
    expect(vpdPage(0x7f, 0x00, Buffer.from([0])).toString('hex')).toBe('7f00000100')
  })
})
