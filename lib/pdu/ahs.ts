import { RejectReason } from './codes.js'
import { PduError } from './errors.js'

/**
 * Additional header segments, RFC 7143 §11.2.2. Each begins at a word of four bytes:
 *
 *     AHSLength (2 bytes) | AHSType (1) | AHS-Specific (AHSLength bytes) | padding to a word
 *
 * AHSLength counts neither itself, nor the type, nor the padding. Odd lengths are the rule: 5 for a bidirectional
 * read length, CDB length - 15 for an extended CDB.
 */
export interface AdditionalHeader {
  /** The code alone, one of {@link AhsType} or a reserved one. */
  readonly type: number
  /** AHS-Specific; shares memory with the PDU. */
  readonly specific: Buffer
}
export type AhsList = readonly AdditionalHeader[]

export const AhsType = { ExtendedCdb: 1, BidirectionalReadLength: 2 } as const

/** The most that TotalAHSLength, a count of words in one byte, can announce. */
export const AHS_LENGTH_MAX = 255 * 4

const TYPE_MASK = 0x3f
const PREFIX_LENGTH = 3
const CDB_LENGTH = 16

/** AHSLength that each known type may have: [lowest, highest]. CDBs end at 260 bytes (SPC-4 4.2.3). */
const LENGTHS: Record<number, readonly [number, number]> = {
  [AhsType.ExtendedCdb]: [2, 260 - CDB_LENGTH + 1],
  [AhsType.BidirectionalReadLength]: [5, 5]
}

/**
 * Walks the segments in `buffer[start, start + length)`; types that the RFC reserves are listed too.
 * @param length - bytes, TotalAHSLength × 4
 * @throws PduError when a segment is empty, ends behind the last byte, has a length that its type cannot have, or when
 *   a known type comes twice
 */
export function parseAhs(buffer: Buffer, start: number, length: number): AhsList {
  const list: AdditionalHeader[] = []
  const end = start + length
  for (let offset = start; offset < end;) {
    const header = parseSegment(buffer, offset, end)
    if (header.type in LENGTHS && list.some(({ type }) => type === header.type)) throw ahsError('comes twice')
    list.push(header)
    offset += (PREFIX_LENGTH + header.specific.length + 3) & ~3
  }
  return list
}

function parseSegment(buffer: Buffer, offset: number, end: number): AdditionalHeader {
  if (end - offset < 4) throw ahsError('is cut off')
  const length = (buffer[offset]! << 8) | buffer[offset + 1]!
  const type = buffer[offset + 2]! & TYPE_MASK
  const first = offset + PREFIX_LENGTH
  const [lowest, highest] = LENGTHS[type] ?? [1, AHS_LENGTH_MAX]
  if (length < lowest || length > highest) throw ahsError(`of type ${type} has a length of ${length} bytes`)
  if (first + length > end) throw ahsError('is longer than all of them together')
  return { type, specific: buffer.subarray(first, first + length) }
}

/** The whole CDB: a copy of the 16 bytes of the header and what the extended CDB segment adds, if there is one. */
export function wholeCdb(cdb: Buffer, list: AhsList): Buffer {
  const extended = find(list, AhsType.ExtendedCdb)
  // The first byte of AHS-Specific is reserved in both types.
  return extended ? Buffer.concat([cdb, extended.subarray(1)]) : Buffer.from(cdb)
}

/** Bidirectional Read Expected Data Transfer Length in bytes, or undefined. */
export function bidirectionalReadLength(list: AhsList): number | undefined {
  return find(list, AhsType.BidirectionalReadLength)?.readUInt32BE(1)
}

function find(list: AhsList, wanted: number): Buffer | undefined {
  return list.find(({ type }) => type === wanted)?.specific
}

function ahsError(message: string): PduError {
  return new PduError('ERR_ISCSI_AHS', RejectReason.InvalidPduField, `an additional header segment ${message}`)
}
