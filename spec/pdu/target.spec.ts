import { describe, expect, it } from '@jest/globals'
import type { Definition, Field } from '../../lib/layout/layout.js'
import * as pdu from '../../lib/pdu/target.js'

type Fields = Record<string, Field<number> | Field<Buffer>>

/** Bytes of the twelve words of a header, counted off the figures of the RFC; each field has bytes of its own. */
const rows: { clause: string; layout: Definition<Fields>; wire: string; fields: Record<string, number | string> }[] = [
  {
    clause: '§11.4 SCSI Response, CHECK CONDITION with sense data and a residual',
    layout: pdu.scsiResponse,
    wire: `2182 01 02 00 000014  0000000000000000  00000021 00000031 00000041 00000051
           00000061 00000071 00000081 00000091`,
    fields: {
      opcode: 0x21,
      flags: 0x82,
      response: 1,
      status: 2,
      dataSegmentLength: 20,
      initiatorTaskTag: 0x21,
      snackTag: 0x31,
      statSn: 0x41,
      expCmdSn: 0x51,
      maxCmdSn: 0x61,
      expDataSn: 0x71,
      bidirectionalReadResidualCount: 0x81,
      residualCount: 0x91
    }
  },
  {
    clause: '§11.6 Task Management Function Response',
    layout: pdu.taskManagementResponse,
    wire: `2280 05 00 00 000000  0000000000000000  00000022 00000000 00000042 00000052
           00000062 000000000000000000000000`,
    fields: {
      opcode: 0x22,
      flags: 0x80,
      response: 5,
      initiatorTaskTag: 0x22,
      statSn: 0x42,
      expCmdSn: 0x52,
      maxCmdSn: 0x62
    }
  },
  {
    clause: '§11.13 Login Response',
    layout: pdu.loginResponse,
    wire: `2387 02 01 00 000021  400001370000 0203  00000023 00000000 00000043 00000053
           00000063 02 07 00000000000000000000`,
    fields: {
      opcode: 0x23,
      flags: 0x87,
      versionMax: 2,
      versionActive: 1,
      dataSegmentLength: 33,
      isid: '400001370000',
      tsih: 0x0203,
      initiatorTaskTag: 0x23,
      statSn: 0x43,
      expCmdSn: 0x53,
      maxCmdSn: 0x63,
      statusClass: 2,
      statusDetail: 7
    }
  },
  {
    clause: '§11.11 Text Response',
    layout: pdu.textResponse,
    wire: `2440 0000 00 002000  0001000000000000  00000024 00000034 00000044 00000054
           00000064 000000000000000000000000`,
    fields: {
      opcode: 0x24,
      flags: 0x40,
      dataSegmentLength: 8192,
      lun: '0001000000000000',
      initiatorTaskTag: 0x24,
      targetTransferTag: 0x34,
      statSn: 0x44,
      expCmdSn: 0x54,
      maxCmdSn: 0x64
    }
  },
  {
    clause: '§11.7 SCSI Data-In with status',
    layout: pdu.dataIn,
    wire: `2583 00 08 00 010000  0001000000000000  00000025 ffffffff 00000045 00000055
           00000065 00000075 00030000 00000095`,
    fields: {
      opcode: 0x25,
      flags: 0x83,
      status: 8,
      dataSegmentLength: 65536,
      lun: '0001000000000000',
      initiatorTaskTag: 0x25,
      targetTransferTag: 0xffffffff,
      statSn: 0x45,
      expCmdSn: 0x55,
      maxCmdSn: 0x65,
      dataSn: 0x75,
      bufferOffset: 0x30000,
      residualCount: 0x95
    }
  },
  {
    clause: '§11.15 Logout Response',
    layout: pdu.logoutResponse,
    wire: `2680 03 00 00 000000  0000000000000000  00000026 00000000 00000046 00000056
           00000066 00000000 0002 0014 00000000`,
    fields: {
      opcode: 0x26,
      flags: 0x80,
      response: 3,
      initiatorTaskTag: 0x26,
      statSn: 0x46,
      expCmdSn: 0x56,
      maxCmdSn: 0x66,
      time2Wait: 2,
      time2Retain: 20
    }
  },
  {
    clause: '§11.19 NOP-In, a ping',
    layout: pdu.nopIn,
    wire: `2080 0000 00 000000  0001000000000000  ffffffff 00000037 00000047 00000057
           00000067 000000000000000000000000`,
    fields: {
      opcode: 0x20,
      flags: 0x80,
      lun: '0001000000000000',
      initiatorTaskTag: 0xffffffff,
      targetTransferTag: 0x37,
      statSn: 0x47,
      expCmdSn: 0x57,
      maxCmdSn: 0x67
    }
  },
  {
    clause: '§11.8 R2T, for the rest of a 256 KiB write of Windows behind 64 KiB of immediate data',
    layout: pdu.r2t,
    wire: `31800000 00000000 0000000000000000 00000028 00000038 00000048 00000058
           00000068 00000000 00010000 00030000`,
    fields: {
      opcode: 0x31,
      flags: 0x80,
      totalAhsLength: 0,
      dataSegmentLength: 0,
      lun: '0000000000000000',
      initiatorTaskTag: 0x28,
      targetTransferTag: 0x38,
      statSn: 0x48,
      expCmdSn: 0x58,
      maxCmdSn: 0x68,
      r2tSn: 0,
      bufferOffset: 65536,
      desiredDataTransferLength: 196608
    }
  },
  {
    clause: '§11.9 Asynchronous Message, a request to log out within 10 s',
    layout: pdu.asyncMessage,
    wire: `3280 0000 00 000000  0001000000000000  ffffffff 00000000 00000049 00000059
           00000069 01 07 0002 0003 000a 00000000`,
    fields: {
      opcode: 0x32,
      flags: 0x80,
      lun: '0001000000000000',
      initiatorTaskTag: 0xffffffff,
      statSn: 0x49,
      expCmdSn: 0x59,
      maxCmdSn: 0x69,
      asyncEvent: 1,
      asyncVCode: 7,
      parameter1: 2,
      parameter2: 3,
      parameter3: 10
    }
  },
  {
    clause: '§11.17 Reject with the rejected header',
    layout: pdu.reject,
    wire: `3f80 04 00 00 000030  0000000000000000  ffffffff 00000000 0000004a 0000005a
           0000006a 0000007a 0000000000000000`,
    fields: {
      opcode: 0x3f,
      flags: 0x80,
      reason: 4,
      dataSegmentLength: 48,
      initiatorTaskTag: 0xffffffff,
      statSn: 0x4a,
      expCmdSn: 0x5a,
      maxCmdSn: 0x6a,
      dataSn: 0x7a
    }
  }
]

describe('RFC 7143 §11: headers that the target sends', () => {
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

describe('RFC 7143 §11.4.1, §11.7: flags of the target', () => {
  it('names the residual bits', () => {
    expect([
      pdu.FLAG_BIDIRECTIONAL_READ_OVERFLOW,
      pdu.FLAG_BIDIRECTIONAL_READ_UNDERFLOW,
      pdu.FLAG_OVERFLOW,
      pdu.FLAG_UNDERFLOW
    ]).toEqual([0x10, 0x08, 0x04, 0x02])
  })

  it('names the bits of Data-In', () => {
    expect([pdu.FLAG_ACKNOWLEDGE, pdu.FLAG_STATUS]).toEqual([0x40, 0x01])
  })
})

function valueOf(value: number | string): number | Buffer {
  return typeof value === 'number' ? value : Buffer.from(value, 'hex')
}

function fromHex(text: string): Buffer {
  return Buffer.from(text.replaceAll(/\s/g, ''), 'hex')
}
