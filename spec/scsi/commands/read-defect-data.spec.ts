import { describe, expect, it } from '@jest/globals'
import { Host, Sense, hex, makeNexus, makeUnit } from '../../support/scsi.js'

describe('READ DEFECT DATA', () => {
  const host = new Host()
  const nexus = makeNexus([makeUnit()])

  it.each([
    ['(10), no list wanted', '37 00 00 00000000 0020 00', '00 00 0000'],
    ['(10), both lists in format 5', '37 00 1d 00000000 0020 00', '00 1d 0000'],
    ['(10), cut to 1 byte', '37 00 1d 00000000 0001 00', '00'],
    ['(10), cut to nothing', '37 00 00 00000000 0000 00', ''],
    ['(12), no list wanted', 'b7 00 00000000 00000020 00 00', '00 00 0000 00000000'],
    ['(12), the primary list', 'b7 10 00000000 ffffffff 00 00', '00 10 0000 00000000'],
    ['(12), cut to 4 bytes', 'b7 08 00000007 00000004 00 00', '00 08 0000']
  ])('has empty lists: %s', async (_what, cdb, expected) => {
    expect(await host.execute(nexus, cdb)).toMatchObject({ status: 0, hex: hex(expected) })
  })

  it.each(['37 00 20 00000000 0020 00', 'b7 20 00000000 00000020 00 00'])('refuses reserved bits: %s', async (cdb) => {
    expect((await host.execute(nexus, cdb)).sense).toBe(Sense.InvalidCdbField)
  })
})
