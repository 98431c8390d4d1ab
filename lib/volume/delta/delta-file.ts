import { randomBytes } from 'node:crypto'
import { open, rename, unlink, type FileHandle } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { assert } from '../../util/assert.js'
import { IscsiError } from '../../util/errors.js'
import { Adaptive } from '../adaptive.js'
import { mayStall } from '../drivers/medium.js'
import { bootId } from './boot-id.js'
import { SpaceBudget, type DeltaBudget } from './budget.js'
import { writeCompacted } from './compaction.js'
import { BASE, DeltaMap, LEAF_BYTES, ZERO } from './delta-map.js'
import { DeltaError } from './errors.js'
import { deltaPaths, listDelta, syncDirectory, undefinedIfMissing, type DeltaPaths } from './files.js'
import {
  HEADER_LENGTH,
  RECORD,
  decodeHeader,
  encodeHeader,
  isChunkSize,
  unreadable,
  type BaseFingerprint,
  type DeltaOwner,
  type JournalHeader
} from './journal-format.js'
import { Journal } from './journal.js'
import { claimSlots, replayJournal, type Replay } from './replay.js'
import { SlotFile } from './slot-file.js'
import { Slots } from './slots.js'

/**
 * One epoch of a delta: the map, the slots, and the two files that hold them.
 *
 *   NAME-EPOCH.slots   slot n at n × chunk size, nothing else
 *   NAME-EPOCH.map     header and journal of the map (docs/delta-format.md)
 *
 * A change of the map is in memory at once, in the kernel with the next {@link commit}, on the medium with the next
 * {@link flush}. Since the last commit each change is also in a list by which it is undone, should the commit fail.
 * Data goes to its slot before the record that names the slot, so that a record never names what is not there.
 *
 * The files are made by {@link create} before the first change, so a client that only reads leaves nothing.
 */
export interface DeltaOptions {
  /** Exists already, and nobody but this server may look into it. */
  readonly directory: string
  /** What the files are called, without the epoch. */
  readonly name: string
  readonly base: BaseFingerprint
  readonly owner: DeltaOwner
  readonly incarnation: number
  /** Of a new delta, in bytes: a power of two from 4 KiB to 1 MiB. One that exists keeps its own. */
  readonly chunkSize?: number
  /** The epoch of a new delta is higher than this and than every one that lies in the directory. */
  readonly epochAfter?: number
  readonly budget?: DeltaBudget
  /** Awaited before files are made: who must remember that there is a delta does so before there is one. */
  readonly beforeCreate?: (() => Promise<void>) | undefined
  /** 16 bytes that name the boot of this machine. */
  readonly bootId?: Buffer
  /**
   * Makes what decides which access to the slot file may be synchronous.
   * @param stalls - the file lies where an access may take seconds
   */
  readonly adaptive?: (stalls: boolean) => Adaptive
  /** Bytes of journal below which it is never written anew. */
  readonly compactionBytesMin?: number
}

/** What was found when a delta was opened. */
export interface DeltaReport {
  /** Undefined when there was none. */
  readonly replay: Replay | undefined
  /** The incarnation that the delta carries; that of the options when there was none. */
  readonly incarnation: number
  /** Files that a crash left behind; no delta uses them. */
  readonly leftovers: readonly string[]
}

/** Where the files of a dropped epoch are now; what is not there was never made. */
export interface RetiredDelta extends DeltaPaths {
  /** Bytes of client data that were dropped with it. */
  readonly bytesStored: number
}

interface Files {
  readonly slots: SlotFile
  map: FileHandle
  readonly journal: Journal
}

export class DeltaFile {
  readonly slots = new Slots()
  map: DeltaMap
  /** Bytes that the budget has given for slots and leaves of the map. */
  private charged = 0
  private files: Files | undefined
  private creating: Promise<void> | undefined
  private closed = false
  private directorySynced = false
  /** Triples of chunk, count and the entry that was there before. */
  private undo = new Float64Array(FIRST_UNDO)
  private undoLength = 0
  /** A commit that the delta made for itself failed and took changes of others with it; they hear of it next time. */
  private failedCommit: Error | undefined
  /** After a failed fdatasync nobody knows what the medium has: no flush is ever good again. */
  private flushError: Error | undefined
  private nextFlush: Promise<void> | undefined
  private lastExclusive: Promise<unknown> = Promise.resolve()
  private compacting: Promise<void> | undefined
  private recordsAtCompaction = 0
  compactionError: Error | undefined
  compactions = 0

  private constructor(
    private readonly options: DeltaOptions,
    private readonly budget: DeltaBudget,
    private header: JournalHeader,
    private readonly paths: DeltaPaths,
    readonly report: DeltaReport,
    map: DeltaMap
  ) {
    this.map = map
  }

  /**
   * Finds the delta in its directory, or prepares a new one.
   * @throws DeltaError when there is one that cannot be attached; it is left as it is
   */
  static async open(options: DeltaOptions): Promise<DeltaFile> {
    const chunkSize = options.chunkSize ?? CHUNK_SIZE_DEFAULT
    assert(isChunkSize(chunkSize), `a chunk size of ${chunkSize} bytes`)
    const budget = options.budget ?? new SpaceBudget()
    const { epoch, epochMax, leftovers } = await listDelta(options.directory, options.name)
    if (epoch !== undefined) return openFound(options, budget, epoch, leftovers)
    const header: JournalHeader = {
      chunkSize,
      base: options.base,
      owner: options.owner,
      incarnation: options.incarnation,
      epoch: Math.max(epochMax, options.epochAfter ?? 0) + 1,
      salt: randomBytes(4).readUInt32BE(),
      snapshotRecords: 0,
      firstSequence: 0
    }
    const report = { replay: undefined, incarnation: options.incarnation, leftovers }
    const paths = deltaPaths(options.directory, options.name, header.epoch)
    return new DeltaFile(options, budget, header, paths, report, new DeltaMap(chunkCountOf(header)))
  }

  /** Makes an instance over files that were opened and replayed. Only for {@link open}. */
  static over(
    options: DeltaOptions,
    budget: DeltaBudget,
    header: JournalHeader,
    report: DeltaReport,
    map: DeltaMap,
    files: { slots: SlotFile; map: FileHandle; journal: Journal },
    slotFileSize: number
  ): DeltaFile {
    const paths = deltaPaths(options.directory, options.name, header.epoch)
    const delta = new DeltaFile(options, budget, header, paths, report, map)
    claimSlots(map, header.chunkSize, header.base.size, slotFileSize, (slot, count) => delta.slots.claim(slot, count))
    delta.files = files
    delta.charged = delta.bytesUsed
    budget.occupy(delta.charged)
    return delta
  }

  /** The epoch after this one: empty, without files. */
  following(): DeltaFile {
    const header = {
      ...this.header,
      epoch: this.epoch + 1,
      salt: randomBytes(4).readUInt32BE(),
      snapshotRecords: 0,
      firstSequence: 0
    }
    const report = { replay: undefined, incarnation: header.incarnation, leftovers: [] }
    const paths = deltaPaths(this.options.directory, this.options.name, header.epoch)
    return new DeltaFile(this.options, this.budget, header, paths, report, new DeltaMap(chunkCountOf(header)))
  }

  get directory(): string {
    return this.options.directory
  }

  get chunkSize(): number {
    return this.header.chunkSize
  }

  get epoch(): number {
    return this.header.epoch
  }

  /** Whether anything was ever written: the files are there. */
  get exists(): boolean {
    return this.files !== undefined
  }

  /** Bytes of client data in slots. */
  get bytesStored(): number {
    return this.map.chunksMapped * this.chunkSize
  }

  get journalBytes(): number {
    return this.files ? this.files.journal.end : 0
  }

  /** Bytes that count against the budget. */
  private get bytesUsed(): number {
    return this.slots.usedCount * this.chunkSize + this.map.leafCount * LEAF_BYTES
  }

  /** The slot file; only while {@link exists}. */
  get slotFile(): SlotFile {
    return this.files!.slots
  }

  /** Makes the files, if they are not there. Several callers share one making. */
  create(): Promise<void> {
    if (this.files) return Promise.resolve()
    assert(!this.closed, 'a delta was created after it was closed')
    this.creating ??= this.announceAndMake().finally(() => (this.creating = undefined))
    return this.creating
  }

  private async announceAndMake(): Promise<void> {
    await this.options.beforeCreate?.()
    await this.makeFiles()
  }

  /**
   * The header is on the medium before the file has its name: a map file that is there always begins with a good one.
   */
  private async makeFiles(): Promise<void> {
    const slots = await open(this.paths.slots, 'wx+', FILE_MODE)
    const made = `${this.paths.map}.new`
    try {
      const slotFile = await slotFileOver(slots, this.paths, this.options)
      const map = await open(made, 'w+', FILE_MODE)
      try {
        await map.write(encodeHeader(this.header), 0, HEADER_LENGTH, 0)
        const journal = new Journal(map.fd, HEADER_LENGTH, this.header.salt, this.header.firstSequence, 0)
        journal.appendBoot(Date.now(), this.options.bootId ?? bootId())
        journal.commit()
        await map.datasync()
        await rename(made, this.paths.map)
        this.files = { slots: slotFile, map, journal }
      } catch (error) {
        await map.close()
        throw error
      }
    } catch (error) {
      await slots.close()
      await unlink(made).catch(() => undefined)
      await unlink(this.paths.slots).catch(() => undefined)
      throw error
    }
  }

  /**
   * Asks for room for so many new chunks and for the leaves that they may need.
   * @throws IscsiError ENOSPC; then nothing was taken
   */
  charge(newChunks: number, newLeaves: number): void {
    const bytes = newChunks * this.chunkSize + newLeaves * LEAF_BYTES
    if (bytes === 0) return
    if (!this.budget.take(bytes)) {
      this.settle()
      if (!this.budget.take(bytes)) throw new IscsiError('ENOSPC', 'the delta has reached its limit')
    }
    this.charged += bytes
  }

  /** Gives back what was charged and is not needed, or not any more. A charge becomes slots in the turn that asks. */
  private settle(): void {
    const unused = this.charged - this.bytesUsed
    if (unused === 0) return
    this.budget.give(unused)
    this.charged -= unused
  }

  get nearlyFull(): boolean {
    return this.budget.nearlyFull
  }

  /**
   * Takes slots for new chunks, at most `count`, in a row; `slots.granted` says how many. The room for them has been
   * charged in the same turn.
   */
  takeSlots(count: number): number {
    const slot = this.slots.take(count)
    if (slot < 0) throw new IscsiError('ENOSPC', 'the delta has no slot number left')
    return slot
  }

  /** The write into these slots failed; nobody knows them. */
  cancelSlots(slot: number, count: number): void {
    this.slots.untake(slot, count)
    this.settle()
  }

  /** `count` chunks are now in slots from `slot` on; their data has been written. */
  putSlots(chunk: number, count: number, slot: number): void {
    this.replace(chunk, count)
    this.map.assign(chunk, count, slot + 1)
    this.files!.journal.append(RECORD.slots, chunk, count, slot)
  }

  /**
   * `count` chunks now read as zeroes; their slots come free once that is committed and no reader knows them.
   * @throws IscsiError ENOSPC when the map would need a leaf that the budget has not; nothing has changed then
   */
  putZeroes(chunk: number, count: number): void {
    this.charge(0, this.map.missingLeaves(chunk, count, ZERO))
    this.replace(chunk, count)
    this.map.assign(chunk, count, ZERO)
    this.files!.journal.append(RECORD.zero, chunk, count, 0)
  }

  /** Remembers what the map says of these chunks and frees their slots. */
  private replace(chunk: number, count: number): void {
    for (let done = 0; done < count;) {
      const length = this.map.run(chunk + done, count - done)
      const entry = this.map.entry
      this.remember(chunk + done, length, entry)
      if (entry !== BASE && entry !== ZERO) this.slots.free(entry - 1, length)
      done += length
    }
  }

  private remember(chunk: number, count: number, entry: number): void {
    if (this.undoLength === this.undo.length) {
      const larger = new Float64Array(this.undo.length * 2)
      larger.set(this.undo)
      this.undo = larger
    }
    this.undo[this.undoLength] = chunk
    this.undo[this.undoLength + 1] = count
    this.undo[this.undoLength + 2] = entry
    this.undoLength += 3
  }

  get uncommitted(): boolean {
    return this.undoLength > 0 || this.failedCommit !== undefined
  }

  /**
   * Gives the records of all changes so far to the kernel, in one write.
   * @throws what the write threw, now or in {@link commitOwn}; all changes since the last commit are undone then
   */
  commit(): void {
    if (this.failedCommit) {
      const error = this.failedCommit
      this.failedCommit = undefined
      this.rollback()
      throw error
    }
    if (this.undoLength === 0) return
    this.commitRecords()
  }

  /**
   * The same for one's own purposes, outside the turn that commits.
   * @param others - somebody else has changes in it too, who hears of a failure from the next {@link commit}
   */
  commitOwn(others: boolean): void {
    const shared = others && this.undoLength > 0
    try {
      this.commitRecords()
    } catch (error) {
      if (shared) this.failedCommit = error as Error
      throw error
    }
  }

  private commitRecords(): void {
    if (!this.files?.journal.uncommitted) return
    try {
      this.files.journal.commit()
    } catch (error) {
      this.rollback()
      throw error
    }
    this.forgetUndo()
    this.slots.commit()
    this.settle()
    this.compactIfLong()
  }

  private rollback(): void {
    this.files?.journal.drop()
    for (let i = this.undoLength - 3; i >= 0; i -= 3)
      this.restoreEntry(this.undo[i]!, this.undo[i + 1]!, this.undo[i + 2]!)
    this.forgetUndo()
    this.slots.rollback()
    this.slots.settle()
    this.settle()
  }

  /** Slots that were mapped since the last commit have no journal that knows them, but they may be being read. */
  private restoreEntry(chunk: number, count: number, entry: number): void {
    for (let done = 0; done < count;) {
      const length = this.map.run(chunk + done, count - done)
      if (this.map.entry !== BASE && this.map.entry !== ZERO) this.slots.discard(this.map.entry - 1, length)
      done += length
    }
    this.map.assign(chunk, count, entry)
  }

  private forgetUndo(): void {
    this.undoLength = 0
    if (this.undo.length > UNDO_KEPT_MAX) this.undo = new Float64Array(FIRST_UNDO)
  }

  /**
   * Makes everything that was committed before this call survive a power cut: data first, then a barrier that says so,
   * then the map. Callers that come while one waits to begin share it.
   */
  flush(): Promise<void> {
    if (!this.files) return Promise.resolve()
    this.nextFlush ??= this.exclusively(() => {
      this.nextFlush = undefined
      return this.flushNow()
    })
    return this.nextFlush
  }

  private async flushNow(): Promise<void> {
    if (this.flushError) throw new IscsiError('EIO', 'an earlier flush of the delta failed', { cause: this.flushError })
    const files = this.files!
    this.commitOwn(true)
    const covered = files.journal.committedSequence
    try {
      await files.slots.handle.datasync()
    } catch (error) {
      this.flushError = error as Error
      throw error
    }
    files.journal.appendBarrier(covered)
    this.commitOwn(true)
    try {
      await files.map.datasync()
      if (!this.directorySynced) await syncDirectory(dirname(this.paths.map))
      this.directorySynced = true
    } catch (error) {
      this.flushError = error as Error
      throw error
    }
  }

  /** Flush, the end of a compaction, close and retire happen one behind the other. */
  private exclusively<T>(act: () => Promise<T>): Promise<T> {
    const turn = this.lastExclusive.then(act)
    this.lastExclusive = turn.catch(() => undefined)
    return turn
  }

  /**
   * A journal that holds twice the records that its map may need is written anew beside the work. A map needs at most
   * a record for each chunk that has a slot; how many its zeroes need, the last compaction has shown.
   */
  private compactIfLong(): void {
    const { journal } = this.files!
    if (this.compacting || this.closed) return
    if (journal.end <= (this.options.compactionBytesMin ?? COMPACTION_BYTES_MIN)) return
    if (journal.recordCount < 2 * Math.max(this.map.chunksMapped, this.recordsAtCompaction)) return
    this.compacting = this.compact()
      .catch((error: unknown) => {
        if (!this.closed) this.compactionError = error as Error
        this.recordsAtCompaction = journal.recordCount
      })
      .finally(() => (this.compacting = undefined))
  }

  private async compact(): Promise<void> {
    const files = this.files!
    const made = `${this.paths.map}.new`
    const handle = await open(made, 'w+', FILE_MODE)
    try {
      const draft = await writeCompacted({
        handle,
        header: this.header,
        map: this.map,
        journal: files.journal,
        bootId: this.options.bootId ?? bootId(),
        commit: () => this.commitOwn(true),
        stopped: () => this.closed
      })
      await this.exclusively(async () => {
        await this.flushNow()
        await draft.copyTail()
        await handle.datasync()
        // Nothing else runs from here on: what was committed meanwhile is copied, then the files change places. A map
        // that is in the bin already must not come back under its old name.
        if (this.closed) throw new IscsiError('ECANCELED', 'the delta was closed')
        this.commitOwn(true)
        draft.finish(made, this.paths.map)
        const old = files.map
        files.map = handle
        this.header = draft.header
        this.recordsAtCompaction = draft.header.snapshotRecords
        this.directorySynced = false
        this.compactions++
        await old.close()
      })
    } catch (error) {
      await handle.close().catch(() => undefined)
      await unlink(made).catch(undefinedIfMissing)
      throw error
    }
  }

  /** Resolves when no compaction is under way. */
  async idle(): Promise<void> {
    await this.compacting
  }

  /** Flushes, and lets go of the files. The caller has seen to it that nothing is under way. */
  async close(): Promise<void> {
    await this.creating?.catch(() => undefined)
    try {
      if (!this.closed && this.files && !this.flushError) await this.flush()
    } finally {
      await this.release()
    }
  }

  /**
   * Puts the files into the bin, under names that no other has there. Costs two renames, however large they are: the
   * directories are not synced (see {@link syncDirectory}), and the files are closed behind it (see {@link release}).
   * The map goes first: without it the slots are nobody's, whereas a map without slots would be a lost delta.
   */
  async retire(binDirectory: string): Promise<RetiredDelta> {
    await this.creating?.catch(() => undefined)
    const binned = binPaths(binDirectory, this.paths)
    const bytesStored = this.bytesStored
    this.closed = true
    try {
      if (this.files) await renameBoth(this.paths, binned)
    } catch (error) {
      this.closed = false
      throw error
    }
    return { ...binned, bytesStored }
  }

  /** Lets go of the files when a flush or compaction that is under way has ended; harmless when called twice. */
  async release(): Promise<void> {
    this.closed = true
    await this.compacting
    await this.exclusively(async () => {
      const files = this.files
      this.files = undefined
      this.budget.give(this.charged)
      this.charged = 0
      await files?.map.close()
      await files?.slots.handle.close()
    })
  }
}

async function renameBoth(from: DeltaPaths, to: DeltaPaths): Promise<void> {
  await rename(from.map, to.map)
  try {
    await rename(from.slots, to.slots)
  } catch (error) {
    await rename(to.map, from.map)
    throw error
  }
}

async function openFound(
  options: DeltaOptions,
  budget: DeltaBudget,
  epoch: number,
  leftovers: readonly string[]
): Promise<DeltaFile> {
  const paths = deltaPaths(options.directory, options.name, epoch)
  const map = await open(paths.map, 'r+')
  try {
    const header = await readHeader(map)
    refuseForeign(header, options)
    const slots = await open(paths.slots, 'r+').catch((error: unknown) => {
      throw unreadable('its slot file cannot be opened', error)
    })
    try {
      const id = options.bootId ?? bootId()
      const { map: table, replay } = await replayJournal(map, header, id, () => new DeltaMap(chunkCountOf(header)))
      const journal = new Journal(map.fd, replay.end, header.salt, replay.nextSequence, replay.recordCount)
      const report = { replay, incarnation: header.incarnation, leftovers }
      const files = { slots: await slotFileOver(slots, paths, options), map, journal }
      const slotFileSize = (await slots.stat()).size
      const delta = DeltaFile.over(options, budget, header, report, table, files, slotFileSize)
      await mend(map, journal, replay, id)
      return delta
    } catch (error) {
      await slots.close()
      throw error
    }
  } catch (error) {
    await map.close()
    throw error
  }
}

/** Cuts off what does not count and says in which boot the records that follow are written. */
async function mend(map: FileHandle, journal: Journal, replay: Replay, id: Buffer): Promise<void> {
  if ((await map.stat()).size > replay.end) await map.truncate(replay.end)
  // What survived the power cut is on the medium. Its barrier may have been behind what was cut off.
  if (replay.otherBoot) journal.appendBarrier(journal.committedSequence)
  journal.appendBoot(Date.now(), id)
  journal.commit()
  if (replay.otherBoot) await map.datasync()
}

async function readHeader(map: FileHandle): Promise<JournalHeader> {
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

function chunkCountOf(header: JournalHeader): number {
  return Math.ceil(header.base.size / header.chunkSize)
}

async function slotFileOver(handle: FileHandle, paths: DeltaPaths, options: DeltaOptions): Promise<SlotFile> {
  const stalls = await mayStall(paths.slots, (await handle.stat()).dev)
  return new SlotFile(handle, () => options.adaptive?.(stalls) ?? new Adaptive(stalls))
}

/** Names that say what it was and when it came, and that a second restore in the same millisecond does not take. */
function binPaths(binDirectory: string, paths: DeltaPaths): DeltaPaths {
  const unique = `${Date.now()}-${randomBytes(4).toString('hex')}`
  const stem = join(binDirectory, `${basename(paths.map, '.map')}.${unique}`)
  return { map: `${stem}.map`, slots: `${stem}.slots` }
}

export const CHUNK_SIZE_DEFAULT = 4096
const FILE_MODE = 0o600
/** Room for 64 changes before the list of undoing grows. */
const FIRST_UNDO = 3 * 64
const UNDO_KEPT_MAX = 3 * 8192
const COMPACTION_BYTES_MIN = 1 << 20
