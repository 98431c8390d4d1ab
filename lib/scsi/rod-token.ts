import { randomFillSync } from 'node:crypto'
import { bytes, defineLayout, u16, u32, u64, u8 } from '../layout/layout.js'
import { THIN_READS_ZEROES } from './commands/read-capacity.js'
import type { LogicalUnit } from './logical-unit.js'
import type { Nexus } from './nexus.js'
import { LOGICAL_UNIT, TYPE_NAA, targetDeviceDesignator } from './vpd/device-identification.js'

/** SPC-4 table 110, SBC-3 table 26: what a representation of data (ROD) is. */
export const RodType = {
  PointInTimeDefault: 0x00800000,
  PointInTimeChangeVulnerable: 0x00800001,
  PointInTimeAny: 0x0080ffff,
  BlockZero: 0xffff0001
} as const

export const ROD_TOKEN_LENGTH = 512
/** ROD TOKEN LENGTH: what follows that field. */
export const ROD_TOKEN_LENGTH_FIELD = 0x01f8

/**
 * SPC-4 table 112, up to the designator of the target; behind it all is random. From the block size on it is what READ
 * CAPACITY(16) says of the disk.
 */
const layout = defineLayout(128, {
  type: u32,
  reserved: u16,
  length: u16,
  identifier: bytes(8),
  creator: bytes(32),
  highBytes: u64,
  byteCount: u64,
  moreReserved: bytes(32),
  blockSize: u32,
  protection: u8,
  physicalBlockExponent: u8,
  provisioning: u16,
  lastReserved: bytes(24)
})
const EXTENSION_OFFSET = layout.length
/** Of what makes a token hard to guess; SPC-4 §5.17.6.5.1 asks for 32. */
export const RANDOM_BYTES_MIN = 32

/** SPC-4 §6.4.5.6: how the creator is named, as EXTENDED COPY would name it. */
const creatorDescriptor = defineLayout(32, {
  type: u8,
  deviceType: u8,
  relativePort: u16,
  codeSet: u8,
  designatorType: u8,
  reserved: u8,
  designatorLength: u8,
  designator: bytes(20),
  blockSize: u32
})
const IDENTIFICATION_CSCD = 0xe4
const CODE_SET_BINARY = 1

const view = layout.view()

/** A new token, which nobody can guess. It says how much it stands for and of which disk, not which blocks. */
export function makeRodToken(type: number, unit: LogicalUnit, nexus: Nexus, byteCount: number): Buffer {
  const token = Buffer.alloc(ROD_TOKEN_LENGTH)
  const target = targetDeviceDesignator(nexus)
  const random = Math.min(EXTENSION_OFFSET + target.length, ROD_TOKEN_LENGTH - RANDOM_BYTES_MIN)
  target.copy(token, EXTENSION_OFFSET)
  randomFillSync(token, random)
  const fields = view.at(token)
  fields.type = type
  fields.length = ROD_TOKEN_LENGTH_FIELD
  randomFillSync(fields.identifier)
  const designator = Buffer.alloc(20)
  unit.identity.naa.copy(designator)
  fields.creator = creatorDescriptor.make({
    type: IDENTIFICATION_CSCD,
    codeSet: CODE_SET_BINARY,
    designatorType: LOGICAL_UNIT | TYPE_NAA,
    designatorLength: unit.identity.naa.length,
    designator,
    blockSize: unit.blockSize
  })
  fields.byteCount = byteCount
  fields.blockSize = unit.blockSize
  fields.physicalBlockExponent = Math.log2(unit.physicalBlockSize / unit.blockSize)
  fields.provisioning = unit.thin ? THIN_READS_ZEROES : 0
  return token
}

/** What tells one token from another; text, so that it can be a key. */
export function identifierOf(token: Buffer): string {
  return view.at(token).identifier.toString('hex')
}

export function rodTypeOf(token: Buffer): number {
  return view.at(token).type
}

export function hasRightLength(token: Buffer): boolean {
  return view.at(token).length === ROD_TOKEN_LENGTH_FIELD
}
