import { describe, expect, it } from '@jest/globals'
import { POWER_ON } from '../../../lib/scsi/sense.js'
import { Host, Sense, makeNexus, makeUnit } from '../../support/scsi.js'

describe('TEST UNIT READY', () => {
  const host = new Host()

  it('is good on a unit that is there', async () => {
    const result = await host.execute(makeNexus([makeUnit()]), '00 00 00 00 00 00')
    expect(result).toMatchObject({ status: 0, hex: '' })
  })

  it('reports a unit attention once', async () => {
    const nexus = makeNexus([makeUnit()])
    nexus.units.get(0)!.establish(POWER_ON)
    expect((await host.execute(nexus, '00 00 00 00 00 00')).sense).toBe('06/29/00')
    expect((await host.execute(nexus, '00 00 00 00 00 00')).status).toBe(0)
  })

  it.each([1, -1])('names a LUN without unit (%d) as not supported', async (lun) => {
    const result = await host.execute(makeNexus([makeUnit()]), '00 00 00 00 00 00', { lun })
    expect(result).toMatchObject({ status: 2, sense: Sense.LunNotSupported })
  })
})
