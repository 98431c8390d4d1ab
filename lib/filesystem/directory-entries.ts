import { checksum16 } from './checksum.js'
import { nameBytes, nameHash } from './file-name.js'
import { timestamp } from './timestamp.js'
import type { Times } from './tree.js'

/** Directory entries of exFAT, §6 and §7: 32 bytes each, an entry set for each file and directory. */
export const ENTRY_BYTES = 32
/** §7.7: code units of a name in one entry. */
const NAME_UNITS_PER_ENTRY = 15

const TYPE_BITMAP = 0x81
const TYPE_UPCASE_TABLE = 0x82
const TYPE_VOLUME_LABEL = 0x83
const TYPE_FILE = 0x85
const TYPE_STREAM_EXTENSION = 0xc0
const TYPE_FILE_NAME = 0xc1

// GeneralSecondaryFlags, §6.4.2.
const ALLOCATION_POSSIBLE = 0x01
const NO_FAT_CHAIN = 0x02
// FileAttributes, §7.4.4.
const ATTRIBUTE_DIRECTORY = 0x10
const ATTRIBUTE_ARCHIVE = 0x20
/** Where the checksum of an entry set stands, which does not count itself. */
const SET_CHECKSUM_AT = 2

/** A run of clusters without a gap. */
export interface Extent {
  /** 0 where nothing is allocated. */
  readonly firstCluster: number
  readonly lengthBytes: number
}

/** A file or directory as its directory tells of it. */
export interface EntrySet extends Extent {
  readonly name: string
  readonly directory: boolean
  readonly times: Times
}

/** Bytes of the entry set of this name. */
export function entrySetBytes(name: string): number {
  return (2 + Math.ceil(name.length / NAME_UNITS_PER_ENTRY)) * ENTRY_BYTES
}

/** File, Stream Extension and File Name entries, §7.4, §7.6, §7.7. */
export function entrySet({ name, directory, times, firstCluster, lengthBytes }: EntrySet): Buffer {
  const set = Buffer.alloc(entrySetBytes(name))
  writeFileEntry(set, directory, times)
  const stream = set.subarray(ENTRY_BYTES)
  stream[0] = TYPE_STREAM_EXTENSION
  // §6.4.2.2: what has no clusters has no chain to do without.
  stream[1] = firstCluster === 0 ? ALLOCATION_POSSIBLE : ALLOCATION_POSSIBLE | NO_FAT_CHAIN
  stream[3] = name.length
  stream.writeUInt16LE(nameHash(name), 4)
  stream.writeBigUInt64LE(BigInt(lengthBytes), 8)
  stream.writeUInt32LE(firstCluster, 20)
  stream.writeBigUInt64LE(BigInt(lengthBytes), 24)
  writeName(set, name)
  set.writeUInt16LE(checksum16(set, [SET_CHECKSUM_AT, SET_CHECKSUM_AT + 1]), SET_CHECKSUM_AT)
  return set
}

function writeFileEntry(set: Buffer, directory: boolean, times: Times): void {
  const [created, modified, accessed] = [times.createdMs, times.modifiedMs, times.accessedMs].map((ms) => timestamp(ms))
  set[0] = TYPE_FILE
  set[1] = set.length / ENTRY_BYTES - 1
  set.writeUInt16LE(directory ? ATTRIBUTE_DIRECTORY : ATTRIBUTE_ARCHIVE, 4)
  set.writeUInt32LE(created!.doubleSeconds, 8)
  set.writeUInt32LE(modified!.doubleSeconds, 12)
  set.writeUInt32LE(accessed!.doubleSeconds, 16)
  set[20] = created!.hundredths
  set[21] = modified!.hundredths
  set[22] = created!.utcOffset
  set[23] = modified!.utcOffset
  set[24] = accessed!.utcOffset
}

function writeName(set: Buffer, name: string): void {
  const bytes = nameBytes(name)
  const perEntry = NAME_UNITS_PER_ENTRY * 2
  for (let i = 0; i * perEntry < bytes.length; i++) {
    const at = (2 + i) * ENTRY_BYTES
    set[at] = TYPE_FILE_NAME
    bytes.copy(set, at + 2, i * perEntry, (i + 1) * perEntry)
  }
}

/** Volume Label, §7.3. */
export function labelEntry(label: string): Buffer {
  const entry = Buffer.alloc(ENTRY_BYTES)
  entry[0] = TYPE_VOLUME_LABEL
  entry[1] = label.length
  nameBytes(label).copy(entry, 2)
  return entry
}

/** Allocation Bitmap, §7.1. */
export function bitmapEntry({ firstCluster, lengthBytes }: Extent): Buffer {
  return criticalEntry(TYPE_BITMAP, firstCluster, lengthBytes)
}

/** Up-case Table, §7.2. */
export function upcaseTableEntry({ firstCluster, lengthBytes }: Extent, checksum: number): Buffer {
  const entry = criticalEntry(TYPE_UPCASE_TABLE, firstCluster, lengthBytes)
  entry.writeUInt32LE(checksum, 4)
  return entry
}

function criticalEntry(type: number, firstCluster: number, lengthBytes: number): Buffer {
  const entry = Buffer.alloc(ENTRY_BYTES)
  entry[0] = type
  entry.writeUInt32LE(firstCluster, 20)
  entry.writeBigUInt64LE(BigInt(lengthBytes), 24)
  return entry
}
