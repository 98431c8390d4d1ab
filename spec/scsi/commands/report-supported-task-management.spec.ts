import { describe, expect, it } from '@jest/globals'
import { Host, Sense, hex, makeNexus, makeUnit } from '../../support/scsi.js'

function cdbOf(flags: number, length: number): Buffer {
  const cdb = Buffer.alloc(12)
  cdb[0] = 0xa3
  cdb[1] = 0x0d
  cdb[2] = flags
  cdb.writeUInt32BE(length, 6)
  return cdb
}

describe('REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS', () => {
  const host = new Host()
  const nexus = makeNexus([makeUnit()])
  const extended = hex('da 00 00 0c 00000000 00000000 00000000')

  it('names ABORT TASK, ABORT TASK SET, CLEAR TASK SET, LOGICAL UNIT RESET and TARGET RESET', async () => {
    expect((await host.execute(nexus, cdbOf(0, 255))).hex).toBe(hex('da 00 00 00'))
  })

  it.each([0, 1, 4, 16, 65535])('has an extended form, cut at %d bytes', async (length) => {
    expect(await host.execute(nexus, cdbOf(0x80, length))).toMatchObject({
      status: 0,
      hex: extended.slice(0, 2 * length)
    })
  })

  it('refuses reserved bits', async () => {
    expect((await host.execute(nexus, cdbOf(0x01, 16))).sense).toBe(Sense.InvalidCdbField)
  })
})
