import { randomBytes } from 'node:crypto'
import { open } from 'node:fs/promises'
import { Slices } from '../../util/slices.js'
import { BOOT_ID_LENGTH } from './boot-id.js'
import { DeltaMap, isCopied } from './delta-map.js'
import { DeltaError } from './errors.js'
import { openReadSlots, readHeader } from './file-pair.js'
import type { DeltaPaths } from './files.js'
import { chunkCountOf, unreadable, type JournalHeader } from './journal-format.js'
import { replayJournal } from './replay.js'
import type { SlotFile } from './slot-file.js'

/**
 * A delta that nobody writes any more: its map in memory and its slots open for reading. Its files are not touched, so
 * they may be read-only, and nothing of them is mended: what would need that is refused.
 *
 * Each of its chunks is in a slot or zero; what was copied by the map is put into slots before (see
 * `Overlay.settleCopies`). A layer that named chunks of what lies below it would change its content when other layers
 * are merged into that.
 */
export class FrozenDelta {
  private constructor(
    readonly header: JournalHeader,
    readonly map: DeltaMap,
    readonly slotFile: SlotFile,
    private readonly slotCount: number
  ) {}

  /** @throws DeltaError when it cannot be read back whole */
  static async open(paths: DeltaPaths): Promise<FrozenDelta> {
    const { header, map } = await readMap(paths.map)
    await refuseCopies(map)
    const { file, usedCount } = await openReadSlots(paths, header, map)
    return new FrozenDelta(header, map, file, usedCount)
  }

  get chunkSize(): number {
    return this.header.chunkSize
  }

  /** Bytes of the disk that was written over. */
  get size(): number {
    return this.header.base.size
  }

  /** Bytes in slots. */
  get bytesStored(): number {
    return this.slotCount * this.chunkSize
  }

  /** No read is under way any more. */
  close(): Promise<void> {
    return this.slotFile.handle.close()
  }
}

async function refuseCopies(map: DeltaMap): Promise<void> {
  const slices = new Slices()
  for (let chunk = 0; chunk < map.chunkCount;) {
    chunk += map.run(chunk, map.chunkCount - chunk)
    if (isCopied(map.entry)) throw unreadable('it names chunks of its base')
    if (slices.over) await slices.rest()
  }
}

async function readMap(path: string): Promise<{ header: JournalHeader; map: DeltaMap }> {
  const file = await open(path, 'r').catch((error: unknown) => {
    throw unreadable('its map file cannot be opened', error)
  })
  try {
    const header = await readHeader(file)
    // No boot is the one that wrote it: what is frozen is for ever, so only what has been flushed counts.
    const boot = randomBytes(BOOT_ID_LENGTH)
    const { map, replay } = await replayJournal(file, header, boot, () => new DeltaMap(chunkCountOf(header)))
    if (!replay.suspect && replay.recordsDropped === 0 && replay.tornBytes === 0) return { header, map }
    throw new DeltaError('ERR_ISCSI_DELTA_UNREADABLE', 'its last writes are not all on the medium')
  } finally {
    await file.close()
  }
}
