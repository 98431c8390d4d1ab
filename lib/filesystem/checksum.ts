/**
 * The checksums of exFAT: each byte is added to the sum so far, rotated right by one bit. Bytes at which a checksum
 * itself stands, or what changes while the volume is mounted, are left out.
 */

/**
 * SetChecksum (§6.3.3) of an entry set, and NameHash (§7.6.4) of up-cased UTF-16LE bytes.
 * @param skip - offsets that do not count
 */
export function checksum16(bytes: Uint8Array, skip: readonly number[] = []): number {
  let sum = 0
  for (let i = 0; i < bytes.length; i++) {
    if (!skip.includes(i)) sum = (((sum & 1) << 15) + (sum >>> 1) + bytes[i]!) & 0xffff
  }
  return sum
}

/** The checksum of the boot region (§3.4) and of the up-case table (§7.2.2), as an unsigned 32-bit number. */
export function checksum32(bytes: Uint8Array, skip: readonly number[] = []): number {
  let sum = 0
  for (let i = 0; i < bytes.length; i++) {
    if (!skip.includes(i)) sum = (((sum & 1) << 31) + (sum >>> 1) + bytes[i]!) >>> 0
  }
  return sum
}
