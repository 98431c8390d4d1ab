import { bytes, defineLayout, u16, u32, u64, u8 } from '../../layout/layout.js'
import {
  IDENTIFICATION_CSCD,
  MAX_CSCD_DESCRIPTORS,
  MAX_DESCRIPTORS_BYTES,
  MAX_SEGMENT_BYTES,
  MAX_SEGMENT_DESCRIPTORS,
  SEGMENT_BLOCKS,
  SEGMENT_BYTES,
  THIS_UNIT
} from '../copy-list.js'
import { MAX_CONCURRENT_COPIES, TOTAL_CONCURRENT_COPIES } from '../copy-results.js'
import { MAX_TOKEN_BYTES, MAX_TOKEN_RANGES, OPTIMAL_TOKEN_BYTES } from '../limits.js'
import type { LogicalUnit } from '../logical-unit.js'
import { RodType } from '../rod-token.js'
import { DEFAULT_INACTIVITY_SECONDS, MAX_INACTIVITY_SECONDS } from '../rod-tokens.js'
import type { VpdPage } from './page.js'

/**
 * SPC-4 §7.8.17: what the copy manager can do, in descriptors of ascending types. Windows looks for the first one, which
 * SBC-3 defines, and asks for tokens when it is there.
 */
export const thirdPartyCopy: VpdPage = {
  code: 0x8f,
  build: (unit) => {
    const parts = [
      descriptor(0x0000, rodLimits(unit)),
      descriptor(0x0001, SUPPORTED_COMMANDS),
      descriptor(0x0004, PARAMETER_DATA),
      descriptor(0x0008, Buffer.from([3, SEGMENT_BLOCKS, SEGMENT_BYTES, IDENTIFICATION_CSCD])),
      descriptor(0x000c, Buffer.from([0, 2, THIS_UNIT >> 8, THIS_UNIT & 0xff])),
      descriptor(0x0106, tokenFeatures(unit)),
      descriptor(0x0108, ROD_TYPES),
      descriptor(0x8001, GENERAL_OPERATIONS)
    ]
    return Buffer.concat(parts)
  }
}

/** Type, length and what it holds, filled up to a multiple of four. */
function descriptor(type: number, body: Buffer): Buffer {
  const whole = Buffer.alloc(4 + Math.ceil(body.length / 4) * 4)
  whole.writeUInt16BE(type, 0)
  whole.writeUInt16BE(whole.length - 4, 2)
  body.copy(whole, 4)
  return whole
}

const rodLimitsLayout = defineLayout(32, {
  vendor: bytes(6),
  maxRanges: u16,
  maxInactivityTimeout: u32,
  defaultInactivityTimeout: u32,
  maxTransferBlocks: u64,
  optimalTransferBlocks: u64
})

function rodLimits(unit: LogicalUnit): Buffer {
  return rodLimitsLayout.make({
    maxRanges: MAX_TOKEN_RANGES,
    maxInactivityTimeout: MAX_INACTIVITY_SECONDS,
    defaultInactivityTimeout: DEFAULT_INACTIVITY_SECONDS,
    maxTransferBlocks: MAX_TOKEN_BYTES / unit.blockSize,
    optimalTransferBlocks: OPTIMAL_TOKEN_BYTES / unit.blockSize
  })
}

/** Service actions by operation code; its spec holds them against the commands that there are. */
const SERVICE_ACTIONS: readonly (readonly [opcode: number, ...actions: number[]])[] = [
  [0x83, 0x00, 0x01, 0x10, 0x11, 0x1c],
  [0x84, 0x00, 0x03, 0x04, 0x05, 0x07]
]
const commandsList = SERVICE_ACTIONS.flatMap(([opcode, ...actions]) => [opcode, actions.length, ...actions])
const SUPPORTED_COMMANDS = Buffer.from([commandsList.length, ...commandsList])

/** Neither inline data. */
const PARAMETER_DATA = defineLayout(28, {
  reserved: u32,
  maxCscds: u16,
  maxSegments: u16,
  maxDescriptorsLength: u32,
  maxInlineData: u32,
  moreReserved: bytes(12)
}).make({
  maxCscds: MAX_CSCD_DESCRIPTORS,
  maxSegments: MAX_SEGMENT_DESCRIPTORS,
  maxDescriptorsLength: MAX_DESCRIPTORS_BYTES
})

/** Tokens of this target alone (REMOTE TOKENS 0h), for block devices. */
const tokenFeaturesLayout = defineLayout(92, {
  remoteTokens: u8,
  reserved: bytes(11),
  minLifetime: u32,
  maxLifetime: u32,
  maxInactivityTimeout: u32,
  moreReserved: bytes(18),
  featuresLength: u16,
  deviceType: u8,
  blockReserved: u8,
  blockLength: u16,
  blockMoreReserved: u16,
  optimalGranularity: u16,
  maxBytes: u64,
  optimalBytes: u64,
  optimalBytesToToken: u64,
  optimalBytesFromToken: u64,
  blockLastReserved: bytes(8)
})
const BLOCK_FEATURES_LENGTH = 0x2c

function tokenFeatures(unit: LogicalUnit): Buffer {
  return tokenFeaturesLayout.make({
    maxLifetime: MAX_INACTIVITY_SECONDS,
    maxInactivityTimeout: MAX_INACTIVITY_SECONDS,
    featuresLength: 4 + BLOCK_FEATURES_LENGTH,
    blockLength: BLOCK_FEATURES_LENGTH,
    optimalGranularity: unit.allocationBytes / unit.blockSize,
    maxBytes: MAX_TOKEN_BYTES,
    optimalBytes: OPTIMAL_TOKEN_BYTES,
    optimalBytesToToken: MAX_TOKEN_BYTES,
    optimalBytesFromToken: OPTIMAL_TOKEN_BYTES
  })
}

const rodType = defineLayout(64, { type: u32, flags: u8, reserved: u8, preference: u16, moreReserved: bytes(56) })
const TOKEN_OUT = 0x01
const TOKEN_IN = 0x02
const rodTypeList = [
  { type: RodType.PointInTimeDefault, flags: TOKEN_IN | TOKEN_OUT },
  { type: RodType.PointInTimeChangeVulnerable, flags: TOKEN_IN | TOKEN_OUT },
  { type: RodType.BlockZero, flags: TOKEN_IN }
].map((fields) => rodType.make(fields))
const ROD_TYPES = Buffer.concat([Buffer.from([0, 0, 0, rodTypeList.length * rodType.length]), ...rodTypeList])

/** Segments of any number of bytes: granularity 2^0. */
const GENERAL_OPERATIONS = defineLayout(32, {
  totalConcurrentCopies: u32,
  maxConcurrentCopies: u32,
  maxSegmentBytes: u32,
  dataGranularity: u8,
  inlineGranularity: u8,
  reserved: bytes(18)
}).make({
  totalConcurrentCopies: TOTAL_CONCURRENT_COPIES,
  maxConcurrentCopies: MAX_CONCURRENT_COPIES,
  maxSegmentBytes: MAX_SEGMENT_BYTES
})
