import { describe, expect, it } from '@jest/globals'
import { Host, Sense, fieldPointer, hex, makeNexus, makeUnit } from '../../support/scsi.js'

const MIB = 1024 * 1024

function cdbOf(page: number, subpage = 0, pointer = 0, length = 65535): Buffer {
  const cdb = Buffer.alloc(10)
  cdb[0] = 0x4d
  cdb[2] = page
  cdb[3] = subpage
  cdb.writeUInt16BE(pointer, 5)
  cdb.writeUInt16BE(length, 7)
  return cdb
}

describe('LOG SENSE', () => {
  const host = new Host()
  const provisioning = () => ({ usedBytes: 3 * MIB, limitBytes: 100 * MIB, thresholdBytes: 80 * MIB })
  const nexus = makeNexus([makeUnit({ provisioning })])
  const provisioned = hex(`8c 00 0018
    0001 03 08 00000061 02 000000
    0002 03 08 00000003 01 000000`)

  it.each([
    ['its pages', 0x00, 0x00, '00 00 0002 00 0c'],
    ['its pages and subpages', 0x00, 0xff, '40 ff 0006 0000 00ff 0c00'],
    ['its pages, by the cumulative values', 0x40, 0x00, '00 00 0002 00 0c']
  ])('lists %s', async (_what, page, subpage, expected) => {
    expect((await host.execute(nexus, cdbOf(page, subpage))).hex).toBe(hex(expected))
  })

  it('tells what a thin unit has stored and may still store', async () => {
    expect((await host.execute(nexus, cdbOf(0x4c))).hex).toBe(provisioned)
  })

  it('begins at the parameter that is pointed at', async () => {
    expect((await host.execute(nexus, cdbOf(0x4c, 0, 1))).hex).toBe(provisioned)
    expect((await host.execute(nexus, cdbOf(0x4c, 0, 2))).hex).toBe(hex('8c 00 000c 0002 03 08 00000003 01 000000'))
  })

  it.each([0, 1, 4, 16, 28, 65535])('cuts the page at an allocation length of %d', async (length) => {
    const result = await host.execute(nexus, cdbOf(0x4c, 0, 0, length))
    expect(result).toMatchObject({ status: 0, hex: provisioned.slice(0, 2 * length) })
  })

  it.each([
    ['a page that is not there', cdbOf(0x0d), 'cdb byte 2 bit 5'],
    ['a subpage that is not there', cdbOf(0x0c, 1), 'cdb byte 2 bit 5'],
    ['a parameter past the last', cdbOf(0x0c, 0, 3), 'cdb byte 5 bit 7'],
    ['a parameter of a mere list', cdbOf(0x00, 0, 1), 'cdb byte 5 bit 7'],
    ['SP, for nothing can be saved', Buffer.from('4d01000000000000ff00', 'hex'), 'cdb byte 1 bit 0']
  ])('refuses %s', async (_what, cdb, pointer) => {
    const result = await host.execute(nexus, cdb)
    expect([result.sense, fieldPointer(result.senseBytes)]).toEqual([Sense.InvalidCdbField, pointer])
  })

  it('knows no provisioning page where the unit has no threshold', async () => {
    const plain = makeNexus([makeUnit()])
    expect((await host.execute(plain, cdbOf(0x00))).hex).toBe(hex('00 00 0001 00'))
    expect((await host.execute(plain, cdbOf(0x00, 0xff))).hex).toBe(hex('40 ff 0004 0000 00ff'))
    expect((await host.execute(plain, cdbOf(0x0c))).sense).toBe(Sense.InvalidCdbField)
  })
})
