import type { FileHandle } from 'node:fs/promises'
import { Slices } from '../../util/slices.js'
import { sameBoot } from './boot-id.js'
import {
  BASE,
  COPIED,
  COPIED_CHUNK_MAX,
  LEAF_ENTRIES,
  SLOT_COUNT_MAX,
  ZERO,
  isCopied,
  isSlot,
  type DeltaMap
} from './delta-map.js'
import { DeltaError } from './errors.js'
import {
  BOOT_RECORD_LENGTH,
  FIRST_ADVISORY_TYPE,
  HEADER_LENGTH,
  LAST_TYPE,
  RECORD,
  RECORD_LENGTH_MAX,
  RUNS_MAX,
  RecordView,
  SESSION,
  WORD,
  lengthOf,
  unreadable,
  type JournalHeader
} from './journal-format.js'
import { ReadAhead, readAt } from './read-ahead.js'
import type { Slots } from './slots.js'

/**
 * Reads a journal back.
 *
 * In the boot that wrote it every intact record counts: the kernel had it, and the data before it. In another boot, or
 * after a sync that failed, only what the last barrier covers does; a later record may name a slot whose data never
 * reached the medium.
 *
 * Where a record is damaged the journal ends, if nothing there can have been promised to anybody: in the same boot only
 * where the file ends inside of it, in another one unless a record behind says that it had been on the medium. Else it
 * is damage, and all of the delta is unreadable: to go on with half of it would show the base where the client had
 * written.
 */
export interface Replay {
  /** Bytes of the file that count; the rest is to be cut off. */
  readonly end: number
  /** Where in the file the snapshot of a compaction ends; the end of the header when there is none. */
  readonly snapshotEnd: number
  readonly nextSequence: number
  readonly recordCount: number
  /** The machine was booted since this journal was written last. */
  readonly otherBoot: boolean
  /** Only what a barrier covers counted: another boot, or a sync that failed. */
  readonly untrusted: boolean
  /** Writes that were answered may be missing: somebody was writing at a power cut, or a sync failed. */
  readonly suspect: boolean
  /** Intact records of the map that no barrier covered before the machine went down; they do not count. */
  readonly recordsDropped: number
  /** Bytes behind the last intact record. */
  readonly tornBytes: number
}

/** @param makeMap - gives an empty map; asked again when the first one turns out to hold too much */
export async function replayJournal(
  file: FileHandle,
  header: JournalHeader,
  bootIdNow: Buffer,
  makeMap: () => DeltaMap
): Promise<{ map: DeltaMap; replay: Replay }> {
  const size = (await file.stat()).size
  let map = makeMap()
  const slices = new Slices()
  const seen = await scan(file, size, header, map, Infinity, slices)
  const otherBoot = seen.bootId === undefined || !sameBoot(seen.bootId, bootIdNow)
  const untrusted = otherBoot || seen.session === SESSION.failed
  const suspect = seen.session === SESSION.suspect || (untrusted && seen.session !== SESSION.ended)
  await refuseDamage(file, size, header, seen, untrusted)
  const tornBytes = size - seen.end
  const covered = untrusted ? seen.coveredCount : seen.count
  if (covered === seen.count)
    return { map, replay: { ...result(seen, header, 0, tornBytes), otherBoot, untrusted, suspect } }
  map = makeMap()
  const kept = await scan(file, size, header, map, covered, slices)
  const dropped = seen.changes - kept.changes
  return { map, replay: { ...result(kept, header, dropped, tornBytes), otherBoot, untrusted, suspect } }
}

interface Scan {
  end: number
  snapshotEnd: number
  count: number
  /** Those of the records that change the map. */
  changes: number
  /** Records from the start that the last barrier covers. */
  coveredCount: number
  bootId: Buffer | undefined
  /** The last mark; a journal without one was being written. */
  session: number
}

function result(scan: Scan, header: JournalHeader, dropped: number, tornBytes: number) {
  return {
    end: scan.end,
    snapshotEnd: scan.snapshotEnd,
    nextSequence: sequenceOf(header, scan.count),
    recordCount: scan.count,
    recordsDropped: dropped,
    tornBytes
  }
}

/** Applies records to the map until `limit`, a damaged one, or the end. */
async function scan(
  file: FileHandle,
  size: number,
  header: JournalHeader,
  map: DeltaMap,
  limit: number,
  slices: Slices
): Promise<Scan> {
  const view = new RecordView()
  const seen: Scan = {
    end: HEADER_LENGTH,
    snapshotEnd: HEADER_LENGTH,
    count: 0,
    changes: 0,
    coveredCount: 0,
    bootId: undefined,
    session: SESSION.live
  }
  const blocks = new ReadAhead(file, HEADER_LENGTH, size, RECORD_LENGTH_MAX)
  try {
    while (seen.count < limit && (await blocks.next())) {
      while (seen.count < limit && view.read(blocks.bytes, blocks.at, blocks.end, header.salt)) {
        if (view.sequence !== sequenceOf(header, seen.count)) return seen
        if (isLong(view)) await assignLong(view, map, seen, slices)
        else apply(view, map, header, seen)
        if (seen.count % RECORDS_IN_A_ROW === 0 && slices.over) await slices.rest()
        seen.count++
        seen.end += view.length
        blocks.at += view.length
        if (seen.count === header.snapshotRecords) seen.snapshotEnd = seen.end
      }
      // No record is that long, so it is damaged and not cut by the block.
      if (blocks.end - blocks.at >= RECORD_LENGTH_MAX) break
    }
  } finally {
    await blocks.stop()
  }
  return seen
}

function apply(view: RecordView, map: DeltaMap, header: JournalHeader, seen: Scan): void {
  switch (view.type) {
    case RECORD.slots:
    case RECORD.zero:
    case RECORD.base:
    case RECORD.shared:
    case RECORD.copied:
      assignPart(view, map, entryOf(view, map, seen), 0, view.count)
      seen.changes++
      return
    case RECORD.runs:
      assignRuns(view, map, seen)
      seen.changes++
      return
    case RECORD.boot:
      seen.bootId = view.bootId()
      return
    case RECORD.barrier:
      seen.coveredCount = coveredCount(view, header, seen)
      return
    case RECORD.session:
      seen.session = view.argument
      return
    default:
      if (view.type < FIRST_ADVISORY_TYPE) throw unknownType(view.type)
  }
}

/** What the chunks of this record become. Throws for a record that cannot be true. */
function entryOf(view: RecordView, map: DeltaMap, seen: Scan): number {
  if (view.argument + view.count > map.chunkCount) {
    throw unreadable(`record ${seen.count} names chunks ${view.argument}+${view.count} of ${map.chunkCount}`)
  }
  if (view.type === RECORD.zero) return ZERO
  if (view.type === RECORD.base) return BASE
  if (view.type === RECORD.copied) {
    const end = Math.min(map.chunkCount, COPIED_CHUNK_MAX)
    if (view.slot + view.count <= end) return COPIED + view.slot
    throw unreadable(`record ${seen.count} names chunks ${view.slot}+${view.count} of the base`)
  }
  if (view.slot + view.count > SLOT_COUNT_MAX) throw unreadable(`record ${seen.count} names slot ${view.slot}`)
  return view.slot + 1
}

/** So many of the record's chunks, from the one at `done` on. */
function assignPart(view: RecordView, map: DeltaMap, entry: number, done: number, length: number): void {
  const { type, slot } = view
  const steps = type !== RECORD.zero && type !== RECORD.base
  // Whoever gave slots out anew knew that no chunk was in them.
  if (type === RECORD.slots) map.shared.forget(slot + done, length)
  map.assign(view.argument + done, length, steps ? entry + done : entry)
  if (type === RECORD.shared) map.shared.mark(slot + done, length)
}

/** Each run is checked and then applied, as if it had a record of its own; short ones of slots and gaps together. */
function assignRuns(view: RecordView, map: DeltaMap, seen: Scan): void {
  const runCount = view.readRuns(COUNTS, ENTRIES)
  let chunk = view.argument
  for (let index = 0; index < runCount; index++) chunk += COUNTS[index]!
  if (chunk > map.chunkCount) throw unreadable(`record ${seen.count} names chunks up to ${chunk} of ${map.chunkCount}`)
  chunk = view.argument
  const sharedThere = map.shared.any
  /** Chunks before `chunk` whose entries wait in GATHERED. */
  let gathered = 0
  for (let index = 0; index < runCount; index++) {
    const count = COUNTS[index]!
    const entry = ENTRIES[index]!
    const gathers = entry >= 0 && count <= SHORT_RUN_CHUNKS
    if (gathered > (gathers ? GATHERED.length - count : 0)) {
      map.assignEntries(chunk - gathered, GATHERED, gathered)
      gathered = 0
    }
    if (count === 0 || (gathers ? entry + count > SLOT_COUNT_MAX + 1 : !mayBe(map, entry >>> 0, count))) {
      throw unreadable(`record ${seen.count} has an impossible run of ${count} chunks from ${chunk} on`)
    }
    if (entry > 0 && sharedThere) map.shared.forget(entry - 1, count)
    const step = entry === BASE ? 0 : 1
    if (gathers) for (let i = 0; i < count; i++) GATHERED[gathered++] = entry + step * i
    // Of a gap the record says nothing.
    else if (entry !== BASE) map.assign(chunk, count, entry >>> 0)
    chunk += count
  }
  if (gathered > 0) map.assignEntries(chunk - gathered, GATHERED, gathered)
}

/** Whether so many chunks from one with this entry on can be what it begins. */
function mayBe(map: DeltaMap, entry: number, count: number): boolean {
  if (isSlot(entry)) return entry + count <= SLOT_COUNT_MAX + 1
  return !isCopied(entry) || entry + count <= COPIED + Math.min(map.chunkCount, COPIED_CHUNK_MAX)
}

function isLong({ type, count }: RecordView): boolean {
  return count > CHUNKS_IN_A_ROW && CHANGES.has(type)
}

async function assignLong(view: RecordView, map: DeltaMap, seen: Scan, slices: Slices): Promise<void> {
  const { count } = view
  const entry = entryOf(view, map, seen)
  for (let done = 0; done < count; done += CHUNKS_IN_A_ROW) {
    assignPart(view, map, entry, done, Math.min(CHUNKS_IN_A_ROW, count - done))
    if (slices.over) await slices.rest()
  }
  seen.changes++
}

/** A barrier copied from before a compaction covers records that the snapshot has replaced; it says nothing here. */
function coveredCount(view: RecordView, header: JournalHeader, seen: Scan): number {
  const behind = (view.sequence - view.count) >>> 0
  const covered = seen.count - behind + 1
  return covered < header.snapshotRecords || covered < seen.coveredCount ? seen.coveredCount : covered
}

function sequenceOf(header: JournalHeader, ordinal: number): number {
  if (ordinal < header.snapshotRecords) return ordinal
  return (header.firstSequence + ordinal - header.snapshotRecords) >>> 0
}

async function refuseDamage(
  file: FileHandle,
  size: number,
  header: JournalHeader,
  seen: Scan,
  untrusted: boolean
): Promise<void> {
  // The first record was on the medium before the file had its name.
  if (seen.count === 0 || seen.count < header.snapshotRecords) throw unreadable(`its map ends at byte ${seen.end}`)
  if (untrusted && header.snapshotRecords > seen.coveredCount) throw unreadable('its compacted map was never completed')
  if (seen.end === size) return
  const refuted = untrusted
    ? await claimedBehind(file, size, header, seen)
    : !(await isCutShort(file, size, seen.end)) || (await anyBehind(file, size, header, seen.end, isAny))
  if (refuted) throw unreadable(`a record at byte ${seen.end} of its map is damaged`)
}

/**
 * Whether what lies there can be the beginning of a record whose write was cut short by the death of the process. Then
 * the file ends inside it: the kernel makes a file longer by no more than what it has taken over.
 */
async function isCutShort(file: FileHandle, size: number, from: number): Promise<boolean> {
  const length = size - from
  if (length >= BOOT_RECORD_LENGTH) return false
  const bytes = Buffer.alloc(BOOT_RECORD_LENGTH)
  await readAt(file, bytes, 0, length, from)
  const type = bytes[0]!
  // Of a snapshot all was on the medium before the file had its name.
  if (type === RECORD.runs) return false
  const wanted = type < FIRST_ADVISORY_TYPE ? lengthOf(type) : bytes[1]! * WORD
  if (type === 0 || (type > LAST_TYPE && type < FIRST_ADVISORY_TYPE)) return false
  return length === 1 || (bytes[1]! * WORD === wanted && length < wanted)
}

/**
 * After a power cut any of the bytes that were not synced may be missing, also before others that are there. So a
 * record is damaged only if one behind it says that it had been on the medium.
 */
function claimedBehind(file: FileHandle, size: number, header: JournalHeader, seen: Scan): Promise<boolean> {
  const damaged = sequenceOf(header, seen.count)
  return anyBehind(file, size, header, seen.end, (view) => {
    if (view.type !== RECORD.barrier && view.type !== RECORD.session) return false
    const apart = (view.slot - damaged) >>> 0
    // One that lies behind the damaged record is numbered higher, and one before it cannot claim it.
    return (view.sequence - damaged) >>> 0 < HALF && apart < HALF
  })
}

function isAny(): boolean {
  return true
}

/** Whether an intact record of that kind lies anywhere behind `from`; they begin at multiples of a word. */
async function anyBehind(
  file: FileHandle,
  size: number,
  header: JournalHeader,
  from: number,
  wanted: (view: RecordView) => boolean
): Promise<boolean> {
  const view = new RecordView()
  const block = Buffer.allocUnsafe(BLOCK_BYTES)
  for (let at = from; at < size; at += BLOCK_BYTES - RECORD_LENGTH_MAX) {
    const filled = await readAt(file, block, 0, Math.min(BLOCK_BYTES, size - at), at)
    for (let i = 0; i < filled; i += WORD) {
      if (view.read(block, i, filled, header.salt) && wanted(view)) return true
    }
  }
  return false
}

/**
 * Marks the slots of a finished map as taken and checks that it can be true: no slot twice unless the journal calls it
 * shared, all of them in the file.
 * During the replay neither can be asked, because a compacted map holds moments that never were at one time.
 */
export async function claimSlots(
  map: DeltaMap,
  chunkSize: number,
  baseSize: number,
  slotFileSize: number,
  slots: Slots
): Promise<void> {
  const slices = new Slices()
  const slotEnd = slotEndFor(map, chunkSize, baseSize, slotFileSize)
  for (let index = 0; index < map.leafIndexEnd; index++) {
    if (slices.over) await slices.rest()
    const entries = map.leafEntries(index)
    if (!entries) continue
    const at = map.shared.any ? claimEach(map, entries, slotEnd, slots) : slots.claimEntries(entries, slotEnd)
    if (at < 0) continue
    const [chunk, slot] = [index * LEAF_ENTRIES + at, entries[at]! - 1]
    throw unreadable(
      slot >= slotEnd
        ? `chunk ${chunk} is in slot ${slot}, behind the end of the slot file`
        : `slot ${slot} belongs to two chunks`
    )
  }
}

/** Slots that the file has. The one of a short chunk at the end of the disk may be short itself, but no other. */
function slotEndFor(map: DeltaMap, chunkSize: number, baseSize: number, slotFileSize: number): number {
  const whole = Math.floor(slotFileSize / chunkSize)
  const shortBytes = baseSize % chunkSize
  if (shortBytes === 0 || slotFileSize - whole * chunkSize < shortBytes) return whole
  return map.get(map.chunkCount - 1) - 1 === whole ? whole + 1 : whole
}

/** As {@link Slots.claimEntries}, where some of the slots may be shared. */
function claimEach(map: DeltaMap, entries: Uint32Array, slotEnd: number, slots: Slots): number {
  return entries.findIndex((entry) => {
    if (!isSlot(entry)) return false
    const slot = entry - 1
    if (slot >= slotEnd) return true
    // A shared slot is taken once, by the first of its chunks.
    if (map.shared.has(slot) && !map.shared.claim(slot)) return false
    return !slots.claim(slot, 1)
  })
}

function unknownType(type: number): DeltaError {
  return new DeltaError(
    'ERR_ISCSI_DELTA_VERSION',
    `the delta has a record of type ${type}, which this server does not know`
  )
}

/** Types of records that change the map. */
const CHANGES: ReadonlySet<number> = new Set([RECORD.slots, RECORD.zero, RECORD.base, RECORD.shared, RECORD.copied])
/** A search for records looks at as much without a rest. */
const BLOCK_BYTES = 1 << 17
/** Between two looks at the clock: records of the map, and chunks of one record; some 20 and some 100 µs. */
const RECORDS_IN_A_ROW = 64
const CHUNKS_IN_A_ROW = 1 << 16
/** Entries of runs that are put into the map together, and of how many chunks such a run is at most. */
const GATHERED = new Uint32Array(1024)
const COUNTS = new Uint16Array(RUNS_MAX)
const ENTRIES = new Int32Array(RUNS_MAX)
const SHORT_RUN_CHUNKS = 32
/** Sequence numbers are compared modulo 2^32. */
const HALF = 0x80000000
