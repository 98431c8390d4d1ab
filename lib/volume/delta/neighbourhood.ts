import { BASE, isSlot, type DeltaMap } from './delta-map.js'
import type { Slots } from './slots.js'

/**
 * Chooses slots so that chunks which are neighbours on the disk are neighbours in the slot file too, in whatever order
 * they are written. What was written at random is then read back in a few pieces and not chunk by chunk.
 *
 *   chunks   … │ a  b  c  d  e  f … │ …          a neighbourhood: 64 KiB of the disk
 *   slots    … │ a  ·  c  d  ·  f … │ …          its group of slots, each chunk at its place; · is kept for its chunk
 *
 * The map itself tells where a neighbourhood has its group, so nothing is kept beside it. A group is opened for the third
 * chunk of a neighbourhood; the first two go wherever there is room. So writes that are scattered over a large disk stay
 * close together in the slot file, where a file system takes them for a third less, and in a neighbourhood that becomes
 * full two chunks of sixteen are astray (docs/decisions/0026-neighbours-stay-together.md).
 *
 * Places that are kept are holes of the file; no map and no budget counts them. A write as long as a neighbourhood takes a
 * row of its own, wherever that lies.
 */
export class Neighbourhood {
  /** @param group - chunks of a neighbourhood: a power of two; 1 keeps nothing together */
  constructor(
    private readonly map: DeltaMap,
    private readonly slots: Slots,
    private readonly group: number
  ) {}

  /** As `Slots.take` for chunks from `chunk` on: at most `count` slots in a row, `slots.granted` says how many. */
  take(chunk: number, count: number): number {
    const { map, slots, group } = this
    if (count >= group) return slots.take(count)
    const offset = chunk % group
    const room = Math.min(count, group - offset)
    const before = chunk === 0 ? BASE : map.get(chunk - 1)
    // What is written in sequence stays in sequence, with or without a group. The slot behind the chunk before is `before`.
    if (isSlot(before)) {
      const own = offset > 0 && before % group === offset
      if ((own || !slots.isKept(before)) && slots.takeAt(before, own ? room : count)) return before
    }
    const first = chunk - offset
    const end = Math.min(first + group, map.chunkCount)
    let astray = 0
    let met = NOWHERE
    for (let at = first; at < end; at++) {
      const entry = map.get(at)
      if (!isSlot(entry)) continue
      astray++
      const place = entry - 1 - (at - first)
      if (place % group !== 0) continue
      // A single one may have met its place in somebody's group by chance.
      const sure = place === met || slots.isKept(place + offset)
      if (sure && slots.takeAt(place + offset, room)) return place + offset
      met = place
    }
    if (astray < ASTRAY_MAX) return slots.take(count)
    return slots.takeInGroup(group, offset, room)
  }
}

/** Chunks of a neighbourhood that have slots elsewhere before it gets a group of its own. */
const ASTRAY_MAX = 2
const NOWHERE = -1
/** What is kept together, in bytes of the disk. */
const NEIGHBOURHOOD_BYTES = 65536

/** Chunks of a neighbourhood, by their size. */
export function groupOf(chunkSize: number): number {
  return Math.max(1, NEIGHBOURHOOD_BYTES / chunkSize)
}
