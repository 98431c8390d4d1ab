import type { LogicalUnit } from './logical-unit.js'

/**
 * SBC-3 §4.7.3.7.2: space of a thin unit is counted in threshold sets of 2^exponent blocks. A mebibyte is fine enough
 * to warn with, and 32 bits of them are 4 PiB.
 */
const THRESHOLD_SET_BYTES = 1024 * 1024

/** THRESHOLD EXPONENT of VPD page B2h; 0 when the unit has no threshold. */
export function thresholdExponent(unit: LogicalUnit): number {
  return hasThreshold(unit) ? Math.log2(THRESHOLD_SET_BYTES / unit.blockSize) : 0
}

export function hasThreshold(unit: LogicalUnit): boolean {
  return unit.thin && unit.provisioning !== undefined
}

/** In threshold sets: what is stored, what may still be stored, and where the soft threshold lies. */
export interface ThresholdSets {
  readonly used: number
  readonly available: number
  readonly threshold: number
}

/** Undefined when the unit has no threshold. Rounded so that nothing looks freer than it is. */
export function thresholdSets(unit: LogicalUnit): ThresholdSets | undefined {
  if (!unit.thin || !unit.provisioning) return undefined
  const { usedBytes, limitBytes, thresholdBytes } = unit.provisioning()
  return {
    used: count32(Math.ceil(usedBytes / THRESHOLD_SET_BYTES)),
    available: count32(Math.floor(Math.max(limitBytes - usedBytes, 0) / THRESHOLD_SET_BYTES)),
    threshold: count32(Math.floor(thresholdBytes / THRESHOLD_SET_BYTES))
  }
}

/** All counts have four bytes; an unlimited delta says the most that they can. */
function count32(sets: number): number {
  return Math.min(sets, 0xffffffff)
}
