import { crc32 } from 'node:zlib'

/**
 * One copy of a GUID Partition Table, UEFI 2.10 §5.3, as readers and writers of tables need it. Offsets are in bytes,
 * numbers little-endian.
 */
export const GPT_SIGNATURE = Buffer.from('EFI PART', 'latin1')
/** Bytes of the blocks that a table may count in. */
export const BLOCK_SIZES = [512, 4096] as const
// Header, §5.3.2.
export const GPT_HEADER_LENGTH = 92
export const HEADER_LENGTH_AT = 12
export const HEADER_CRC_AT = 16
export const MY_LBA_AT = 24
export const ALTERNATE_LBA_AT = 32
export const DISK_GUID_AT = 56
export const ENTRIES_LBA_AT = 72
export const ENTRY_COUNT_AT = 80
export const ENTRY_LENGTH_AT = 84
export const ENTRIES_CRC_AT = 88
// Entry, §5.3.3.
export const ENTRY_LENGTH = 128
export const UNIQUE_GUID_AT = 16
export const GUID_LENGTH = 16
/** Largest array of entries that is read, in bytes; the usual one has 16 KiB. */
const ENTRIES_BYTES_MAX = 1 << 20

export interface GptCopy {
  /** As long as it says itself. */
  readonly header: Buffer
  readonly headerAt: number
  readonly entries: Buffer
  readonly entriesAt: number
  readonly entryLength: number
}

/** Gives bytes of a disk; undefined where the range leaves it. */
export type ReadDisk = (offset: number, length: number) => Promise<Buffer | undefined>

/** The copy whose header stands at this block; undefined when anything in it is wrong. */
export async function readGptCopy(read: ReadDisk, lba: number, blockSize: number): Promise<GptCopy | undefined> {
  const headerAt = lba * blockSize
  const block = await read(headerAt, blockSize)
  const header = block && wholeHeader(block, lba)
  if (!header) return undefined
  const entryLength = header.readUInt32LE(ENTRY_LENGTH_AT)
  const arrayLength = entryLength * header.readUInt32LE(ENTRY_COUNT_AT)
  if (entryLength < ENTRY_LENGTH || arrayLength > ENTRIES_BYTES_MAX) return undefined
  const entriesAt = readU64(header, ENTRIES_LBA_AT) * blockSize
  const entries = await read(entriesAt, arrayLength)
  if (!entries || crc32(entries) !== header.readUInt32LE(ENTRIES_CRC_AT)) return undefined
  return { header, headerAt, entries, entriesAt, entryLength }
}

function wholeHeader(block: Buffer, lba: number): Buffer | undefined {
  const length = block.readUInt32LE(HEADER_LENGTH_AT)
  if (!block.subarray(0, 8).equals(GPT_SIGNATURE) || length < GPT_HEADER_LENGTH || length > block.length)
    return undefined
  const header = block.subarray(0, length)
  const isWhole = gptHeaderCrc(header) === header.readUInt32LE(HEADER_CRC_AT) && readU64(header, MY_LBA_AT) === lba
  return isWhole ? header : undefined
}

/** Over the header with zeroes in the place of its own checksum. */
export function gptHeaderCrc(header: Buffer): number {
  const bytes = Buffer.from(header)
  bytes.writeUInt32LE(0, HEADER_CRC_AT)
  return crc32(bytes)
}

/** A type GUID of zeroes says that the entry is free. */
export function isUsedEntry(entry: Buffer): boolean {
  return entry.subarray(0, GUID_LENGTH).some((byte) => byte !== 0)
}

/** A UUID of this version (RFC 9562 §4.1, §4.2) in the byte order of a GPT: its first three fields are little-endian. */
export function markedGuid(bytes: Buffer, version: number): Buffer {
  const guid = Buffer.from(bytes)
  guid[7] = (guid[7]! & 0x0f) | (version << 4)
  guid[8] = (guid[8]! & 0x3f) | 0x80
  return guid
}

/** Inexact from 2^53 on, which every caller finds to be outside of the disk. */
export function readU64(buffer: Buffer, at: number): number {
  return buffer.readUInt32LE(at + 4) * 0x100000000 + buffer.readUInt32LE(at)
}
