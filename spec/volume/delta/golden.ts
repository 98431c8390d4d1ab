/**
 * Builds map files by the tables of docs/delta-format.md, without any code of the product: bytes are placed by hand and
 * the checksum is taken bit by bit.
 */

export const SALT = 0x11223344
export const BOOT_ID = Buffer.from('b0b1b2b3b4b5b6b7b8b9babbbcbdbebf', 'hex')

/** What {@link HEADER_HEX} says. */
export const HEADER = {
  chunkSize: 4096,
  base: {
    uuid: '00112233-4455-6677-8899-aabbccddeeff',
    generation: 3,
    size: 0x100000,
    mtimeNs: 0x1122334455667788n,
    inode: 0x99n
  },
  owner: { target: 'iqn.t', initiator: 'iqn.i', lun: 2, chapUser: 'bö' },
  incarnation: 4,
  epoch: 5,
  salt: SALT,
  snapshotRecords: 0,
  firstSequence: 0
}

/** Everything before the zeroes that fill the page. */
const HEADER_HEX = [
  '435844454c54410a', // CXDELTA, line feed
  '0001', // version
  '1000', // length of the header
  '00001000', // chunk size
  '00112233445566778899aabbccddeeff', // UUID of the base
  '0000000000000003', // generation
  '0000000000100000', // size
  '1122334455667788', // mtime
  '0000000000000099', // inode
  '0000000000000004', // incarnation
  '0000000000000005', // epoch
  '0000000000000002', // LUN
  '11223344', // salt
  '00000000', // records of the snapshot
  '00000000', // first sequence number
  '00000000', // reserved
  '000569716e2e74', // iqn.t
  '000569716e2e69', // iqn.i
  '000362c3b6' // bö
].join('')

/** The header's checksum, computed once by another program. */
const HEADER_CHECKSUM_HEX = '9aa7c6ac'

export function goldenHeader(): Buffer {
  const bytes = Buffer.alloc(4096)
  Buffer.from(HEADER_HEX, 'hex').copy(bytes)
  Buffer.from(HEADER_CHECKSUM_HEX, 'hex').copy(bytes, 4092)
  return bytes
}

/** A header that differs in some bytes, with a good checksum. */
export function alteredHeader(offset: number, hex: string): Buffer {
  const bytes = goldenHeader()
  Buffer.from(hex, 'hex').copy(bytes, offset)
  bytes.writeUInt32BE(crcBitByBit(bytes.subarray(0, 4092), 0), 4092)
  return bytes
}

/** A record from its bytes without the checksum. */
export function record(hex: string, salt = SALT): Buffer {
  const body = Buffer.from(hex.replaceAll(' ', ''), 'hex')
  const checksum = Buffer.alloc(4)
  checksum.writeUInt32BE(crcBitByBit(body, salt))
  return Buffer.concat([body, checksum])
}

export function slotsRecord(sequence: number, chunk: number, count: number, slot: number): Buffer {
  return record(`0103 ${hex(chunk, 6)} ${hex(sequence, 4)} ${hex(count, 4)} ${hex(slot, 4)}`)
}

export function zeroRecord(sequence: number, chunk: number, count: number): Buffer {
  return record(`0203 ${hex(chunk, 6)} ${hex(sequence, 4)} ${hex(count, 4)} 00000000`)
}

export function baseRecord(sequence: number, chunk: number, count: number): Buffer {
  return record(`0303 ${hex(chunk, 6)} ${hex(sequence, 4)} ${hex(count, 4)} 00000000`)
}

export function sharedRecord(sequence: number, chunk: number, count: number, slot: number): Buffer {
  return record(`0703 ${hex(chunk, 6)} ${hex(sequence, 4)} ${hex(count, 4)} ${hex(slot, 4)}`)
}

export function copiedRecord(sequence: number, chunk: number, count: number, source: number): Buffer {
  return record(`0803 ${hex(chunk, 6)} ${hex(sequence, 4)} ${hex(count, 4)} ${hex(source, 4)}`)
}

/** @param runs - chunks, and what the map has for the first of them: 0 for a gap, a slot's number and 1, … */
export function runsRecord(sequence: number, chunk: number, ...runs: [number, number][]): Buffer {
  const body = runs.map(([count, entry]) => `${hex(count, 2)} ${hex(entry, 4)}`).join(' ')
  const words = Math.ceil((14 + 6 * runs.length + 4) / 8)
  const padding = '00'.repeat(words * 8 - 18 - 6 * runs.length)
  return record(`09${hex(words, 1)} ${hex(chunk, 6)} ${hex(sequence, 4)} ${hex(runs.length, 2)} ${body} ${padding}`)
}

export function bootRecord(sequence: number, bootId = BOOT_ID): Buffer {
  return record(`0404 019000000001 ${hex(sequence, 4)} ${bootId.toString('hex')}`)
}

export function barrierRecord(sequence: number, covered: number, synced = 0): Buffer {
  return record(`0503 000000000000 ${hex(sequence, 4)} ${hex(covered, 4)} ${hex(synced, 4)}`)
}

/** @param mark - 0 ended, 1 live, 2 failed, 3 suspect */
export function sessionRecord(sequence: number, mark: number, synced = 0): Buffer {
  return record(`0603 ${hex(mark, 6)} ${hex(sequence, 4)} 00000000 ${hex(synced, 4)}`)
}

function hex(value: number, lengthBytes: number): string {
  return value.toString(16).padStart(lengthBytes * 2, '0')
}

function crcBitByBit(bytes: Buffer, before: number): number {
  let crc = ~before
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  }
  return ~crc >>> 0
}
