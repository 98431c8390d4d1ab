import { describe, expect, it } from '@jest/globals'
import { isIpxe } from '../../lib/iscsi/ipxe.js'

describe('isIpxe', () => {
  it.each<[string, string, boolean]>([
    ['iPXE', '400027230000', true],
    ['iPXE that drew other numbers', '40002723a5b7', true],
    ['Windows (enterprise number 311)', '400001370001', false],
    ['open-iscsi', '00023d000000', false],
    ['a random ISID of libiscsi', '800027230000', false]
  ])('knows %s by its ISID', (_name, isid, expected) => {
    expect(isIpxe(isid)).toBe(expected)
  })
})
