import { describe, expect, it } from '@jest/globals'
import { iscsiTransportId } from '../../lib/scsi/transport-id.js'

describe('the TransportID of an iSCSI port (SPC-4 §7.6.4.6)', () => {
  it('has format 01b, protocol 5h, and the name with a null, padded to a multiple of four', () => {
    const id = iscsiTransportId('iqn.2000-01.a:b,i,0x400001370000')
    expect(id.subarray(0, 4).toString('hex')).toBe('45000024')
    expect(id.subarray(4).toString('latin1')).toBe('iqn.2000-01.a:b,i,0x400001370000\0\0\0\0')
  })

  it('says at least 20 bytes', () => {
    const id = iscsiTransportId('a,i,0x1')
    expect(id.subarray(0, 4).toString('hex')).toBe('45000014')
    expect(id).toHaveLength(24)
  })

  it('keeps one null where the name alone would end on a multiple of four', () => {
    expect(iscsiTransportId('x'.repeat(20))).toHaveLength(4 + 24)
    expect(iscsiTransportId('x'.repeat(23))).toHaveLength(4 + 24)
  })
})
