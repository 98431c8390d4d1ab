import fs from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { writeFully } from '../drivers/transfer.js'
import { IscsiError } from '../../util/errors.js'
import { BASE, COPIED, ZERO, isSlot, type DeltaMap } from './delta-map.js'
import {
  BOOT_RECORD_LENGTH,
  HEADER_LENGTH,
  RECORD,
  RECORD_LENGTH,
  encodeHeader,
  putBootRecord,
  putRecord,
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
  }

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
  const buffer = Buffer.alloc(BOOT_RECORD_LENGTH + SLICE_RECORDS * RECORD_LENGTH)
  putBootRecord(buffer, 0, Date.now(), 0, source.bootId)
  let filled = sealRecord(buffer, 0, header.salt)
  let records = 1
  let end = HEADER_LENGTH
  for (let chunk = 0; chunk < map.chunkCount;) {
    if (source.stopped()) throw new IscsiError('ECANCELED', 'the delta was closed')
    source.commit()
    const sliceEnd = Math.min(map.chunkCount, chunk + SLICE_CHUNKS)
    for (let n = 0; n < SLICE_RECORDS && chunk < sliceEnd; n++) {
      let count = map.run(chunk, sliceEnd - chunk)
      const { entry } = map
      if (isSlot(entry)) count = map.shared.run(entry - 1, count)
      if (entry !== BASE) {
        putRecord(buffer, filled, typeOf(map, entry), chunk, records++, count, placeOf(entry))
        filled = sealRecord(buffer, filled, header.salt)
      }
      chunk += count
    }
    if (filled > 0) await writeAll(handle, buffer, filled, end)
    else await nextTurn()
    end += filled
    filled = 0
  }
  const compaction = new Compaction(source, end + filled, records, start)
  if (filled > 0) await writeAll(handle, buffer, filled, end)
  await writeAll(handle, encodeHeader(compaction.header), HEADER_LENGTH, 0)
  return compaction
}

function typeOf(map: DeltaMap, entry: number): number {
  if (entry === ZERO) return RECORD.zero
  if (!isSlot(entry)) return RECORD.copied
  return map.shared.has(entry - 1) ? RECORD.shared : RECORD.slots
}

/** The slot, or the chunk of the base, that an entry names. */
function placeOf(entry: number): number {
  if (entry === ZERO) return 0
  return isSlot(entry) ? entry - 1 : entry - COPIED
}

async function writeAll(handle: FileHandle, buffer: Buffer, length: number, position: number): Promise<void> {
  for (let done = 0; done < length;) {
    const { bytesWritten } = await handle.write(buffer, done, length - done, position + done)
    if (bytesWritten === 0) throw new IscsiError('EIO', 'the new map took no more bytes')
    done += bytesWritten
  }
}

/** Records and chunks that are looked at in one go: about a millisecond. */
const SLICE_RECORDS = 4096
const SLICE_CHUNKS = 1 << 18
const COPY_BYTES = 1 << 20
