import { describe, expect, it } from '@jest/globals'
import type { Definition, Field } from '../../lib/layout/layout.js'
import * as pdu from '../../lib/pdu/initiator.js'
import * as build from '../support/pdu-builder.js'

type Fields = Record<string, Field<number> | Field<Buffer>>

/** Bytes of the twelve words of a header, counted off the figures of the RFC; each field has bytes of its own. */
const rows: { clause: string; layout: Definition<Fields>; wire: string; fields: Record<string, number | string> }[] = [
  {
    clause: '§11.3 SCSI Command, a READ(10)',
    layout: pdu.scsiCommand,
    wire: `01c1 0000 00 000000  0002000000000000  00000021 00002000 00000031 00000041
           2800 00000801 00 0010 00 000000000000`,
    fields: {
      opcode: 0x01,
      flags: 0xc1,
      totalAhsLength: 0,
      dataSegmentLength: 0,
      lun: '0002000000000000',
      initiatorTaskTag: 0x21,
      expectedDataTransferLength: 0x2000,
      cmdSn: 0x31,
      expStatSn: 0x41,
      cdb: '28000000080100001000000000000000'
    }
  },
  {
    clause: '§11.5 Task Management Function Request, an immediate LOGICAL UNIT RESET',
    layout: pdu.taskManagementRequest,
    wire: `4285 0000 00 000000  0001000000000000  00000022 ffffffff 00000032 00000042
           00000052 00000062 0000000000000000`,
    fields: {
      opcode: 0x42,
      function: 0x85,
      lun: '0001000000000000',
      initiatorTaskTag: 0x22,
      referencedTaskTag: 0xffffffff,
      cmdSn: 0x32,
      expStatSn: 0x42,
      refCmdSn: 0x52,
      expDataSn: 0x62
    }
  },
  {
    clause: '§11.12 Login Request, as Windows Server 2003 begins',
    layout: pdu.loginRequest,
    wire: `4381 0000 0000008e  400001370000 0000  00000001 0001 0000 00000001 00000000
           00000000000000000000000000000000`,
    fields: {
      opcode: 0x43,
      flags: 0x81,
      versionMax: 0,
      versionMin: 0,
      totalAhsLength: 0,
      dataSegmentLength: 142,
      isid: '400001370000',
      tsih: 0,
      initiatorTaskTag: 1,
      cid: 1,
      cmdSn: 1,
      expStatSn: 0
    }
  },
  {
    clause: '§11.12 Login Request, every field of its own',
    layout: pdu.loginRequest,
    wire: `4387 0201 00000078  80aabbccddee 1f2e  00000023 0405 0000 00000033 00000043
           00000000000000000000000000000000`,
    fields: {
      opcode: 0x43,
      flags: 0x87,
      versionMax: 2,
      versionMin: 1,
      dataSegmentLength: 120,
      isid: '80aabbccddee',
      tsih: 0x1f2e,
      initiatorTaskTag: 0x23,
      cid: 0x0405,
      cmdSn: 0x33,
      expStatSn: 0x43
    }
  },
  {
    clause: '§11.10 Text Request',
    layout: pdu.textRequest,
    wire: `04c0 0000 00 000010  0003000000000000  00000024 00000054 00000034 00000044
           00000000000000000000000000000000`,
    fields: {
      opcode: 0x04,
      flags: 0xc0,
      dataSegmentLength: 16,
      lun: '0003000000000000',
      initiatorTaskTag: 0x24,
      targetTransferTag: 0x54,
      cmdSn: 0x34,
      expStatSn: 0x44
    }
  },
  {
    clause: '§11.7 SCSI Data-Out',
    layout: pdu.dataOut,
    wire: `0580 0000 00 010000  0001000000000000  00000025 00000055 00000000 00000045
           00000000 00000065 00030000 00000000`,
    fields: {
      opcode: 0x05,
      flags: 0x80,
      dataSegmentLength: 65536,
      lun: '0001000000000000',
      initiatorTaskTag: 0x25,
      targetTransferTag: 0x55,
      expStatSn: 0x45,
      dataSn: 0x65,
      bufferOffset: 0x30000
    }
  },
  {
    clause: '§11.14 Logout Request, an immediate one',
    layout: pdu.logoutRequest,
    wire: `4681 0000 00 000000  0000000000000000  00000026 0506 0000 00000036 00000046
           00000000000000000000000000000000`,
    fields: { opcode: 0x46, reason: 0x81, initiatorTaskTag: 0x26, cid: 0x0506, cmdSn: 0x36, expStatSn: 0x46 }
  },
  {
    clause: '§11.16 SNACK Request',
    layout: pdu.snack,
    wire: `1081 0000 00 000000  0001000000000000  00000027 00000057 00000000 00000047
           0000000000000000 00000067 00000077`,
    fields: {
      opcode: 0x10,
      flags: 0x81,
      lun: '0001000000000000',
      initiatorTaskTag: 0x27,
      targetTransferTag: 0x57,
      expStatSn: 0x47,
      begRun: 0x67,
      runLength: 0x77
    }
  },
  {
    clause: '§11.18 NOP-Out, an immediate answer to a ping',
    layout: pdu.nopOut,
    wire: `4080 0000 00 000004  0001000000000000  ffffffff 00000058 00000038 00000048
           00000000000000000000000000000000`,
    fields: {
      opcode: 0x40,
      flags: 0x80,
      dataSegmentLength: 4,
      lun: '0001000000000000',
      initiatorTaskTag: 0xffffffff,
      targetTransferTag: 0x58,
      cmdSn: 0x38,
      expStatSn: 0x48
    }
  }
]

describe('RFC 7143 §11: headers that the initiator sends', () => {
  it.each(rows)('$clause: a view reads the golden bytes', ({ layout, wire, fields }) => {
    const view = layout.view().at(fromHex(wire))
    expect(layout.length).toBe(48)
    for (const [name, value] of Object.entries(fields)) expect([name, view[name]]).toEqual([name, valueOf(value)])
  })

  it.each(rows)('$clause: the fields give the golden bytes', ({ layout, wire, fields }) => {
    const values = Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, valueOf(value)]))
    expect(layout.make(values).toString('hex')).toBe(fromHex(wire).toString('hex'))
  })
})

describe('RFC 7143 §11: flags of the initiator', () => {
  it('names the bits of a SCSI Command', () => {
    expect([pdu.FLAG_READ, pdu.FLAG_WRITE, pdu.ATTRIBUTE_MASK]).toEqual([0x40, 0x20, 0x07])
  })

  it('takes T, C, CSG and NSG out of the flags of a login', () => {
    // 0x87 is T, CSG 1, NSG 3; 0x44 is C, CSG 1.
    expect(0x87 & pdu.FLAG_TRANSIT).toBe(0x80)
    expect((0x87 & pdu.CURRENT_STAGE_MASK) >>> pdu.CURRENT_STAGE_SHIFT).toBe(1)
    expect(0x87 & pdu.NEXT_STAGE_MASK).toBe(3)
    expect([0x44 & pdu.FLAG_TRANSIT, 0x44 & pdu.FLAG_CONTINUE]).toEqual([0, 0x40])
  })

  it('masks the function, the reason and the type without the bit that is always one', () => {
    expect([0x85 & pdu.FUNCTION_MASK, 0x81 & pdu.REASON_MASK, 0x83 & pdu.SNACK_TYPE_MASK]).toEqual([5, 1, 3])
  })
})

/** The builder of the other specs is checked against the same bytes, so that no spec stands on it alone. */
describe('the hand-made builder', () => {
  const lun = (number: number) => Buffer.from([0, number, 0, 0, 0, 0, 0, 0])
  const isid = Buffer.from('80aabbccddee', 'hex')
  const cdb = Buffer.from('28000000080100001000', 'hex')
  const built: [string, Buffer][] = [
    ['§11.3', build.scsiCommand({ flags: 0xc1, lun: 2, itt: 0x21, edtl: 0x2000, cmdSn: 0x31, expStatSn: 0x41, cdb })],
    [
      '§11.5',
      build.taskManagementRequest({
        function: 5,
        lun: lun(1),
        itt: 0x22,
        cmdSn: 0x32,
        expStatSn: 0x42,
        refCmdSn: 0x52,
        expDataSn: 0x62
      })
    ],
    ['§11.12 Login Request, as', build.loginRequest({ flags: 0x81, data: Buffer.alloc(142) })],
    [
      '§11.12 Login Request, every',
      build.loginRequest({
        flags: 0x87,
        versionMax: 2,
        versionMin: 1,
        isid,
        tsih: 0x1f2e,
        itt: 0x23,
        cid: 0x0405,
        cmdSn: 0x33,
        expStatSn: 0x43,
        data: Buffer.alloc(120)
      })
    ],
    [
      '§11.10',
      build.textRequest({
        flags: 0xc0,
        lun: 3,
        itt: 0x24,
        ttt: 0x54,
        cmdSn: 0x34,
        expStatSn: 0x44,
        data: Buffer.alloc(16)
      })
    ],
    [
      '§11.7',
      build.dataOut({
        lun: 1,
        itt: 0x25,
        ttt: 0x55,
        expStatSn: 0x45,
        dataSn: 0x65,
        bufferOffset: 0x30000,
        data: Buffer.alloc(65536)
      })
    ],
    ['§11.14', build.logoutRequest({ reason: 1, itt: 0x26, cid: 0x0506, cmdSn: 0x36, expStatSn: 0x46 })],
    ['§11.16', build.snack({ type: 1, lun: 1, itt: 0x27, ttt: 0x57, expStatSn: 0x47, begRun: 0x67, runLength: 0x77 })],
    [
      '§11.18',
      build.nopOut({ lun: 1, itt: 0xffffffff, ttt: 0x58, cmdSn: 0x38, expStatSn: 0x48, data: Buffer.alloc(4) })
    ]
  ]

  it.each(built)('builds the golden header of %s', (clause, bytes) => {
    const row = rows.find((candidate) => candidate.clause.startsWith(clause))
    expect(bytes.subarray(0, 48).toString('hex')).toBe(fromHex(row!.wire).toString('hex'))
  })
})

describe('the login of Windows Server 2003', () => {
  const keys = [
    'InitiatorName=iqn.1991-05.com.microsoft:win2003s',
    'SessionType=Normal',
    'TargetName=iqn.2001-04.com.example:storage.disk2.sys1.lbd',
    'AuthMethod=None'
  ]

  it('has 142 bytes of text and two of padding', () => {
    const bytes = build.loginRequest({ flags: 0x81, data: build.textOf(...keys) })
    expect(bytes).toHaveLength(48 + 144)
    expect(bytes.subarray(0, 8).toString('hex')).toBe('438100000000008e')
    expect(bytes.subarray(48 + 142)).toEqual(Buffer.alloc(2))
  })
})

function valueOf(value: number | string): number | Buffer {
  return typeof value === 'number' ? value : Buffer.from(value, 'hex')
}

function fromHex(text: string): Buffer {
  return Buffer.from(text.replaceAll(/\s/g, ''), 'hex')
}
