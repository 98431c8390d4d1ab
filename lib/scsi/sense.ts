/** SPC-4 §4.5 sense data: named conditions, and their fixed and descriptor formats. */
export interface SenseCondition {
  readonly name: string
  readonly key: number
  readonly asc: number
  readonly ascq: number
  /** What the INFORMATION field says wherever this condition is reported, unless the report knows better. */
  readonly information?: number
}

export const SenseKey = {
  NoSense: 0x0,
  RecoveredError: 0x1,
  NotReady: 0x2,
  MediumError: 0x3,
  HardwareError: 0x4,
  IllegalRequest: 0x5,
  UnitAttention: 0x6,
  DataProtect: 0x7,
  CopyAborted: 0xa,
  AbortedCommand: 0xb,
  Miscompare: 0xe
} as const

function condition(name: string, key: number, asc: number, ascq: number): SenseCondition {
  return { name, key, asc, ascq }
}

export const NO_SENSE = condition('NO ADDITIONAL SENSE INFORMATION', 0x0, 0x00, 0x00)
export const MEDIUM_NOT_PRESENT = condition('MEDIUM NOT PRESENT', 0x2, 0x3a, 0x00)
export const SANITIZE_IN_PROGRESS = condition('LOGICAL UNIT NOT READY, SANITIZE IN PROGRESS', 0x2, 0x04, 0x1b)
export const UNRECOVERED_READ_ERROR = condition('UNRECOVERED READ ERROR', 0x3, 0x11, 0x00)
export const WRITE_ERROR = condition('WRITE ERROR', 0x3, 0x0c, 0x00)
export const SANITIZE_FAILED = condition('SANITIZE COMMAND FAILED', 0x3, 0x31, 0x03)
export const INTERNAL_TARGET_FAILURE = condition('INTERNAL TARGET FAILURE', 0x4, 0x44, 0x00)
export const OPERATION_IN_PROGRESS = condition('OPERATION IN PROGRESS', 0x5, 0x00, 0x16)
export const PARAMETER_LIST_LENGTH_ERROR = condition('PARAMETER LIST LENGTH ERROR', 0x5, 0x1a, 0x00)
export const INVALID_OPCODE = condition('INVALID COMMAND OPERATION CODE', 0x5, 0x20, 0x00)
export const LBA_OUT_OF_RANGE = condition('LOGICAL BLOCK ADDRESS OUT OF RANGE', 0x5, 0x21, 0x00)
export const TOKEN_TYPE_UNSUPPORTED = condition('INVALID TOKEN OPERATION, UNSUPPORTED TOKEN TYPE', 0x5, 0x23, 0x01)
export const TOKEN_UNKNOWN = condition('INVALID TOKEN OPERATION, TOKEN UNKNOWN', 0x5, 0x23, 0x04)
export const TOKEN_CORRUPT = condition('INVALID TOKEN OPERATION, TOKEN CORRUPT', 0x5, 0x23, 0x05)
export const TOKEN_EXPIRED = condition('INVALID TOKEN OPERATION, TOKEN EXPIRED', 0x5, 0x23, 0x07)
export const TOKEN_CANCELLED = condition('INVALID TOKEN OPERATION, TOKEN CANCELLED', 0x5, 0x23, 0x08)
export const TOKEN_DELETED = condition('INVALID TOKEN OPERATION, TOKEN DELETED', 0x5, 0x23, 0x09)
export const INVALID_TOKEN_LENGTH = condition('INVALID TOKEN OPERATION, INVALID TOKEN LENGTH', 0x5, 0x23, 0x0a)
export const INVALID_FIELD_IN_CDB = condition('INVALID FIELD IN CDB', 0x5, 0x24, 0x00)
export const LUN_NOT_SUPPORTED = condition('LOGICAL UNIT NOT SUPPORTED', 0x5, 0x25, 0x00)
export const INVALID_FIELD_IN_PARAMETER_LIST = condition('INVALID FIELD IN PARAMETER LIST', 0x5, 0x26, 0x00)
export const SAVING_NOT_SUPPORTED = condition('SAVING PARAMETERS NOT SUPPORTED', 0x5, 0x39, 0x00)
export const TOO_MANY_TARGET_DESCRIPTORS = condition('TOO MANY TARGET DESCRIPTORS', 0x5, 0x26, 0x06)
export const UNSUPPORTED_TARGET_DESCRIPTOR = condition('UNSUPPORTED TARGET DESCRIPTOR TYPE CODE', 0x5, 0x26, 0x07)
export const TOO_MANY_SEGMENT_DESCRIPTORS = condition('TOO MANY SEGMENT DESCRIPTORS', 0x5, 0x26, 0x08)
export const UNSUPPORTED_SEGMENT_DESCRIPTOR = condition('UNSUPPORTED SEGMENT DESCRIPTOR TYPE CODE', 0x5, 0x26, 0x09)
export const INVALID_RELEASE = condition('INVALID RELEASE OF PERSISTENT RESERVATION', 0x5, 0x26, 0x04)
export const INVALID_FIELD_IN_INFORMATION_UNIT = condition('INVALID FIELD IN COMMAND INFORMATION UNIT', 0x5, 0x0e, 0x03)
export const MEDIUM_REMOVAL_PREVENTED = condition('MEDIUM REMOVAL PREVENTED', 0x5, 0x53, 0x02)
export const INSUFFICIENT_REGISTRATION_RESOURCES = condition('INSUFFICIENT REGISTRATION RESOURCES', 0x5, 0x55, 0x04)
export const INSUFFICIENT_RESOURCES = condition('INSUFFICIENT RESOURCES', 0x5, 0x55, 0x03)
export const MEDIUM_MAY_HAVE_CHANGED = condition('NOT READY TO READY CHANGE, MEDIUM MAY HAVE CHANGED', 0x6, 0x28, 0x00)
export const POWER_ON = condition('POWER ON, RESET, OR BUS DEVICE RESET OCCURRED', 0x6, 0x29, 0x00)
export const BUS_DEVICE_RESET = condition('BUS DEVICE RESET FUNCTION OCCURRED', 0x6, 0x29, 0x03)
export const NEXUS_LOSS = condition('I_T NEXUS LOSS OCCURRED', 0x6, 0x29, 0x07)
export const MODE_PARAMETERS_CHANGED = condition('MODE PARAMETERS CHANGED', 0x6, 0x2a, 0x01)
export const RESERVATIONS_PREEMPTED = condition('RESERVATIONS PREEMPTED', 0x6, 0x2a, 0x03)
export const RESERVATIONS_RELEASED = condition('RESERVATIONS RELEASED', 0x6, 0x2a, 0x04)
export const REGISTRATIONS_PREEMPTED = condition('REGISTRATIONS PREEMPTED', 0x6, 0x2a, 0x05)
export const CAPACITY_CHANGED = condition('CAPACITY DATA HAS CHANGED', 0x6, 0x2a, 0x09)
export const COMMANDS_CLEARED = condition('COMMANDS CLEARED BY ANOTHER INITIATOR', 0x6, 0x2f, 0x00)
/**
 * SBC-3 §4.7.3.7.6: INFORMATION is the byte offset, in the Logical Block Provisioning mode page, of the descriptor of
 * the threshold that was reached; there is one, right behind the 16 bytes of the page's head.
 */
export const SOFT_THRESHOLD_REACHED: SenseCondition = {
  ...condition('THIN PROVISIONING SOFT THRESHOLD REACHED', 0x6, 0x38, 0x07),
  information: 16
}
export const INQUIRY_DATA_CHANGED = condition('INQUIRY DATA HAS CHANGED', 0x6, 0x3f, 0x03)
export const REPORTED_LUNS_CHANGED = condition('REPORTED LUNS DATA HAS CHANGED', 0x6, 0x3f, 0x0e)
export const WRITE_PROTECTED = condition('WRITE PROTECTED', 0x7, 0x27, 0x00)
export const SPACE_ALLOCATION_FAILED = condition('SPACE ALLOCATION FAILED WRITE PROTECT', 0x7, 0x27, 0x07)
export const UNREACHABLE_COPY_TARGET = condition('UNREACHABLE COPY TARGET', 0xa, 0x08, 0x04)
export const THIRD_PARTY_DEVICE_FAILURE = condition('THIRD PARTY DEVICE FAILURE', 0xa, 0x0d, 0x01)
export const COPY_TARGET_NOT_REACHABLE = condition('COPY TARGET DEVICE NOT REACHABLE', 0xa, 0x0d, 0x02)
export const COPY_CLEARED = condition('COMMANDS CLEARED BY DEVICE SERVER', 0xa, 0x2f, 0x02)
export const UNEXPECTED_INEXACT_SEGMENT = condition('UNEXPECTED INEXACT SEGMENT', 0xa, 0x26, 0x0a)
export const UNEXPECTED_UNSOLICITED_DATA = condition('UNEXPECTED UNSOLICITED DATA', 0xb, 0x0c, 0x0c)
export const NOT_ENOUGH_UNSOLICITED_DATA = condition('NOT ENOUGH UNSOLICITED DATA', 0xb, 0x0c, 0x0d)
export const PROTOCOL_CRC_ERROR = condition('PROTOCOL SERVICE CRC ERROR', 0xb, 0x47, 0x05)
export const DATA_PHASE_ERROR = condition('DATA PHASE ERROR', 0xb, 0x4b, 0x00)
export const MISCOMPARE_DURING_VERIFY = condition('MISCOMPARE DURING VERIFY OPERATION', 0xe, 0x1d, 0x00)

/** What a sense says beyond its three codes. */
export interface SenseDetail {
  /** INFORMATION field: an LBA, an offset, a count. */
  readonly information?: number | undefined
  /** Field pointer (SPC-4 §4.5.2.4.2): byte in the CDB or in the parameter list, and the bit in it. */
  readonly field?: { readonly inCdb: boolean; readonly byte: number; readonly bit?: number }
  /** Progress indication (SPC-4 §4.5.2.4.4): how much is done, of 65,536. */
  readonly progress?: number | undefined
}

export const FIXED_SENSE_LENGTH = 18
const FIXED_CURRENT = 0x70
const DESCRIPTOR_CURRENT = 0x72
const VALID = 0x80
const SKSV = 0x80
const COMMAND_DATA = 0x40
const BIT_POINTER_VALID = 0x08

/** Sense data in bytes: fixed format (70h, 18 bytes), or descriptor format (72h) when `descriptor`. */
export function encodeSense(sense: SenseCondition, detail: SenseDetail = {}, descriptor = false): Buffer {
  const complete = { information: sense.information, ...detail }
  return descriptor ? descriptorSense(sense, complete) : fixedSense(sense, complete)
}

function fixedSense(sense: SenseCondition, { information, field, progress }: SenseDetail): Buffer {
  const data = Buffer.alloc(FIXED_SENSE_LENGTH)
  data[0] = FIXED_CURRENT
  data[2] = sense.key
  data[7] = FIXED_SENSE_LENGTH - 8
  data[12] = sense.asc
  data[13] = sense.ascq
  // SPC-4 §4.5.3: INFORMATION has four bytes here; a larger value leaves VALID at zero.
  if (information !== undefined && information <= 0xffffffff) {
    data[0] |= VALID
    data.writeUInt32BE(information, 3)
  }
  if (field) writeFieldPointer(data, 15, field)
  else if (progress !== undefined) writeProgress(data, 15, progress)
  return data
}

function descriptorSense(sense: SenseCondition, { information, field, progress }: SenseDetail): Buffer {
  const parts = [Buffer.from([DESCRIPTOR_CURRENT, sense.key, sense.asc, sense.ascq, 0, 0, 0, 0])]
  if (information !== undefined) {
    const descriptor = Buffer.alloc(12)
    descriptor[1] = 0x0a
    descriptor[2] = VALID
    descriptor.writeBigUInt64BE(BigInt(information), 4)
    parts.push(descriptor)
  }
  if (field ?? progress !== undefined) {
    const descriptor = Buffer.from([0x02, 0x06, 0, 0, 0, 0, 0, 0])
    if (field) writeFieldPointer(descriptor, 4, field)
    else writeProgress(descriptor, 4, progress!)
    parts.push(descriptor)
  }
  const data = Buffer.concat(parts)
  data[7] = data.length - 8
  return data
}

function writeFieldPointer(data: Buffer, at: number, field: NonNullable<SenseDetail['field']>): void {
  data[at] = SKSV | (field.inCdb ? COMMAND_DATA : 0)
  if (field.bit !== undefined) data[at] |= BIT_POINTER_VALID | field.bit
  data.writeUInt16BE(field.byte, at + 1)
}

function writeProgress(data: Buffer, at: number, progress: number): void {
  data[at] = SKSV
  data.writeUInt16BE(Math.min(progress, 0xffff), at + 1)
}
