/**
 * CRC32C (Castagnoli), the checksum of iSCSI digests (RFC 7143 §13.1) and of our own journals, in plain JavaScript.
 *
 * Slicing by eight: eight tables, eight bytes a step, about 1.9 GB/s; at 48 bytes it is quicker than a call into any
 * native module. The digest code picks a native one for long payloads; this one is always there.
 */

/** 0x1EDC6F41 with its bits reflected, since the checksum takes the least significant bit of a byte first. */
const POLYNOMIAL = 0x82f63b78

const [T0, T1, T2, T3, T4, T5, T6, T7] = makeTables()

/**
 * The checksum of `buffer[start..end)` as an unsigned 32-bit number.
 * @param previous - the checksum of the bytes before these, to go on from; 0 at the beginning
 */
export function crc32c(buffer: Uint8Array, start = 0, end = buffer.length, previous = 0): number {
  let crc = ~previous
  let i = start
  for (const last = end - 8; i <= last; i += 8) {
    crc ^= buffer[i]! | (buffer[i + 1]! << 8) | (buffer[i + 2]! << 16) | (buffer[i + 3]! << 24)
    crc =
      T7[crc & 0xff]! ^
      T6[(crc >>> 8) & 0xff]! ^
      T5[(crc >>> 16) & 0xff]! ^
      T4[crc >>> 24]! ^
      T3[buffer[i + 4]!]! ^
      T2[buffer[i + 5]!]! ^
      T1[buffer[i + 6]!]! ^
      T0[buffer[i + 7]!]!
  }
  for (; i < end; i++) crc = T0[(crc ^ buffer[i]!) & 0xff]! ^ (crc >>> 8)
  return ~crc >>> 0
}

type Tables = [Int32Array, Int32Array, Int32Array, Int32Array, Int32Array, Int32Array, Int32Array, Int32Array]

/** Table n holds what a byte does to the checksum when n more bytes follow it. Signed, so that ^ needs no conversion. */
function makeTables(): Tables {
  const tables = Array.from({ length: 8 }, () => new Int32Array(256)) as Tables
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1
    tables[0][byte] = crc
  }
  for (let n = 1; n < tables.length; n++) {
    tables[n]!.forEach((_, byte, table) => {
      const crc = tables[n - 1]![byte]!
      table[byte] = tables[0][crc & 0xff]! ^ (crc >>> 8)
    })
  }
  return tables
}
