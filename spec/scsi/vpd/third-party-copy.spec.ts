import { describe, expect, it } from '@jest/globals'
import { commands } from '../../../lib/scsi/commands/index.js'
import { thirdPartyCopy } from '../../../lib/scsi/vpd/third-party-copy.js'
import { hex, makeNexus, makeUnit } from '../../support/scsi.js'

/** Descriptors by type, in the order in which they stand there. */
function descriptors(unit = makeUnit()): Map<number, Buffer> {
  const body = thirdPartyCopy.build(unit, makeNexus([unit]))
  const found = new Map<number, Buffer>()
  for (let at = 0; at < body.length; at += 4 + body.readUInt16BE(at + 2)) {
    expect(body.readUInt16BE(at + 2) % 4).toBe(0)
    found.set(body.readUInt16BE(at), body.subarray(at + 4, at + 4 + body.readUInt16BE(at + 2)))
  }
  return found
}

describe('VPD page 8Fh (SPC-4 §7.8.17)', () => {
  it('has the descriptors that a copy manager with lists and tokens must have, in ascending order', () => {
    expect([...descriptors().keys()]).toEqual([0x0000, 0x0001, 0x0004, 0x0008, 0x000c, 0x0106, 0x0108, 0x8001])
  })

  it.each([
    [
      '64 ranges, 600 and 60 seconds, 1 GiB and 64 MiB at a time',
      0x0000,
      '000000000000 0040 00000258 0000003c 0000000000200000 0000000000020000'
    ],
    ['the commands', 0x0001, '0e 83 05 00 01 10 11 1c 84 05 00 03 04 05 07 00'],
    [
      '16 disks and 64 segments in 4096 bytes, no inline data',
      0x0004,
      '00000000 0010 0040 00001000 00000000 000000000000000000000000'
    ],
    ['the segments and the way to name a disk', 0x0008, '03 02 0a e4'],
    ['this unit, by FFFFh', 0x000c, '0002 ffff'],
    [
      'tokens of this target alone, in steps of 4 KiB',
      0x0106,
      `00 0000000000000000000000 00000000 00000258 00000258 000000000000000000000000000000000000 0030
       00 00 002c 0000 0008 0000000040000000 0000000004000000 0000000040000000 0000000004000000 0000000000000000`
    ],
    [
      'points in time in and out, zeroes in',
      0x0108,
      `0000 00c0 00800000 03 00 0000 ${'00'.repeat(56)} 00800001 03 00 0000 ${'00'.repeat(56)}
       ffff0001 02 00 0000 ${'00'.repeat(56)}`
    ],
    [
      '1024 copies in all, 16 of a nexus, segments of 256 MiB',
      0x8001,
      `00000400 00000010 10000000 00 00 ${'00'.repeat(18)}`
    ]
  ])('says: %s', (_what, type, expected) => {
    expect(descriptors().get(type)!.toString('hex')).toBe(hex(expected))
  })

  it('counts in blocks of its unit', () => {
    const limits = descriptors(makeUnit({ blockSize: 4096 })).get(0x0000)!
    expect(limits.subarray(16).toString('hex')).toBe(hex('0000000000040000 0000000000004000'))
  })

  it('names the commands that there are', () => {
    const list = descriptors().get(0x0001)!
    for (const [at, opcode] of [
      [1, 0x83],
      [8, 0x84]
    ] as const) {
      const known = commands.filter((command) => command.opcode === opcode).map(({ serviceAction }) => serviceAction)
      expect([list[at], [...list.subarray(at + 2, at + 2 + list[at + 1]!)]]).toEqual([opcode, known])
    }
  })
})
