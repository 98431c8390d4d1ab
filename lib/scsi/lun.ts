/**
 * SAM-5 §4.7: the 8-byte LUN field and the logical unit number inside it. Three single-level forms are understood:
 * peripheral device addressing on bus 0 (0 … 255), flat space addressing (0 … 16383) and the extended flat space form
 * is not needed. Everything else names no unit.
 */
export const LUN_LENGTH = 8
export const MAX_LUN = 16383

/** The number that the 8 bytes at `offset` name, or -1 when they name none that could exist here. */
export function lunNumber(buffer: Buffer, offset: number): number {
  for (let i = 2; i < LUN_LENGTH; i++) if (buffer[offset + i] !== 0) return -1
  const high = buffer[offset]!
  const low = buffer[offset + 1]!
  if (high === 0) return low
  if (high >>> 6 === FLAT_SPACE) return ((high & 0x3f) << 8) | low
  return -1
}

/** Writes the shortest form of `lun`: peripheral below 256, flat space from there on. */
export function writeLun(buffer: Buffer, offset: number, lun: number): void {
  buffer.fill(0, offset, offset + LUN_LENGTH)
  buffer[offset] = lun < 256 ? 0 : (FLAT_SPACE << 6) | (lun >>> 8)
  buffer[offset + 1] = lun & 0xff
}

const FLAT_SPACE = 1
