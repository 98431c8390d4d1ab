import { bytes, defineLayout, u16, u24, u32, u8 } from '../layout/layout.js'

/** For the PDUs of the data path, whose fields are read by offset. */
export { getU32 } from '../layout/layout.js'

/** Length in bytes of a basic header segment. */
export const BHS_LENGTH = 48

/** The F bit of byte 1, and the bit that is always one in the PDUs that know no other. */
export const FLAG_FINAL = 0x80

/** "No tag" in InitiatorTaskTag, TargetTransferTag and ReferencedTaskTag. */
export const RESERVED_TAG = 0xffffffff

/** What all basic header segments share, RFC 7143 §11.2.1. */
export const basicHeader = defineLayout(BHS_LENGTH, {
  opcode: u8,
  flags: u8,
  specific: u16,
  totalAhsLength: u8, // in words of four bytes
  dataSegmentLength: u24, // in bytes, without padding
  lun: bytes(8), // or opcode-specific
  initiatorTaskTag: u32,
  opcodeSpecific: bytes(28)
})
