import { bytes, defineLayout, u16, u24, u32, u8 } from '../layout/layout.js'
import { BHS_LENGTH } from './bhs.js'

/** SCSI Response, RFC 7143 §11.4. */
export const scsiResponse = defineLayout(BHS_LENGTH, {
  opcode: u8,
  flags: u8,
  response: u8,
  status: u8,
  totalAhsLength: u8,
  dataSegmentLength: u24,
  reserved: bytes(8),
  initiatorTaskTag: u32,
  snackTag: u32,
  statSn: u32,
  expCmdSn: u32,
  maxCmdSn: u32,
  expDataSn: u32,
  bidirectionalReadResidualCount: u32,
  residualCount: u32
})
export const FLAG_BIDIRECTIONAL_READ_OVERFLOW = 0x10
export const FLAG_BIDIRECTIONAL_READ_UNDERFLOW = 0x08
/** SCSI Response and Data-In: the O bit, the command wanted to transfer more than expected. */
export const FLAG_OVERFLOW = 0x04
/** SCSI Response and Data-In: the U bit, the command transferred less than expected. */
export const FLAG_UNDERFLOW = 0x02

/** Task Management Function Response, RFC 7143 §11.6. */
export const taskManagementResponse = defineLayout(BHS_LENGTH, {
  opcode: u8,
  flags: u8,
  response: u8,
  reserved: u8,
  totalAhsLength: u8,
  dataSegmentLength: u24,
  reserved2: bytes(8),
  initiatorTaskTag: u32,
  reserved3: u32,
  statSn: u32,
  expCmdSn: u32,
  maxCmdSn: u32,
  reserved4: bytes(12)
})

/** Login Response, RFC 7143 §11.13; flags as in the request. */
export const loginResponse = defineLayout(BHS_LENGTH, {
  opcode: u8,
  flags: u8,
  versionMax: u8,
  versionActive: u8,
  totalAhsLength: u8,
  dataSegmentLength: u24,
  isid: bytes(6),
  tsih: u16,
  initiatorTaskTag: u32,
  reserved: u32,
  statSn: u32,
  expCmdSn: u32,
  maxCmdSn: u32,
  statusClass: u8,
  statusDetail: u8,
  reserved2: bytes(10)
})

/** Text Response, RFC 7143 §11.11; flags as in the request. */
export const textResponse = defineLayout(BHS_LENGTH, {
  opcode: u8,
  flags: u8,
  reserved: u16,
  totalAhsLength: u8,
  dataSegmentLength: u24,
  lun: bytes(8),
  initiatorTaskTag: u32,
  targetTransferTag: u32,
  statSn: u32,
  expCmdSn: u32,
  maxCmdSn: u32,
  reserved2: bytes(12)
})

/** SCSI Data-In, RFC 7143 §11.7. `status`, `statSn` and `residualCount` count with {@link FLAG_STATUS} alone. */
export const dataIn = defineLayout(BHS_LENGTH, {
  opcode: u8,
  flags: u8,
  reserved: u8,
  status: u8,
  totalAhsLength: u8,
  dataSegmentLength: u24,
  lun: bytes(8),
  initiatorTaskTag: u32,
  targetTransferTag: u32,
  statSn: u32,
  expCmdSn: u32,
  maxCmdSn: u32,
  dataSn: u32,
  bufferOffset: u32,
  residualCount: u32
})
/** Data-In: the A bit, asks for a DataACK SNACK; never with ErrorRecoveryLevel 0. */
export const FLAG_ACKNOWLEDGE = 0x40
/** Data-In: the S bit, this PDU carries the status too (phase collapse); needs the F bit. */
export const FLAG_STATUS = 0x01

/** Logout Response, RFC 7143 §11.15. */
export const logoutResponse = defineLayout(BHS_LENGTH, {
  opcode: u8,
  flags: u8,
  response: u8,
  reserved: u8,
  totalAhsLength: u8,
  dataSegmentLength: u24,
  reserved2: bytes(8),
  initiatorTaskTag: u32,
  reserved3: u32,
  statSn: u32,
  expCmdSn: u32,
  maxCmdSn: u32,
  reserved4: u32,
  time2Wait: u16, // seconds
  time2Retain: u16, // seconds
  reserved5: u32
})

/** NOP-In, RFC 7143 §11.19. */
export const nopIn = defineLayout(BHS_LENGTH, {
  opcode: u8,
  flags: u8,
  reserved: u16,
  totalAhsLength: u8,
  dataSegmentLength: u24,
  lun: bytes(8),
  initiatorTaskTag: u32,
  targetTransferTag: u32,
  statSn: u32,
  expCmdSn: u32,
  maxCmdSn: u32,
  reserved2: bytes(12)
})

/** Ready To Transfer, RFC 7143 §11.8. */
export const r2t = defineLayout(BHS_LENGTH, {
  opcode: u8,
  flags: u8,
  reserved: u16,
  totalAhsLength: u8,
  dataSegmentLength: u24,
  lun: bytes(8),
  initiatorTaskTag: u32,
  targetTransferTag: u32,
  statSn: u32,
  expCmdSn: u32,
  maxCmdSn: u32,
  r2tSn: u32,
  bufferOffset: u32,
  desiredDataTransferLength: u32
})

/** Asynchronous Message, RFC 7143 §11.9. Bytes 16 to 19 hold RESERVED_TAG, not zero. */
export const asyncMessage = defineLayout(BHS_LENGTH, {
  opcode: u8,
  flags: u8,
  reserved: u16,
  totalAhsLength: u8,
  dataSegmentLength: u24,
  lun: bytes(8),
  initiatorTaskTag: u32,
  reserved2: u32,
  statSn: u32,
  expCmdSn: u32,
  maxCmdSn: u32,
  asyncEvent: u8,
  asyncVCode: u8,
  parameter1: u16,
  parameter2: u16,
  parameter3: u16,
  reserved3: u32
})

/** Reject, RFC 7143 §11.17; the data segment holds the header of the rejected PDU. Bytes 16 to 19 hold
 * RESERVED_TAG. */
export const reject = defineLayout(BHS_LENGTH, {
  opcode: u8,
  flags: u8,
  reason: u8,
  reserved: u8,
  totalAhsLength: u8,
  dataSegmentLength: u24,
  reserved2: bytes(8),
  initiatorTaskTag: u32,
  reserved3: u32,
  statSn: u32,
  expCmdSn: u32,
  maxCmdSn: u32,
  dataSn: u32, // or R2TSN
  reserved4: bytes(8)
})
