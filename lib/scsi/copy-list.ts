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

/** What RECEIVE COPY OPERATING PARAMETERS promises (SPC-4 §6.37). */
export const MAX_CSCD_DESCRIPTORS = 16
export const MAX_SEGMENT_DESCRIPTORS = 64
/** Both kinds together, in bytes. */
export const MAX_DESCRIPTORS_BYTES = 4096
/** One segment, in bytes; 65,535 blocks of 4096 bytes, which is what the older form can say. */
export const MAX_SEGMENT_BYTES = 256 * 1024 * 1024

/** SPC-4 table 118, the parameter list of EXTENDED COPY (LID1). */
export const COPY_HEADER_LENGTH = 16
const header = defineLayout(COPY_HEADER_LENGTH, {
  listId: u8,
  flags: u8,
  cscdListLength: u16,
  reserved: u32,
  segmentListLength: u32,
  inlineDataLength: u32
})
/** LIST ID USAGE 11b: there is no list identifier, and nothing to ask for afterwards. */
const LIST_ID_USAGE_MASK = 0x18

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
export function parseCopyList(list: Buffer): CopyList | CopyListFault {
  if (list.length < COPY_HEADER_LENGTH) return { condition: PARAMETER_LIST_LENGTH_ERROR }
  const { listId, flags, cscdListLength, segmentListLength, inlineDataLength } = header.view().at(list)
  const end = COPY_HEADER_LENGTH + cscdListLength + segmentListLength
  if (end + inlineDataLength > list.length || cscdListLength + segmentListLength > MAX_DESCRIPTORS_BYTES) {
    return { condition: PARAMETER_LIST_LENGTH_ERROR }
  }
  if (inlineDataLength > 0) return { condition: INVALID_FIELD_IN_PARAMETER_LIST, byte: 12 }
  if (cscdListLength % cscdDescriptor.length !== 0) return { condition: INVALID_FIELD_IN_PARAMETER_LIST, byte: 2 }
  const wantsId = (flags & LIST_ID_USAGE_MASK) !== LIST_ID_USAGE_MASK
  if (!wantsId && listId !== 0) return { condition: INVALID_FIELD_IN_PARAMETER_LIST, byte: 0 }
  const cscds = parseCscds(list, COPY_HEADER_LENGTH, COPY_HEADER_LENGTH + cscdListLength)
  if ('condition' in cscds) return cscds
  const segments = parseSegments(list, COPY_HEADER_LENGTH + cscdListLength, end)
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
