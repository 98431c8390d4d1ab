import { describe, expect, it } from '@jest/globals'
import { POWER_ON, SOFT_THRESHOLD_REACHED } from '../../../lib/scsi/sense.js'
import { Host, Sense, hex, makeNexus, makeUnit } from '../../support/scsi.js'

const NOTHING_FIXED = hex('70 00 00 00000000 0a 00000000 00 00 00 000000')

describe('REQUEST SENSE', () => {
  const host = new Host()

  it('has nothing to tell in 18 bytes of fixed format', async () => {
    const result = await host.execute(makeNexus([makeUnit()]), '03 00 0000 fc 00')
    expect(result).toMatchObject({ status: 0, hex: NOTHING_FIXED })
  })

  it('has nothing to tell in 8 bytes of descriptor format when DESC is set', async () => {
    const result = await host.execute(makeNexus([makeUnit()]), '03 01 0000 fc 00')
    expect(result).toMatchObject({ status: 0, hex: hex('72 00 00 00 000000 00') })
  })

  it('hands over a unit attention as data and clears it', async () => {
    const nexus = makeNexus([makeUnit()])
    nexus.units.get(0)!.establish(POWER_ON)
    const first = await host.execute(nexus, '03 00 0000 fc 00')
    expect(first).toMatchObject({ status: 0, hex: hex('70 00 06 00000000 0a 00000000 29 00 00 000000') })
    expect((await host.execute(nexus, '03 00 0000 fc 00')).hex).toBe(NOTHING_FIXED)
  })

  it('says in INFORMATION which threshold descriptor was reached', async () => {
    const nexus = makeNexus([makeUnit()])
    nexus.units.get(0)!.establish(SOFT_THRESHOLD_REACHED)
    const result = await host.execute(nexus, '03 00 0000 fc 00')
    expect(result.hex).toBe(hex('f0 00 06 00000010 0a 00000000 38 07 00 000000'))
  })

  it('tells for a LUN without unit that there is none, with good status', async () => {
    const result = await host.execute(makeNexus([makeUnit()]), '03 00 0000 fc 00', { lun: 5 })
    expect(result).toMatchObject({ status: 0, hex: hex('70 00 05 00000000 0a 00000000 25 00 00 000000') })
  })

  it.each([0, 1, 4, 18, 255])('cuts its data at an allocation length of %d', async (length) => {
    const result = await host.execute(makeNexus([makeUnit()]), [0x03, 0, 0, 0, length, 0])
    expect(result.hex).toBe(NOTHING_FIXED.slice(0, 2 * length))
  })

  it('refuses reserved bits', async () => {
    const result = await host.execute(makeNexus([makeUnit()]), '03 02 0000 fc 00')
    expect(result.sense).toBe(Sense.InvalidCdbField)
  })
})
