import { open, rename, unlink, type FileHandle } from 'node:fs/promises'
import { Adaptive } from '../adaptive.js'
import { mayStall } from '../drivers/medium.js'
import { keepsHoles } from '../drivers/holes.js'
import { bootId } from './boot-id.js'
import { DeltaMap } from './delta-map.js'
import type { DeltaOptions } from './delta-options.js'
import { DeltaError } from './errors.js'
import type { DeltaPaths } from './files.js'
import {
  HEADER_LENGTH,
  SESSION,
  chunkCountOf,
  decodeHeader,
  encodeHeader,
  unreadable,
  type JournalHeader
} from './journal-format.js'
import { Journal } from './journal.js'
import { claimSlots, replayJournal, type Replay } from './replay.js'
import { makeKey, readKey, SlotCipher } from './slot-cipher.js'
import { SlotFile } from './slot-file.js'
import { Slots } from './slots.js'

/** The two files of an epoch, open. */
export interface FilePair {
  readonly slots: SlotFile
  /** What nobody writes between slots takes no space. */
  readonly sparse: boolean
  map: FileHandle
  readonly journal: Journal
}

/** An epoch that was there: its files, mended, and the map that they hold. */
export interface FoundPair {
  readonly files: FilePair
  readonly header: JournalHeader
  readonly map: DeltaMap
  /** Those that the map names are taken. */
  readonly allocated: Slots
  readonly replay: Replay
}

/**
 * Makes both files. The header is on the medium before the map file has its name: one that is there always begins with
 * a good one. Leaves nothing when it fails.
 */
export async function makePair(paths: DeltaPaths, header: JournalHeader, options: DeltaOptions): Promise<FilePair> {
  const slots = await open(paths.slots, 'wx+', FILE_MODE)
  const made = `${paths.map}.new`
  try {
    const cipher = header.encrypted ? new SlotCipher(await makeKey(paths.key)) : undefined
    const slotFile = await slotFileOver(slots, paths, options, cipher)
    const map = await open(made, 'w+', FILE_MODE)
    try {
      await map.write(encodeHeader(header), 0, HEADER_LENGTH, 0)
      const journal = new Journal(map.fd, HEADER_LENGTH, header.salt, header.firstSequence, 0, options.makeRoom)
      journal.appendBoot(Date.now(), options.bootId ?? bootId())
      journal.appendSession(SESSION.live)
      journal.commit()
      await map.datasync()
      journal.syncedSequence = journal.committedSequence
      await rename(made, paths.map)
      return { slots: slotFile, sparse: await keepsHoles(slots, paths.slots), map, journal }
    } catch (error) {
      await map.close()
      throw error
    }
  } catch (error) {
    await slots.close()
    await unlink(made).catch(() => undefined)
    await unlink(paths.slots).catch(() => undefined)
    if (header.encrypted) await unlink(paths.key).catch(() => undefined)
    throw error
  }
}

/**
 * Opens both files, replays the journal and cuts off what does not count.
 * @throws DeltaError when they cannot be attached; they are left as they are
 */
export async function findPair(paths: DeltaPaths, options: DeltaOptions): Promise<FoundPair> {
  const map = await open(paths.map, 'r+')
  try {
    const header = await readHeader(map)
    refuseForeign(header, options)
    const slots = await open(paths.slots, 'r+').catch((error: unknown) => {
      throw unreadable('its slot file cannot be opened', error)
    })
    try {
      return await readPair(paths, header, slots, map, options)
    } catch (error) {
      await slots.close()
      throw error
    }
  } catch (error) {
    await map.close()
    throw error
  }
}

async function readPair(
  paths: DeltaPaths,
  header: JournalHeader,
  slots: FileHandle,
  map: FileHandle,
  options: DeltaOptions
): Promise<FoundPair> {
  const id = options.bootId ?? bootId()
  const { map: table, replay } = await replayJournal(map, header, id, () => new DeltaMap(chunkCountOf(header)))
  const journal = new Journal(
    map.fd,
    replay.end,
    header.salt,
    replay.nextSequence,
    replay.recordCount,
    options.makeRoom
  )
  const slotFile = await slotFileOver(slots, paths, options, await cipherOf(header, paths))
  const files = { slots: slotFile, sparse: await keepsHoles(slots, paths.slots), map, journal }
  const allocated = new Slots()
  const slotFileSize = (await slots.stat()).size
  await claimSlots(table, header.chunkSize, header.base.size, slotFileSize, allocated)
  // What this map has let go, the map of the last barrier may still have.
  if (!replay.untrusted) allocated.keepHoles(Math.ceil(slotFileSize / header.chunkSize))
  await mend(map, journal, replay, id)
  return { files, header, map: table, allocated, replay }
}

/** Cuts off what does not count and says in which boot the records that follow are written. */
async function mend(map: FileHandle, journal: Journal, replay: Replay, id: Buffer): Promise<void> {
  if ((await map.stat()).size > replay.end) await map.truncate(replay.end)
  // Marks and barriers say what is on the medium, so it has to be there, and what was cut off must not come back.
  if (replay.untrusted || replay.suspect) await map.datasync()
  // The barrier that covered what is left may have been behind what was cut off.
  if (replay.untrusted) journal.appendBarrier(journal.committedSequence)
  journal.appendBoot(Date.now(), id)
  // Another crash must not make anybody forget that its client has to be told.
  if (replay.suspect) journal.appendSession(SESSION.suspect)
  journal.commit()
  await map.datasync()
  journal.syncedSequence = journal.committedSequence
}

/** What reads the slots of a delta that is there; undefined when they are plain. Throws DeltaError without a key. */
export async function cipherOf(
  { encrypted }: JournalHeader,
  paths: Pick<DeltaPaths, 'key'>
): Promise<SlotCipher | undefined> {
  return encrypted === true ? new SlotCipher(await readKey(paths.key)) : undefined
}

/** Throws DeltaError for one that cannot be read. */
export async function readHeader(map: FileHandle): Promise<JournalHeader> {
  const bytes = Buffer.alloc(HEADER_LENGTH)
  const { bytesRead } = await map.read(bytes, 0, HEADER_LENGTH, 0)
  return decodeHeader(bytes.subarray(0, bytesRead))
}

function refuseForeign(header: JournalHeader, options: DeltaOptions): void {
  const { base, owner } = header
  const wanted = options.base
  if (
    base.uuid !== wanted.uuid.toLowerCase() ||
    base.generation !== wanted.generation ||
    base.size !== wanted.size ||
    base.mtimeNs !== wanted.mtimeNs ||
    base.inode !== wanted.inode
  ) {
    throw new DeltaError(
      'ERR_ISCSI_DELTA_FINGERPRINT',
      'the base was changed or exchanged since this delta was written'
    )
  }
  const asked = options.owner
  if (
    owner.target !== asked.target ||
    owner.initiator !== asked.initiator ||
    owner.lun !== asked.lun ||
    owner.chapUser !== asked.chapUser
  ) {
    throw new DeltaError('ERR_ISCSI_DELTA_OWNER', `the delta belongs to ${owner.initiator} on ${owner.target}`)
  }
}

export async function slotFileOver(
  handle: FileHandle,
  paths: Pick<DeltaPaths, 'slots'>,
  options: Pick<DeltaOptions, 'adaptive'>,
  cipher: SlotCipher | undefined
): Promise<SlotFile> {
  const stalls = await mayStall(paths.slots, (await handle.stat()).dev)
  return new SlotFile(handle, (direction) => options.adaptive?.(stalls) ?? new Adaptive(stalls, direction), cipher)
}

export const FILE_MODE = 0o600

/** Slots that are read and never written: those of a delta that nobody has open, or that is a layer now. */
export interface ReadSlots {
  readonly file: SlotFile
  /** Slots that a chunk is in. */
  readonly usedCount: number
}

/**
 * Opens them and holds a finished map against them. Whoever gets them closes `file.handle`.
 * @throws DeltaError when the map names what is not there, or their key is gone
 */
export async function openReadSlots(
  paths: Pick<DeltaPaths, 'slots' | 'key'>,
  header: JournalHeader,
  map: DeltaMap
): Promise<ReadSlots> {
  const handle = await open(paths.slots, 'r').catch((error: unknown) => {
    throw unreadable('its slot file cannot be opened', error)
  })
  try {
    const taken = new Slots()
    const { size } = await handle.stat()
    await claimSlots(map, header.chunkSize, header.base.size, size, taken)
    const file = await slotFileOver(handle, paths, {}, await cipherOf(header, paths))
    return { file, usedCount: taken.usedCount }
  } catch (error) {
    await handle.close()
    throw error
  }
}
