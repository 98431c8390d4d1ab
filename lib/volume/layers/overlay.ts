import { setImmediate as nextTurn } from 'node:timers/promises'
import { syncDirectory } from '../../util/directory.js'
import { assert } from '../../util/assert.js'
import { Slices } from '../../util/slices.js'
import { BlockIo } from '../block-io.js'
import { DeltaFile } from '../delta/delta-file.js'
import type { BaseFingerprint } from '../delta/journal-format.js'
import { Changes } from '../delta/changes.js'
import { BASE, COPIED, LEAF_BYTES, ZERO, isCopied, isSlot } from '../delta/delta-map.js'
import type { DeltaOptions, DeltaReport, RetiredDelta } from '../delta/delta-options.js'
import { RangeHolds, type Hold } from '../delta/range-holds.js'
import { ZEROES } from '../drivers/transfer.js'
import { Company, CROWDED_UNIT_THREADS_MAX, PoolShare, UNIT_THREADS_MAX } from '../pool-share.js'
import { readVolume, writeVolume } from '../promises.js'
import { Volume, type Extent, closedError } from '../volume.js'
import { ReadMerge } from './read-merge.js'
import { PIECE, WriteCut } from './write-cut.js'

/**
 * A private, disposable view of a base that is only read: what is written goes to a delta.
 *
 * A request is cut into runs by the delta's map: chunks that are the base's, zeroes, chunks in slots that follow each
 * other. One run is one access, straight to or from the caller's buffer.
 *
 *   write to …           whole chunk                     part of a chunk
 *   a chunk in a slot    in place                        in place
 *   a zero chunk         new slot                        new slot, zeroes around the part
 *   a chunk of the base  new slot, base not read         copy-up: new slot, base read around the part
 *   a copied chunk       new slot                        copy-up from the base or slot that it shares
 *
 * A copy of whole chunks moves no data: chunks in slots share them from then on, those of the base are named by number
 * (docs/decisions/0019-copies-by-map.md).
 *
 * The synchronous verbs do all this in one go, so nobody sees them half done: what could make them give up (a range
 * that is held, a base that would block, a slot file that was slow) is asked before the first byte is written. The
 * asynchronous ones hold their chunks while they wait; a write to a held chunk waits behind them. Readers wait for
 * nobody: the map turns from old to new in one step after the data is there, and a slot that a reader may still know
 * is not used again before that reader has ended.
 *
 * The base is opened and closed by its owner, who shares it among many of these.
 */
export interface OverlayOptions {
  readonly base: Volume
  readonly delta: DeltaOptions
  /** The delta has grown over the soft threshold of its budget; again only after it was below. */
  readonly onNearlyFull?: () => void
}

/** What a restore did. */
export interface Restored {
  /** Bytes of client data that are gone from the view. */
  readonly bytesDropped: number
  readonly retired: RetiredDelta
  /** Resolves when the restore survives a power cut too; the next login of this client waits for it. */
  readonly durable: Promise<void>
}

/** Something could not be done now. */
export interface Retry {
  /** It can be tried again when this resolves. */
  readonly behind: Promise<unknown>
}

export interface OverlayStats {
  reads: number
  bytesRead: number
  writes: number
  bytesWritten: number
  /** Chunks of which the base had to be read before a part of them was written. */
  copyUps: number
  readonly bytesStored: number
  readonly chunksMapped: number
  readonly mapBytes: number
  readonly journalBytes: number
  readonly compactions: number
}

/** A delta between two bases, which could be opened over neither: its files are whole, and name one of them. */
interface LostDelta {
  /** Closed. */
  readonly delta: DeltaFile
  /** Of before. */
  readonly stats: OverlayStats
  readonly base: Volume
  readonly fingerprint: BaseFingerprint
  readonly failure: Error
}

export class Overlay extends Volume {
  readonly readOnly = false
  private base: Volume
  private delta: DeltaFile | undefined
  private lost: LostDelta | undefined
  private chunkSize = 0
  private readonly holds = new RangeHolds()
  private readonly edges = new Edges()
  private readonly fill = new SlotFill()
  private readonly merge = new ReadMerge()
  private cut = new WriteCut(1, 0)
  /** Reads of the base that it cannot give at once. */
  private readonly baseReads = new PoolShare<BlockIo>(
    () => (company.isAlone(this) ? UNIT_THREADS_MAX : CROWDED_UNIT_THREADS_MAX),
    (io) => this.base.read(io)
  )
  private readonly idleBaseReads: BaseRead[] = []
  /** Asynchronous requests under way. */
  private active = 0
  private drained: (() => void) | undefined
  /** Files are being made, and somebody is asked to remember that. */
  private creation: Promise<unknown> | undefined
  private creationBegan: (() => void) | undefined
  /** Set while a restore or a close waits for requests to end and none may begin. */
  private paused = false
  private resumed: Promise<void> = Promise.resolve()
  /** Requests that came while it waited. */
  private heldOff: (() => void)[] = []
  private closing: Promise<void> | undefined
  private restoring: Promise<Restored> | undefined
  private releasing: Promise<void> = Promise.resolve()
  private wasNearlyFull = false
  private reads = 0
  private bytesRead = 0
  private writes = 0
  private bytesWritten = 0
  private copyUps = 0

  constructor(private readonly options: OverlayOptions) {
    super()
    this.base = options.base
  }

  get size(): number {
    return this.base.size
  }

  get epoch(): number {
    return this.known.epoch
  }

  override get copyGranularity(): number {
    return this.chunkSize
  }

  /** What was found when the delta was opened. */
  get report(): DeltaReport {
    return this.known.report
  }

  /** What differs from the base now. */
  get changes(): Changes {
    return new Changes(this.known.map, this.chunkSize, this.size)
  }

  get stats(): OverlayStats {
    if (this.lost) return this.lost.stats
    const delta = this.ready()
    return {
      reads: this.reads,
      bytesRead: this.bytesRead,
      writes: this.writes,
      bytesWritten: this.bytesWritten,
      copyUps: this.copyUps,
      bytesStored: delta.bytesStored,
      chunksMapped: delta.map.chunksMapped,
      mapBytes: delta.map.memoryBytes,
      journalBytes: delta.journalBytes,
      compactions: delta.compactions
    }
  }

  /** @throws DeltaError when there is a delta that cannot be attached */
  async open(): Promise<void> {
    assert(this.options.delta.base.size === this.base.size, 'the fingerprint of another base')
    const delta = await DeltaFile.open(this.options.delta)
    this.chunkSize = delta.chunkSize
    this.edges.chunkSize = this.chunkSize
    this.cut = new WriteCut(this.chunkSize, this.size)
    this.delta = delta
    this.opened()
  }

  /** A session begins to write; see `DeltaFile.wake`. */
  wake(incarnation: number): Promise<void> {
    return this.ready().wake(incarnation)
  }

  /** No session writes any more: flushes, and notes that a power cut can take nothing away. */
  rest(): Promise<void> {
    return this.ready().rest()
  }

  /** Something was written that no flush covers yet. */
  get dirty(): boolean {
    return this.delta !== undefined && this.delta.dirty
  }

  /** Why every flush fails until the overlay is opened again. */
  get failure(): Error | undefined {
    return this.lost?.failure ?? this.delta?.failure
  }

  /**
   * Puts what was copied by the map into slots, so that the delta says nothing about the base any more but where it has
   * nothing to say. Nobody writes meanwhile.
   */
  async settleCopies(): Promise<void> {
    const { map } = this.ready()
    const slices = new Slices()
    for (let chunk = 0; chunk < map.chunkCount;) {
      const count = map.run(chunk, map.chunkCount - chunk)
      if (isCopied(map.entry)) await this.settleRun(chunk, count)
      if (slices.over) await slices.rest()
      chunk += count
    }
  }

  private async settleRun(first: number, count: number): Promise<void> {
    const end = Math.min(this.size, (first + count) * this.chunkSize)
    for (let offset = first * this.chunkSize; offset < end; offset += SETTLE_BYTES) {
      const bytes = Buffer.allocUnsafe(Math.min(SETTLE_BYTES, end - offset))
      await readVolume(this, bytes, offset)
      await writeVolume(this, bytes, offset)
    }
  }

  /** Waits for requests under way, flushes and keeps the delta. */
  close(): Promise<void> {
    this.closing ??= this.closeNow()
    return this.closing
  }

  private async closeNow(): Promise<void> {
    await this.restoring?.catch(() => undefined)
    const resume = await this.drain()
    const delta = this.delta
    this.delta = undefined
    resume()
    await this.releasing
    await delta?.close()
  }

  /**
   * Drops everything that was written: waits for requests under way, puts the files of the delta into the bin and goes
   * on with an empty one of the next epoch. What comes meanwhile waits. If the files cannot be moved the delta stays.
   */
  restore(binDirectory: string): Promise<Restored> {
    this.restoring ??= this.restoreNow(binDirectory).finally(() => (this.restoring = undefined))
    return this.restoring
  }

  private async restoreNow(binDirectory: string): Promise<Restored> {
    const resume = await this.drain()
    try {
      if (this.lost) await this.regain(this.lost)
      const old = this.ready()
      const retired = await old.retire(binDirectory)
      this.delta = old.following()
      this.onChange?.(0, this.size)
      const released = old.release()
      this.releasing = Promise.all([this.releasing, released.catch(() => undefined)]).then(() => undefined)
      this.wasNearlyFull = false
      const durable = Promise.all([released, syncDirectory(binDirectory), syncDirectory(old.directory)]).then(
        () => undefined
      )
      // Whoever waits for it hears of a failure; nobody has to.
      durable.catch(() => undefined)
      return { bytesDropped: retired.bytesStored, retired, durable }
    } finally {
      resume()
    }
  }

  /**
   * Exchanges the base for one that shows the same up to the end of this one, and is as large or larger, while clients
   * read and write. What comes meanwhile waits.
   * @param base - opened and closed by its owner
   * @returns undefined when it is done; otherwise what has to be waited for before it is tried again: the files of the
   *   delta are just being made, and who has to remember that may wait for the caller
   * @throws what was in the way; the disk is as it was then, or, when not even that could be opened, has a `failure` and
   *   is of use again when it is opened anew
   */
  async exchangeBase(base: Volume, fingerprint: BaseFingerprint): Promise<Retry | undefined> {
    assert(fingerprint.size === base.size && base.size >= this.size, 'a base that shows less')
    await this.ready().flush()
    const resume = await this.drainUnlessCreating()
    if (!resume) return { behind: this.creation! }
    const old = this.ready()
    const { stats } = this
    try {
      this.attach(await old.over(fingerprint), base)
    } catch (error) {
      if (!old.closed) throw error
      this.delta = undefined
      this.lost = { delta: old, stats, base, fingerprint, failure: error as Error }
      if (!(await this.regain(this.lost).catch(() => false))) throw error
    } finally {
      resume()
    }
    return undefined
  }

  /** Opens a delta once more over the base that its files name. @returns whether that is the new one */
  private async regain({ delta, base, fingerprint }: LostDelta): Promise<boolean> {
    const before = await delta.reopened().catch(() => undefined)
    if (before) this.attach(before, this.base)
    else this.attach(await delta.reopened(fingerprint), base)
    return before === undefined
  }

  private attach(delta: DeltaFile, base: Volume): void {
    this.base = base
    this.delta = delta
    this.lost = undefined
    this.cut = new WriteCut(this.chunkSize, base.size)
  }

  /** A drain that gives way to the making of files; undefined when it did. */
  private async drainUnlessCreating(): Promise<(() => void) | undefined> {
    if (this.creation) return undefined
    const drained = this.drain()
    const began = new Promise<undefined>((resolve) => (this.creationBegan = () => resolve(undefined)))
    const resume = await Promise.race([drained, began])
    this.creationBegan = undefined
    if (!resume) void drained.then((late) => late())
    return resume
  }

  /** Makes the files before the first write. */
  private async create(delta: DeltaFile): Promise<void> {
    if (delta.exists) return
    const creation = delta.create()
    this.creation = creation.catch(() => undefined)
    this.creationBegan?.()
    await creation.finally(() => (this.creation = undefined))
  }

  /** Lets no request begin and resolves when none is under way. Returns what lets them begin again. */
  private async drain(): Promise<() => void> {
    while (this.paused) await this.resumed
    let resume = (): void => undefined
    this.paused = true
    this.resumed = new Promise((resolve) => {
      resume = () => {
        this.paused = false
        this.admit()
        resolve()
      }
    })
    if (this.active > 0) await new Promise<void>((resolve) => (this.drained = resolve))
    return resume
  }

  /** All at once, so that none of them is held off again while another that came later waits for its chunks. */
  private admit(): void {
    const waiting = this.heldOff
    this.heldOff = []
    this.active += waiting.length
    for (const begin of waiting) begin()
  }

  override get uncommitted(): boolean {
    return this.delta !== undefined && this.delta.uncommitted
  }

  override commit(): void {
    this.ready().commit()
    this.watchThreshold()
  }

  override extent(offset: number, limit: number): Extent {
    const { map } = this.ready()
    const length = Math.min(limit, this.size - offset)
    if (length <= 0) return { length: 0, mapped: true }
    const chunk = this.chunkOf(offset)
    const chunkEnd = this.chunkOf(offset + length - 1) + 1
    let next = chunk + map.run(chunk, chunkEnd - chunk)
    const kind = map.entry
    if (kind === BASE) return this.base.extent(offset, Math.min(length, next * this.chunkSize - offset))
    while (kind !== ZERO && next < chunkEnd) {
      const count = map.run(next, chunkEnd - next)
      if (map.entry === BASE || map.entry === ZERO) break
      next += count
    }
    return { length: Math.min(length, next * this.chunkSize - offset), mapped: kind !== ZERO }
  }

  // ---- the synchronous verbs

  protected _tryRead(buffer: Buffer, start: number, length: number, offset: number): boolean {
    const delta = this.ready()
    if (this.paused) return false
    const { map } = delta
    const chunkSize = this.chunkSize
    const { merge } = this
    company.note(this)
    merge.begin()
    for (let done = 0; done < length;) {
      const at = offset + done
      const chunk = Math.floor(at / chunkSize)
      const within = at - chunk * chunkSize
      const left = length - done
      const most = Math.ceil((within + left) / chunkSize)
      const count = map.run(chunk, most)
      const bytes = Math.min(left, count * chunkSize - within)
      const entry = map.entry
      if (entry === ZERO) buffer.fill(0, start + done, start + done + bytes)
      else if (!merge.has(chunk, entry)) {
        const span = Math.min(left, merge.span(map, chunk, count, most) * chunkSize - within)
        try {
          if (!this.tryReadAt(delta, entry, chunk, within, buffer, start + done, span)) return false
        } catch (error) {
          // What cannot be read may lie in a gap, which nobody asked for. The asynchronous way reads run by run.
          if (span === bytes) throw error
          return false
        }
      }
      done += bytes
    }
    this.reads++
    this.bytesRead += length
    return true
  }

  /** Reads what follows a place in a chunk with this entry, from the base or from slots. */
  private tryReadAt(
    delta: DeltaFile,
    entry: number,
    chunk: number,
    within: number,
    buffer: Buffer,
    start: number,
    length: number
  ): boolean {
    if (isSlot(entry)) return delta.slotFile.tryRead(buffer, start, length, (entry - 1) * this.chunkSize + within)
    const from = isCopied(entry) ? entry - COPIED : chunk
    return this.base.tryRead(buffer, start, length, from * this.chunkSize + within)
  }

  protected _tryWrite(buffer: Buffer, start: number, length: number, offset: number): boolean {
    const delta = this.ready()
    if (length === 0) return true
    if (this.paused || !delta.exists) return false
    const first = this.chunkOf(offset)
    const last = this.chunkOf(offset + length - 1)
    if (!this.holds.empty && this.holds.overlaps(first, last)) return false
    const before = performance.now()
    if (!delta.slotFile.allowsWrite(before, length)) return false
    this.edges.set(delta, this.size, offset, length)
    if (!this.tryCopyUp(this.edges)) return false
    try {
      this.writeNow(delta, this.edges, buffer, start, length, offset)
    } catch (error) {
      if (delta.mayReclaim(error)) return false
      throw error
    } finally {
      delta.slotFile.wrote(performance.now() - before, length)
    }
    this.countWrite(length)
    return true
  }

  protected _tryZero(offset: number, length: number, _unmap: boolean): boolean {
    const delta = this.ready()
    if (length === 0) return true
    if (this.paused || !delta.exists) return false
    const first = this.chunkOf(offset)
    const last = this.chunkOf(offset + length - 1)
    if (last - first >= ZERO_CHUNKS_MAX) return false
    if (!this.holds.empty && this.holds.overlaps(first, last)) return false
    const { edges } = this
    edges.set(delta, this.size, offset, length)
    if (edges.inPart && !delta.slotFile.allowsWrite(performance.now(), 2 * this.chunkSize)) return false
    if (!this.tryCopyUp(edges)) return false
    try {
      if (edges.inPart) this.zeroParts(delta, edges)
      if (edges.wholeCount > 0) delta.putZeroes(edges.wholeFirst, edges.wholeCount)
    } catch (error) {
      if (delta.mayReclaim(error)) return false
      throw error
    }
    this.countWrite(length)
    return true
  }

  private zeroParts(delta: DeltaFile, edges: Edges): void {
    const before = performance.now()
    try {
      edges.eachPart(delta, (at, bytes) => this.writeNow(delta, edges, ZEROES, 0, bytes, at))
    } finally {
      delta.slotFile.wrote(performance.now() - before, 2 * this.chunkSize)
    }
  }

  /** Reads the base around the parts of new chunks. False if that would block; nothing has changed then. */
  private tryCopyUp(edges: Edges): boolean {
    for (const edge of edges.both) {
      if (edge.chunk === NO_CHUNK) continue
      if (edge.entry === ZERO) edge.buffer.fill(0, 0, edge.length)
      else if (!this.tryReadEdge(edge)) return false
      else this.copyUps++
    }
    return true
  }

  private tryReadEdge({ entry, chunk, buffer, length }: Edge): boolean {
    if (isSlot(entry)) return this.ready().slotFile.tryRead(buffer, 0, length, (entry - 1) * this.chunkSize)
    return this.base.tryRead(buffer, 0, length, (isCopied(entry) ? entry - COPIED : chunk) * this.chunkSize)
  }

  /** Writes a range whose edges are prepared. */
  private writeNow(
    delta: DeltaFile,
    edges: Edges,
    buffer: Buffer,
    start: number,
    length: number,
    offset: number
  ): void {
    const { map } = delta
    const chunkSize = this.chunkSize
    for (let done = 0; done < length;) {
      const at = offset + done
      const chunk = Math.floor(at / chunkSize)
      const within = at - chunk * chunkSize
      const left = length - done
      const run = delta.writableRun(chunk, Math.ceil((within + left) / chunkSize))
      const entry = map.entry
      const most = Math.min(left, run * chunkSize - within)
      const bytes = this.cut.next(buffer, start + done, most, at, entry, edges.known)
      const count = Math.ceil((within + bytes) / chunkSize)
      if (this.cut.piece === PIECE.zeroes) delta.putZeroes(chunk, count)
      else if (this.cut.piece === PIECE.data) {
        if (!delta.writesInPlace(entry)) this.writeNewNow(delta, edges, buffer, start + done, bytes, at, chunk, count)
        else delta.slotFile.writeNow(buffer, start + done, bytes, (entry - 1) * chunkSize + within)
      }
      done += bytes
    }
  }

  /** Writes `count` chunks that have no slot of their own yet. */
  private writeNewNow(
    delta: DeltaFile,
    edges: Edges,
    buffer: Buffer,
    start: number,
    bytes: number,
    offset: number,
    chunk: number,
    count: number
  ): void {
    delta.charge(count, delta.map.missingLeaves(chunk, count, 1))
    const { fill } = this
    for (let done = 0; done < count;) {
      const slot = delta.takeSlots(chunk + done, count - done)
      const granted = delta.slots.granted
      try {
        fill.begin(edges, buffer, start, bytes, offset, chunk + done, granted, slot)
        while (fill.next()) delta.slotFile.writeNow(fill.buffer, fill.start, fill.length, fill.position)
      } catch (error) {
        delta.cancelSlots(slot, granted)
        throw error
      }
      delta.putSlots(chunk + done, granted, slot)
      done += granted
    }
    this.watchThreshold()
  }

  // ---- the asynchronous verbs

  protected _read(io: BlockIo): void {
    if (this.isBase(io)) this.readBaseLater(io)
    else void this.perform(io, () => this.readLater(io))
  }

  protected _write(io: BlockIo): void {
    this.change(io, () => this.writeLater(io))
  }

  protected override _writeAtomic(io: BlockIo): void {
    this.change(io, () => this.writeAtomicLater(io))
  }

  protected _zero(io: BlockIo): void {
    this.change(io, () => this.zeroLater(io))
  }

  protected _flush(io: BlockIo): void {
    void this.perform(io, () => this.ready().flush())
  }

  /** Performs a request once none that came earlier is changing its chunks. Takes its place in the order at once. */
  private change(io: BlockIo, work: () => Promise<void>): void {
    if (io.length === 0 || !this.delta) return void this.perform(io, () => Promise.resolve(void this.ready()))
    const first = this.chunkOf(io.offset)
    const last = this.chunkOf(io.offset + io.length - 1)
    const { hold, turn } = this.hold(first, last + 1 - first)
    void this.perform(io, async () => {
      try {
        await turn
        await work()
      } finally {
        this.holds.release(hold)
      }
    })
  }

  /** Performs a request, when none is held off, and completes it. */
  private async perform(io: BlockIo, work: () => Promise<void>): Promise<void> {
    let failure: Error | undefined
    if (this.paused) await new Promise<void>((resolve) => this.heldOff.push(resolve))
    else this.active++
    try {
      await work()
    } catch (error) {
      failure = error as Error
    }
    this.endRequest()
    io.complete(failure)
  }

  private endRequest(): void {
    if (--this.active > 0) return
    this.drained?.()
    this.drained = undefined
  }

  /** Whether a read needs nothing but the base, and may begin now. */
  private isBase(io: BlockIo): boolean {
    if (this.paused || !this.delta || io.length === 0) return false
    const first = this.chunkOf(io.offset)
    const count = this.chunkOf(io.offset + io.length - 1) + 1 - first
    return this.delta.map.run(first, count) === count && this.delta.map.entry === BASE
  }

  /** What most cold reads are: handed on as they came, without the promises of the others. */
  private readBaseLater(io: BlockIo): void {
    this.active++
    const read = this.idleBaseReads.pop() ?? new BaseRead(this.baseRead)
    read.whole = io
    this.baseReads.begin(read.part.set(io.buffer, io.start, io.length, io.offset))
  }

  private readonly baseRead = (read: BaseRead, error: Error | undefined): void => {
    const io = read.whole!
    read.whole = undefined
    if (this.idleBaseReads.length < IDLE_BASE_READS_MAX) this.idleBaseReads.push(read)
    this.baseReads.ended()
    if (!error) {
      this.reads++
      this.bytesRead += io.length
    }
    this.endRequest()
    io.complete(error)
  }

  private async readLater(io: BlockIo): Promise<void> {
    const delta = this.ready()
    const generation = delta.slots.beginRead()
    try {
      for (let done = 0; done < io.length;) done += await this.readRun(delta, io, done)
    } finally {
      delta.slots.endRead(generation)
    }
    this.reads++
    this.bytesRead += io.length
  }

  /** Reads the run that begins there. Returns its bytes. */
  private async readRun(delta: DeltaFile, io: BlockIo, done: number): Promise<number> {
    const at = io.offset + done
    const chunk = this.chunkOf(at)
    const within = at - chunk * this.chunkSize
    const left = io.length - done
    const count = delta.map.run(chunk, Math.ceil((within + left) / this.chunkSize))
    const bytes = Math.min(left, count * this.chunkSize - within)
    const entry = delta.map.entry
    const start = io.start + done
    if (entry === BASE) await this.readBase(io.buffer, start, bytes, at)
    else if (entry === ZERO) io.buffer.fill(0, start, start + bytes)
    else if (isCopied(entry)) {
      await this.readBase(io.buffer, start, bytes, (entry - COPIED) * this.chunkSize + within)
    } else {
      const position = (entry - 1) * this.chunkSize + within
      if (!delta.slotFile.tryRead(io.buffer, start, bytes, position)) {
        await delta.slotFile.read(io.buffer, start, bytes, position)
      }
    }
    return bytes
  }

  private readBase(buffer: Buffer, start: number, length: number, offset: number): Promise<void> {
    if (this.base.tryRead(buffer, start, length, offset)) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const io = new BlockIo((_io, error) => {
        this.baseReads.ended()
        if (error) reject(error)
        else resolve()
      })
      this.baseReads.begin(io.set(buffer, start, length, offset))
    })
  }

  private async writeLater(io: BlockIo): Promise<void> {
    const delta = this.ready()
    await this.create(delta)
    const edges = new Edges()
    edges.chunkSize = this.chunkSize
    edges.set(delta, this.size, io.offset, io.length)
    await this.copyUp(edges)
    await this.writeRange(delta, edges, io.buffer, io.start, io.length, io.offset)
    this.commitAttempt(delta)
    this.countWrite(io.length)
  }

  /**
   * All chunks go to new slots in one row, those that have a slot already as well. The map turns by one record, which a
   * journal has or has not; until then, and if it is lost, the old slots hold what was there before.
   */
  private async writeAtomicLater(io: BlockIo): Promise<void> {
    const delta = this.ready()
    await this.create(delta)
    const first = this.chunkOf(io.offset)
    const count = this.chunkOf(io.offset + io.length - 1) + 1 - first
    const whole = Buffer.alloc(Math.min(count * this.chunkSize, this.size - first * this.chunkSize))
    // A chunk that is covered in part keeps the rest of what it has.
    if (whole.length !== io.length) {
      const before = new BlockIo(() => undefined)
      await this.readLater(before.set(whole, 0, whole.length, first * this.chunkSize))
    }
    io.buffer.copy(whole, io.offset - first * this.chunkSize, io.start, io.start + io.length)
    const leaves = delta.map.missingLeaves(first, count, 1)
    if (!delta.tryCharge(count, leaves)) {
      await delta.reclaim(delta.costOf(count, leaves))
      delta.charge(count, delta.map.missingLeaves(first, count, 1))
    }
    const slot = delta.takeSlotRow(count)
    try {
      await writeSlots(delta, whole, 0, whole.length, slot * this.chunkSize)
    } catch (error) {
      delta.cancelSlots(slot, count)
      throw error
    }
    const others = delta.uncommitted
    delta.putSlots(first, count, slot)
    delta.commitOwn(others)
    this.watchThreshold()
    this.countWrite(io.length)
  }

  private async zeroLater(io: BlockIo): Promise<void> {
    const delta = this.ready()
    await this.create(delta)
    const edges = new Edges()
    edges.chunkSize = this.chunkSize
    edges.set(delta, this.size, io.offset, io.length)
    await this.copyUp(edges)
    const parts: [number, number][] = []
    edges.eachPart(delta, (at, bytes) => parts.push([at, bytes]))
    for (const [at, bytes] of parts) await this.writeRange(delta, edges, ZEROES, 0, bytes, at)
    // A whole disk at once would hold up everybody for as long as its map takes to walk.
    for (let done = 0; done < edges.wholeCount; done += ZERO_CHUNKS_MAX) {
      if (done > 0) await nextTurn()
      const first = edges.wholeFirst + done
      await this.putZeroes(delta, first, Math.min(ZERO_CHUNKS_MAX, edges.wholeCount - done))
    }
    this.commitAttempt(delta)
    this.countWrite(io.length)
  }

  /**
   * What a synchronous attempt had changed before it gave up is found done here, so nothing that follows it need have
   * committed it.
   */
  private commitAttempt(delta: DeltaFile): void {
    if (delta.uncommitted) delta.commitOwn(true)
  }

  /**
   * Both ranges are held, taking their places in the order at once: no write to either is under way while the map turns,
   * and two copies that cross each other cannot wait for one another.
   */
  protected override async _copy(source: number, destination: number, length: number): Promise<number> {
    const first = this.chunkOf(source)
    const chunk = this.chunkOf(destination)
    // The short chunk at the end of the disk stands for fewer bytes than another would.
    const whole = this.chunkOf(this.size) - Math.max(first, chunk)
    const count = Math.min(this.chunkOf(length), whole)
    if (count <= 0) return 0
    const holds = [this.hold(first, count), this.hold(chunk, count)]
    if (this.paused) await new Promise<void>((resolve) => this.heldOff.push(resolve))
    else this.active++
    try {
      for (const { turn } of holds) await turn
      return (await this.copyLater(first, chunk, count)) * this.chunkSize
    } finally {
      for (const { hold } of holds) this.holds.release(hold)
      this.endRequest()
    }
  }

  private hold(first: number, count: number): { hold: Hold; turn: Promise<void> } {
    let granted = (): void => undefined
    const turn = new Promise<void>((resolve) => (granted = resolve))
    return { hold: this.holds.acquire(first, first + count - 1, granted), turn }
  }

  /** Returns how many chunks are done. */
  private async copyLater(source: number, chunk: number, count: number): Promise<number> {
    const delta = this.ready()
    await this.create(delta)
    let done = 0
    while (done < count) {
      if (done > 0) await nextTurn()
      const step = Math.min(COPY_CHUNKS_MAX, count - done)
      const copied = await this.copyStep(delta, source + done, chunk + done, step)
      done += copied
      if (copied < step) break
    }
    this.countWrite(done * this.chunkSize)
    return done
  }

  private async copyStep(delta: DeltaFile, source: number, chunk: number, count: number): Promise<number> {
    try {
      return this.copyNow(delta, source, chunk, count)
    } catch (error) {
      if (!delta.mayReclaim(error)) throw error
      await delta.reclaim(delta.map.missingLeaves(chunk, count, 1) * LEAF_BYTES)
      return this.copyNow(delta, source, chunk, count)
    }
  }

  private copyNow(delta: DeltaFile, source: number, chunk: number, count: number): number {
    const others = delta.uncommitted
    try {
      return delta.copyChunks(source, chunk, count)
    } finally {
      delta.commitOwn(others)
    }
  }

  /** Commits at once, as {@link writeNew} does. */
  private async putZeroes(delta: DeltaFile, chunk: number, count: number): Promise<void> {
    let others = delta.uncommitted
    try {
      delta.putZeroes(chunk, count)
    } catch (error) {
      if (!delta.mayReclaim(error)) throw error
      await delta.reclaim(ZERO_LEAVES_MAX * LEAF_BYTES)
      others = delta.uncommitted
      delta.putZeroes(chunk, count)
    }
    delta.commitOwn(others)
  }

  private async copyUp(edges: Edges): Promise<void> {
    for (const edge of edges.both) {
      if (edge.chunk === NO_CHUNK) continue
      if (edge.entry === ZERO) edge.buffer.fill(0, 0, edge.length)
      else {
        await this.readEdge(edge)
        this.copyUps++
      }
    }
  }

  private readEdge(edge: Edge): Promise<void> {
    const { entry, chunk, buffer, length } = edge
    if (!isSlot(entry)) {
      return this.readBase(buffer, 0, length, (isCopied(entry) ? entry - COPIED : chunk) * this.chunkSize)
    }
    if (this.tryReadEdge(edge)) return Promise.resolve()
    return this.ready().slotFile.read(buffer, 0, length, (entry - 1) * this.chunkSize)
  }

  /** Nobody else changes the map of these chunks meanwhile: they are held. */
  private async writeRange(
    delta: DeltaFile,
    edges: Edges,
    buffer: Buffer,
    start: number,
    length: number,
    offset: number
  ): Promise<void> {
    for (let done = 0; done < length;) {
      const at = offset + done
      const chunk = this.chunkOf(at)
      const within = at - chunk * this.chunkSize
      const left = length - done
      const run = delta.writableRun(chunk, Math.ceil((within + left) / this.chunkSize))
      const entry = delta.map.entry
      const most = Math.min(left, run * this.chunkSize - within)
      const bytes = this.cut.next(buffer, start + done, most, at, entry, edges.known)
      const count = Math.ceil((within + bytes) / this.chunkSize)
      if (this.cut.piece === PIECE.zeroes) await this.putZeroes(delta, chunk, count)
      else if (this.cut.piece === PIECE.data) {
        if (!delta.writesInPlace(entry)) {
          await this.writeNew(delta, edges, buffer, start + done, bytes, at, chunk, count)
        } else await writeSlots(delta, buffer, start + done, bytes, (entry - 1) * this.chunkSize + within)
      }
      done += bytes
    }
  }

  private async writeNew(
    delta: DeltaFile,
    edges: Edges,
    buffer: Buffer,
    start: number,
    bytes: number,
    offset: number,
    chunk: number,
    count: number
  ): Promise<void> {
    for (let done = 0; done < count;) {
      const left = count - done
      const leaves = delta.map.missingLeaves(chunk + done, left, 1)
      if (!delta.tryCharge(left, leaves)) {
        await delta.reclaim(delta.costOf(left, leaves))
        delta.charge(left, delta.map.missingLeaves(chunk + done, left, 1))
      }
      const slot = delta.takeSlots(chunk + done, count - done)
      const granted = delta.slots.granted
      try {
        const fill = new SlotFill()
        fill.begin(edges, buffer, start, bytes, offset, chunk + done, granted, slot)
        while (fill.next()) await writeSlots(delta, fill.buffer, fill.start, fill.length, fill.position)
      } catch (error) {
        delta.cancelSlots(slot, granted)
        throw error
      }
      const others = delta.uncommitted
      delta.putSlots(chunk + done, granted, slot)
      // At once: in the next turn another's commit may fail and undo this change without our knowing.
      delta.commitOwn(others)
      done += granted
    }
    this.watchThreshold()
  }

  // ---- small things

  /** What there is to tell about, also when nobody can read it. */
  private get known(): DeltaFile {
    return this.lost?.delta ?? this.ready()
  }

  private ready(): DeltaFile {
    if (!this.delta) throw closedError()
    return this.delta
  }

  private chunkOf(offset: number): number {
    return Math.floor(offset / this.chunkSize)
  }

  private countWrite(length: number): void {
    this.writes++
    this.bytesWritten += length
  }

  private watchThreshold(): void {
    const { nearlyFull } = this.delta!
    if (nearlyFull === this.wasNearlyFull) return
    this.wasNearlyFull = nearlyFull
    if (nearlyFull) this.options.onNearlyFull?.()
  }
}

/** A request that is read from the base as it came; used again. */
class BaseRead {
  whole: BlockIo | undefined
  readonly part: BlockIo

  constructor(done: (read: BaseRead, error: Error | undefined) => void) {
    this.part = new BlockIo((_part, error) => done(this, error))
  }
}

async function writeSlots(
  delta: DeltaFile,
  buffer: Buffer,
  start: number,
  length: number,
  position: number
): Promise<void> {
  const { slotFile } = delta
  const before = performance.now()
  if (!slotFile.allowsWrite(before, length)) return slotFile.write(buffer, start, length, position)
  try {
    slotFile.writeNow(buffer, start, length, position)
  } finally {
    slotFile.wrote(performance.now() - before, length)
  }
}

/** A chunk that a request touches in part and whose data goes to a new slot: what that will hold is put together here. */
interface Edge {
  chunk: number
  /** Bytes of the chunk; the last one of the disk may be short. */
  length: number
  /** What the map says of it now. */
  entry: number
  buffer: Buffer
}

/** The first and the last chunk of a request, where it touches them in part, and the whole ones between. */
class Edges {
  chunkSize = 0
  readonly both: readonly [Edge, Edge] = [newEdge(), newEdge()]
  wholeFirst = 0
  wholeCount = 0
  private headInPart = false
  private tailInPart = false
  private first = 0
  private last = 0
  private offset = 0
  private end = 0

  get inPart(): boolean {
    return this.headInPart || this.tailInPart
  }

  set(delta: DeltaFile, size: number, offset: number, length: number): void {
    const { chunkSize } = this
    this.offset = offset
    this.end = offset + length
    this.first = Math.floor(offset / chunkSize)
    this.last = Math.floor((this.end - 1) / chunkSize)
    const endInPart = this.end < Math.min(size, (this.last + 1) * chunkSize)
    const alone = this.first === this.last
    this.headInPart = offset > this.first * chunkSize || (alone && endInPart)
    this.tailInPart = !alone && endInPart
    this.wholeFirst = this.first + (this.headInPart ? 1 : 0)
    this.wholeCount = this.last + 1 - (this.tailInPart ? 1 : 0) - this.wholeFirst
    this.prepare(this.both[0], this.headInPart, delta, this.first, size)
    this.prepare(this.both[1], this.tailInPart, delta, this.last, size)
  }

  /** What is known of a chunk that the request covers in part; bound, because it is handed on. */
  readonly known = (chunk: number): Edge | undefined => this.at(chunk)

  /** The edge that this chunk is, if it is one. */
  at(chunk: number): Edge | undefined {
    if (this.both[0].chunk === chunk) return this.both[0]
    if (this.both[1].chunk === chunk) return this.both[1]
    return undefined
  }

  /** The ranges that cover a chunk in part and do not read as zeroes already. */
  eachPart(delta: DeltaFile, visit: (offset: number, length: number) => void): void {
    if (this.headInPart && delta.map.get(this.first) !== ZERO) {
      visit(this.offset, Math.min(this.end, (this.first + 1) * this.chunkSize) - this.offset)
    }
    if (this.tailInPart && delta.map.get(this.last) !== ZERO) {
      visit(this.last * this.chunkSize, this.end - this.last * this.chunkSize)
    }
  }

  private prepare(edge: Edge, inPart: boolean, delta: DeltaFile, chunk: number, size: number): void {
    edge.chunk = NO_CHUNK
    if (!inPart) return
    const entry = delta.map.get(chunk)
    if (delta.writesInPlace(entry)) return
    edge.chunk = chunk
    edge.entry = entry
    edge.length = Math.min(this.chunkSize, size - chunk * this.chunkSize)
    if (edge.buffer.length < edge.length) edge.buffer = Buffer.allocUnsafeSlow(this.chunkSize)
  }
}

function newEdge(): Edge {
  return { chunk: NO_CHUNK, length: 0, entry: BASE, buffer: Buffer.alloc(0) }
}

/** The writes that fill new slots: edges from their own buffers, everything between them from the caller's. */
class SlotFill {
  buffer: Buffer = ZEROES
  start = 0
  length = 0
  /** Byte in the slot file. */
  position = 0
  private edges: Edges | undefined
  private source: Buffer = ZEROES
  /** Byte of the source that belongs to byte 0 of the disk; may be negative. */
  private shift = 0
  private offset = 0
  private end = 0
  private chunk = 0
  private left = 0
  private slot = 0

  /** @param offset - place on the disk of `bytes` bytes at `start`; they reach over the chunks, or more */
  begin(
    edges: Edges,
    source: Buffer,
    start: number,
    bytes: number,
    offset: number,
    chunk: number,
    count: number,
    slot: number
  ): void {
    this.edges = edges
    this.source = source
    this.shift = start - offset
    this.offset = offset
    this.end = offset + bytes
    this.chunk = chunk
    this.left = count
    this.slot = slot
  }

  /** Moves to the next write. False when all are done. */
  next(): boolean {
    if (this.left === 0) return false
    const { chunkSize } = this.edges!
    const edge = this.edges!.at(this.chunk)
    const from = this.chunk * chunkSize
    this.position = this.slot * chunkSize
    const count = edge ? 1 : this.directCount()
    if (edge) this.merge(edge, from)
    else {
      this.buffer = this.source
      this.start = from + this.shift
      this.length = Math.min(count * chunkSize, this.end - from)
    }
    this.chunk += count
    this.slot += count
    this.left -= count
    return true
  }

  private merge(edge: Edge, from: number): void {
    const first = Math.max(this.offset, from)
    const end = Math.min(this.end, from + edge.length)
    this.source.copy(edge.buffer, first - from, first + this.shift, end + this.shift)
    this.buffer = edge.buffer
    this.start = 0
    this.length = edge.length
  }

  /** Chunks up to the tail edge. */
  private directCount(): number {
    const tail = this.edges!.both[1].chunk
    return tail > this.chunk ? Math.min(this.left, tail - this.chunk) : this.left
  }
}

/** All units of this process read beside each other. */
const company = new Company()

const NO_CHUNK = -1
/** Kept for the next cold reads; those out are bounded by the requests of the requesters. */
const IDLE_BASE_READS_MAX = 32
/** Bytes of a copy that are put into slots at a time; a multiple of every chunk size. */
const SETTLE_BYTES = 1 << 20
/** Chunks that one step copies: a fraction of a millisecond when each of them is somewhere else. */
const COPY_CHUNKS_MAX = 1 << 13
/** Leaves that zeroes can need: at their two ends. */
const ZERO_LEAVES_MAX = 2
/** Chunks that one step zeroes: 1 GiB of 4 KiB chunks, about a millisecond of walking the map. */
const ZERO_CHUNKS_MAX = 1 << 18
