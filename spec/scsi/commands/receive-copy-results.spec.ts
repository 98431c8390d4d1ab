import { describe, expect, it } from '@jest/globals'
import { Host, Sense, fieldPointer, hex, makeNexus, makeUnit } from '../../support/scsi.js'

function cdbOf(serviceAction: number, listId = 0, length = 255): number[] {
  return [0x84, serviceAction, listId, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, length, 0, 0]
}

describe('RECEIVE COPY RESULTS', () => {
  const host = new Host()

  it('gives the operating parameters: 16 disks, 64 segments of at most 256 MiB, types 02h, 0Ah and E4h', async () => {
    const { hex: data } = await host.execute(makeNexus([makeUnit()]), cdbOf(0x03))
    expect(data).toBe(
      hex(`0000002b 01 000000 0010 0040 00001000 10000000 00000000 00000000 00000000 0000 0400 10 00 00 00 000000
           03 02 0a e4`)
    )
  })

  it('tells a copy under way from one that has ended, each nexus its own', async () => {
    const unit = makeUnit()
    const [one, two] = [makeNexus([unit]), makeNexus([unit], { isid: '400001370001' })]
    const copy = one.copies.begin(1)!
    copy.bytesDone = 5 * 1024
    expect((await host.execute(one, cdbOf(0x00, 1))).hex).toBe(hex('00000008 00 0000 01 00000005'))
    copy.segmentsDone = 2
    one.copies.end(copy, 'good')
    expect((await host.execute(one, cdbOf(0x00, 1))).hex).toBe(hex('00000008 01 0002 01 00000005'))
    expect((await host.execute(one, cdbOf(0x04, 1))).hex).toBe('00000000')
    for (const serviceAction of [0x00, 0x04]) {
      const unknown = await host.execute(two, cdbOf(serviceAction, 1))
      expect([unknown.sense, fieldPointer(unknown.senseBytes)]).toEqual([Sense.InvalidCdbField, 'cdb byte 2 bit 7'])
    }
  })

  it.each([
    ['a service action that is not there', cdbOf(0x01)],
    ['a list identifier for the operating parameters', cdbOf(0x03, 1)]
  ])('refuses %s', async (_what, cdb) => {
    expect((await host.execute(makeNexus([makeUnit()]), cdb)).sense).toBe(Sense.InvalidCdbField)
  })

  it.each([0, 4, 20])('cuts the answer at %d bytes', async (length) => {
    expect((await host.execute(makeNexus([makeUnit()]), cdbOf(0x03, 0, length))).data).toHaveLength(length)
  })
})
