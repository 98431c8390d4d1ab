import { bytes, defineLayout, u16, u24, u32, u64, u8 } from '../layout/layout.js'
import {
  INVALID_FIELD_IN_PARAMETER_LIST,
  PARAMETER_LIST_LENGTH_ERROR,
  TOO_MANY_SEGMENT_DESCRIPTORS,
  TOO_MANY_TARGET_DESCRIPTORS,
  UNSUPPORTED_SEGMENT_DESCRIPTOR,
  UNSUPPORTED_TARGET_DESCRIPTOR,
  type SenseCondition
} from './sense.js'

/** What RECEIVE COPY OPERATING PARAMETERS promises (SPC-4 §6.22). */
export const MAX_CSCD_DESCRIPTORS = 16
export const MAX_SEGMENT_DESCRIPTORS = 64
/** Both kinds together, in bytes. */
export const MAX_DESCRIPTORS_BYTES = 4096
/** One segment, in bytes; 65,535 blocks of 4096 bytes, which is what the older form can say. */
export const MAX_SEGMENT_BYTES = 256 * 1024 * 1024

/** The parameter list of EXTENDED COPY(LID1), SPC-4 §6.5. */
const header1 = defineLayout(16, {
  listId: u8,
  flags: u8,
  cscdListLength: u16,
  reserved: u32,
  segmentListLength: u32,
  inlineDataLength: u32
})
/** That of EXTENDED COPY(LID4), SPC-4 table 126: for LID1 it would begin with a CSCD descriptor of no known type. */
const header4 = defineLayout(48, {
  format: u8,
  flags: u8,
  headerCscdLength: u16,
  reserved: bytes(11),
  moreFlags: u8,
  headerCscdType: u8,
  moreReserved: bytes(3),
  listId: u32,
  lastReserved: bytes(18),
  cscdListLength: u16,
  segmentListLength: u16,
  inlineDataLength: u16
})
/** What must stand in some bytes of the longer header. G_SENSE, sense data with GOOD status, is not to be had. */
const HEADER_4_FIXED = [
  { byte: 0, mask: 0xff, value: 0x01 },
  { byte: 2, mask: 0xff, value: 0x00 },
  { byte: 3, mask: 0xff, value: 0x20 },
  { byte: 15, mask: 0x02, value: 0x00 },
  { byte: 16, mask: 0xff, value: 0xff }
]
/** LIST ID USAGE 11b: there is no list identifier, and nothing to ask for afterwards. */
const LIST_ID_USAGE_MASK = 0x18

/** The two forms in which a list comes. */
export interface CopyListForm {
  readonly headerLength: number
  readonly listIdByte: number
  readonly cscdLengthByte: number
  readonly inlineLengthByte: number
  readonly fixed: readonly { readonly byte: number; readonly mask: number; readonly value: number }[]
  fieldsOf(list: Buffer): CopyListFields
}

interface CopyListFields {
  readonly listId: number
  readonly flags: number
  readonly cscdListLength: number
  readonly segmentListLength: number
  readonly inlineDataLength: number
}

export const LID1: CopyListForm = {
  headerLength: header1.length,
  listIdByte: header1.offsets.listId,
  cscdLengthByte: header1.offsets.cscdListLength,
  inlineLengthByte: header1.offsets.inlineDataLength,
  fixed: [],
  fieldsOf: (list) => header1.view().at(list)
}
export const LID4: CopyListForm = {
  headerLength: header4.length,
  listIdByte: header4.offsets.listId,
  cscdLengthByte: header4.offsets.cscdListLength,
  inlineLengthByte: header4.offsets.inlineDataLength,
  fixed: HEADER_4_FIXED,
  fieldsOf: (list) => header4.view().at(list)
}

export const IDENTIFICATION_CSCD = 0xe4
/** SPC-4 §6.4.5.6: one designator of VPD page 83h, and the block size for a disk. */
const cscdDescriptor = defineLayout(32, {
  type: u8,
  deviceType: u8,
  relativePort: u16,
  codeSet: u8,
  designatorType: u8,
  reserved: u8,
  designatorLength: u8,
  designator: bytes(20),
  flags: u8,
  blockSize: u24
})
const DESIGNATOR_MAX = 20
/** Of the byte with the association (00b, the logical unit) and the type: what is looked at. */
const DESIGNATOR_MASK = 0x3f
const DEVICE_TYPE_MASK = 0x1f

export const SEGMENT_BLOCKS = 0x02
export const SEGMENT_BYTES = 0x0a
/** SPC-4 §6.4.6.4: block to block. */
const blocksSegment = defineLayout(28, {
  type: u8,
  flags: u8,
  length: u16,
  source: u16,
  destination: u16,
  reserved: u16,
  blocks: u16,
  sourceLba: u64,
  destinationLba: u64
})
/** SPC-4 §6.4.6.9: block to block, counted in bytes from an offset inside the first block. */
const bytesSegment = defineLayout(32, {
  type: u8,
  flags: u8,
  length: u16,
  source: u16,
  destination: u16,
  bytes: u32,
  sourceLba: u64,
  destinationLba: u64,
  sourceOffset: u16,
  destinationOffset: u16
})
const SEGMENT_HEADER_LENGTH = 4
/** DC: the count is in blocks of the destination. */
const FLAG_DC = 0x02

/** A copy source or destination, as the client names it. */
export interface Cscd {
  /** SPC-4 table 530: NAA, T10 vendor, SCSI name … */
  readonly designatorType: number
  readonly codeSet: number
  readonly designator: Buffer
  /** 0 when the client does not say. */
  readonly blockSize: number
}

export interface CopySegment {
  /** Indices in the list of CSCDs, or {@link THIS_UNIT}. */
  readonly source: number
  readonly destination: number
  readonly sourceLba: number
  readonly destinationLba: number
  /** Bytes behind the beginning of the first block. */
  readonly sourceOffset: number
  readonly destinationOffset: number
  readonly count: number
  /** What `count` counts. */
  readonly unit: 'source-blocks' | 'destination-blocks' | 'bytes'
}

/** CSCD DESCRIPTOR ID FFFFh: the unit that the command was sent to. */
export const THIS_UNIT = 0xffff

export interface CopyList {
  /** Undefined when the client does not want to ask for it. */
  readonly listId: number | undefined
  readonly cscds: readonly Cscd[]
  readonly segments: readonly CopySegment[]
}

/** What is wrong with a list: nothing of it has been done. */
export interface CopyListFault {
  readonly condition: SenseCondition
  /** Byte of the list that is wrong. */
  readonly byte?: number
}

/** Takes a parameter list apart. What it names is not looked up here. */
export function parseCopyList(list: Buffer, form: CopyListForm): CopyList | CopyListFault {
  const { headerLength } = form
  if (list.length < headerLength) return { condition: PARAMETER_LIST_LENGTH_ERROR }
  const wrong = form.fixed.find(({ byte, mask, value }) => (list[byte]! & mask) !== value)
  if (wrong) return { condition: INVALID_FIELD_IN_PARAMETER_LIST, byte: wrong.byte }
  const { listId, flags, cscdListLength, segmentListLength, inlineDataLength } = form.fieldsOf(list)
  const end = headerLength + cscdListLength + segmentListLength
  if (end + inlineDataLength > list.length || cscdListLength + segmentListLength > MAX_DESCRIPTORS_BYTES) {
    return { condition: PARAMETER_LIST_LENGTH_ERROR }
  }
  if (inlineDataLength > 0) return { condition: INVALID_FIELD_IN_PARAMETER_LIST, byte: form.inlineLengthByte }
  if (cscdListLength % cscdDescriptor.length !== 0) {
    return { condition: INVALID_FIELD_IN_PARAMETER_LIST, byte: form.cscdLengthByte }
  }
  const wantsId = (flags & LIST_ID_USAGE_MASK) !== LIST_ID_USAGE_MASK
  if (!wantsId && listId !== 0) return { condition: INVALID_FIELD_IN_PARAMETER_LIST, byte: form.listIdByte }
  const cscds = parseCscds(list, headerLength, headerLength + cscdListLength)
  if ('condition' in cscds) return cscds
  const segments = parseSegments(list, headerLength + cscdListLength, end)
  if ('condition' in segments) return segments
  return { listId: wantsId ? listId : undefined, cscds, segments }
}

function parseCscds(list: Buffer, start: number, end: number): Cscd[] | CopyListFault {
  if (end - start > MAX_CSCD_DESCRIPTORS * cscdDescriptor.length) return { condition: TOO_MANY_TARGET_DESCRIPTORS }
  const cscds: Cscd[] = []
  const view = cscdDescriptor.view()
  for (let at = start; at < end; at += cscdDescriptor.length) {
    view.at(list, at)
    if (view.type !== IDENTIFICATION_CSCD) return { condition: UNSUPPORTED_TARGET_DESCRIPTOR, byte: at }
    if ((view.deviceType & DEVICE_TYPE_MASK) !== 0) return { condition: INVALID_FIELD_IN_PARAMETER_LIST, byte: at + 1 }
    const { designatorLength } = view
    if (designatorLength > DESIGNATOR_MAX) return { condition: INVALID_FIELD_IN_PARAMETER_LIST, byte: at + 7 }
    const designatorAt = at + cscdDescriptor.offsets.designator
    cscds.push({
      designatorType: view.designatorType & DESIGNATOR_MASK,
      codeSet: view.codeSet & 0x0f,
      designator: list.subarray(designatorAt, designatorAt + designatorLength),
      blockSize: view.blockSize
    })
  }
  return cscds
}

function parseSegments(list: Buffer, start: number, end: number): CopySegment[] | CopyListFault {
  const segments: CopySegment[] = []
  for (let at = start; at < end;) {
    const shape = SEGMENT_SHAPES[list[at]!]
    if (!shape) return { condition: UNSUPPORTED_SEGMENT_DESCRIPTOR, byte: at }
    if (at + shape.length > end) return { condition: PARAMETER_LIST_LENGTH_ERROR }
    if (list.readUInt16BE(at + 2) !== shape.length - SEGMENT_HEADER_LENGTH) {
      return { condition: INVALID_FIELD_IN_PARAMETER_LIST, byte: at + 2 }
    }
    if (segments.length === MAX_SEGMENT_DESCRIPTORS) return { condition: TOO_MANY_SEGMENT_DESCRIPTORS }
    segments.push(shape.read(list, at))
    at += shape.length
  }
  return segments
}

interface SegmentShape {
  readonly length: number
  read(list: Buffer, at: number): CopySegment
}

const SEGMENT_SHAPES: Readonly<Record<number, SegmentShape | undefined>> = {
  [SEGMENT_BLOCKS]: {
    length: blocksSegment.length,
    read(list, at) {
      const { flags, source, destination, blocks, sourceLba, destinationLba } = blocksSegment.view().at(list, at)
      const unit = (flags & FLAG_DC) !== 0 ? 'destination-blocks' : 'source-blocks'
      const offsets = { sourceOffset: 0, destinationOffset: 0 }
      return { source, destination, sourceLba, destinationLba, ...offsets, count: blocks, unit }
    }
  },
  [SEGMENT_BYTES]: {
    length: bytesSegment.length,
    read(list, at) {
      const view = bytesSegment.view().at(list, at)
      const { source, destination, sourceLba, destinationLba, sourceOffset, destinationOffset } = view
      const places = { source, destination, sourceLba, destinationLba, sourceOffset, destinationOffset }
      return { ...places, count: view.bytes, unit: 'bytes' }
    }
  }
}
