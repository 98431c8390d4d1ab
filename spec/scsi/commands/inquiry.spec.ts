import { describe, expect, it, jest } from '@jest/globals'
import { Host, Sense, fieldPointer, hex, makeNexus, makeUnit } from '../../support/scsi.js'

/** SPC-4 §6.6.2, counted by hand: 96 bytes. */
const STANDARD = hex(`
  00 00 06 12 5b 08 00 02
  434c4f55442d5820
  4449534b202020202020202020202020
  30303031
  00000000 00000000 00000000 00000000 00000000
  00 00 00a0 0460 04c0 0960 0000 0000 0000 0000
  00000000 00000000 00000000 00000000 00000000 0000`)

describe('INQUIRY', () => {
  const host = new Host()

  it('answers the standard data, with the version descriptors of SAM-5, SPC-4, SBC-3 and iSCSI', async () => {
    const result = await host.execute(makeNexus([makeUnit()]), '12 00 00 00ff 00')
    expect(result.status).toBe(0)
    expect(result.hex).toBe(STANDARD)
  })

  it.each([0, 1, 4, 36, 95, 96, 65535])('cuts the standard data at an allocation length of %d', async (length) => {
    const cdb = [0x12, 0, 0, length >> 8, length & 0xff, 0]
    const result = await host.execute(makeNexus([makeUnit()]), cdb)
    expect(result.status).toBe(0)
    expect(result.hex).toBe(STANDARD.slice(0, 2 * length))
  })

  it('lists the vital product data pages in ascending order', async () => {
    const result = await host.execute(makeNexus([makeUnit()]), '12 01 00 00ff 00')
    expect(result.hex).toBe(hex('00 00 0009 00 80 83 86 87 8f b0 b1 b2'))
  })

  it('gives a page its header: peripheral, code, length', async () => {
    const result = await host.execute(makeNexus([makeUnit()]), '12 01 80 00ff 00')
    expect(result.hex).toBe(hex('00 80 0008 4131423243334434'))
  })

  it.each([
    ['a page code without EVPD', '12 00 80 00ff 00', 'cdb byte 2'],
    ['a page that is not there', '12 01 88 00ff 00', 'cdb byte 2'],
    ['CMDDT, which is obsolete', '12 02 00 00ff 00', 'cdb byte 1 bit 1'],
    ['NACA', '12 00 00 00ff 04', 'cdb byte 5 bit 2']
  ])('refuses %s', async (_what, cdb, pointer) => {
    const result = await host.execute(makeNexus([makeUnit()]), cdb)
    expect(result.sense).toBe(Sense.InvalidCdbField)
    expect(fieldPointer(result.senseBytes)).toBe(pointer)
  })

  it.each([1, 255, 16383, -1])('answers for LUN %d, where no unit is, that nothing can be there', async (lun) => {
    const nexus = makeNexus([makeUnit()])
    const standard = await host.execute(nexus, '12 00 00 0024 00', { lun })
    expect(standard.status).toBe(0)
    expect(standard.hex).toBe(hex('7f 00 06 12 5b 00 00 02') + '20'.repeat(28))
    const pages = await host.execute(nexus, '12 01 00 00ff 00', { lun })
    expect(pages.hex).toBe(hex('7f 00 0001 00'))
    const other = await host.execute(nexus, '12 01 83 00ff 00', { lun })
    expect(other.sense).toBe(Sense.InvalidCdbField)
  })

  it('tells that a fenced nexus has looked, and not when the command was refused', async () => {
    const onLook = jest.fn()
    const nexus = makeNexus([makeUnit()], { onLook })
    nexus.units.get(0)!.fenced = true
    await host.execute(nexus, '12 00 80 00ff 00')
    expect(onLook).not.toHaveBeenCalled()
    // Found with a Linux guest: at a reconnect it reads every page of the disk that it has mounted.
    await host.execute(nexus, '12 01 83 00ff 00')
    expect(onLook).not.toHaveBeenCalled()
    await host.execute(nexus, '12 00 00 00ff 00')
    expect(onLook).toHaveBeenCalledWith(nexus.units.get(0), 'inquiry')
  })
})
