import { open, type FileHandle } from 'node:fs/promises'
import { Adaptive } from '../adaptive.js'
import { mayStall } from '../drivers/medium.js'
import { bootId } from './boot-id.js'
import { DeltaMap } from './delta-map.js'
import { DeltaError } from './errors.js'
import type { DeltaPaths } from './files.js'
import { HEADER_LENGTH, chunkCountOf, decodeHeader, unreadable, type JournalHeader } from './journal-format.js'
import { claimSlots, replayJournal } from './replay.js'
import { SlotFile } from './slot-file.js'
import { Slots } from './slots.js'

/**
 * A delta that nobody writes any more: its map in memory and its slots open for reading. Its files are not touched, so
 * they may be read-only, and nothing of them is mended: what would need that is refused.
 */
export class FrozenDelta {
  private constructor(
    readonly header: JournalHeader,
    readonly map: DeltaMap,
    readonly slotFile: SlotFile
  ) {}

  /**
   * @param bootIdNow - names the boot of this machine, when not the system's own
   * @throws DeltaError when it cannot be read back whole
   */
  static async open(paths: DeltaPaths, bootIdNow: Buffer = bootId()): Promise<FrozenDelta> {
    const { header, map } = await readMap(paths.map, bootIdNow)
    const slots = await open(paths.slots, 'r').catch((error: unknown) => {
      throw unreadable('its slot file cannot be opened', error)
    })
    try {
      const allocated = new Slots()
      const { size, dev } = await slots.stat()
      claimSlots(map, header.chunkSize, header.base.size, size, (slot, count) => allocated.claim(slot, count))
      const stalls = await mayStall(paths.slots, dev)
      return new FrozenDelta(header, map, new SlotFile(slots, (direction) => new Adaptive(stalls, direction)))
    } catch (error) {
      await slots.close()
      throw error
    }
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
    return this.map.chunksMapped * this.chunkSize
  }

  /** No read is under way any more. */
  close(): Promise<void> {
    return this.slotFile.handle.close()
  }
}

async function readMap(path: string, bootIdNow: Buffer): Promise<{ header: JournalHeader; map: DeltaMap }> {
  const file = await open(path, 'r').catch((error: unknown) => {
    throw unreadable('its map file cannot be opened', error)
  })
  try {
    const header = await readHeader(file)
    const { map, replay } = await replayJournal(file, header, bootIdNow, () => new DeltaMap(chunkCountOf(header)))
    // It was flushed before it was frozen, so a record that no barrier covers is none that was there.
    if (!replay.suspect && replay.recordsDropped === 0 && replay.tornBytes === 0) return { header, map }
    throw new DeltaError('ERR_ISCSI_DELTA_UNREADABLE', 'its last writes are not all on the medium')
  } finally {
    await file.close()
  }
}

async function readHeader(file: FileHandle): Promise<JournalHeader> {
  const bytes = Buffer.alloc(HEADER_LENGTH)
  const { bytesRead } = await file.read(bytes, 0, HEADER_LENGTH, 0)
  return decodeHeader(bytes.subarray(0, bytesRead))
}
