import { bytes, defineLayout, u32, u64 } from '../layout/layout.js'
import { MAX_TOKEN_BYTES, MAX_TOKEN_RANGES } from './limits.js'
import type { LogicalUnit } from './logical-unit.js'
import {
  INVALID_FIELD_IN_PARAMETER_LIST,
  LBA_OUT_OF_RANGE,
  PARAMETER_LIST_LENGTH_ERROR,
  TOO_MANY_SEGMENT_DESCRIPTORS,
  type SenseCondition
} from './sense.js'

/** Bytes of one unit. */
export interface ByteRange {
  readonly offset: number
  readonly length: number
}

/** What is wrong with a list of ranges: nothing of it is done. */
export interface RangesFault {
  readonly condition: SenseCondition
  /** Byte of the parameter list that is wrong. */
  readonly byte?: number
}

/** SBC-3 §5.7.3. */
const descriptor = defineLayout(16, { lba: u64, blocks: u32, reserved: bytes(4) })
export const RANGE_DESCRIPTOR_LENGTH = descriptor.length
const BLOCKS_OFFSET = 8

/**
 * The block device range descriptors of POPULATE TOKEN and WRITE USING TOKEN (SBC-3 §5.7.2), those that are there as a
 * whole; ones of no blocks are left out.
 * @param at - where the list begins; the two bytes before it are its length
 */
export function readBlockRanges(list: Buffer, at: number, unit: LogicalUnit): ByteRange[] | RangesFault {
  const listLength = list.readUInt16BE(at - 2)
  if (listLength < descriptor.length) return { condition: INVALID_FIELD_IN_PARAMETER_LIST, byte: at - 2 }
  const count = Math.floor(Math.min(listLength, list.length - at) / descriptor.length)
  if (count === 0) return { condition: PARAMETER_LIST_LENGTH_ERROR }
  if (count > MAX_TOKEN_RANGES) return { condition: TOO_MANY_SEGMENT_DESCRIPTORS }
  const ranges: ByteRange[] = []
  let total = 0
  for (let index = 0; index < count; index++) {
    const place = at + index * descriptor.length
    const { lba, blocks } = descriptor.view().at(list, place)
    if (!unit.covers(lba, blocks)) return { condition: LBA_OUT_OF_RANGE }
    if (blocks === 0) continue
    const range = { offset: lba * unit.blockSize, length: blocks * unit.blockSize }
    total += range.length
    if (total > MAX_TOKEN_BYTES) return { condition: INVALID_FIELD_IN_PARAMETER_LIST, byte: place + BLOCKS_OFFSET }
    // SBC-3 §5.7.2: no block is in two of them. At most 64, so each is held against each.
    if (ranges.some((other) => overlap(other, range)))
      return { condition: INVALID_FIELD_IN_PARAMETER_LIST, byte: place }
    ranges.push(range)
  }
  return ranges
}

/** What of these ranges lies in none of the others. */
export function without(ranges: readonly ByteRange[], others: readonly ByteRange[]): ByteRange[] {
  return others.reduce<ByteRange[]>((left, other) => left.flatMap((range) => cutOut(range, other)), [...ranges])
}

function cutOut({ offset, length }: ByteRange, other: ByteRange): ByteRange[] {
  const end = offset + length
  const before = Math.min(length, other.offset - offset)
  const behind = Math.min(length, end - (other.offset + other.length))
  const parts = [
    { offset, length: before },
    { offset: end - behind, length: behind }
  ]
  return parts.filter((part) => part.length > 0)
}

export function overlap(left: ByteRange, right: ByteRange): boolean {
  return left.offset < right.offset + right.length && right.offset < left.offset + left.length
}
