import { crc32c } from '../../util/crc32c.js'
import { BOOT_ID_LENGTH } from './boot-id.js'
import { DeltaError } from './errors.js'

/**
 * Bytes of the map file, format version 1 (docs/delta-format.md): a header of one page and records behind it. All
 * numbers are big-endian. Only bytes here: no file, no map.
 */

export const VERSION = 1
/** The same with slots that are encrypted (slot-cipher.ts); a server that knows version 1 alone refuses it. */
export const VERSION_ENCRYPTED = 2
export const HEADER_LENGTH = 4096

/** What a base must still be for a delta over it to mean anything. */
export interface BaseFingerprint {
  /** The image's own, as text. */
  readonly uuid: string
  readonly generation: number
  /** Bytes. */
  readonly size: number
  /** Time of the last change of the raw file in nanoseconds; 0 where the medium has none. */
  readonly mtimeNs: bigint
  /** 0 where the medium has none. */
  readonly inode: bigint
}

/** Whose delta it is. */
export interface DeltaOwner {
  readonly target: string
  /** The initiator's name, normalised by the caller. */
  readonly initiator: string
  readonly lun: number
  /** Empty when the initiator did not authenticate. */
  readonly chapUser: string
}

export interface JournalHeader {
  /** Bytes, a power of two. */
  readonly chunkSize: number
  /** What is in the slots needs the key that lies beside. */
  readonly encrypted?: boolean
  readonly base: BaseFingerprint
  readonly owner: DeltaOwner
  /** Rises when a delta of this unit was lost. */
  readonly incarnation: number
  /** Rises with each restore; also in the name of the files. */
  readonly epoch: number
  /** Where the checksum of every record begins, so that no record of another delta is taken for one of this. */
  readonly salt: number
  /** Records of a compacted map that come first and are numbered from 0. */
  readonly snapshotRecords: number
  /** Sequence number of the first record behind them. */
  readonly firstSequence: number
}

/** Chunks of the disk that the delta stands for; the last one may be short. */
export function chunkCountOf(header: JournalHeader): number {
  return Math.ceil(header.base.size / header.chunkSize)
}

const MAGIC = Buffer.from('CXDELTA\n', 'latin1')
const AT_VERSION = 8
const AT_HEADER_LENGTH = 10
const AT_CHUNK_SIZE = 12
const AT_UUID = 16
const AT_GENERATION = 32
const AT_SIZE = 40
const AT_MTIME = 48
const AT_INODE = 56
const AT_INCARNATION = 64
const AT_EPOCH = 72
const AT_LUN = 80
const AT_SALT = 88
const AT_SNAPSHOT_RECORDS = 92
const AT_FIRST_SEQUENCE = 96
const AT_NAMES = 104
const AT_HEADER_CHECKSUM = HEADER_LENGTH - 4
/** Bytes of UTF-8; RFC 7143 §4.2.7.1 allows 223 for an iSCSI name, a CHAP name is shorter than 1024. */
const NAME_BYTES_MAX = 1023

export const CHUNK_SIZE_MIN = 4096
export const CHUNK_SIZE_MAX = 1 << 20

export function isChunkSize(size: number): boolean {
  return Number.isInteger(size) && size >= CHUNK_SIZE_MIN && size <= CHUNK_SIZE_MAX && (size & (size - 1)) === 0
}

export function encodeHeader(header: JournalHeader): Buffer {
  const bytes = Buffer.alloc(HEADER_LENGTH)
  MAGIC.copy(bytes)
  bytes.writeUInt16BE(header.encrypted ? VERSION_ENCRYPTED : VERSION, AT_VERSION)
  bytes.writeUInt16BE(HEADER_LENGTH, AT_HEADER_LENGTH)
  bytes.writeUInt32BE(header.chunkSize, AT_CHUNK_SIZE)
  Buffer.from(header.base.uuid.replaceAll('-', ''), 'hex').copy(bytes, AT_UUID, 0, 16)
  writeU64(bytes, header.base.generation, AT_GENERATION)
  writeU64(bytes, header.base.size, AT_SIZE)
  bytes.writeBigUInt64BE(BigInt.asUintN(64, header.base.mtimeNs), AT_MTIME)
  bytes.writeBigUInt64BE(BigInt.asUintN(64, header.base.inode), AT_INODE)
  writeU64(bytes, header.incarnation, AT_INCARNATION)
  writeU64(bytes, header.epoch, AT_EPOCH)
  writeU64(bytes, header.owner.lun, AT_LUN)
  bytes.writeUInt32BE(header.salt, AT_SALT)
  bytes.writeUInt32BE(header.snapshotRecords, AT_SNAPSHOT_RECORDS)
  bytes.writeUInt32BE(header.firstSequence, AT_FIRST_SEQUENCE)
  let at = AT_NAMES
  for (const name of [header.owner.target, header.owner.initiator, header.owner.chapUser]) {
    at = writeName(bytes, at, name)
  }
  bytes.writeUInt32BE(crc32c(bytes, 0, AT_HEADER_CHECKSUM), AT_HEADER_CHECKSUM)
  return bytes
}

/** @throws DeltaError ERR_ISCSI_DELTA_UNREADABLE or ERR_ISCSI_DELTA_VERSION */
export function decodeHeader(bytes: Buffer): JournalHeader {
  if (bytes.length < HEADER_LENGTH) throw unreadable(`its header has ${bytes.length} bytes of ${HEADER_LENGTH}`)
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) throw unreadable('it does not begin as a delta does')
  const version = bytes.readUInt16BE(AT_VERSION)
  // A damaged version must not pass for a later one, so the checksum comes first where it can be checked.
  const intact = crc32c(bytes, 0, AT_HEADER_CHECKSUM) === bytes.readUInt32BE(AT_HEADER_CHECKSUM)
  if (!intact) throw unreadable('its header is damaged')
  const known = version === VERSION || version === VERSION_ENCRYPTED
  if (!known || bytes.readUInt16BE(AT_HEADER_LENGTH) !== HEADER_LENGTH) {
    throw new DeltaError(
      'ERR_ISCSI_DELTA_VERSION',
      `the delta has format version ${version}, this server reads ${VERSION} and ${VERSION_ENCRYPTED}`
    )
  }
  const [target, initiator, chapUser] = readNames(bytes)
  const header: JournalHeader = {
    chunkSize: bytes.readUInt32BE(AT_CHUNK_SIZE),
    ...(version === VERSION_ENCRYPTED && { encrypted: true }),
    base: {
      uuid: uuidText(bytes.subarray(AT_UUID, AT_UUID + 16)),
      generation: readU64(bytes, AT_GENERATION),
      size: readU64(bytes, AT_SIZE),
      mtimeNs: bytes.readBigUInt64BE(AT_MTIME),
      inode: bytes.readBigUInt64BE(AT_INODE)
    },
    owner: { target: target!, initiator: initiator!, lun: readU64(bytes, AT_LUN), chapUser: chapUser! },
    incarnation: readU64(bytes, AT_INCARNATION),
    epoch: readU64(bytes, AT_EPOCH),
    salt: bytes.readUInt32BE(AT_SALT),
    snapshotRecords: bytes.readUInt32BE(AT_SNAPSHOT_RECORDS),
    firstSequence: bytes.readUInt32BE(AT_FIRST_SEQUENCE)
  }
  if (!isChunkSize(header.chunkSize)) throw unreadable(`its chunk size is ${header.chunkSize}`)
  return header
}

/**
 * A record: type (1), length in words of 8 bytes (1), argument (6), sequence (4), what the type needs, CRC32C (4) of
 * everything before it, begun with the header's salt. The types:
 */
export const RECORD = {
  /** Chunks from the argument on are in slots: count (4), first slot (4). */
  slots: 1,
  /** Chunks from the argument on read as zeroes: count (4), 0 (4). */
  zero: 2,
  /** Chunks from the argument on are the base's again: count (4), 0 (4). */
  base: 3,
  /** The argument is the time in ms; boot id (16). Written when the journal is made and each time it is opened. */
  boot: 4,
  /**
   * All data that records up to the sequence number (4) name were on the medium, and so were all records up to the
   * other one (4): if one of those is damaged now, that was no power cut.
   */
  barrier: 5,
  /** The argument is a {@link SESSION}; 0 (4), records up to this sequence number (4) were on the medium. */
  session: 6,
  /** The same as slots, but other chunks may be in these slots too, and what they hold does not change. */
  shared: 7,
  /** Chunks from the argument on read as other chunks of the base: count (4), the first of those (4). */
  copied: 8,
  /**
   * Runs of chunks that follow each other, the first from the argument on: how many (2), then of each its length in
   * chunks (2) and what the map has for its first one (4), as delta-map.ts says; 0 is a gap, of which it says nothing.
   * Only a compaction writes it.
   */
  runs: 9,
  /** Kept for checksums of slots. */
  checksum: 0x81
} as const
/** Whether somebody may have been writing when the journal ended. */
export const SESSION = {
  /** All sessions have ended and everything was flushed behind them. */
  ended: 0,
  /** A session may write. */
  live: 1,
  /** A sync failed: what no barrier covers may be lost, although this boot wrote it. */
  failed: 2,
  /** Unflushed writes may have been lost, and the client has not been told yet. */
  suspect: 3
} as const
export type SessionMark = (typeof SESSION)[keyof typeof SESSION]
export const LAST_TYPE = RECORD.runs
/** A reader steps over a type that it does not know from here on, and refuses the journal for one below. */
export const FIRST_ADVISORY_TYPE = 0x80

export const WORD = 8
/** Length of a record of the map, and of a barrier. */
export const RECORD_LENGTH = 24
export const BOOT_RECORD_LENGTH = 32
export const RECORD_LENGTH_MAX = 255 * WORD
const RECORD_LENGTH_MIN = 2 * WORD
const AT_ARGUMENT = 2
const AT_SEQUENCE = 8
const AT_COUNT = 12
const AT_SLOT = 16
const AT_BOOT_ID = 12
const AT_RUN_COUNT = 12
const AT_RUNS = 14
const RUN_BYTES = 6
const CHECKSUM_BYTES = 4
/** Of one record. */
export const RUNS_MAX = Math.floor((RECORD_LENGTH_MAX - AT_RUNS - CHECKSUM_BYTES) / RUN_BYTES)
/** Chunks of one run. */
export const RUN_CHUNKS_MAX = 0xffff

/** Writes a record without its checksum; {@link sealRecord} completes it. All but those of boots and runs have this shape. */
export function putRecord(
  bytes: Buffer,
  at: number,
  type: number,
  argument: number,
  sequence: number,
  count: number,
  slot: number
): void {
  putHead(bytes, at, type, RECORD_LENGTH, argument, sequence)
  putU32(bytes, at + AT_COUNT, count)
  putU32(bytes, at + AT_SLOT, slot)
}

export function putBootRecord(bytes: Buffer, at: number, timeMs: number, sequence: number, bootId: Buffer): void {
  putHead(bytes, at, RECORD.boot, BOOT_RECORD_LENGTH, timeMs, sequence)
  bootId.copy(bytes, at + AT_BOOT_ID, 0, BOOT_ID_LENGTH)
}

/** Puts a run into a record that is being made at `at`; {@link putRunsHead} completes it. */
export function putRun(bytes: Buffer, at: number, index: number, count: number, entry: number): void {
  const place = at + AT_RUNS + index * RUN_BYTES
  putU16(bytes, place, count)
  putU32(bytes, place + 2, entry)
}

/** What stands before and behind the runs, without the checksum. */
export function putRunsHead(bytes: Buffer, at: number, chunk: number, sequence: number, runCount: number): void {
  const length = runsLength(runCount)
  putHead(bytes, at, RECORD.runs, length, chunk, sequence)
  putU16(bytes, at + AT_RUN_COUNT, runCount)
  bytes.fill(0, at + AT_RUNS + runCount * RUN_BYTES, at + length)
}

/** Puts the checksum. Returns the end of the record. */
export function sealRecord(bytes: Buffer, at: number, salt: number): number {
  const end = at + bytes[at + 1]! * WORD
  putU32(bytes, end - 4, crc32c(bytes, at, end - 4, salt))
  return end
}

/** What a record says, read in place; one object that is moved from record to record. */
export class RecordView {
  type = 0
  length = 0
  /** The first chunk, or the time in ms. */
  argument = 0
  sequence = 0
  /** Chunks, or the sequence number that a barrier covers. */
  count = 0
  /** The first slot, or chunk of the base; of a barrier or a session mark, the last sequence number that was on the medium. */
  slot = 0
  private bytes: Buffer = MAGIC
  private at = 0

  /** Moves to the record at `at`. False if no intact record lies there before `end`. */
  read(bytes: Buffer, at: number, end: number, salt: number): boolean {
    if (end - at < RECORD_LENGTH_MIN) return false
    const length = bytes[at + 1]! * WORD
    if (length < RECORD_LENGTH_MIN || length > end - at) return false
    const type = bytes[at]!
    if (type === 0 || (type <= LAST_TYPE && length !== lengthThere(bytes, at, type))) return false
    if (crc32c(bytes, at, at + length - 4, salt) !== getU32(bytes, at + length - 4)) return false
    this.bytes = bytes
    this.at = at
    this.type = type
    this.length = length
    this.argument =
      ((bytes[at + AT_ARGUMENT]! << 8) | bytes[at + AT_ARGUMENT + 1]!) * 0x100000000 + getU32(bytes, at + 4)
    this.sequence = getU32(bytes, at + AT_SEQUENCE)
    this.count = length >= RECORD_LENGTH ? getU32(bytes, at + AT_COUNT) : 0
    this.slot = length >= RECORD_LENGTH ? getU32(bytes, at + AT_SLOT) : 0
    return true
  }

  /**
   * Takes a record of runs apart, into arrays that hold {@link RUNS_MAX} each: there may be millions of runs.
   * @param counts - get the chunks of each
   * @param entries - get what the map has for the first chunk of each, as a signed number
   * @returns how many there are
   */
  readRuns(counts: Uint16Array, entries: Int32Array): number {
    const { bytes, at } = this
    const runCount = getU16(bytes, at + AT_RUN_COUNT)
    for (let index = 0, place = at + AT_RUNS; index < runCount; index++, place += RUN_BYTES) {
      counts[index] = getU16(bytes, place)
      entries[index] =
        (bytes[place + 2]! << 24) | (bytes[place + 3]! << 16) | (bytes[place + 4]! << 8) | bytes[place + 5]!
    }
    return runCount
  }

  /** A copy of the boot id. */
  bootId(): Buffer {
    return Buffer.from(this.bytes.subarray(this.at + AT_BOOT_ID, this.at + AT_BOOT_ID + BOOT_ID_LENGTH))
  }
}

/** Changes the count of a record that has no checksum yet. */
export function setRecordCount(bytes: Buffer, at: number, count: number): void {
  putU32(bytes, at + AT_COUNT, count)
}

export function unreadable(why: string, cause?: unknown): DeltaError {
  return new DeltaError('ERR_ISCSI_DELTA_UNREADABLE', `the delta cannot be read: ${why}`, { cause })
}

/** Bytes of a record of a type that has a length of its own: each that is written while the delta is in use. */
export function lengthOf(type: number): number {
  return type === RECORD.boot ? BOOT_RECORD_LENGTH : RECORD_LENGTH
}

/** What a record must have that begins so. */
function lengthThere(bytes: Buffer, at: number, type: number): number {
  return type === RECORD.runs ? runsLength(getU16(bytes, at + AT_RUN_COUNT)) : lengthOf(type)
}

/** Bytes of a record of so many runs. */
function runsLength(runCount: number): number {
  return Math.ceil((AT_RUNS + runCount * RUN_BYTES + CHECKSUM_BYTES) / WORD) * WORD
}

function putHead(bytes: Buffer, at: number, type: number, length: number, argument: number, sequence: number): void {
  bytes[at] = type
  bytes[at + 1] = length / WORD
  const high = (argument / 0x100000000) | 0
  bytes[at + AT_ARGUMENT] = high >>> 8
  bytes[at + AT_ARGUMENT + 1] = high
  putU32(bytes, at + AT_ARGUMENT + 2, argument % 0x100000000)
  putU32(bytes, at + AT_SEQUENCE, sequence)
}

function putU16(bytes: Buffer, at: number, value: number): void {
  bytes[at] = value >>> 8
  bytes[at + 1] = value
}

function putU32(bytes: Buffer, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}

function getU16(bytes: Buffer, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!
}

function getU32(bytes: Buffer, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
}

function writeU64(bytes: Buffer, value: number, at: number): void {
  bytes.writeBigUInt64BE(BigInt(value), at)
}

function readU64(bytes: Buffer, at: number): number {
  return Number(bytes.readBigUInt64BE(at))
}

function writeName(bytes: Buffer, at: number, name: string): number {
  const text = Buffer.from(name, 'utf8')
  if (text.length > NAME_BYTES_MAX)
    throw new RangeError(`a name of ${text.length} bytes, ${NAME_BYTES_MAX} are possible`)
  bytes.writeUInt16BE(text.length, at)
  text.copy(bytes, at + 2)
  return at + 2 + text.length
}

function readNames(bytes: Buffer): string[] {
  const names: string[] = []
  for (let at = AT_NAMES; names.length < 3;) {
    const length = bytes.readUInt16BE(at)
    if (length > NAME_BYTES_MAX) throw unreadable('a name in its header is too long')
    names.push(bytes.toString('utf8', at + 2, at + 2 + length))
    at += 2 + length
  }
  return names
}

function uuidText(bytes: Buffer): string {
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}
