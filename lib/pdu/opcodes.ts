/** All operation codes of RFC 7143 §11.2.1.2: 0x00–0x1f are sent by the initiator, 0x20–0x3f by the target. */
export const Opcode = {
  NopOut: 0x00,
  ScsiCommand: 0x01,
  TaskManagementRequest: 0x02,
  LoginRequest: 0x03,
  TextRequest: 0x04,
  DataOut: 0x05,
  LogoutRequest: 0x06,
  Snack: 0x10,
  NopIn: 0x20,
  ScsiResponse: 0x21,
  TaskManagementResponse: 0x22,
  LoginResponse: 0x23,
  TextResponse: 0x24,
  DataIn: 0x25,
  LogoutResponse: 0x26,
  R2t: 0x31,
  AsyncMessage: 0x32,
  Reject: 0x3f
} as const
export type Opcode = (typeof Opcode)[keyof typeof Opcode]

/** The operation code within byte 0 of a header. */
export const OPCODE_MASK = 0x3f

/** The I bit of byte 0: an immediate command, which takes no CmdSN (RFC 7143 §11.2.1.1). */
export const FLAG_IMMEDIATE = 0x40

const TARGET_OPCODE = 0x20

const NAMES: Record<Opcode, string> = {
  [Opcode.NopOut]: 'NOP-Out',
  [Opcode.ScsiCommand]: 'SCSI Command',
  [Opcode.TaskManagementRequest]: 'Task Management Function Request',
  [Opcode.LoginRequest]: 'Login Request',
  [Opcode.TextRequest]: 'Text Request',
  [Opcode.DataOut]: 'SCSI Data-Out',
  [Opcode.LogoutRequest]: 'Logout Request',
  [Opcode.Snack]: 'SNACK Request',
  [Opcode.NopIn]: 'NOP-In',
  [Opcode.ScsiResponse]: 'SCSI Response',
  [Opcode.TaskManagementResponse]: 'Task Management Function Response',
  [Opcode.LoginResponse]: 'Login Response',
  [Opcode.TextResponse]: 'Text Response',
  [Opcode.DataIn]: 'SCSI Data-In',
  [Opcode.LogoutResponse]: 'Logout Response',
  [Opcode.R2t]: 'Ready To Transfer',
  [Opcode.AsyncMessage]: 'Asynchronous Message',
  [Opcode.Reject]: 'Reject'
}

/** The RFC's name of the PDU, for logs; takes byte 0 with or without its I bit. */
export function opcodeName(byte: number): string {
  const opcode = byte & OPCODE_MASK
  return NAMES[opcode as Opcode] ?? `unknown opcode 0x${opcode.toString(16).padStart(2, '0')}`
}

/** Whether it is one of the eight requests that an initiator may send; takes byte 0 with or without its I bit. */
export function isInitiatorOpcode(byte: number): boolean {
  const opcode = byte & OPCODE_MASK
  return opcode < TARGET_OPCODE && opcode in NAMES
}
