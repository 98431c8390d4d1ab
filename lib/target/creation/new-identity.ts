import { randomBytes } from 'node:crypto'
import { open, realpath, stat, type FileHandle } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import { codeOf } from '../../util/errors.js'
import { acquireLock } from '../../volume/lock.js'
import {
  ALTERNATE_LBA_AT,
  BLOCK_SIZES,
  DISK_GUID_AT,
  ENTRIES_CRC_AT,
  GUID_LENGTH,
  HEADER_CRC_AT,
  UNIQUE_GUID_AT,
  gptHeaderCrc,
  isUsedEntry,
  markedGuid,
  readGptCopy,
  readU64,
  type GptCopy
} from '../../volume/gpt.js'
import { DISK_SIGNATURE_AT, TYPE_PROTECTIVE } from '../../volume/partition-table.js'
import { TargetError } from '../errors.js'
import { StateDirectory } from '../state-directory.js'
import { findState, statesBeside } from '../state-place.js'
import { writeAll } from './copy.js'

/**
 * Gives a copy of a disk an identity of its own: the GUIDs of a GPT (UEFI 2.10 §5.3.2), of the disk and of each partition, in
 * both copies of the table, or the signature of an MBR. Windows takes the second of two disks with one identity offline.
 */
export interface NewIdentity {
  readonly kind: 'gpt' | 'mbr'
  /** As it is written: a GUID, or eight hex digits. */
  readonly before: string
  readonly after: string
  /** Partitions that have a new GUID. */
  readonly partitions: number
}

const SECTOR_LENGTH = 512
const MBR_TYPES_AT = [450, 466, 482, 498] as const

/**
 * @param path - an image that nobody shares, or has shared: clients know the identity of such a one
 * @param stateDirectory - another one than beside the image with which it may have been shared
 * @throws TargetError ERR_ISCSI_LOCKED, ERR_ISCSI_STATE, ERR_ISCSI_NEW_ID with the reason; nothing has changed then
 */
export async function giveNewIdentity(path: string, stateDirectory?: string): Promise<NewIdentity> {
  await refuseShared(path, stateDirectory)
  const real = await realpath(path)
  const lock = await acquireLock(real, { exclusive: true }).catch((error: unknown) => {
    if (codeOf(error) !== 'ERR_ISCSI_LOCKED') throw error
    throw new TargetError(
      'ERR_ISCSI_LOCKED',
      `a server shares ${path}: its clients know it as it is; make a copy of it`
    )
  })
  try {
    const file = await open(real, 'r+')
    try {
      return await change(file, path)
    } finally {
      await file.close()
    }
  } finally {
    await lock.release()
  }
}

/** @throws TargetError when it is no file, or is known to have been shared */
export async function refuseShared(path: string, stateDirectory: string | undefined): Promise<void> {
  const real = await realpath(path)
  if (!(await stat(real)).isFile()) throw refused(`${path} is no file`)
  const named = stateDirectory === undefined ? undefined : await findState(path, stateDirectory)
  const isKnown = named !== undefined && (await StateDirectory.knows(named, real))
  if (!isKnown && (await statesBeside(path)).length === 0) return
  throw refused(
    `${path} has been shared from here, and what clients wrote and what was published lies over it as it is. Make a copy ` +
      '(cloudx image export copy.img) and give that one a new identity'
  )
}

async function change(file: FileHandle, path: string): Promise<NewIdentity> {
  const sector = await readAt(file, 0, SECTOR_LENGTH)
  if (sector?.readUInt16LE(510) !== 0xaa55)
    throw refused(`${path} has no partition table, so there is no identity in it`)
  const gpt = await findGpt(file)
  if (gpt) return changeGpt(file, gpt)
  if (MBR_TYPES_AT.some((at) => sector[at] === TYPE_PROTECTIVE)) {
    throw refused(`a copy of the GUID partition table of ${path} is damaged: mend it first (gdisk, sgdisk --verify)`)
  }
  return changeMbr(file, sector)
}

// --- GPT ---

/** Both copies, each whole and alike; undefined when one is not. */
async function findGpt(file: FileHandle): Promise<{ primary: GptCopy; backup: GptCopy } | undefined> {
  const read = (offset: number, length: number) => readAt(file, offset, length)
  for (const blockSize of BLOCK_SIZES) {
    const primary = await readGptCopy(read, 1, blockSize)
    const backup = primary && (await readGptCopy(read, readU64(primary.header, ALTERNATE_LBA_AT), blockSize))
    if (!backup) continue
    const guidOf = ({ header }: GptCopy) => header.subarray(DISK_GUID_AT, DISK_GUID_AT + GUID_LENGTH)
    if (guidOf(primary).equals(guidOf(backup)) && primary.entries.equals(backup.entries)) return { primary, backup }
  }
  return undefined
}

async function changeGpt(
  file: FileHandle,
  { primary, backup }: { primary: GptCopy; backup: GptCopy }
): Promise<NewIdentity> {
  const before = formatGuid(primary.header.subarray(DISK_GUID_AT, DISK_GUID_AT + GUID_LENGTH))
  const disk = newGuid()
  const entries = Buffer.from(primary.entries)
  let partitions = 0
  for (let at = 0; at < entries.length; at += primary.entryLength) {
    if (!isUsedEntry(entries.subarray(at))) continue
    newGuid().copy(entries, at + UNIQUE_GUID_AT)
    partitions++
  }
  // One copy is whole at any moment: the other one is begun when this one is on the medium.
  for (const copy of [backup, primary]) {
    const header = Buffer.from(copy.header)
    disk.copy(header, DISK_GUID_AT)
    header.writeUInt32LE(crc32(entries), ENTRIES_CRC_AT)
    header.writeUInt32LE(gptHeaderCrc(header), HEADER_CRC_AT)
    await writeAll(file, entries, copy.entriesAt)
    await writeAll(file, header, copy.headerAt)
    await file.sync()
  }
  return { kind: 'gpt', before, after: formatGuid(disk), partitions }
}

function newGuid(): Buffer {
  return markedGuid(randomBytes(GUID_LENGTH), 4)
}

/** The first three parts of a GUID are little-endian on the disk. */
function formatGuid(bytes: Buffer): string {
  const hex = swapped(bytes).toString('hex').toUpperCase()
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

function swapped(bytes: Buffer): Buffer {
  const turned = Buffer.from(bytes)
  turned.subarray(0, 4).swap32()
  turned.subarray(4, 6).swap16()
  turned.subarray(6, 8).swap16()
  return turned
}

// --- MBR ---

async function changeMbr(file: FileHandle, sector: Buffer): Promise<NewIdentity> {
  const before = sector.readUInt32LE(DISK_SIGNATURE_AT)
  let after = 0
  // Zero stands for none, and Windows would make one.
  while (after === 0 || after === before) after = randomBytes(4).readUInt32LE()
  const signature = Buffer.alloc(4)
  signature.writeUInt32LE(after)
  await writeAll(file, signature, DISK_SIGNATURE_AT)
  await file.sync()
  return { kind: 'mbr', before: formatSignature(before), after: formatSignature(after), partitions: 0 }
}

function formatSignature(signature: number): string {
  return signature.toString(16).toUpperCase().padStart(8, '0')
}

/** Undefined when the file ends before. */
async function readAt(file: FileHandle, offset: number, length: number): Promise<Buffer | undefined> {
  if (!Number.isSafeInteger(offset)) return undefined
  const bytes = Buffer.alloc(length)
  const { bytesRead } = await file.read(bytes, 0, length, offset)
  return bytesRead === length ? bytes : undefined
}

function refused(message: string): TargetError {
  return new TargetError('ERR_ISCSI_NEW_ID', message)
}
