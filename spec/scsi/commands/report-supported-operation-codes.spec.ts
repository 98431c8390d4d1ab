import { describe, expect, it } from '@jest/globals'
import { commands } from '../../../lib/scsi/commands/index.js'
import { Host, Sense, fieldPointer, hex, makeNexus, makeUnit } from '../../support/scsi.js'

const RCTD = 0x80

function cdbOf(options: number, opcode = 0, serviceAction = 0, length = 65535): Buffer {
  const cdb = Buffer.alloc(12)
  cdb[0] = 0xa3
  cdb[1] = 0x0c
  cdb[2] = options
  cdb[3] = opcode
  cdb.writeUInt16BE(serviceAction, 4)
  cdb.writeUInt32BE(length, 6)
  return cdb
}

describe('REPORT SUPPORTED OPERATION CODES', () => {
  const host = new Host()
  const nexus = makeNexus([makeUnit({ maySanitize: true, atomicWrites: true })])

  it('lists every command: opcode, service action, SERVACTV, CDB length', async () => {
    const { data } = await host.execute(nexus, cdbOf(0))
    expect(data.readUInt32BE(0)).toBe(8 * commands.length)
    expect(data).toHaveLength(4 + 8 * commands.length)
    expect(data.subarray(4, 12).toString('hex')).toBe(hex('00 00 0000 00 00 0006'))
    const rows = data.subarray(4).toString('hex')
    for (const row of [
      '28 00 0000 00 00 000a',
      '9e 00 0010 00 01 0010',
      '5f 00 0005 00 01 000a',
      'a3 00 000c 00 01 000c'
    ]) {
      expect(rows).toContain(hex(row))
    }
  })

  it('adds a time-out to each with RCTD', async () => {
    const { data } = await host.execute(nexus, cdbOf(RCTD))
    expect(data.readUInt32BE(0)).toBe(20 * commands.length)
    expect(data.subarray(4, 24).toString('hex')).toBe(hex('00 00 0000 00 02 0006 000a 00 00 00000000 0000001e'))
  })

  it('leaves out what the unit does not have', async () => {
    const { data } = await host.execute(makeNexus([makeUnit({ thin: false })]), cdbOf(0))
    // UNMAP, WRITE ATOMIC and the four of SANITIZE.
    expect(data.readUInt32BE(0)).toBe(8 * (commands.length - 6))
    expect((await host.execute(makeNexus([makeUnit({ thin: false })]), cdbOf(1, 0x42))).hex).toBe('00010000')
  })

  it.each([
    ['READ(10)', 1, 0x28, 0, '00 03 000a 28 18 ffffffff 1f ffff 00'],
    ['READ(10), the service action ignored', 1, 0x28, 7, '00 03 000a 28 18 ffffffff 1f ffff 00'],
    ['COMPARE AND WRITE', 1, 0x89, 0, '00 03 0010 89 18 ffffffffffffffff 000000 ff 1f 00'],
    ['READ CAPACITY(16)', 2, 0x9e, 0x10, '00 03 0010 9e 10 ffffffffffffffff ffffffff 01 00'],
    ['its own', 2, 0xa3, 0x0c, '00 03 000c a3 0c 87 ff ffff ffffffff 00 00'],
    ['either, with a service action', 3, 0x9e, 0x12, '00 03 0010 9e 12 ffffffffffffffff ffffffff 00 00'],
    ['either, without', 3, 0x00, 0, '00 03 0006 00 00 00 00 00 00'],
    ['an unknown opcode', 1, 0xc0, 0, '00 01 0000'],
    ['an unknown opcode with a service action', 2, 0xc0, 1, '00 01 0000'],
    ['an unknown service action', 2, 0x9e, 0x11, '00 01 0000'],
    ['a service action of FFFFh', 2, 0x9e, 0xffff, '00 01 0000'],
    ['either, unknown', 3, 0x9e, 0xffff, '00 01 0000'],
    ['either, an opcode without service actions and one asked for', 3, 0x28, 1, '00 01 0000']
  ])('describes one command: %s', async (_what, option, opcode, serviceAction, expected) => {
    expect((await host.execute(nexus, cdbOf(option, opcode, serviceAction))).hex).toBe(hex(expected))
  })

  it('adds the time-out to one command with RCTD, and its CTDP bit', async () => {
    const { hex: data } = await host.execute(nexus, cdbOf(RCTD | 1, 0x2f))
    expect(data).toBe(hex('00 83 000a 2f 16 ffffffff 1f ffff 00 000a 00 00 00000000 00000078'))
  })

  it.each([
    ['an opcode with service actions without one', 1, 0x9e, 0, 'cdb byte 2'],
    ['a service action of an opcode without', 2, 0x28, 0, 'cdb byte 4'],
    ['a reserved reporting option', 4, 0x28, 0, 'cdb byte 2 bit 2'],
    ['another reserved reporting option', 7, 0x28, 0, 'cdb byte 2 bit 2'],
    ['reserved bits', 0x08, 0x28, 0, 'cdb byte 2 bit 3']
  ])('refuses %s', async (_what, option, opcode, serviceAction, pointer) => {
    const result = await host.execute(nexus, cdbOf(option, opcode, serviceAction))
    expect([result.sense, fieldPointer(result.senseBytes)]).toEqual([Sense.InvalidCdbField, pointer])
  })

  it.each([0, 1, 4, 12])('cuts the list at an allocation length of %d', async (length) => {
    const result = await host.execute(nexus, cdbOf(0, 0, 0, length))
    expect(result.status).toBe(0)
    expect(result.data).toHaveLength(length)
  })
})
