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
/**
 * One block is what locks on disks are made of (ESXi's ATS) and what other targets offer; a client that sends more has
 * miscounted.
 */
export const MAX_COMPARE_AND_WRITE_BLOCKS = 1
/** POPULATE TOKEN and WRITE USING TOKEN: what one token may stand for, and in how many ranges. Windows asks for 64. */
export const MAX_TOKEN_BYTES = 1024 * 1024 * 1024
export const MAX_TOKEN_RANGES = 64
/** What Windows moves at a time where nothing is said; done in well under the 4 seconds that it waits. */
export const OPTIMAL_TOKEN_BYTES = 64 * 1024 * 1024
/** WRITE ATOMIC: its data are gathered. */
const MAX_ATOMIC_BYTES = MAX_GATHERED_BYTES

export function maxTransferBlocks(unit: LogicalUnit): number {
  return MAX_TRANSFER_BYTES / unit.blockSize
}

export function optimalTransferBlocks(unit: LogicalUnit): number {
  return OPTIMAL_TRANSFER_BYTES / unit.blockSize
}

export function maxWriteSameBlocks(unit: LogicalUnit): number {
  return MAX_WRITE_SAME_BYTES / unit.blockSize
}

/**
 * WSNZ: a WRITE SAME of 0 blocks is refused instead of going on to the end of the disk. On a thin disk, where a client
 * that has miscounted would unmap all of it.
 */
export function writeSameIsNonZero(unit: LogicalUnit): boolean {
  return unit.thin
}

export function maxAtomicBlocks(unit: LogicalUnit): number {
  return MAX_ATOMIC_BYTES / unit.blockSize
}

/** Both where an atomic write begins and how long it is are multiples of it. */
export function atomicGranularityBlocks(unit: LogicalUnit): number {
  return unit.physicalBlockSize / unit.blockSize
}
