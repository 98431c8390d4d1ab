import { randomBytes } from 'node:crypto'
import { open, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { assert } from '../../util/assert.js'
import { Slices } from '../../util/slices.js'
import { syncDirectory } from '../../util/directory.js'
import { IscsiError, codeOf } from '../../util/errors.js'
import { bootId } from './boot-id.js'
import { SpaceBudget, type DeltaBudget } from './budget.js'
import { writeCompacted } from './compaction.js'
import { BASE, COPIED, COPIED_CHUNK_MAX, DeltaMap, LEAF_BYTES, ZERO, isSlot } from './delta-map.js'
import type { DeltaOptions, DeltaReport, RetiredDelta } from './delta-options.js'
import { FILE_MODE, findPair, makePair, type FilePair } from './file-pair.js'
import { deltaPaths, listDelta, moveIntoBin, undefinedIfMissing, type DeltaPaths } from './files.js'
import { Neighbourhood, groupOf } from './neighbourhood.js'
import { HolePuncher, systemPunchHole } from './hole-puncher.js'
import {
  HEADER_LENGTH,
  RECORD,
  SESSION,
  chunkCountOf,
  isChunkSize,
  type BaseFingerprint,
  type JournalHeader,
  type SessionMark
} from './journal-format.js'
import { rebaseDelta } from './reissue.js'
import type { SlotFile } from './slot-file.js'
import { Slots } from './slots.js'
import { UndoList } from './undo-list.js'

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
export class DeltaFile {
  /** Bytes that the budget has given for slots and leaves of the map. */
  private charged = 0
  /** Slots that a chunk is in. */
  private slotsMapped: number
  private files: FilePair | undefined
  private creating: Promise<void> | undefined
  /** Nobody may use it any more; its map and its figures stay what they were. */
  closed = false
  private directorySynced = false
  /** What the journal says of sessions; undefined while it says what it said when it was found. */
  private session: SessionMark | undefined
  private incarnation: number
  private puncher: HolePuncher | undefined
  private neighbourhood: Neighbourhood
  private readonly undo = new UndoList()
  /** A commit that the delta made for itself failed and took changes of others with it; they hear of it next time. */
  private failedCommit: Error | undefined
  /** After a failed fdatasync nobody knows what the medium has: no flush is ever good again. */
  private flushError: Error | undefined
  private nextFlush: Promise<void> | undefined
  private lastExclusive: Promise<unknown> = Promise.resolve()
  private compacting: Promise<void> | undefined
  /** Where in the map file the snapshot of the last compaction ends; what is behind it makes the next one worth while. */
  private snapshotEnd = HEADER_LENGTH
  compactionError: Error | undefined
  compactions = 0

  private constructor(
    private readonly options: DeltaOptions,
    private readonly budget: DeltaBudget,
    private header: JournalHeader,
    private readonly paths: DeltaPaths,
    readonly report: DeltaReport,
    readonly map: DeltaMap,
    readonly slots = new Slots()
  ) {
    this.incarnation = options.incarnation
    this.slotsMapped = slots.usedCount
    this.neighbourhood = new Neighbourhood(map, slots, 1)
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
    if (epoch !== undefined) return DeltaFile.openFound(options, budget, epoch, leftovers)
    const header: JournalHeader = {
      chunkSize,
      encrypted: options.encrypt ?? false,
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

  private static async openFound(
    options: DeltaOptions,
    budget: DeltaBudget,
    epoch: number,
    leftovers: readonly string[]
  ): Promise<DeltaFile> {
    const paths = deltaPaths(options.directory, options.name, epoch)
    const { files, header, map, allocated, replay } = await findPair(paths, options)
    const report = { replay, incarnation: header.incarnation, leftovers }
    const delta = new DeltaFile(options, budget, header, paths, report, map, allocated)
    delta.attach(files)
    delta.snapshotEnd = replay.snapshotEnd
    // A crash came before holes were made for what was free.
    const onDisk = (await files.slots.handle.stat()).blocks * STAT_BLOCK_BYTES
    if (onDisk > delta.slots.usedCount * delta.chunkSize + HOLES_IGNORED_BYTES) delta.slots.vacateHoles()
    else if (files.sparse) delta.slots.keepGroups(groupOf(delta.chunkSize))
    await delta.findGroups()
    delta.charged = delta.bytesUsed
    budget.occupy(delta.charged)
    return delta
  }

  /** The epoch after this one: empty, without files. */
  following(): DeltaFile {
    const header = {
      ...this.header,
      encrypted: this.options.encrypt ?? false,
      incarnation: this.incarnation,
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

  /**
   * Closes it and opens it over a base that shows the same up to the end of this one, and zeroes behind it. Nobody uses
   * it meanwhile.
   * @throws what was in the way; when this one is {@link closed} then, opening it shows whether it could be changed
   */
  async over(base: BaseFingerprint): Promise<DeltaFile> {
    const { exists } = this
    if (exists) await this.clearTail()
    await this.close()
    if (exists) await rebaseDelta(this.paths.map, base)
    return this.reopened(base)
  }

  /** The same epoch once more, after it was closed. */
  async reopened(base = this.options.base): Promise<DeltaFile> {
    const { incarnation, epoch } = this
    const delta = await DeltaFile.open({ ...this.options, base, incarnation, epochAfter: epoch - 1 })
    try {
      await delta.wake(incarnation)
    } catch (error) {
      await delta.release()
      throw error
    }
    return delta
  }

  /** What a slot of the short chunk at the end of the disk holds behind that end becomes a part of the disk. */
  private async clearTail(): Promise<void> {
    const within = this.header.base.size % this.chunkSize
    if (within === 0) return
    this.map.run(this.map.chunkCount - 1, 1)
    const { entry } = this.map
    if (!isSlot(entry)) return
    const tail = Buffer.alloc(this.chunkSize - within)
    await this.slotFile.write(tail, 0, tail.length, (entry - 1) * this.chunkSize + within)
    await this.flush()
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
    return this.slotsMapped * this.chunkSize
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
    this.attach(await makePair(this.paths, this.header, this.options))
    this.session = SESSION.live
  }

  private attach(files: FilePair): void {
    this.files = files
    if (files.sparse) this.neighbourhood = new Neighbourhood(this.map, this.slots, groupOf(this.chunkSize))
    const punch = this.options.punch ?? systemPunchHole()
    if (!punch) return
    const { punchBytesMin, punchDelayMs } = this.options
    const { fd } = files.slots.handle
    this.puncher = new HolePuncher(fd, this.slots, this.chunkSize, punch, punchBytesMin, punchDelayMs)
  }

  /**
   * Asks for room for so many new chunks and for the leaves that they may need.
   * @throws IscsiError ENOSPC; then nothing was taken
   */
  charge(newChunks: number, newLeaves: number): void {
    const bytes = this.costOf(newChunks, newLeaves)
    if (bytes === 0) return
    if (!this.budget.take(bytes)) {
      this.settle()
      if (!this.budget.take(bytes)) throw new IscsiError('ENOSPC', 'the delta has reached its limit')
    }
    this.charged += bytes
  }

  /** Whether what failed for want of room may succeed behind a {@link reclaim}. */
  mayReclaim(error: unknown): boolean {
    return codeOf(error) === 'ENOSPC' && (this.flushBringsSlots || (this.budget.mayRefill ?? false))
  }

  /** Slots that hold nothing come back with a flush. */
  private get flushBringsSlots(): boolean {
    return this.slots.awaitsBarrier && !this.flushError
  }

  /** Makes room where it can: asks those who have more than they use, and flushes. */
  async reclaim(bytes: number): Promise<void> {
    await this.budget.refill?.(bytes)
    if (this.flushBringsSlots) await this.flush()
  }

  /** {@link charge}; false when a {@link reclaim} may help. What was charged becomes slots before anything else runs. */
  tryCharge(newChunks: number, newLeaves: number): boolean {
    try {
      this.charge(newChunks, newLeaves)
      return true
    } catch (error) {
      if (this.mayReclaim(error)) return false
      throw error
    }
  }

  /** Bytes that so many chunks and leaves are charged with. */
  costOf(newChunks: number, newLeaves: number): number {
    return newChunks * this.chunkSize + newLeaves * LEAF_BYTES
  }

  /** Gives back what was charged and is not needed, or not any more. A charge becomes slots in the turn that asks. */
  private settle(): void {
    if (this.closed) return
    const unused = this.charged - this.bytesUsed
    if (unused === 0) return
    this.budget.give(unused)
    this.charged -= unused
  }

  get nearlyFull(): boolean {
    return this.budget.nearlyFull
  }

  /**
   * Takes slots for new chunks from `chunk` on, at most `count`, in a row; `slots.granted` says how many. The room for
   * them has been charged in the same turn.
   */
  takeSlots(chunk: number, count: number): number {
    const slot = this.neighbourhood.take(chunk, count)
    if (slot < 0) throw new IscsiError('ENOSPC', 'the delta has no slot number left')
    this.map.shared.forget(slot, this.slots.granted)
    return slot
  }

  /** The same, but all of them in one row. */
  takeSlotRow(count: number): number {
    const slot = this.slots.takeRow(count)
    if (slot < 0) throw new IscsiError('ENOSPC', 'the delta has no row of slots left that is long enough')
    this.map.shared.forget(slot, count)
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
    this.slotsMapped += count
    this.files!.journal.append(RECORD.slots, chunk, count, slot)
  }

  /**
   * `count` chunks now read as zeroes; their slots come free once that is committed and no reader knows them.
   * @throws IscsiError ENOSPC when the map would need a leaf that the budget has not; nothing has changed then
   */
  putZeroes(chunk: number, count: number): void {
    if (this.map.run(chunk, count) === count && this.map.entry === ZERO) return
    this.charge(0, this.map.missingLeaves(chunk, count, ZERO))
    this.replace(chunk, count)
    this.map.assign(chunk, count, ZERO)
    this.files!.journal.append(RECORD.zero, chunk, count, 0)
  }

  /** Whether a chunk with this entry of the map is written where it is: it is in a slot that no other chunk is in. */
  writesInPlace(entry: number): boolean {
    return isSlot(entry) && !this.map.shared.has(entry - 1)
  }

  /**
   * How many chunks from `chunk` on, at most `limit`, lie in one row and are written alike, as {@link writesInPlace}
   * says of `map.entry`, the first one's.
   */
  writableRun(chunk: number, limit: number): number {
    const count = this.map.run(chunk, limit)
    return isSlot(this.map.entry) ? this.map.shared.run(this.map.entry - 1, count) : count
  }

  /**
   * `count` chunks now read as those from `source` on; no data moves. The two ranges do not overlap, and neither has
   * the short chunk at the end of the disk.
   * @returns how many chunks are done; from the next one on it takes a copy of the data
   * @throws IscsiError ENOSPC when the map would need a leaf that the budget has not; what is done stays done
   */
  copyChunks(source: number, chunk: number, count: number): number {
    if (this.map.chunkCount > SHARING_CHUNKS_MAX) return 0
    for (let done = 0; done < count;) {
      const length = this.map.run(source + done, count - done)
      const { entry } = this.map
      if (entry === BASE && source + done + length > COPIED_CHUNK_MAX) return done
      if (entry === ZERO) this.putZeroes(chunk + done, length)
      else if (isSlot(entry)) this.putShared(chunk + done, length, entry - 1)
      else this.putCopied(chunk + done, length, entry === BASE ? source + done : entry - COPIED)
      done += length
    }
    return count
  }

  private putShared(chunk: number, count: number, slot: number): void {
    this.charge(0, this.map.missingLeaves(chunk, count, slot + 1))
    this.replace(chunk, count)
    this.map.assign(chunk, count, slot + 1)
    this.map.shared.add(slot, count)
    this.files!.journal.append(RECORD.shared, chunk, count, slot)
  }

  /** A chunk that is copied back to where it came from is simply the base's. */
  private putCopied(chunk: number, count: number, source: number): void {
    this.charge(0, this.map.missingLeaves(chunk, count, COPIED))
    this.replace(chunk, count)
    const back = chunk === source
    this.map.assign(chunk, count, back ? BASE : COPIED + source)
    this.files!.journal.append(back ? RECORD.base : RECORD.copied, chunk, count, back ? 0 : source)
  }

  /** Remembers what the map says of these chunks and frees the slots that no chunk is in any more. */
  private replace(chunk: number, count: number): void {
    for (let done = 0; done < count;) {
      const length = this.map.run(chunk + done, count - done)
      const entry = this.map.entry
      this.undo.push(chunk + done, length, entry)
      if (isSlot(entry)) this.map.shared.drop(entry - 1, length, this.freeRun)
      done += length
    }
  }

  private readonly freeRun = (slot: number, count: number): void => {
    this.slotsMapped -= count
    this.slots.free(slot, count)
  }

  private readonly discardRun = (slot: number, count: number): void => {
    this.slotsMapped -= count
    this.slots.discard(slot, count)
  }

  get uncommitted(): boolean {
    return !this.undo.empty || this.failedCommit !== undefined
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
    if (this.undo.empty) return
    this.commitRecords()
    // Here alone: a mark of a session that began a compaction would be neither in the snapshot nor in the tail.
    this.compactIfLong()
  }

  /**
   * The same for one's own purposes, outside the turn that commits.
   * @param others - somebody else has changes in it too, who hears of a failure from the next {@link commit}
   */
  commitOwn(others: boolean): void {
    const shared = others && !this.undo.empty
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
    this.undo.clear()
    this.slots.commit()
    this.settle()
  }

  private rollback(): void {
    this.files?.journal.drop()
    this.undo.eachBackwards((chunk, count, entry) => this.restoreEntry(chunk, count, entry))
    this.undo.clear()
    this.slots.rollback()
    this.slots.settle()
    this.settle()
  }

  /** Slots that were mapped since the last commit have no journal that knows them, but they may be being read. */
  private restoreEntry(chunk: number, count: number, entry: number): void {
    for (let done = 0; done < count;) {
      const length = this.map.run(chunk + done, count - done)
      if (isSlot(this.map.entry)) this.map.shared.drop(this.map.entry - 1, length, this.discardRun)
      done += length
    }
    this.map.assign(chunk, count, entry)
    if (isSlot(entry)) this.slotsMapped += this.map.shared.restore(entry - 1, count)
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

  /** Something was written that no flush covers yet. */
  get dirty(): boolean {
    const { files } = this
    return files !== undefined && (files.slots.dirty || files.journal.uncommitted || files.journal.uncovered)
  }

  /** Why every flush fails until the delta is opened again; undefined as long as they succeed. */
  get failure(): Error | undefined {
    return this.flushError
  }

  /** @param always - write a barrier even if nothing is new */
  private async flushNow(always = false): Promise<void> {
    this.refuseFailed()
    const files = this.files!
    this.commitOwn(true)
    if (!always && !this.dirty && this.directorySynced) return
    const covered = files.journal.committedSequence
    files.slots.dirty = false
    this.slots.seal()
    let done = false
    try {
      await this.sync(files.slots.handle.datasync())
      files.journal.appendBarrier(covered)
      this.commitOwn(true)
      await this.syncMap(files)
      done = true
    } finally {
      if (!done) files.slots.dirty = true
      this.slots.unseal(done)
      this.settle()
    }
    this.puncher?.wake()
    await this.findGroups()
  }

  /** The first flush of a delta that was read back has all of its bitmap looked through. */
  private async findGroups(): Promise<void> {
    const { slots } = this
    const slices = new Slices()
    while (slots.awaitsGroups) {
      slots.findGroups()
      if (slices.over) await slices.rest()
    }
  }

  private async syncMap({ map, journal }: FilePair): Promise<void> {
    const written = journal.committedSequence
    await this.sync(map.datasync())
    if (!this.directorySynced) await this.sync(syncDirectory(dirname(this.paths.map)))
    this.directorySynced = true
    journal.syncedSequence = written
  }

  /** After a failed sync the kernel has forgotten what it could not write, and the next one would succeed without it. */
  private async sync(syncing: Promise<void>): Promise<void> {
    try {
      await syncing
    } catch (error) {
      this.flushError = error as Error
      this.noteFailure()
      throw error
    }
  }

  private refuseFailed(): void {
    if (this.flushError) throw new IscsiError('EIO', 'an earlier flush of the delta failed', { cause: this.flushError })
  }

  /** Whoever opens the delta next must not trust what no barrier covers. */
  private noteFailure(): void {
    try {
      this.files!.journal.appendSession(SESSION.failed)
      this.commitOwn(true)
    } catch {
      // The medium takes nothing any more; a reader in another boot trusts no more than the barriers anyway.
    }
  }

  /**
   * A session begins. What is written from now on may be lost in a power cut, and a reader has to know.
   * @param incarnation - what files that are made from now on carry
   * @throws IscsiError EIO behind a flush that failed: the mark that says so must stay the last one
   */
  wake(incarnation: number): Promise<void> {
    this.incarnation = incarnation
    return this.exclusively(() => this.mark(SESSION.live))
  }

  /** All sessions have ended: flushes, and notes that everything is on the medium. */
  rest(): Promise<void> {
    return this.exclusively(async () => {
      if (!this.files) return
      await this.flushNow()
      // One whose client has yet to be told of lost writes stays marked as such.
      if (this.session === SESSION.live) await this.mark(SESSION.ended)
    })
  }

  private async mark(session: SessionMark): Promise<void> {
    if (!this.files || this.session === session) return
    this.refuseFailed()
    this.files.journal.appendSession(session)
    this.commitOwn(true)
    await this.syncMap(this.files)
    this.session = session
  }

  /** Flush, the end of a compaction, close and retire happen one behind the other. */
  private exclusively<T>(act: () => Promise<T>): Promise<T> {
    const turn = this.lastExclusive.then(act)
    this.lastExclusive = turn.catch(() => undefined)
    return turn
  }

  /**
   * A journal whose records behind its snapshot are many, and take a quarter of the room that the snapshot takes, is
   * written anew beside the work: then it is read in a part of the time. That costs a part of what the records did.
   */
  private compactIfLong(): void {
    const { journal } = this.files!
    if (this.compacting || this.closed) return
    const tailBytes = journal.end - this.snapshotEnd
    if (tailBytes <= (this.options.compactionBytesMin ?? COMPACTION_BYTES_MIN)) return
    if (tailBytes * TAIL_SHARE < this.snapshotEnd - HEADER_LENGTH) return
    this.compacting = this.compact()
      .catch((error: unknown) => {
        if (!this.closed) this.compactionError = error as Error
        this.snapshotEnd = journal.end
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
        await this.flushNow(true)
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
        this.snapshotEnd = draft.snapshotEnd
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
      if (!this.closed && !this.flushError) await this.rest()
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
    const bytesStored = this.bytesStored
    this.closed = true
    try {
      const binned = this.files ? await moveIntoBin(this.paths, binDirectory, this.header.encrypted) : this.paths
      this.discharge()
      return { ...binned, bytesStored }
    } catch (error) {
      this.closed = false
      throw error
    }
  }

  private discharge(): void {
    this.budget.give(this.charged)
    this.charged = 0
  }

  /** Lets go of the files when a flush or compaction that is under way has ended; harmless when called twice. */
  async release(): Promise<void> {
    this.closed = true
    await this.compacting
    await this.puncher?.stop()
    await this.exclusively(async () => {
      const files = this.files
      this.files = undefined
      this.discharge()
      await files?.map.close()
      await files?.slots.handle.close()
    })
  }
}

export const CHUNK_SIZE_DEFAULT = 4096
/** A slot's chunks are counted in 32 bits; with no more chunks than this no count runs over. */
const SHARING_CHUNKS_MAX = 0xfffffff0
const COMPACTION_BYTES_MIN = 4 << 20
const TAIL_SHARE = 4
/** What `blocks` of stat(2) counts in. */
const STAT_BLOCK_BYTES = 512
/** A file system takes a little more than the data of a file. */
const HOLES_IGNORED_BYTES = 16 << 20
