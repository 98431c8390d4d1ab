import { open, type FileHandle } from 'node:fs/promises'
import { assert } from '../../util/assert.js'
import type { BlockIo } from '../block-io.js'
import { bootId } from '../delta/boot-id.js'
import { Changes } from '../delta/changes.js'
import { BASE, COPIED, DeltaMap, ZERO, isCopied } from '../delta/delta-map.js'
import { openReadSlots, readHeader } from '../delta/file-pair.js'
import type { DeltaPaths } from '../delta/files.js'
import { chunkCountOf } from '../delta/journal-format.js'
import { replayJournal } from '../delta/replay.js'
import type { SlotFile } from '../delta/slot-file.js'
import { readVolume } from '../promises.js'
import { ReadOnlyVolume } from '../read-only-volume.js'
import { closedError, type Extent, type Volume } from '../volume.js'

/**
 * What a client saw last, of a delta that nobody has open: one that waits for its client, or lies in the bin. It is
 * read through this and never changed, not even where a crash left something to mend. The base belongs to its owner.
 *
 * Control plane: every read is asynchronous.
 */
export class DeltaView extends ReadOnlyVolume {
  private opening: Opened | undefined

  /** @param id - names this boot of the machine; its own when absent */
  constructor(
    private readonly base: Volume,
    private readonly paths: DeltaPaths,
    private readonly id = bootId()
  ) {
    super()
  }

  get size(): number {
    return this.base.size
  }

  /** @throws DeltaError when the files cannot be read */
  async open(): Promise<void> {
    const map = await open(this.paths.map, 'r')
    try {
      this.opening = await this.openFiles(map)
    } finally {
      await map.close()
    }
    this.opened()
  }

  async close(): Promise<void> {
    const { opening } = this
    this.opening = undefined
    await opening?.slots.handle.close()
  }

  get changes(): Changes {
    const { map, chunkSize } = this.ready()
    return new Changes(map, chunkSize, this.size)
  }

  get bytesStored(): number {
    const { slotCount, chunkSize } = this.ready()
    return slotCount * chunkSize
  }

  override extent(offset: number, limit: number): Extent {
    const { map, chunkSize } = this.ready()
    const length = Math.min(limit, this.size - offset)
    if (length <= 0) return { length: 0, mapped: true }
    const chunk = Math.floor(offset / chunkSize)
    const count = map.run(chunk, Math.ceil((offset + length) / chunkSize) - chunk)
    const known = Math.min(length, (chunk + count) * chunkSize - offset)
    return map.entry === BASE ? this.base.extent(offset, known) : { length: known, mapped: map.entry !== ZERO }
  }

  private async openFiles(file: FileHandle): Promise<Opened> {
    const header = await readHeader(file)
    assert(header.base.size === this.base.size, 'the fingerprint of another base')
    const { map } = await replayJournal(file, header, this.id, () => new DeltaMap(chunkCountOf(header)))
    const { file: slots, usedCount } = await openReadSlots(this.paths, header, map)
    return { map, slots, slotCount: usedCount, chunkSize: header.chunkSize }
  }

  protected _tryRead(): boolean {
    return false
  }

  protected _read(io: BlockIo): void {
    this.readRuns(io).then(
      () => io.complete(),
      (error: unknown) => io.complete(error as Error)
    )
  }

  private async readRuns(io: BlockIo): Promise<void> {
    const { map, slots, chunkSize } = this.ready()
    for (let done = 0; done < io.length;) {
      const at = io.offset + done
      const chunk = Math.floor(at / chunkSize)
      const within = at - chunk * chunkSize
      const left = io.length - done
      const count = map.run(chunk, Math.ceil((within + left) / chunkSize))
      const bytes = Math.min(left, count * chunkSize - within)
      const start = io.start + done
      const { entry } = map
      const part = io.buffer.subarray(start, start + bytes)
      if (entry === BASE) await readVolume(this.base, part, at)
      else if (entry === ZERO) part.fill(0)
      else if (isCopied(entry)) await readVolume(this.base, part, (entry - COPIED) * chunkSize + within)
      else await slots.read(io.buffer, start, bytes, (entry - 1) * chunkSize + within)
      done += bytes
    }
  }

  private ready(): Opened {
    if (!this.opening) throw closedError()
    return this.opening
  }

  protected _flush(io: BlockIo): void {
    setImmediate(() => io.complete())
  }
}

interface Opened {
  readonly map: DeltaMap
  readonly slots: SlotFile
  readonly slotCount: number
  readonly chunkSize: number
}
