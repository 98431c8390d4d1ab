import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { assert } from '../util/assert.js'
import { IscsiError } from '../util/errors.js'
import {
  ALTERNATE_LBA_AT,
  BLOCK_SIZES,
  DISK_GUID_AT,
  ENTRIES_CRC_AT,
  ENTRIES_LBA_AT,
  ENTRY_COUNT_AT,
  ENTRY_LENGTH,
  ENTRY_LENGTH_AT,
  GPT_HEADER_LENGTH,
  GPT_SIGNATURE,
  GUID_LENGTH,
  HEADER_CRC_AT,
  HEADER_LENGTH_AT,
  MY_LBA_AT,
  UNIQUE_GUID_AT,
  isUsedEntry,
  markedGuid,
  readGptCopy,
  readU64
} from './gpt.js'
import { readVolume } from './promises.js'
import type { Volume } from './volume.js'

/**
 * Partition tables: the GUID Partition Table of UEFI 2.10 §5.3 and the master boot record of §5.2 with its chain of
 * logical partitions. Read from an image, where nothing is believed before it was checked; written for the disk that
 * shows one partition alone. Numbers are little-endian on the disk and bytes here.
 */
export interface Partition {
  /** As Linux counts: the place in the table from 1; logical partitions from 5. */
  readonly number: number
  readonly offset: number
  readonly lengthBytes: number
  /** GPT: the raw entry of 128 bytes, with type, identifier, attributes and name. */
  readonly entry?: Buffer
  /** MBR: the system identifier, 07h NTFS and exFAT, 83h Linux … */
  readonly type?: number
  /** MBR: 80h where it is the active one. */
  readonly status?: number
}

export interface PartitionTable {
  readonly kind: 'gpt' | 'mbr'
  /** Bytes a logical block that the table counts in. */
  readonly blockSize: number
  /** True when the primary GPT is damaged and the backup at the end was used. */
  readonly fromBackup: boolean
  readonly partitions: readonly Partition[]
}

const SECTOR_LENGTH = 512
// GPT, UEFI 2.10 §5.3; offsets in bytes.
const GPT_REVISION = 0x00010000
const FIRST_USABLE_AT = 40
const LAST_USABLE_AT = 48
const ENTRY_COUNT = 128
const FIRST_LBA_AT = 32
const LAST_LBA_AT = 40
const NAME_AT = 56
/** EBD0A0A2-B9E5-4433-87C0-68B6B72699C7. */
const BASIC_DATA_GUID = Buffer.from('a2a0d0ebe5b9334487c068b6b72699c7', 'hex')

// Master boot record, §5.2.1.
export const DISK_SIGNATURE_AT = 440
const MBR_ENTRIES_AT = 446
const MBR_ENTRY_LENGTH = 16
const MBR_SIGNATURE_AT = 510
export const TYPE_PROTECTIVE = 0xee
const TYPES_EXTENDED: ReadonlySet<number> = new Set([0x05, 0x0f, 0x85])
/** Longest chain of logical partitions that is followed. */
const LOGICALS_MAX = 128
/** Largest number of an MBR's 32-bit fields. */
const MBR_BLOCKS_MAX = 0xffffffff

/**
 * Reads the table of a disk.
 * @param blockSize - what an MBR counts in: the logical block of the device, 512 for an image. A GPT tells it itself.
 * @throws IscsiError `ERR_ISCSI_NO_PARTITION_TABLE`, `ERR_ISCSI_PARTITION_TABLE`
 */
export async function readPartitionTable(volume: Volume, blockSize = SECTOR_LENGTH): Promise<PartitionTable> {
  const sector = await readAt(volume, 0, SECTOR_LENGTH)
  const slots = sector && mbrSlots(sector)
  if (slots && !slots.some(({ type }) => type === TYPE_PROTECTIVE)) return readMbr(volume, slots, blockSize)
  const table = await readGpt(volume)
  if (table) return table
  if (slots) throw new IscsiError('ERR_ISCSI_PARTITION_TABLE', 'both copies of the GUID partition table are damaged')
  throw new IscsiError('ERR_ISCSI_NO_PARTITION_TABLE', 'the disk has no partition table (GPT or MBR)')
}

/**
 * The partition with this number, which must lie on the disk; what others do is no matter (hybrid CD images have some
 * that do not).
 * @throws IscsiError `ERR_ISCSI_NO_PARTITION` with the numbers that there are, `ERR_ISCSI_PARTITION_TABLE`
 */
export function partitionNumbered(table: PartitionTable, number: number, diskBytes: number): Partition {
  const partition = table.partitions.find((candidate) => candidate.number === number)
  if (partition) {
    expectInside(partition, diskBytes)
    return partition
  }
  const numbers = table.partitions.map((candidate) => candidate.number).join(', ')
  throw new IscsiError(
    'ERR_ISCSI_NO_PARTITION',
    `there is no partition ${number}: the disk has ${numbers === '' ? 'none' : numbers}`
  )
}

// GPT.

async function readGpt(volume: Volume): Promise<PartitionTable | undefined> {
  for (const fromBackup of [false, true]) {
    for (const blockSize of BLOCK_SIZES) {
      const lba = fromBackup ? Math.floor(volume.size / blockSize) - 1 : 1
      const partitions = await gptPartitions(volume, blockSize, lba)
      if (partitions) return { kind: 'gpt', blockSize, fromBackup, partitions }
    }
  }
  return undefined
}

/** The partitions of the copy whose header stands at this block; undefined when anything in it is wrong. */
async function gptPartitions(volume: Volume, blockSize: number, lba: number): Promise<Partition[] | undefined> {
  const copy = await readGptCopy((offset, length) => readAt(volume, offset, length), lba, blockSize)
  if (!copy) return undefined
  const { entries, entryLength } = copy
  const partitions: Partition[] = []
  for (let i = 0; i * entryLength < entries.length; i++) {
    const entry = entries.subarray(i * entryLength, i * entryLength + ENTRY_LENGTH)
    if (isUsedEntry(entry)) partitions.push(gptPartition(i + 1, Buffer.from(entry), blockSize))
  }
  return partitions
}

function gptPartition(number: number, entry: Buffer, blockSize: number): Partition {
  const first = readU64(entry, FIRST_LBA_AT)
  const last = readU64(entry, LAST_LBA_AT)
  return { number, offset: first * blockSize, lengthBytes: (last - first + 1) * blockSize, entry }
}

// MBR.

interface Slot {
  readonly status: number
  readonly type: number
  readonly firstBlock: number
  readonly blockCount: number
}

/** The four slots of a boot record; undefined when this is none, for instance the boot sector of a bare file system. */
function mbrSlots(sector: Buffer): Slot[] | undefined {
  if (sector.readUInt16LE(MBR_SIGNATURE_AT) !== 0xaa55) return undefined
  const slots = [0, 1, 2, 3].map((i) => {
    const at = MBR_ENTRIES_AT + i * MBR_ENTRY_LENGTH
    return {
      status: sector[at]!,
      type: sector[at + 4]!,
      firstBlock: sector.readUInt32LE(at + 8),
      blockCount: sector.readUInt32LE(at + 12)
    }
  })
  return slots.every(({ status }) => status === 0 || status === 0x80) && slots.some(isTaken) ? slots : undefined
}

function isTaken(slot: Slot): boolean {
  return slot.type !== 0 && slot.blockCount > 0
}

async function readMbr(volume: Volume, slots: readonly Slot[], blockSize: number): Promise<PartitionTable> {
  const partitions: Partition[] = []
  for (const [i, slot] of slots.entries()) {
    if (!isTaken(slot) || TYPES_EXTENDED.has(slot.type)) continue
    partitions.push(mbrPartition(i + 1, slot, 0, blockSize))
  }
  const extended = slots.find((slot) => isTaken(slot) && TYPES_EXTENDED.has(slot.type))
  if (extended) partitions.push(...(await logicalPartitions(volume, extended.firstBlock, blockSize)))
  return { kind: 'mbr', blockSize, fromBackup: false, partitions }
}

/**
 * Each logical partition has a boot record of its own, whose first slot counts from that record and whose second slot
 * names the next record, counted from the start of the extended partition.
 */
async function logicalPartitions(volume: Volume, extendedBlock: number, blockSize: number): Promise<Partition[]> {
  const partitions: Partition[] = []
  let recordBlock = extendedBlock
  for (let links = 0; ; links++) {
    const sector = await readAt(volume, recordBlock * blockSize, SECTOR_LENGTH)
    if (!sector || links === LOGICALS_MAX || sector.readUInt16LE(MBR_SIGNATURE_AT) !== 0xaa55) throw brokenChain()
    const [own, next] = mbrSlots(sector) ?? []
    if (own && isTaken(own)) partitions.push(mbrPartition(5 + partitions.length, own, recordBlock, blockSize))
    if (!next || !isTaken(next) || !TYPES_EXTENDED.has(next.type)) return partitions
    recordBlock = extendedBlock + next.firstBlock
  }
}

function brokenChain(): IscsiError {
  return new IscsiError('ERR_ISCSI_PARTITION_TABLE', 'the chain of logical partitions is broken')
}

function mbrPartition(number: number, slot: Slot, baseBlock: number, blockSize: number): Partition {
  const { type, status, blockCount } = slot
  const offset = (baseBlock + slot.firstBlock) * blockSize
  return { number, offset, lengthBytes: blockCount * blockSize, type, status }
}

// Both.

function expectInside({ number, offset, lengthBytes }: Partition, diskBytes: number): void {
  if (offset > 0 && lengthBytes > 0 && offset + lengthBytes <= diskBytes) return
  throw new IscsiError(
    'ERR_ISCSI_PARTITION_TABLE',
    `partition ${number} does not lie on the disk, which has ${diskBytes} bytes`
  )
}

/** Undefined where the range leaves the volume. */
async function readAt(volume: Volume, offset: number, length: number): Promise<Buffer | undefined> {
  if (!(offset >= 0 && offset + length <= volume.size)) return undefined
  const bytes = Buffer.alloc(length)
  await readVolume(volume, bytes, offset)
  return bytes
}

function writeU64(buffer: Buffer, value: number, at: number): void {
  buffer.writeUInt32LE(value % 0x100000000, at)
  buffer.writeUInt32LE(Math.floor(value / 0x100000000), at + 4)
}

// The disk with one partition.

/** Where the partition begins on the generated disk, and what the size of that disk is a multiple of; bytes. */
export const ALIGNMENT = 1 << 20

/** What stands around the one partition of a generated disk. */
export interface GeneratedDisk {
  /** Bytes of the whole disk. */
  readonly size: number
  /** What the disk begins with; zeroes from there to {@link ALIGNMENT}. */
  readonly head: Buffer
  /** What the disk ends with; zeroes between the partition and it. */
  readonly tail: Buffer
}

/**
 * The bytes around a partition that is shown as a disk of its own. They depend on nothing but the arguments, so a
 * client meets the same identifiers at every login, on every server that has the image.
 * @param blockSize - bytes a logical block of the unit, 512 or 4096
 * @param identity - the image's UUID, or whatever tells images apart
 * @throws IscsiError `ERR_ISCSI_PARTITION_SIZE`
 */
export function generateDisk(
  kind: 'gpt' | 'mbr',
  partition: Partition,
  blockSize: number,
  identity: string
): GeneratedDisk {
  if (partition.lengthBytes % blockSize !== 0) {
    throw new IscsiError(
      'ERR_ISCSI_PARTITION_SIZE',
      `partition ${partition.number} has ${partition.lengthBytes} bytes, which blocks of ${blockSize} do not divide`
    )
  }
  return kind === 'gpt' ? generateGpt(partition, blockSize, identity) : generateMbr(partition, blockSize, identity)
}

function generateGpt(partition: Partition, blockSize: number, identity: string): GeneratedDisk {
  const entry = Buffer.from(partition.entry!)
  const uniqueGuid = entry.subarray(UNIQUE_GUID_AT, UNIQUE_GUID_AT + GUID_LENGTH).toString('hex')
  const size = alignUp(ALIGNMENT + partition.lengthBytes + tailBytes(blockSize))
  return gptAround(
    { size, blockSize, diskGuid: derivedGuid(`${identity} ${uniqueGuid}`) },
    entry,
    partition.lengthBytes
  )
}

interface GptDisk {
  /** Bytes of the whole disk. */
  readonly size: number
  readonly blockSize: number
  readonly diskGuid: Buffer
}

/** Both copies of a table whose one partition begins at {@link ALIGNMENT}. The entry gets its place written in. */
function gptAround({ size, blockSize, diskGuid }: GptDisk, entry: Buffer, lengthBytes: number): GeneratedDisk {
  const lastBlock = size / blockSize - 1
  const array = Buffer.alloc(ENTRY_COUNT * ENTRY_LENGTH)
  const arrayBlocks = array.length / blockSize
  entry.copy(array)
  writeU64(array, ALIGNMENT / blockSize, FIRST_LBA_AT)
  writeU64(array, (ALIGNMENT + lengthBytes) / blockSize - 1, LAST_LBA_AT)

  const header = Buffer.alloc(blockSize)
  GPT_SIGNATURE.copy(header)
  header.writeUInt32LE(GPT_REVISION, 8)
  header.writeUInt32LE(GPT_HEADER_LENGTH, HEADER_LENGTH_AT)
  writeU64(header, 2 + arrayBlocks, FIRST_USABLE_AT)
  writeU64(header, lastBlock - 1 - arrayBlocks, LAST_USABLE_AT)
  diskGuid.copy(header, DISK_GUID_AT)
  header.writeUInt32LE(ENTRY_COUNT, ENTRY_COUNT_AT)
  header.writeUInt32LE(ENTRY_LENGTH, ENTRY_LENGTH_AT)
  header.writeUInt32LE(crc32(array), ENTRIES_CRC_AT)
  const primary = placedHeader(header, 1, lastBlock, 2)
  const backup = placedHeader(header, lastBlock, 1, lastBlock - arrayBlocks)

  const protective = Buffer.alloc(blockSize)
  writeSlot(protective, 0, TYPE_PROTECTIVE, 1, Math.min(lastBlock, MBR_BLOCKS_MAX))
  return { size, head: Buffer.concat([protective, primary, array]), tail: Buffer.concat([array, backup]) }
}

/** The backup of a GPT: its array and its header. */
function tailBytes(blockSize: number): number {
  return ENTRY_COUNT * ENTRY_LENGTH + blockSize
}

function placedHeader(template: Buffer, lba: number, alternateLba: number, entriesLba: number): Buffer {
  const header = Buffer.from(template)
  writeU64(header, lba, MY_LBA_AT)
  writeU64(header, alternateLba, ALTERNATE_LBA_AT)
  writeU64(header, entriesLba, ENTRIES_LBA_AT)
  header.writeUInt32LE(crc32(header.subarray(0, GPT_HEADER_LENGTH)), HEADER_CRC_AT)
  return header
}

/** A disk with one partition for a new file system. */
export interface BasicDisk extends GeneratedDisk {
  readonly partition: Pick<Partition, 'offset' | 'lengthBytes'>
}

export interface BasicDiskOptions {
  /** Bytes of the whole disk, a multiple of the block size. */
  readonly size: number
  readonly blockSize: number
  /** Name of the partition, at most 36 UTF-16 units. */
  readonly name: string
  /** 16 random bytes each. */
  readonly diskGuid: Buffer
  readonly partitionGuid: Buffer
}

/**
 * A GPT with one basic data partition, which is where Windows, Linux and macOS look for NTFS, exFAT and FAT. It begins
 * and ends at whole MiB; undefined where the disk has no room for one.
 */
export function basicDisk({ size, blockSize, name, diskGuid, partitionGuid }: BasicDiskOptions): BasicDisk | undefined {
  const lengthBytes = alignDown(size - tailBytes(blockSize)) - ALIGNMENT
  if (lengthBytes <= 0) return undefined
  const entry = Buffer.alloc(ENTRY_LENGTH)
  BASIC_DATA_GUID.copy(entry)
  markedGuid(partitionGuid, 4).copy(entry, UNIQUE_GUID_AT)
  entry.write(name, NAME_AT, 'utf16le')
  const disk = gptAround({ size, blockSize, diskGuid: markedGuid(diskGuid, 4) }, entry, lengthBytes)
  return { ...disk, partition: { offset: ALIGNMENT, lengthBytes } }
}

function generateMbr(partition: Partition, blockSize: number, identity: string): GeneratedDisk {
  const head = Buffer.alloc(blockSize)
  const blockCount = partition.lengthBytes / blockSize
  assert(ALIGNMENT / blockSize + blockCount <= MBR_BLOCKS_MAX, 'a partition of an MBR fits into an MBR')
  derivedGuid(`${identity} partition ${partition.number}`).copy(head, DISK_SIGNATURE_AT, 0, 4)
  // A signature of zero means that there is none, and Windows would write one.
  if (head.readUInt32LE(DISK_SIGNATURE_AT) === 0) head[DISK_SIGNATURE_AT] = 1
  writeSlot(head, partition.status!, partition.type!, ALIGNMENT / blockSize, blockCount)
  return { size: alignUp(ALIGNMENT + partition.lengthBytes), head, tail: Buffer.alloc(0) }
}

/** The first slot and the signature of a boot record. CHS fields are at their end: nobody counts in them any more. */
function writeSlot(sector: Buffer, status: number, type: number, firstBlock: number, blockCount: number): void {
  const at = MBR_ENTRIES_AT
  sector[at] = status
  // UEFI 2.10 §5.2.3: the protective entry begins at CHS 0/0/2.
  sector.set(type === TYPE_PROTECTIVE ? [0x00, 0x02, 0x00] : [0xfe, 0xff, 0xff], at + 1)
  sector[at + 4] = type
  sector.set(type === TYPE_PROTECTIVE ? [0xff, 0xff, 0xff] : [0xfe, 0xff, 0xff], at + 5)
  sector.writeUInt32LE(firstBlock, at + 8)
  sector.writeUInt32LE(blockCount, at + 12)
  sector.writeUInt16LE(0xaa55, MBR_SIGNATURE_AT)
}

/** 16 bytes from a hash, as a UUID of version 8 (RFC 9562 §5.8). */
function derivedGuid(text: string): Buffer {
  return markedGuid(createHash('sha256').update(text).digest().subarray(0, 16), 8)
}

function alignUp(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT
}

function alignDown(bytes: number): number {
  return Math.floor(bytes / ALIGNMENT) * ALIGNMENT
}
