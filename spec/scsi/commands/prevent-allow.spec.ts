import { describe, expect, it } from '@jest/globals'
import { Host, Sense, fieldPointer, makeNexus, makeUnit } from '../../support/scsi.js'

describe('PREVENT ALLOW MEDIUM REMOVAL', () => {
  const host = new Host()

  it.each([0, 1])('is good for PREVENT %d', async (prevent) => {
    expect((await host.execute(makeNexus([makeUnit()]), [0x1e, 0, 0, 0, prevent, 0])).status).toBe(0)
  })

  it.each([2, 3])('refuses PREVENT %d, which is obsolete', async (prevent) => {
    const result = await host.execute(makeNexus([makeUnit()]), [0x1e, 0, 0, 0, prevent, 0])
    expect([result.sense, fieldPointer(result.senseBytes)]).toEqual([Sense.InvalidCdbField, 'cdb byte 4 bit 1'])
  })

  it('lets others allow, and not prevent, under a reservation', async () => {
    const unit = makeUnit()
    const [holder, other] = [makeNexus([unit]), makeNexus([unit], { isid: '400001370001' })]
    unit.reservations.reserve(holder)
    expect((await host.execute(other, '1e 00 0000 00 00')).status).toBe(0)
    expect((await host.execute(other, '1e 00 0000 01 00')).status).toBe(0x18)
    expect((await host.execute(holder, '1e 00 0000 01 00')).status).toBe(0)
  })
})
