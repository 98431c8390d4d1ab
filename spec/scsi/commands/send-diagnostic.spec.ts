import { describe, expect, it } from '@jest/globals'
import { Host, Sense, fieldPointer, makeNexus, makeUnit } from '../../support/scsi.js'

describe('SEND DIAGNOSTIC', () => {
  const host = new Host()
  const nexus = makeNexus([makeUnit()])

  it.each(['1d 04 00 0000 00', '1d 17 00 0000 00', '1d 00 00 0000 00'])(
    'passes the default self-test: %s',
    async (cdb) => {
      expect((await host.execute(nexus, cdb)).status).toBe(0)
    }
  )

  it.each([
    ['a short background test', '1d 20 00 0000 00', 'cdb byte 1 bit 5'],
    ['diagnostic pages', '1d 10 00 0004 00', 'cdb byte 3 bit 7'],
    ['reserved bits', '1d 08 00 0000 00', 'cdb byte 1 bit 3']
  ])('refuses %s', async (_what, cdb, pointer) => {
    const result = await host.execute(nexus, cdb)
    expect([result.sense, fieldPointer(result.senseBytes)]).toEqual([Sense.InvalidCdbField, pointer])
  })
})
