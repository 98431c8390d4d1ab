import { describe, expect, it } from '@jest/globals'
import { framed } from '../../scripts/fuzz/framing.js'
import { Judge } from '../../scripts/fuzz/judge.js'
import { nopOut, scsiCommand } from '../support/pdu-builder.js'

/**
 * A fuzzer is worth what its judge sees, so here the target breaks the rules, by hand. Offsets are those of
 * RFC 7143 §11.
 */
const PLAIN = { headerDigest: false, dataDigest: false }
const NOTHING = Buffer.alloc(0)

interface Fields {
  readonly opcode: number
  readonly flags?: number
  readonly status?: number
  readonly tag?: number
  readonly statSn?: number
  readonly expCmdSn?: number
  readonly maxCmdSn?: number
  readonly dataSn?: number
  readonly offset?: number
  readonly residual?: number
}

function answer(fields: Fields, data: Buffer = NOTHING): Buffer {
  const bhs = Buffer.alloc(48)
  bhs[0] = fields.opcode
  bhs[1] = fields.flags ?? 0x80
  bhs[3] = fields.status ?? 0
  bhs.writeUInt32BE(fields.tag ?? 1, 16)
  bhs.writeUInt32BE(fields.statSn ?? 100, 24)
  bhs.writeUInt32BE(fields.expCmdSn ?? 11, 28)
  bhs.writeUInt32BE(fields.maxCmdSn ?? 138, 32)
  bhs.writeUInt32BE(fields.dataSn ?? 0, 36)
  bhs.writeUInt32BE(fields.offset ?? 0, 40)
  bhs.writeUInt32BE(fields.residual ?? 0, 44)
  return framed(bhs, NOTHING, data, PLAIN)
}

/** One read of CmdSN 10 with tag 1, and a ping with tag 2, are under way. */
function judge(): Judge {
  const made = new Judge({ lengthMax: 8192, ...PLAIN }, 8192, 10)
  made.sends(scsiCommand({ itt: 1, cmdSn: 10, flags: 0xc1, edtl: 1024 }))
  made.sends(nopOut({ itt: 2, cmdSn: 11 }))
  return made
}

const RESPONSE = 0x21
const DATA_IN = 0x25
const breaches: [what: string, pdus: Buffer[], finding: RegExp][] = [
  ['a second response', [answer({ opcode: RESPONSE }), answer({ opcode: RESPONSE, statSn: 101 })], /second one/],
  ['a response to nothing', [answer({ opcode: RESPONSE, tag: 7 })], /answer to nothing/],
  ['a response of another kind', [answer({ opcode: 0x22 })], /answer to nothing/],
  ['an operation code of initiators', [answer({ opcode: 0x01 })], /operation code 1/],
  ['a gap in StatSN', [answer({ opcode: RESPONSE }), answer({ opcode: 0x20, tag: 2, statSn: 102 })], /StatSN/],
  [
    'an ExpCmdSN that falls',
    [answer({ opcode: RESPONSE }), answer({ opcode: 0x20, tag: 2, statSn: 101, expCmdSn: 10 })],
    /ExpCmdSN falls/
  ],
  [
    'a MaxCmdSN that falls',
    [answer({ opcode: RESPONSE }), answer({ opcode: 0x20, tag: 2, statSn: 101, maxCmdSn: 137 })],
    /MaxCmdSN falls/
  ],
  ['a window beyond all bounds', [answer({ opcode: RESPONSE, maxCmdSn: 139 })], /window/],
  ['a DataSN that does not begin at 0', [answer({ opcode: DATA_IN, flags: 0, dataSn: 1 })], /first DataSN/],
  [
    'a hole in Data-In',
    [
      answer({ opcode: DATA_IN, flags: 0 }, Buffer.alloc(512)),
      answer({ opcode: DATA_IN, flags: 0, dataSn: 1, offset: 1024 }, Buffer.alloc(512))
    ],
    /Buffer Offset/
  ],
  ['a segment that is too long', [answer({ opcode: DATA_IN, flags: 0 }, Buffer.alloc(8193))], /too long/],
  ['a Reject of what was not sent', [answer({ opcode: 0x3f, tag: 0xffffffff }, Buffer.alloc(48))], /reason 0/],
  ['CHECK CONDITION without sense data', [answer({ opcode: RESPONSE, status: 2 })], /sense data/],
  ['a residual without its bit', [answer({ opcode: RESPONSE, residual: 5 })], /residual/]
]

describe('the judge of the fuzzer', () => {
  it('lets pass what is right', () => {
    const watch = judge()
    watch.receives(answer({ opcode: DATA_IN, flags: 0 }, Buffer.alloc(512)))
    watch.receives(answer({ opcode: DATA_IN, flags: 0x81, dataSn: 1, offset: 512 }, Buffer.alloc(512)))
    expect(watch.unanswered).toEqual(['0 2'])
    watch.receives(answer({ opcode: 0x20, tag: 2, statSn: 101 }))
    expect(watch.unanswered).toEqual([])
    expect(watch.pdusSent).toBe(2)
  })

  it.each(breaches)('sees %s', (_what, pdus, finding) => {
    const watch = judge()
    const last = pdus.pop()!
    for (const pdu of pdus) watch.receives(pdu)
    expect(() => watch.receives(last)).toThrow(finding)
  })

  it.each([
    ['behind the window', 9],
    ['far behind', 0x80000020],
    ['beyond all windows', 10 + 200]
  ])('sees an answer to a command %s', (_what, cmdSn) => {
    const watch = judge()
    watch.sends(scsiCommand({ itt: 7, cmdSn, flags: 0xc1 }))
    expect(() => watch.receives(answer({ opcode: RESPONSE, tag: 7 }))).toThrow(/answer to nothing/)
  })

  it('reads answers however they are cut', () => {
    const watch = judge()
    const bytes = answer({ opcode: RESPONSE, status: 2 }, Buffer.from('0002700a', 'hex'))
    for (const byte of bytes) watch.receives(Buffer.of(byte))
    expect(watch.statSn).toBe(101)
  })

  it('knows when what was sent means nothing any more, and how much of a PDU is missing', () => {
    const watch = judge()
    watch.sends(nopOut({ itt: 3 }).subarray(0, 40))
    expect(watch.missing).toBe(8)
    watch.sends(Buffer.alloc(8))
    expect(watch.missing).toBe(0)
    watch.sends(Buffer.from('0080000000ffffff', 'hex'))
    watch.sends(Buffer.alloc(40))
    expect(watch.lost).toBe(true)
  })
})
