import { describe, expect, it } from '@jest/globals'
import { logPage, type LogPage } from '../../../lib/scsi/log/page.js'

function pageOf(code: number, subpage: number): LogPage {
  return { code, subpage, parameters: () => [] }
}

describe('a log page (SPC-4 §7.3.2)', () => {
  it.each([
    [0x00, 0x00, '00000002abcd'],
    [0x00, 0xff, '40ff0002abcd'],
    [0x0c, 0x00, '8c000002abcd'],
    [0x0c, 0x01, 'cc010002abcd']
  ])('has DS, SPF, its codes and its length in front: %d/%d', (code, subpage, expected) => {
    const parameters = [
      { code: 1, bytes: Buffer.from('ab', 'hex') },
      { code: 2, bytes: Buffer.from('cd', 'hex') }
    ]
    expect(logPage(pageOf(code, subpage), parameters).toString('hex')).toBe(expected)
  })
})
