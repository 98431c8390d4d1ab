import { bytes, defineLayout, u16, u24, u32, u8 } from '../layout/layout.js'
import { BHS_LENGTH } from './bhs.js'

/** SCSI Command, RFC 7143 §11.3. */
export const scsiCommand = defineLayout(BHS_LENGTH, {
  opcode: u8,
  flags: u8,
  reserved: u16,
  totalAhsLength: u8,
  dataSegmentLength: u24,
  lun: bytes(8),
  initiatorTaskTag: u32,
  expectedDataTransferLength: u32,
  cmdSn: u32,
  expStatSn: u32,
  cdb: bytes(16)
})
export const FLAG_READ = 0x40
export const FLAG_WRITE = 0x20
export const ATTRIBUTE_MASK = 0x07

/** Task Management Function Request, RFC 7143 §11.5. */
export const taskManagementRequest = defineLayout(BHS_LENGTH, {
  opcode: u8,
  function: u8,
  reserved: u16,
  totalAhsLength: u8,
  dataSegmentLength: u24,
  lun: bytes(8),
  initiatorTaskTag: u32,
  referencedTaskTag: u32,
  cmdSn: u32,
  expStatSn: u32,
  refCmdSn: u32,
  expDataSn: u32,
  reserved2: bytes(8)
})
/** The function without the bit that is always one. */
export const FUNCTION_MASK = 0x7f

/** Login Request, RFC 7143 §11.12. */
export const loginRequest = defineLayout(BHS_LENGTH, {
  opcode: u8,
  flags: u8,
  versionMax: u8,
  versionMin: u8,
  totalAhsLength: u8,
  dataSegmentLength: u24,
  isid: bytes(6),
  tsih: u16,
  initiatorTaskTag: u32,
  cid: u16,
  reserved: u16,
  cmdSn: u32,
  expStatSn: u32,
  reserved2: bytes(16)
})
/** Login: the T bit, ready to go to the next stage. */
export const FLAG_TRANSIT = 0x80
/** Login and Text: the C bit, the text goes on in the next PDU. */
export const FLAG_CONTINUE = 0x40
/** Login: current stage, `(flags & CURRENT_STAGE_MASK) >>> CURRENT_STAGE_SHIFT`. */
export const CURRENT_STAGE_MASK = 0x0c
export const CURRENT_STAGE_SHIFT = 2
/** Login: next stage, meaningful with {@link FLAG_TRANSIT} alone. */
export const NEXT_STAGE_MASK = 0x03

/** Text Request, RFC 7143 §11.10. */
export const textRequest = defineLayout(BHS_LENGTH, {
  opcode: u8,
  flags: u8,
  reserved: u16,
  totalAhsLength: u8,
  dataSegmentLength: u24,
  lun: bytes(8),
  initiatorTaskTag: u32,
  targetTransferTag: u32,
  cmdSn: u32,
  expStatSn: u32,
  reserved2: bytes(16)
})

/** SCSI Data-Out, RFC 7143 §11.7. It carries no CmdSN: bytes 24 to 27 are reserved. */
export const dataOut = defineLayout(BHS_LENGTH, {
  opcode: u8,
  flags: u8,
  reserved: u16,
  totalAhsLength: u8,
  dataSegmentLength: u24,
  lun: bytes(8),
  initiatorTaskTag: u32,
  targetTransferTag: u32,
  reserved2: u32,
  expStatSn: u32,
  reserved3: u32,
  dataSn: u32,
  bufferOffset: u32,
  reserved4: u32
})

/** Logout Request, RFC 7143 §11.14. */
export const logoutRequest = defineLayout(BHS_LENGTH, {
  opcode: u8,
  reason: u8,
  reserved: u16,
  totalAhsLength: u8,
  dataSegmentLength: u24,
  reserved2: bytes(8),
  initiatorTaskTag: u32,
  cid: u16,
  reserved3: u16,
  cmdSn: u32,
  expStatSn: u32,
  reserved4: bytes(16)
})
/** The reason without the bit that is always one. */
export const REASON_MASK = 0x7f

/** SNACK Request, RFC 7143 §11.16. It carries no CmdSN: bytes 24 to 27 are reserved. */
export const snack = defineLayout(BHS_LENGTH, {
  opcode: u8,
  flags: u8,
  reserved: u16,
  totalAhsLength: u8,
  dataSegmentLength: u24,
  lun: bytes(8),
  initiatorTaskTag: u32,
  targetTransferTag: u32, // or SNACK Tag
  reserved2: u32,
  expStatSn: u32,
  reserved3: bytes(8),
  begRun: u32,
  runLength: u32
})
export const SNACK_TYPE_MASK = 0x0f

/** NOP-Out, RFC 7143 §11.18. */
export const nopOut = defineLayout(BHS_LENGTH, {
  opcode: u8,
  flags: u8,
  reserved: u16,
  totalAhsLength: u8,
  dataSegmentLength: u24,
  lun: bytes(8),
  initiatorTaskTag: u32,
  targetTransferTag: u32,
  cmdSn: u32,
  expStatSn: u32,
  reserved2: bytes(16)
})
