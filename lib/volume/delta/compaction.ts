import fs from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { writeFully } from '../drivers/transfer.js'
import { IscsiError } from '../../util/errors.js'
import { BASE, LEAF_ENTRIES, ZERO, isSlot, type DeltaMap } from './delta-map.js'
import {
  HEADER_LENGTH,
  RECORD,
  RECORD_LENGTH,
  RECORD_LENGTH_MAX,
  RUNS_MAX,
  RUN_CHUNKS_MAX,
  encodeHeader,
  putBootRecord,
  putRecord,
  putRun,
  putRunsHead,
  sealRecord,
  type JournalHeader
} from './journal-format.js'
import type { Journal } from './journal.js'

/**
 * Writes a journal anew while it is in use.
 *
 *   header │ snapshot: the map as it is, records 0 … n-1 │ tail: the old journal's records since the walk began
 *
 * The map is walked in slices with other work between them, so the snapshot shows different parts of it at different
 * times. The tail puts that right: whatever changed during the walk is in it, and to apply a record twice is harmless.
 * Therefore a compacted map counts only together with all of the tail up to the end of the walk; the barrier that is
 * written before the files change places sees to that.
 */
export interface CompactionSource {
  readonly handle: FileHandle
  readonly header: JournalHeader
  readonly map: DeltaMap
  readonly journal: Journal
  readonly bootId: Buffer
  /** Commits what gathered; nothing that may yet be undone may get into the snapshot. */
  commit(): void
  stopped(): boolean
}

export class Compaction {
  readonly header: JournalHeader

  constructor(
    private readonly source: CompactionSource,
    /** Bytes in the new file. */
    private end: number,
    private readonly snapshotRecords: number,
    private readonly start: JournalPosition
  ) {
    this.header = { ...source.header, snapshotRecords, firstSequence: start.nextSequence }
    this.copied = start.end
    this.snapshotEnd = end
  }

  /** Where in the new file its snapshot ends. */
  readonly snapshotEnd: number

  /** Bytes of the old journal that the new one has. */
  private copied: number

  /** Copies the old journal's records since the walk began, up to now. */
  async copyTail(): Promise<void> {
    const { handle, journal } = this.source
    const buffer = Buffer.allocUnsafe(COPY_BYTES)
    while (this.copied < journal.end) {
      const length = Math.min(COPY_BYTES, journal.end - this.copied)
      journal.readCommitted(buffer, length, this.copied)
      await writeAll(handle, buffer, length, this.end)
      this.copied += length
      this.end += length
    }
  }

  /** Copies the last records and puts the new file in the old one's place. Synchronous: nothing comes between. */
  finish(path: string, place: string): void {
    const { handle, journal } = this.source
    const length = journal.end - this.copied
    const buffer = Buffer.allocUnsafe(length)
    journal.readCommitted(buffer, length, this.copied)
    writeFully(handle.fd, buffer, 0, length, this.end)
    fs.renameSync(path, place)
    journal.fd = handle.fd
    journal.end = this.end + length
    journal.recordCount += this.snapshotRecords - this.start.recordCount
  }
}

interface JournalPosition {
  readonly end: number
  readonly nextSequence: number
  readonly recordCount: number
}

/** Writes header and snapshot. The file is neither synced nor in its place yet. */
export async function writeCompacted(source: CompactionSource): Promise<Compaction> {
  const { handle, header, map, journal } = source
  source.commit()
  const start = { end: journal.end, nextSequence: journal.nextSequence, recordCount: journal.recordCount }
  const snapshot = new Snapshot(map, header.salt)
  snapshot.addBoot(source.bootId)
  let end = HEADER_LENGTH
  for (let leaf = 0; leaf < map.leafIndexEnd;) {
    if (source.stopped()) throw new IscsiError('ECANCELED', 'the delta was closed')
    source.commit()
    leaf = snapshot.addLeaves(leaf)
    if (snapshot.filled > 0) await writeAll(handle, snapshot.bytes, snapshot.filled, end)
    else await nextTurn()
    end += snapshot.filled
    snapshot.filled = 0
  }
  if (snapshot.filled > 0) await writeAll(handle, snapshot.bytes, snapshot.filled, end)
  const compaction = new Compaction(source, end + snapshot.filled, snapshot.records, start)
  await writeAll(handle, encodeHeader(compaction.header), HEADER_LENGTH, 0)
  return compaction
}

/** Records of a snapshot, until they are written. */
class Snapshot {
  filled = 0
  records = 0
  readonly bytes = Buffer.allocUnsafe(SLICE_BYTES + LEAF_RECORD_BYTES_MAX)
  /** Of the record of runs that is being made at `filled`: how many there are, where it begins, where it ends. */
  private runs = 0
  private chunk = 0
  private chunkEnd = 0
  /** Its last run. */
  private lastCount = 0
  private lastEntry = BASE

  constructor(
    private readonly map: DeltaMap,
    private readonly salt: number
  ) {}

  addBoot(bootId: Buffer): void {
    putBootRecord(this.bytes, 0, Date.now(), this.records++, bootId)
    this.seal()
  }

  /** Some leaves of the map, from this one on. Returns the index of the next. */
  addLeaves(from: number): number {
    const end = Math.min(this.map.leafIndexEnd, from + SLICE_LEAVES)
    let leaf = from
    while (leaf < end && this.filled <= SLICE_BYTES) this.addLeaf(leaf++)
    this.endRuns()
    return leaf
  }

  private addLeaf(index: number): void {
    const first = index * LEAF_ENTRIES
    const entries = this.map.leafEntries(index)
    if (!entries) return this.addZeroes(first, Math.min(first + LEAF_ENTRIES, this.map.chunkCount))
    for (let at = 0; at < entries.length;) {
      const count = runOf(entries, at)
      const entry = entries[at]!
      if (isSlot(entry) && this.map.shared.any) this.addSlots(first + at, count, entry)
      else if (entry !== BASE) this.add(first + at, count, entry)
      at += count
    }
  }

  /** Chunks of which none is in a slot or copied. */
  private addZeroes(first: number, end: number): void {
    for (let chunk = first; chunk < end;) {
      const count = this.map.run(chunk, end - chunk)
      if (this.map.entry === ZERO) this.add(chunk, count, ZERO)
      chunk += count
    }
  }

  /** Of slots that are shared there is a record that says so. */
  private addSlots(chunk: number, count: number, entry: number): void {
    const { shared } = this.map
    for (let done = 0; done < count;) {
      const slot = entry - 1 + done
      const length = shared.run(slot, count - done)
      if (shared.has(slot)) this.addShared(chunk + done, length, slot)
      else this.add(chunk + done, length, slot + 1)
      done += length
    }
  }

  private addShared(chunk: number, count: number, slot: number): void {
    this.endRuns()
    putRecord(this.bytes, this.filled, RECORD.shared, chunk, this.records++, count, slot)
    this.seal()
  }

  private add(chunk: number, count: number, entry: number): void {
    if (this.runs > 0 && chunk === this.chunkEnd && this.goesOn(count, entry)) {
      this.lastCount += count
      putRun(this.bytes, this.filled, this.runs - 1, this.lastCount, this.lastEntry)
    } else {
      const gap = chunk - this.chunkEnd
      if (gap > RUN_CHUNKS_MAX || this.runs + 2 > RUNS_MAX) this.endRuns()
      if (this.runs === 0) this.chunk = chunk
      else if (gap > 0) putRun(this.bytes, this.filled, this.runs++, gap, GAP)
      putRun(this.bytes, this.filled, this.runs++, count, entry)
      this.lastCount = count
      this.lastEntry = entry
    }
    this.chunkEnd = chunk + count
  }

  private goesOn(count: number, entry: number): boolean {
    return entry === this.lastEntry + stepOf(entry) * this.lastCount && this.lastCount + count <= RUN_CHUNKS_MAX
  }

  private endRuns(): void {
    if (this.runs === 0) return
    putRunsHead(this.bytes, this.filled, this.chunk, this.records++, this.runs)
    this.runs = 0
    this.seal()
  }

  private seal(): void {
    this.filled = sealRecord(this.bytes, this.filled, this.salt)
  }
}

/** How many entries go on as the one at `from` begins. */
function runOf(entries: Uint32Array, from: number): number {
  const first = entries[from]!
  const step = stepOf(first)
  let end = from + 1
  for (let wanted = first + step; end < entries.length && entries[end] === wanted; wanted += step) end++
  return end - from
}

/** From an entry to that of the next chunk of its run. */
function stepOf(entry: number): number {
  return entry === BASE || entry === ZERO ? 0 : 1
}

async function writeAll(handle: FileHandle, buffer: Buffer, length: number, position: number): Promise<void> {
  for (let done = 0; done < length;) {
    const { bytesWritten } = await handle.write(buffer, done, length - done, position + done)
    if (bytesWritten === 0) throw new IscsiError('EIO', 'the new map took no more bytes')
    done += bytesWritten
  }
}

/** What is looked at in one go, about a millisecond: leaves, and bytes of what comes of them. */
const SLICE_LEAVES = 256
const SLICE_BYTES = 1 << 18
/** Each of its chunks may need a record of its own. */
const LEAF_RECORD_BYTES_MAX = (LEAF_ENTRIES + 2) * RECORD_LENGTH + RECORD_LENGTH_MAX
const COPY_BYTES = 1 << 20
/** In the place of an entry. */
const GAP = 0
