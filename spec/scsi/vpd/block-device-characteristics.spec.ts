import { describe, expect, it } from '@jest/globals'
import { blockDeviceCharacteristics } from '../../../lib/scsi/vpd/block-device-characteristics.js'
import { makeNexus, makeUnit } from '../../support/scsi.js'

describe('VPD page B1h (SBC-3 §6.6.3)', () => {
  it('has exactly 3Ch bytes, and says that nothing rotates', () => {
    const body = blockDeviceCharacteristics.build(makeUnit(), makeNexus([]))
    expect(body.toString('hex')).toBe('0001' + '00'.repeat(58))
    expect(body).toHaveLength(0x3c)
  })
})
