import { describe, expect, it } from '@jest/globals'
import { POWER_ON, REPORTED_LUNS_CHANGED } from '../../../lib/scsi/sense.js'
import { Host, Sense, hex, makeNexus, makeUnit } from '../../support/scsi.js'

function cdb(select: number, length: number): Buffer {
  const bytes = Buffer.alloc(12)
  bytes[0] = 0xa0
  bytes[2] = select
  bytes.writeUInt32BE(length, 6)
  return bytes
}

describe('REPORT LUNS', () => {
  const host = new Host()
  const nexus = makeNexus([makeUnit({ lun: 300 }), makeUnit({ lun: 0 }), makeUnit({ lun: 7 })])
  const all = hex('00000018 00000000 0000000000000000 0007000000000000 412c000000000000')

  it.each([0x00, 0x02])('lists the units in ascending order for SELECT REPORT %d', async (select) => {
    expect((await host.execute(nexus, cdb(select, 4096))).hex).toBe(all)
  })

  it('knows no well known units', async () => {
    expect((await host.execute(nexus, cdb(1, 4096))).hex).toBe(hex('00000000 00000000'))
  })

  it.each([0, 1, 4, 16, 32, 0xffffffff])('cuts the list at an allocation length of %d', async (length) => {
    const result = await host.execute(nexus, cdb(0, length))
    expect(result).toMatchObject({ status: 0, hex: all.slice(0, 2 * Math.min(length, 64)) })
  })

  it.each([0x03, 0x10, 0x11, 0x12, 0xff])('refuses SELECT REPORT %d', async (select) => {
    expect((await host.execute(nexus, cdb(select, 4096))).sense).toBe(Sense.InvalidCdbField)
  })

  it('answers on LUN 0 and on any other without a unit there', async () => {
    const few = makeNexus([makeUnit({ lun: 3 })])
    for (const lun of [0, 9, -1]) {
      expect((await host.execute(few, cdb(0, 64), { lun })).hex).toBe(hex('00000008 00000000 0003000000000000'))
    }
  })

  it('runs past a unit attention, and takes away the one about the list', async () => {
    const own = makeNexus([makeUnit()])
    const entry = own.units.get(0)!
    entry.establish(POWER_ON)
    entry.establish(REPORTED_LUNS_CHANGED)
    expect((await host.execute(own, cdb(0, 16))).status).toBe(0)
    expect(entry.takeAttention()).toBe(POWER_ON)
    expect(entry.takeAttention()).toBeUndefined()
  })
})
