import { describe, expect, it } from '@jest/globals'
import { deviceIdentification } from '../../../lib/scsi/vpd/device-identification.js'
import { hex, makeNexus, makeUnit } from '../../support/scsi.js'

const text = (value: string) => Buffer.from(value, 'latin1').toString('hex')

describe('VPD page 83h (SPC-4 §7.8.6)', () => {
  it('names the unit, the port and the device, with lengths counted by hand', () => {
    const unit = makeUnit()
    const nexus = makeNexus([unit], { targetName: 'iqn.2010-04.org.example:d', targetPortalGroupTag: 0x0102 })
    expect(deviceIdentification.build(unit, nexus).toString('hex')).toBe(
      hex(`
        01 03 00 10 60a1b2c3d4e5f60718293a4b5c6d7e8f
        02 01 00 20 ${text('CLOUD-X DISK            A1B2C3D4')}
        03 08 00 28 ${text('naa.60a1b2c3d4e5f60718293a4b5c6d7e8f')} 00000000
        53 98 00 24 ${text('iqn.2010-04.org.example:d,t,0x0102')} 0000
        51 94 00 04 0000 0001
        51 95 00 04 0000 0102
        53 a8 00 1c ${text('iqn.2010-04.org.example:d')} 000000`)
    )
  })

  it('is different for another identity', () => {
    const [one, two] = ['a', 'b'].map((digit) =>
      makeUnit({ identity: { ...makeUnit().identity, naa: Buffer.from(`6${digit.repeat(31)}`, 'hex') } })
    )
    const nexus = makeNexus([])
    expect(deviceIdentification.build(one!, nexus)).not.toEqual(deviceIdentification.build(two!, nexus))
  })
})
