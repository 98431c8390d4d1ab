import { describe, expect, it } from '@jest/globals'
import { ClientRules } from './client-rules.js'
import type { Pairs } from './login-presets.js'
import { loginHeader, textOf, type Pdu } from './scripted-initiator.js'

/** The judge must notice: every PDU here is right but for one thing. */
const ISID = Buffer.from('400001370000', 'hex')
const LUN_1 = Buffer.from('0001000000000000', 'hex')

interface Fields {
  readonly opcode: number
  readonly byte1?: number
  readonly byte2?: number
  readonly status?: number
  readonly puts?: readonly (readonly [offset: number, value: number])[]
  readonly lun?: Buffer
  readonly data?: Buffer
}

function pdu({ opcode, byte1 = 0x80, byte2 = 0, status = 0, puts = [], lun, data = Buffer.alloc(0) }: Fields): Pdu {
  const bhs = Buffer.alloc(48)
  bhs[0] = opcode
  bhs[1] = byte1
  bhs[2] = byte2
  bhs[3] = status
  bhs.writeUIntBE(data.length, 5, 3)
  lun?.copy(bhs, 8)
  bhs.writeUInt32BE(1, 16)
  for (const [offset, value] of [[28, 2] as const, [32, 65] as const, ...puts]) bhs.writeUInt32BE(value, offset)
  return { opcode, bhs, data }
}

/** Rules that have seen a command with tag 1 on LUN 1, which moves 128 KiB; a write has 64 KiB with it. */
function after(flags: number): ClientRules {
  const rules = new ClientRules()
  const bhs = Buffer.alloc(48)
  bhs[0] = 0x01
  bhs[1] = flags
  LUN_1.copy(bhs, 8)
  bhs.writeUInt32BE(1, 16)
  bhs.writeUInt32BE(131072, 20)
  rules.sent(bhs, Buffer.alloc(flags === 0xa1 ? 65536 : 0))
  return rules
}

const r2t = (change: Partial<Fields> = {}, puts: Fields['puts'] = []) =>
  pdu({ opcode: 0x31, lun: LUN_1, ...change, puts: [[20, 7], [40, 65536], [44, 65536], ...puts] })
const dataIn = (length: number, change: Partial<Fields> = {}, puts: Fields['puts'] = []) =>
  pdu({ opcode: 0x25, byte1: 0, data: Buffer.alloc(length), ...change, puts: [[20, 0xffffffff], ...puts] })
const response = (change: Partial<Fields> = {}) =>
  pdu({ opcode: 0x21, byte1: 0x82, ...change, puts: [[44, 131072], ...(change.puts ?? [])] })
const sense = (code: number, length = 18) => Buffer.from([0, length, code, ...Array<number>(17).fill(0)])

describe('ClientRules', () => {
  it.each<[string, number, readonly Pdu[]]>([
    [
      'a read in two segments with its status',
      0xc1,
      [
        dataIn(65536),
        dataIn(65536, { byte1: 0x81 }, [
          [36, 1],
          [40, 65536]
        ])
      ]
    ],
    [
      'a write with an R2T that reports an error',
      0xa1,
      [r2t(), response({ status: 2, data: sense(0xf0), puts: [[36, 1]] })]
    ],
    ['a read of which nothing came', 0xc1, [response()]]
  ])('take %s', (_what, flags, pdus) => {
    const rules = after(flags)
    for (const one of pdus) rules.received(one)
    expect(rules.open).toBe(0)
  })

  it.each<[string, number, Pdu, number]>([
    ['a Reject', 0xc1, pdu({ opcode: 0x3f, byte2: 4 }), 29],
    ['an opcode that there is not', 0xc1, pdu({ opcode: 0x2a }), 24],
    ['a MaxCmdSN two before ExpCmdSN', 0xc1, response({ puts: [[32, 0]] }), 3],
    ['an R2T with byte 1 of 0', 0xa1, r2t({ byte1: 0 }), 23],
    ['an R2T for another LUN', 0xa1, r2t({ lun: Buffer.alloc(8) }), 28],
    ['an R2T for data that was sent', 0xa1, r2t({}, [[40, 0]]), 28],
    ['an R2T for more than there is', 0xa1, r2t({}, [[44, 65537]]), 28],
    ['an R2T for nothing', 0xa1, r2t({}, [[44, 0]]), 28],
    ['an R2T without a tag', 0xa1, r2t({}, [[20, 0xffffffff]]), 28],
    ['a second R2T first', 0xa1, r2t({}, [[36, 1]]), 28],
    ['an R2T for a read', 0xc1, r2t(), 28],
    ['a segment that is too long', 0xc1, dataIn(65540), 21],
    ['Data-In for a write', 0xa1, dataIn(512), 26],
    ['Data-In of the wrong number', 0xc1, dataIn(512, {}, [[36, 1]]), 23],
    ['Data-In of the wrong place', 0xc1, dataIn(512, {}, [[40, 512]]), 23],
    ['a status before the last Data-In', 0xc1, dataIn(512, { byte1: 0x01 }), 23],
    ['fewer bytes than the status says', 0xc1, dataIn(512, { byte1: 0x81 }), 26],
    ['an answer to a tag that is free', 0xc1, response({ puts: [[16, 2]] }), 27],
    ['flags that are reserved', 0xc1, response({ byte1: 0xc2 }), 23],
    ['an iSCSI response of failure', 0xc1, response({ byte2: 1 }), 23],
    ['BUSY', 0xc1, response({ status: 8 }), 23],
    ['a wrong ExpDataSN', 0xc1, response({ puts: [[36, 1]] }), 23],
    ['a residual count without a flag', 0xc1, response({ byte1: 0x80 }), 23],
    ['sense data of a good command', 0xc1, response({ data: sense(0x70) }), 60],
    ['a failed command without sense data', 0xc1, response({ status: 2 }), 60],
    ['sense data of the wrong length', 0xc1, response({ status: 2, data: sense(0x70, 20) }), 60],
    ['sense data in descriptors', 0xc1, response({ status: 2, data: sense(0x72) }), 60],
    ['an answer to a request that was not made', 0xc1, pdu({ opcode: 0x22 }), 49]
  ])('do not take %s', (_what, flags, wrong, event) => {
    expect(() => after(flags).received(wrong)).toThrow(new RegExp(`^event ${event}:`))
  })
})

describe('ClientRules for a login', () => {
  const first: Pairs = [
    ['InitiatorName', 'iqn.1991-05.com.microsoft:pc'],
    ['TargetName', 'iqn.2001-04.com.example:disk'],
    ['AuthMethod', 'None']
  ]
  const good: Pairs = [
    ['AuthMethod', 'None'],
    ['TargetPortalGroupTag', '1']
  ]
  const answer = (pairs: Pairs, change: Partial<Fields> = {}) =>
    pdu({ opcode: 0x23, byte1: 0x81, lun: Buffer.concat([ISID, Buffer.alloc(2)]), data: textOf(pairs), ...change })
  const judge = (received: Pdu) => {
    const rules = new ClientRules()
    rules.sent(loginHeader({ flags: 0x81, isid: ISID, initiatorTaskTag: 1 }), textOf(first))
    rules.received(received)
  }

  it('take the answer that is right', () => {
    expect(() => judge(answer(good))).not.toThrow()
  })

  it.each<[string, Pdu, RegExp]>([
    ['an answer without AuthMethod', answer(good.slice(1)), /event 41/],
    ['an answer without a portal group', answer(good.slice(0, 1)), /event 11/],
    ['a key that was not offered', answer([...good, ['MaxConnections', '1']]), /event 61/],
    ['Irrelevant', answer([['AuthMethod', 'Irrelevant'], ...good.slice(1)]), /event 61/],
    ['padding that is counted', answer(good, { data: Buffer.concat([textOf(good), Buffer.alloc(2)]) }), /the pair/],
    ['a TSIH too early', answer(good, { lun: Buffer.concat([ISID, Buffer.from([0, 1])]) }), /event 11/],
    ['another ISID', answer(good, { lun: Buffer.alloc(8) }), /event 11/],
    ['another version', answer(good, { byte2: 1 }), /event 11/],
    ['another stage', answer(good, { byte1: 0x87 }), /event 11/],
    ['a redirection', answer([], { puts: [[36, 0x01010000]] }), /event 12/],
    ['a closed window', answer(good, { puts: [[32, 1]] }), /event 3/]
  ])('do not take %s', (_what, received, event) => {
    expect(() => judge(received)).toThrow(event)
  })
})
