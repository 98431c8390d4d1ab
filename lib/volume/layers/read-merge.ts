import { BASE, isSlot, type DeltaMap } from '../delta/delta-map.js'

/**
 * Joins the accesses of a read whose chunks lie in turns here and there: it reads over a short gap, and what belongs into
 * the gap is read over that. A system call costs as much as copying 8 KiB and more.
 *
 *   chunks of the disk    base  base  slot 9  base  slot 4  slot 5  slot 70  slot 7
 *   accesses before       ────────────┬───────┬─────┬───────────────┬────────┬─────   6
 *   accesses now          ══════════════════════    ═══════════════════════════════   2
 *                                     ──                            ──────            2 over them
 *
 * Chunks of one kind go on behind a gap when they lie at the same distance from their places on the disk: all of the base
 * does, and slots do that are in their group (delta/neighbourhood.ts). What a gap of slots holds meanwhile is nobody's
 * business, for all of it is written over before the read ends; a read that gives up half way gives up all of it. Nor
 * is it anybody's business when it cannot be read: then a read over a gap gives up and is made without it.
 */
export class ReadMerge {
  /** Chunks up to here have been read … */
  private baseEnd = 0
  private slotsEnd = 0
  /** … the latter where the entry is so much more than the chunk. */
  private slotsShift = 0

  /** A request begins. */
  begin(): void {
    this.baseEnd = this.slotsEnd = 0
  }

  /** Whether a run that begins with this chunk and entry was read with one before it. */
  has(chunk: number, entry: number): boolean {
    if (entry === BASE) return chunk < this.baseEnd
    return chunk < this.slotsEnd && entry - chunk === this.slotsShift
  }

  /**
   * How many chunks one access reads.
   * @param count - chunks of the run, whose first entry `map.entry` is
   * @param limit - chunks of the request from there on
   */
  span(map: DeltaMap, chunk: number, count: number, limit: number): number {
    const { entry } = map
    if (count === limit || (entry !== BASE && !isSlot(entry))) return count
    const shift = entry - chunk
    let span = count
    let gap = 0
    for (let at = count; at < limit && gap <= GAP_CHUNKS_MAX;) {
      const length = map.run(chunk + at, limit - at)
      const goesOn = entry === BASE ? map.entry === BASE : map.entry - (chunk + at) === shift
      at += length
      if (goesOn) span = at
      // Slots are not read over chunks of the base: their places are holes, which the page cache would fill.
      else if (entry !== BASE && !isSlot(map.entry)) break
      gap = goesOn ? 0 : gap + length
    }
    if (span === count) return count
    if (entry === BASE) this.baseEnd = chunk + span
    else {
      this.slotsEnd = chunk + span
      this.slotsShift = shift
    }
    return span
  }
}

/** Chunks of a gap: 8 KiB of the smallest chunks. Larger chunks are read over one by one just the same. */
const GAP_CHUNKS_MAX = 2
