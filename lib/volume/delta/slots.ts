import { assert } from '../../util/assert.js'
import { BASE, COPIED, SLOT_COUNT_MAX } from './delta-map.js'

/**
 * Which slots of the slot file are taken. A fresh slot comes from the end (so that what is written in sequence lies in
 * sequence and is read back in one piece), a used one from a bitmap of one bit a slot. A second bitmap has the slots that
 * are kept for neighbours of others (neighbourhood.ts).
 *
 * A slot that is given back is not free at once. Somebody may still read it, and a journal that ends before its unmap
 * record still says that it holds the old chunk. So it waits in three stations:
 *
 *   freed ─commit()─▶ committed ─seal()─▶ sealed ─unseal(true)─▶ settled ─no older station waits─▶ waiting ─reads
 *   begun before have ended─▶ free
 *
 * `seal` and `unseal` stand around the sync of a flush. Before its barrier is on the medium a power cut brings back the
 * map of the barrier before, in which the slot has its old content.
 *
 * Reads are counted in two generations. When `settled` moves on to `waiting` the generation turns: reads that begin
 * from then on cannot know the slots in it, and those of the generation before are the ones it waits for.
 */
export class Slots {
  /** After {@link take}: how many slots it gave. */
  granted = 0
  /** Slots that are mapped or still in one of the stations. */
  usedCount = 0
  /** Slots that have ever been given out or kept; the length of the slot file. */
  highWater = 0

  private used = new Uint32Array(FIRST_WORDS)
  /** Where the next search in the bitmap begins, in words. */
  private cursor = 0
  private groupCursor = 0
  private foundSlot = 0
  private foundCount = 0

  /** Slots of groups that nobody has had yet: kept for the neighbours of those who have. Empty while there is no group. */
  private kept = new Uint32Array(0)
  private keptCount = 0
  /** Slots of a group, when groups are kept. */
  private group = 1
  /** Groups are still to be found in what was read back: from this word on, before this slot. */
  private groupsAt = 0
  private groupsEnd = 0

  private freed = new RunList()
  private committed = new RunList()
  private sealed = new RunList()
  private settled = new RunList()
  private waiting = new RunList()
  private readonly readers: [number, number] = [0, 0]
  private generation: 0 | 1 = 0
  /** Holes are not used before the next barrier. */
  private holesKept = false
  /** Rows that have come free and whose space on the medium nobody has given back; undefined when nobody will. */
  private vacated: RunList | undefined
  private vacatedAt = 0

  /** @param slotCountMax - slots are numbered below this */
  constructor(private readonly slotCountMax = SLOT_COUNT_MAX) {}

  /**
   * Takes at most `count` slots that follow each other and says in {@link granted} how many there are. Free ones are
   * preferred if they hold all of the request, so that a long write stays in one piece; the file grows instead, but
   * only while holes are few.
   * @returns the first of them, or -1 if there is none left
   */
  take(count: number): number {
    if (this.usedCount + this.keptCount < this.highWater && !this.holesKept && this.find(count)) {
      if (this.foundCount === count || !this.mayGrow(count)) return this.grant(this.foundSlot, this.foundCount)
    }
    return this.grow(count)
  }

  /**
   * Takes slots from this one on, at most `count`, if it is free or the file may grow by it. {@link granted} says how
   * many.
   */
  takeAt(slot: number, count: number): boolean {
    if (slot === this.highWater) {
      if (!this.mayGrow(count) || slot + count > this.slotCountMax) return false
      this.grow(count)
      return true
    }
    const kept = this.isKept(slot)
    let length = 0
    while (length < count && this.isFree(slot + length) && this.isKept(slot + length) === kept) length++
    if (length > 0) this.grant(slot, length)
    return length > 0
  }

  /**
   * Opens a group of slots and takes `count` of them, from the one at `offset` on. The others are given by
   * {@link takeAt} alone, until all of the group has come free.
   * @param group - a power of two, 16 at most
   */
  takeInGroup(group: number, offset: number, count: number): number {
    const first = this.findGroup(group)
    // Groups spread what is in the file; the upper half of the numbers is for those who fill it.
    const base = first < 0 ? Math.ceil(this.highWater / group) * group : first
    if (base + group > this.slotCountMax / 2) return this.take(count)
    this.group = group
    if (base + group > this.highWater) {
      // What lies between is for whoever comes next, and found at once.
      if (base > this.highWater) this.cursor = this.highWater >>> 5
      this.highWater = base + group
      this.makeRoom(this.highWater)
    }
    this.keep(base, group)
    return this.grant(base + offset, count)
  }

  /**
   * Groups are opened again where a map that was read back has some slots of one and not the others: by
   * {@link findGroups}, as soon as holes may be used.
   */
  keepGroups(group: number): void {
    this.group = group
    this.groupsAt = 0
    this.groupsEnd = this.highWater
  }

  /** There is something for {@link findGroups} to do now. */
  get awaitsGroups(): boolean {
    return !this.holesKept && this.groupsAt * 32 < this.groupsEnd
  }

  /**
   * Looks through a bounded part of the bitmap, as {@link find} does; the next call goes on behind. Holes that somebody
   * takes meanwhile are lost to their neighbours, no more.
   */
  findGroups(): void {
    if (!this.awaitsGroups) return
    const { group } = this
    const mask = (1 << group) - 1
    const end = Math.min(this.groupsEnd, (this.groupsAt + SEARCH_WORDS_MAX) * 32)
    for (let slot = this.groupsAt * 32; slot + group <= end; slot += group) {
      const used = (this.used[slot >>> 5]! >>> (slot & 31)) & mask
      if (used !== 0 && used !== mask) this.keep(slot, group)
    }
    this.groupsAt += SEARCH_WORDS_MAX
  }

  /** Those that are not in use are for their neighbours from now on. */
  private keep(slot: number, count: number): void {
    if (this.kept.length < this.used.length) this.kept = grown(this.kept, this.used.length)
    for (let i = slot; i < slot + count; i++) {
      if (this.isBlocked(i)) continue
      this.kept[i >>> 5]! |= 1 << (i & 31)
      this.keptCount++
    }
  }

  /** Whether it is for a neighbour of others alone. */
  isKept(slot: number): boolean {
    return (this.kept[slot >>> 5]! & (1 << (slot & 31))) !== 0
  }

  /** Nobody waits for this slot any more. */
  private unkeep(slot: number): void {
    if (!this.isKept(slot)) return
    this.kept[slot >>> 5]! &= ~(1 << (slot & 31))
    this.keptCount--
  }

  /** What is in use or kept, by words. */
  private blocked(word: number): number {
    return word < this.kept.length ? this.used[word]! | this.kept[word]! : this.used[word]!
  }

  private isBlocked(slot: number): boolean {
    return (this.blocked(slot >>> 5) & (1 << (slot & 31))) !== 0
  }

  /** A slot of the file that may be given; while holes are kept only what nobody has had since the file was opened. */
  private isFree(slot: number): boolean {
    return slot < this.highWater && !this.isUsed(slot) && (!this.holesKept || this.isKept(slot))
  }

  /** The first slot of a group that is free as a whole, or -1; looks through a bounded part, as {@link find} does. */
  private findGroup(group: number): number {
    if (this.holesKept || this.highWater - this.usedCount - this.keptCount < group) return -1
    const mask = (1 << group) - 1
    const words = this.highWater >>> 5
    for (let n = Math.min(words, SEARCH_WORDS_MAX); n > 0; n--) {
      if (this.groupCursor >= words) this.groupCursor = 0
      const blocked = this.blocked(this.groupCursor)
      for (let bit = 0; bit < 32; bit += group) {
        if (((blocked >>> bit) & mask) === 0) return this.groupCursor * 32 + bit
      }
      this.groupCursor++
    }
    return -1
  }

  /** Numbers have run out: whoever comes first has them. */
  private forgetGroups(): void {
    this.kept.fill(0)
    this.keptCount = 0
    this.groupsEnd = 0
  }

  /** The same for exactly `count` slots: a write that one record must describe. */
  takeRow(count: number): number {
    const slot = this.take(count)
    if (slot < 0 || this.granted === count) return slot
    this.untake(slot, this.granted)
    this.granted = 0
    return this.highWater + count > this.slotCountMax ? -1 : this.grow(count)
  }

  private grow(count: number): number {
    if (this.highWater + count > this.slotCountMax) return this.foundAnywhere(count)
    const slot = this.highWater
    this.highWater += count
    this.makeRoom(this.highWater)
    return this.grant(slot, count)
  }

  /** Gives back slots that no map and no reader has ever seen, because the write into them failed. */
  untake(slot: number, count: number): void {
    this.clear(slot, count)
  }

  /** Marks slots that a map read from the journal refers to. False if one of them was marked already. */
  claim(slot: number, count: number): boolean {
    if (slot + count > this.highWater) {
      this.highWater = slot + count
      this.makeRoom(this.highWater)
    }
    for (let i = slot; i < slot + count; i++) {
      const bit = 1 << (i & 31)
      if (this.used[i >>> 5]! & bit) return false
      this.used[i >>> 5]! |= bit
    }
    this.usedCount += count
    return true
  }

  /**
   * The same for each slot that these entries of a map name, with no object and no call for any of them.
   * @param slotEnd - slots that the file has
   * @returns where the first entry is whose slot was marked already or is none of the file's; -1 without one
   */
  claimEntries(entries: Uint32Array, slotEnd: number): number {
    let { used, highWater } = this
    let bad = NONE
    let claimed = 0
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i]!
      if (entry === BASE || entry >= COPIED) continue
      const slot = entry - 1
      if (slot >= slotEnd) {
        bad = i
        break
      }
      if (slot >= highWater) {
        highWater = slot + 1
        this.makeRoom(highWater)
        used = this.used
      }
      const word = used[slot >>> 5]!
      const bit = 1 << (slot & 31)
      if (word & bit) {
        bad = i
        break
      }
      used[slot >>> 5] = word | bit
      claimed++
    }
    this.highWater = highWater
    this.usedCount += claimed
    return bad
  }

  /** These slots are no longer mapped; they come free after {@link commit}. */
  free(slot: number, count: number): void {
    this.freed.push(slot, count)
  }

  /** The records that unmap what was freed so far are in the journal. */
  commit(): void {
    if (this.freed.length === 0) return
    this.committed.takeAll(this.freed)
  }

  /** A flush begins: a barrier will cover everything that is committed now. */
  seal(): void {
    this.sealed.takeAll(this.committed)
  }

  /** @param covered - the barrier is on the medium; else what was sealed waits for the next one */
  unseal(covered: boolean): void {
    if (!covered) {
      this.committed.takeAll(this.sealed)
      return
    }
    this.holesKept = false
    this.settled.takeAll(this.sealed)
    this.advance()
  }

  /** Bytes of memory of the bitmaps. */
  get memoryBytes(): number {
    return this.used.byteLength + this.kept.byteLength
  }

  /** A flush would bring slots back. */
  get awaitsBarrier(): boolean {
    return this.holesKept || this.committed.length > 0 || this.sealed.length > 0
  }

  /**
   * A journal was read back in the boot that wrote it: which of the free slots the last barrier names is not known.
   * @param slotCount - slots that the file has room for
   */
  keepHoles(slotCount: number): void {
    this.holesKept = true
    this.highWater = Math.max(this.highWater, slotCount)
    this.makeRoom(this.highWater)
  }

  /** From now on {@link takeVacated} finds what comes free. */
  collectVacated(): void {
    this.vacated ??= new RunList()
  }

  /** Nobody asks for it any more. */
  forgetVacated(): void {
    this.vacated = undefined
  }

  /** All that is free now counts as having come free. */
  vacateHoles(): void {
    this.vacated?.push(0, this.highWater)
  }

  /**
   * Takes a row of free slots whose space on the medium can be given back; {@link untakeVacated} makes it usable again.
   * They do not count as used. Slots are looked at in aligned groups, so that those which come free one by one are found
   * with the last of their group.
   * @param group - slots of a group: a power of two, 16 at most
   * @param groupsMax - groups of the longest row
   * @returns the first of {@link granted} slots, -1 when there are none any more; after a long search it gives none of
   *   them and wants to be asked again
   */
  takeVacated(group: number, groupsMax: number): number {
    const { vacated } = this
    this.granted = 0
    if (!vacated || this.holesKept) return -1
    let left = SEARCH_GROUPS_MAX
    for (; this.vacatedAt < vacated.length; this.vacatedAt++) {
      const first = vacated.first(this.vacatedAt)
      if (vacated.count(this.vacatedAt) === 0) continue
      const end = Math.min(first + vacated.count(this.vacatedAt), this.highWater)
      for (let slot = Math.floor(first / group) * group; slot < end; slot += group) {
        const groups = this.freeGroups(slot, group, groupsMax, end)
        const stop = groups > 0 || --left === 0
        if (stop) vacated.advance(this.vacatedAt, slot + Math.max(groups, 1) * group)
        if (groups > 0) return this.markVacated(slot, groups * group)
        if (stop) return 0
      }
    }
    vacated.clear()
    this.vacatedAt = 0
    return -1
  }

  untakeVacated(slot: number, count: number): void {
    for (let i = slot; i < slot + count; i++) this.used[i >>> 5]! &= ~(1 << (i & 31))
  }

  private markVacated(slot: number, count: number): number {
    for (let i = slot; i < slot + count; i++) this.used[i >>> 5]! |= 1 << (i & 31)
    this.granted = count
    return slot
  }

  /** Groups from `slot` on that are free as a whole. */
  private freeGroups(slot: number, group: number, groupsMax: number, end: number): number {
    const mask = (1 << group) - 1
    let groups = 0
    for (let at = slot; groups < groupsMax && at < end && at + group <= this.highWater; at += group) {
      if ((this.used[at >>> 5]! >>> (at & 31)) & mask) break
      groups++
    }
    return groups
  }

  /** What was freed since the last commit is mapped again. */
  rollback(): void {
    this.freed.clear()
  }

  /** Slots whose mapping was undone: no journal knows them, but a reader may. */
  discard(slot: number, count: number): void {
    this.settled.push(slot, count)
  }

  /** Lets discarded slots go on their way, once none of them is named by anything that still happens in this turn. */
  settle(): void {
    this.advance()
  }

  /** An asynchronous read begins; hand the result to {@link endRead}. */
  beginRead(): 0 | 1 {
    this.readers[this.generation]++
    return this.generation
  }

  endRead(generation: 0 | 1): void {
    assert(this.readers[generation] > 0, 'a read of the delta ended twice')
    this.readers[generation]--
    this.advance()
  }

  /** Moves slots from station to station as far as the readers allow. */
  private advance(): void {
    for (;;) {
      const older = (1 - this.generation) as 0 | 1
      if (this.readers[older] > 0) return
      this.waiting.each(this.clearRun)
      this.waiting.clear()
      if (this.settled.length === 0) return
      this.waiting.takeAll(this.settled)
      this.generation = older
    }
  }

  private readonly clearRun = (slot: number, count: number): void => {
    this.clear(slot, count)
    this.vacated?.push(slot, count)
  }

  /** Holes may make the file an eighth longer than what is in it, and a little more, before they are filled anyhow. */
  private mayGrow(count: number): boolean {
    return this.highWater - this.keptCount + count <= this.usedCount + (this.usedCount >>> 3) + HOLES_IGNORED
  }

  private foundAnywhere(count: number): number {
    this.granted = 0
    if (this.holesKept) return -1
    this.forgetGroups()
    for (let i = 0; i < this.used.length; i += SEARCH_WORDS_MAX) {
      if (this.find(count)) return this.grant(this.foundSlot, this.foundCount)
    }
    this.granted = 0
    return -1
  }

  /**
   * Looks through a part of the bitmap for `count` free slots in a row, else for the longest row there. The part is
   * bounded, so that a nearly full bitmap costs no write more than a microsecond or two; the next search goes on behind.
   */
  private find(count: number): boolean {
    this.foundCount = 0
    const words = (this.highWater + 31) >>> 5
    for (let n = Math.min(words, SEARCH_WORDS_MAX); n > 0; n--) {
      if (this.cursor >= words) this.cursor = 0
      if (this.blocked(this.cursor) >>> 0 !== FULL_WORD && this.findFrom(this.cursor, count)) return true
      this.cursor++
    }
    return this.foundCount > 0
  }

  /** Tries the rows that begin in this word. True when one is long enough. */
  private findFrom(word: number, count: number): boolean {
    const end = Math.min(((word + 1) << 5) >>> 0, this.highWater)
    for (let slot = (word << 5) >>> 0; slot < end; slot++) {
      if (this.isBlocked(slot)) continue
      let length = 1
      while (length < count && slot + length < this.highWater && !this.isBlocked(slot + length)) length++
      if (length > this.foundCount) {
        this.foundSlot = slot
        this.foundCount = length
      }
      if (length === count) return true
      slot += length
    }
    return false
  }

  private isUsed(slot: number): boolean {
    return (this.used[slot >>> 5]! & (1 << (slot & 31))) !== 0
  }

  private grant(slot: number, count: number): number {
    for (let i = slot; i < slot + count; i++) this.used[i >>> 5]! |= 1 << (i & 31)
    if (this.keptCount > 0) for (let i = slot; i < slot + count; i++) this.unkeep(i)
    this.usedCount += count
    this.granted = count
    return slot
  }

  private clear(slot: number, count: number): void {
    for (let i = slot; i < slot + count; i++) {
      assert(this.isUsed(i), 'a slot was given back twice')
      this.used[i >>> 5]! &= ~(1 << (i & 31))
    }
    this.usedCount -= count
    if (this.keptCount > 0) this.closeGroups(slot, count)
  }

  /** Groups that nothing is left of keep no place for anybody. */
  private closeGroups(slot: number, count: number): void {
    const { group } = this
    const mask = (1 << group) - 1
    for (let first = slot - (slot % group); first < slot + count; first += group) {
      if ((this.used[first >>> 5]! >>> (first & 31)) & mask) continue
      for (let i = first; i < first + group; i++) this.unkeep(i)
    }
  }

  private makeRoom(slotCount: number): void {
    const words = (slotCount + 31) >>> 5
    if (words <= this.used.length) return
    this.used = grown(this.used, Math.max(words, this.used.length * 2))
  }
}

function grown(words: Uint32Array<ArrayBuffer>, length: number): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(length)
  larger.set(words)
  return larger
}

/** Runs of slots, [first, count] one behind the other; grows by doubling and keeps its room. */
class RunList {
  length = 0
  private runs = new Uint32Array(FIRST_RUNS * 2)

  push(slot: number, count: number): void {
    if (this.length > 0) {
      const last = (this.length - 1) * 2
      if (this.runs[last]! + this.runs[last + 1]! === slot) {
        this.runs[last + 1]! += count
        return
      }
    }
    if (this.length * 2 === this.runs.length) {
      const larger = new Uint32Array(this.runs.length * 2)
      larger.set(this.runs)
      this.runs = larger
    }
    this.runs[this.length * 2] = slot
    this.runs[this.length * 2 + 1] = count
    this.length++
  }

  each(visit: (slot: number, count: number) => void): void {
    for (let i = 0; i < this.length; i++) visit(this.runs[i * 2]!, this.runs[i * 2 + 1]!)
  }

  first(index: number): number {
    return this.runs[index * 2]!
  }

  count(index: number): number {
    return this.runs[index * 2 + 1]!
  }

  /** What of a run lies before this slot is done with. */
  advance(index: number, slot: number): void {
    const end = this.first(index) + this.count(index)
    this.runs[index * 2] = Math.min(slot, end)
    this.runs[index * 2 + 1] = Math.max(0, end - slot)
  }

  /** Moves everything from the other list into this one. An empty list takes the other's array as it is. */
  takeAll(other: RunList): void {
    if (this.length === 0) {
      const runs = this.runs
      this.runs = other.runs
      this.length = other.length
      other.runs = runs
    } else other.each((slot, count) => this.push(slot, count))
    other.clear()
  }

  clear(): void {
    this.length = 0
    // A list that once was very long would keep its memory for ever.
    if (this.runs.length > RUNS_KEPT_MAX * 2) this.runs = new Uint32Array(FIRST_RUNS * 2)
  }
}

const NONE = -1
const FULL_WORD = 0xffffffff
const FIRST_WORDS = 64
const FIRST_RUNS = 32
const RUNS_KEPT_MAX = 1 << 16
/** 256 words are 8192 slots: 32 MiB of 4 KiB chunks. */
const SEARCH_WORDS_MAX = 256
/** Groups that are not free, or runs, that one search for what came free passes: some 100 µs. */
const SEARCH_GROUPS_MAX = 1 << 14
/** Holes that a long write may leave behind it in a small delta. */
const HOLES_IGNORED = 1024
