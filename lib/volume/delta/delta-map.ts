import { AssertionError, assert } from '../../util/assert.js'
import { ALL_BASE, FIRST_MARKER, NEEDS_LEAF, isMarker, isZeroAt, markerWith, runAt } from './range-marker.js'
import { SharedSlots } from './shared-slots.js'

/**
 * The page table of a delta: which slot of the slot file holds a chunk of the disk.
 *
 *   directory (Uint32Array, one entry a leaf)      leaf (1024 entries, one a chunk)
 *     0            no leaf: all of it is base        0            read the base
 *     0xFFFFFFFF   no leaf: all of it is zeroes      0xFFFFFFFF   reads as zeroes
 *     n + 1        leaf n                            n + 1        slot n
 *     2^31 + …     no leaf: zeroes beside base,      2^31 + n     copied from chunk n of the base
 *                  see range-marker.ts
 *
 * Leaves are cut from slabs, so that a scattered insert costs no typed array of its own, and a map is dropped by
 * dropping a handful of arrays. A leaf exists only where chunks are in slots or copied, or zeroes and base take turns:
 * one that is neither any more turns into its marker and is used again, so that unmapping all that is free on a disk of
 * 1 TiB needs little more than the directory (1 MiB).
 *
 * Chunk numbers go beyond 2^31, so they are divided, never shifted; `& 1023` is safe because it looks at low bits only.
 */

/** The chunk is not in the delta. */
export const BASE = 0
/** The chunk reads as zeroes and has no slot. */
export const ZERO = 0xffffffff
/** Entries from here up to {@link ZERO} name another chunk of the base: its number and this. */
export const COPIED = 0x80000000
/** Slots are numbered below this, so that no run of slots goes on as a copy of the base. */
export const SLOT_COUNT_MAX = COPIED - 2
/** Chunks of the base that an entry can name are numbered below this; no run of them goes on as zeroes. */
export const COPIED_CHUNK_MAX = ZERO - COPIED - 1
/** 1 PiB of 4 KiB chunks; its directory takes 1 GiB where it is touched. */
export const CHUNK_COUNT_MAX = 2 ** 38

/** Chunks that a leaf stands for. */
export const LEAF_ENTRIES = 1024
export const LEAF_BYTES = LEAF_ENTRIES * 4
/** 256 KiB, so that one is rarely made. */
const LEAVES_IN_SLAB = 64
/** The first one begins with 16 KiB and grows, for the many clients that write little. */
const FIRST_SLAB_LEAVES = 4
const NO_ENTRIES = new Uint32Array(0)

/** Whether an entry says that the chunk is in a slot. */
export function isSlot(entry: number): boolean {
  return entry !== BASE && entry < COPIED
}

/** Whether an entry says that the chunk was copied from another one of the base. */
export function isCopied(entry: number): boolean {
  return entry >= COPIED && entry !== ZERO
}

export class DeltaMap {
  /** After {@link run}: the entry of its first chunk. */
  entry = BASE
  /** Chunks that are in a slot, or copied from the base. */
  chunksMapped = 0
  /** Slots that several chunks are in. */
  readonly shared = new SharedSlots()
  /** Leaves in use. */
  leafCount = 0

  private directory = NO_ENTRIES
  private readonly slabs: Uint32Array[] = []
  /** How many entries of a leaf are neither base nor zero, by leaf number. */
  private slotsIn = new Uint16Array(0)
  private leavesMade = 0
  private readonly freeLeaves: number[] = []
  private readonly leafIndexMax: number

  /** @param chunkCount - chunks of the disk, the last one may be a short one */
  constructor(readonly chunkCount: number) {
    assert(chunkCount >= 0 && chunkCount <= CHUNK_COUNT_MAX, `a map of ${chunkCount} chunks`)
    this.leafIndexMax = Math.ceil(chunkCount / LEAF_ENTRIES)
  }

  /** Bytes of memory that the map holds, used or not. */
  get memoryBytes(): number {
    return this.directory.byteLength + this.leavesThere * LEAF_BYTES + this.slotsIn.byteLength + this.shared.memoryBytes
  }

  /** {@link BASE}, {@link ZERO}, the slot + 1, or {@link COPIED} + the chunk of the base. */
  get(chunk: number): number {
    if (this.directory.length === 0) return BASE
    const leaf = this.directory[(chunk / LEAF_ENTRIES) | 0]!
    if (leaf === ALL_BASE) return BASE
    if (leaf >= FIRST_MARKER) return isZeroAt(leaf, chunk & (LEAF_ENTRIES - 1)) ? ZERO : BASE
    return this.slabs[slabOf(leaf)]![startOf(leaf) + (chunk & (LEAF_ENTRIES - 1))]!
  }

  /**
   * How many chunks from `chunk` on, at most `limit`, are of one kind: base, zero, in slots that follow each other, or
   * copied from chunks that do.
   * Leaves the first entry in {@link entry}, so that walking a range makes no object.
   */
  run(chunk: number, limit: number): number {
    const first = this.get(chunk)
    this.entry = first
    if (limit <= 1) return limit
    if (this.directory.length === 0) return limit
    const step = first === BASE || first === ZERO ? 0 : 1
    let count = 1
    while (count < limit) {
      const length = this.runInLeaf(chunk + count, limit - count, first + step * count, step)
      if (length === 0) break
      count += length
    }
    return count
  }

  /** How many entries from `chunk` to the end of its leaf, at most `limit`, go on as `wanted`, `wanted + step`, … */
  private runInLeaf(chunk: number, limit: number, wanted: number, step: number): number {
    const leaf = this.directory[(chunk / LEAF_ENTRIES) | 0]!
    const from = chunk & (LEAF_ENTRIES - 1)
    const room = Math.min(limit, LEAF_ENTRIES - from)
    if (isMarker(leaf)) return wanted === (isZeroAt(leaf, from) ? ZERO : BASE) ? runAt(leaf, from, room) : 0
    const slab = this.slabs[slabOf(leaf)]!
    const start = startOf(leaf) + from
    let length = 0
    while (length < room && slab[start + length] === wanted + step * length) length++
    return length
  }

  /** The index of each leaf is below this. */
  get leafIndexEnd(): number {
    return this.directory.length
  }

  /** The map's own entries of a leaf, for whoever looks at all of them; undefined where there are base and zeroes alone. */
  leafEntries(index: number): Uint32Array | undefined {
    const leaf = this.directory[index]!
    if (isMarker(leaf)) return undefined
    const start = startOf(leaf)
    return this.slabs[slabOf(leaf)]!.subarray(start, start + this.entriesOf(index))
  }

  /** Sets `count` chunks to {@link BASE}, to {@link ZERO}, or to `entry`, `entry` + 1, … */
  assign(chunk: number, count: number, entry: number): void {
    // Not assert(): its message would be put together for every write.
    if (chunk < 0 || chunk + count > this.chunkCount) throw outside(chunk, count, this.chunkCount)
    if (count === 1 && this.assignSlot(chunk, entry)) return
    const step = entry === BASE || entry === ZERO ? 0 : 1
    for (let done = 0; done < count;) {
      const at = chunk + done
      const from = at & (LEAF_ENTRIES - 1)
      const length = Math.min(count - done, LEAF_ENTRIES - from)
      this.assignInLeaf((at / LEAF_ENTRIES) | 0, from, length, entry + step * done, step)
      done += length
    }
  }

  /**
   * Puts chunks that follow each other into slots, wherever each of these is: for whoever makes a large map, at a part
   * of what {@link assign} costs for each.
   * @param entries - `count` of them that name slots; {@link BASE} leaves its chunk as it is
   */
  assignEntries(chunk: number, entries: Uint32Array, count: number): void {
    if (chunk < 0 || chunk + count > this.chunkCount) throw outside(chunk, count, this.chunkCount)
    if (this.directory.length === 0) this.directory = new Uint32Array(this.leafIndexMax)
    for (let done = 0; done < count;) {
      const from = (chunk + done) & (LEAF_ENTRIES - 1)
      const length = Math.min(count - done, LEAF_ENTRIES - from)
      this.assignEntriesInLeaf(((chunk + done) / LEAF_ENTRIES) | 0, from, entries, done, done + length)
      done += length
    }
  }

  private assignEntriesInLeaf(index: number, from: number, entries: Uint32Array, first: number, end: number): void {
    let next = first
    while (next < end && entries[next] === BASE) next++
    if (next === end) return
    const marker = this.directory[index]!
    const leaf = isMarker(marker) ? this.addLeaf(index, marker) : marker - 1
    const slab = this.slabs[(leaf / LEAVES_IN_SLAB) | 0]!
    const offset = (leaf % LEAVES_IN_SLAB) * LEAF_ENTRIES + from - first
    let slots = 0
    for (; next < end; next++) {
      const entry = entries[next]!
      if (entry === BASE) continue
      const old = slab[offset + next]!
      if (old === BASE || old === ZERO) slots++
      slab[offset + next] = entry
    }
    this.slotsIn[leaf]! += slots
    this.chunksMapped += slots
  }

  /** The most frequent case by far, at half the cost: a slot for a chunk of the base whose leaf is there. */
  private assignSlot(chunk: number, entry: number): boolean {
    if (entry === BASE || entry === ZERO || this.directory.length === 0) return false
    const leaf = this.directory[(chunk / LEAF_ENTRIES) | 0]!
    if (isMarker(leaf)) return false
    const slab = this.slabs[slabOf(leaf)]!
    const at = startOf(leaf) + (chunk & (LEAF_ENTRIES - 1))
    if (slab[at] !== BASE) return false
    slab[at] = entry
    this.slotsIn[leaf - 1]!++
    this.chunksMapped++
    return true
  }

  /** Leaves that {@link assign} of the same would add: what a caller reserves room for. */
  missingLeaves(chunk: number, count: number, entry: number): number {
    const first = (chunk / LEAF_ENTRIES) | 0
    const last = ((chunk + count - 1) / LEAF_ENTRIES) | 0
    let missing = 0
    if (entry !== ZERO) {
      for (let index = first; index <= last; index++) if (isMarker(this.markerAt(index))) missing++
      return missing
    }
    // Zeroes make a leaf only where they cover one in part, which is at their two ends.
    if (this.zeroesNeedLeaf(first, chunk, count)) missing++
    if (last !== first && this.zeroesNeedLeaf(last, chunk, count)) missing++
    return missing
  }

  private zeroesNeedLeaf(index: number, chunk: number, count: number): boolean {
    const marker = this.markerAt(index)
    if (!isMarker(marker)) return false
    const entries = this.entriesOf(index)
    const from = Math.max(0, chunk - index * LEAF_ENTRIES)
    const end = Math.min(entries, chunk + count - index * LEAF_ENTRIES)
    return markerWith(marker, from, end, true, entries) === NEEDS_LEAF
  }

  /** The entry of the directory, or what it would be. */
  private markerAt(index: number): number {
    return this.directory.length === 0 ? ALL_BASE : this.directory[index]!
  }

  private assignInLeaf(index: number, from: number, length: number, entry: number, step: number): void {
    if (this.directory.length === 0) {
      if (entry === BASE) return
      this.directory = new Uint32Array(this.leafIndexMax)
    }
    const entries = this.entriesOf(index)
    const old = this.directory[index]!
    if (step === 0 && (length === entries || isMarker(old))) {
      const marker = markerWith(isMarker(old) ? old : ALL_BASE, from, from + length, entry === ZERO, entries)
      if (marker !== NEEDS_LEAF) return this.becomeMarker(index, marker)
    }
    const leaf = isMarker(old) ? this.addLeaf(index, old) : old - 1
    this.fill(leaf, from, length, entry, step)
    if (step === 0 && this.slotsIn[leaf] === 0) this.tryBecomeMarker(index, leaf)
  }

  /** A leaf without slots and copies may have become one that a marker can stand for. */
  private tryBecomeMarker(index: number, leaf: number): void {
    const entries = this.entriesOf(index)
    const slab = this.slabs[(leaf / LEAVES_IN_SLAB) | 0]!
    const start = (leaf % LEAVES_IN_SLAB) * LEAF_ENTRIES
    let marker = ALL_BASE
    for (let at = 0; at < entries && marker !== NEEDS_LEAF;) {
      const kind = slab[start + at]!
      const from = at
      while (at < entries && slab[start + at] === kind) at++
      if (kind === ZERO) marker = markerWith(marker, from, at, true, entries)
    }
    if (marker !== NEEDS_LEAF) this.becomeMarker(index, marker)
  }

  private fill(leaf: number, from: number, length: number, entry: number, step: number): void {
    const slab = this.slabs[(leaf / LEAVES_IN_SLAB) | 0]!
    const start = (leaf % LEAVES_IN_SLAB) * LEAF_ENTRIES + from
    let slots = 0
    for (let i = 0; i < length; i++) {
      const old = slab[start + i]!
      if (old !== ZERO && old !== BASE) slots--
      slab[start + i] = entry + step * i
    }
    if (step !== 0) slots += length
    this.slotsIn[leaf]! += slots
    this.chunksMapped += slots
  }

  private addLeaf(index: number, marker: number): number {
    const leaf = this.takeLeaf()
    const slab = this.slabs[(leaf / LEAVES_IN_SLAB) | 0]!
    const start = (leaf % LEAVES_IN_SLAB) * LEAF_ENTRIES
    const entries = this.entriesOf(index)
    for (let at = 0; at < entries;) {
      const length = runAt(marker, at, entries - at)
      slab.fill(isZeroAt(marker, at) ? ZERO : BASE, start + at, start + at + length)
      at += length
    }
    this.slotsIn[leaf] = 0
    this.directory[index] = leaf + 1
    return leaf
  }

  private becomeMarker(index: number, marker: number): void {
    const old = this.directory[index]!
    this.directory[index] = marker
    if (isMarker(old)) return
    this.chunksMapped -= this.slotsIn[old - 1]!
    this.freeLeaves.push(old - 1)
    this.leafCount--
  }

  private takeLeaf(): number {
    this.leafCount++
    const free = this.freeLeaves.pop()
    if (free !== undefined) return free
    if (this.leavesMade === this.leavesThere) this.addLeaves()
    return this.leavesMade++
  }

  /** Leaves that there is memory for. */
  private get leavesThere(): number {
    const [first] = this.slabs
    return first ? first.length / LEAF_ENTRIES + (this.slabs.length - 1) * LEAVES_IN_SLAB : 0
  }

  private addLeaves(): void {
    const [first] = this.slabs
    if (!first) this.slabs.push(new Uint32Array(FIRST_SLAB_LEAVES * LEAF_ENTRIES))
    else if (first.length < LEAVES_IN_SLAB * LEAF_ENTRIES) {
      this.slabs[0] = new Uint32Array(first.length * 2)
      this.slabs[0].set(first)
    } else this.slabs.push(new Uint32Array(LEAVES_IN_SLAB * LEAF_ENTRIES))
    const leaves = this.leavesThere
    if (leaves <= this.slotsIn.length) return
    this.slotsIn = grown(this.slotsIn, leaves * 2)
  }

  /** Entries of a leaf that stand for a chunk; fewer in the last one. */
  private entriesOf(index: number): number {
    return Math.min(LEAF_ENTRIES, this.chunkCount - index * LEAF_ENTRIES)
  }
}

function outside(chunk: number, count: number, chunkCount: number): AssertionError {
  return new AssertionError(`chunks ${chunk}+${count} of ${chunkCount}`)
}

function slabOf(directoryEntry: number): number {
  return ((directoryEntry - 1) / LEAVES_IN_SLAB) | 0
}

function startOf(directoryEntry: number): number {
  return ((directoryEntry - 1) % LEAVES_IN_SLAB) * LEAF_ENTRIES
}

function grown(array: Uint16Array<ArrayBuffer>, length: number): Uint16Array<ArrayBuffer> {
  const larger = new Uint16Array(length)
  larger.set(array)
  return larger
}
