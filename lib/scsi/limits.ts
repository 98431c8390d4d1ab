import type { LogicalUnit } from './logical-unit.js'
import { MAX_GATHERED_BYTES } from './task.js'

/**
 * What VPD page B0h promises and the commands keep to. Byte limits where a buffer or a pause stands behind them, so
 * that disks with 4096-byte blocks agree; block counts where only a number does.
 */

/** Most blocks a single medium transfer may have, in bytes. */
export const MAX_TRANSFER_BYTES = 32 * 1024 * 1024
/** A request of this size costs the least for each byte; as long as a first burst. */
const OPTIMAL_TRANSFER_BYTES = 256 * 1024
const MAX_WRITE_SAME_BYTES = 128 * 1024 * 1024
/** All descriptors of one UNMAP together. Suites call more than a Mi insane. */
export const MAX_UNMAP_BLOCKS = 0x100000
export const MAX_UNMAP_DESCRIPTORS = 256
/** COMPARE AND WRITE has one byte for its number of blocks. */
const MAX_COMPARE_AND_WRITE_BLOCKS = 255

export function maxTransferBlocks(unit: LogicalUnit): number {
  return MAX_TRANSFER_BYTES / unit.blockSize
}

export function optimalTransferBlocks(unit: LogicalUnit): number {
  return OPTIMAL_TRANSFER_BYTES / unit.blockSize
}

export function maxWriteSameBlocks(unit: LogicalUnit): number {
  return MAX_WRITE_SAME_BYTES / unit.blockSize
}

/** Its data are gathered: as many blocks to compare as to write. */
export function maxCompareAndWriteBlocks(unit: LogicalUnit): number {
  return Math.min(MAX_COMPARE_AND_WRITE_BLOCKS, MAX_GATHERED_BYTES / (2 * unit.blockSize))
}
