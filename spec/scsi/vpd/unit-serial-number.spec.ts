import { describe, expect, it } from '@jest/globals'
import { unitSerialNumber } from '../../../lib/scsi/vpd/unit-serial-number.js'
import { IDENTITY, makeNexus, makeUnit } from '../../support/scsi.js'

describe('VPD page 80h', () => {
  it('is the serial number, as it is at the moment', () => {
    const unit = makeUnit()
    const text = () => unitSerialNumber.build(unit, makeNexus([])).toString('latin1')
    expect(text()).toBe('A1B2C3D4')
    unit.identity = { ...IDENTITY, serial: 'NEW' }
    expect(text()).toBe('NEW')
  })
})
