import { defineLayout, u16, u32, u64, u8 } from '../../layout/layout.js'
import {
  MAX_UNMAP_BLOCKS,
  MAX_UNMAP_DESCRIPTORS,
  atomicGranularityBlocks,
  maxAtomicBlocks,
  MAX_COMPARE_AND_WRITE_BLOCKS,
  maxTransferBlocks,
  maxWriteSameBlocks,
  optimalTransferBlocks,
  writeSameIsNonZero
} from '../limits.js'
import type { VpdPage } from './page.js'

/** SBC-3 §6.6.4, without the header; the last five fields are SBC-4's, for WRITE ATOMIC without boundaries. */
const layout = defineLayout(0x3c, {
  flags: u8,
  maxCompareAndWrite: u8,
  optimalTransferGranularity: u16,
  maxTransfer: u32,
  optimalTransfer: u32,
  maxPrefetch: u32,
  maxUnmapBlocks: u32,
  maxUnmapDescriptors: u32,
  optimalUnmapGranularity: u32,
  unmapGranularityAlignment: u32,
  maxWriteSame: u64,
  maxAtomic: u32,
  atomicAlignment: u32,
  atomicGranularity: u32,
  maxAtomicWithBoundary: u32,
  maxAtomicBoundary: u32
})

/** WSNZ: a WRITE SAME of 0 blocks, all to the end, is refused. */
const WRITE_SAME_NON_ZERO = 0x01
/** UGAVALID: the alignment means something; it is 0. */
const ALIGNMENT_VALID = 0x80000000

export const blockLimits: VpdPage = {
  code: 0xb0,
  build: (unit) =>
    layout.make({
      flags: writeSameIsNonZero(unit) ? WRITE_SAME_NON_ZERO : 0,
      maxCompareAndWrite: MAX_COMPARE_AND_WRITE_BLOCKS,
      optimalTransferGranularity: unit.physicalBlockSize / unit.blockSize,
      maxTransfer: maxTransferBlocks(unit),
      optimalTransfer: optimalTransferBlocks(unit),
      maxUnmapBlocks: unit.thin ? MAX_UNMAP_BLOCKS : 0,
      maxUnmapDescriptors: unit.thin ? MAX_UNMAP_DESCRIPTORS : 0,
      optimalUnmapGranularity: unit.thin ? unit.allocationBytes / unit.blockSize : 0,
      unmapGranularityAlignment: unit.thin ? ALIGNMENT_VALID : 0,
      maxWriteSame: maxWriteSameBlocks(unit),
      maxAtomic: unit.atomicWrites ? maxAtomicBlocks(unit) : 0,
      atomicAlignment: unit.atomicWrites ? atomicGranularityBlocks(unit) : 0,
      atomicGranularity: unit.atomicWrites ? atomicGranularityBlocks(unit) : 0
    })
}
