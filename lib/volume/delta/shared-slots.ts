/**
 * Slots that more than one chunk is in, because one was copied to another. What such a slot holds never changes: a write
 * to one of its chunks goes to a new slot. That stays so until the slot is given out anew, also when a single chunk is
 * left in it. A read under way may still mean the other chunk, and so does the map of the last barrier, which a power
 * cut brings back.
 *
 * Slots that were never shared are not in here and belong to one chunk. A page of counters exists only where slots were
 * shared, so a delta in which nothing was copied pays for one look at {@link any}.
 */
export class SharedSlots {
  /** Whether there ever was one. */
  any = false
  /** Of a shared slot: chunks that are in it, and 1 more. */
  private readonly pages: (Uint32Array | undefined)[] = []
  private pageCount = 0

  /** Bytes of memory. */
  get memoryBytes(): number {
    return this.pageCount * PAGE_SLOTS * 4
  }

  has(slot: number): boolean {
    return this.any && this.value(slot) !== NOT_SHARED
  }

  /** How many slots from `slot` on, at most `limit`, are shared or not as the first one is. */
  run(slot: number, limit: number): number {
    if (!this.any) return limit
    const shared = this.has(slot)
    let count = 1
    while (count < limit && this.has(slot + count) === shared) count++
    return count
  }

  /** One more chunk is in each of these slots, which some chunk was in before. */
  add(slot: number, count: number): void {
    for (let i = slot; i < slot + count; i++) {
      const value = this.value(i)
      this.set(i, value === NOT_SHARED ? NOBODY + 2 : value + 1)
    }
  }

  /**
   * A chunk is not in these slots any more.
   * @param left - is given the runs of slots that no chunk is in now
   */
  drop(slot: number, count: number, left: (slot: number, count: number) => void): void {
    if (!this.any) return left(slot, count)
    let first = slot
    for (let i = slot; i < slot + count; i++) {
      if (this.dropOne(i)) continue
      if (i > first) left(first, i - first)
      first = i + 1
    }
    if (slot + count > first) left(first, slot + count - first)
  }

  /** A chunk is back in these slots: a {@link drop} is undone. Returns how many of them no chunk was in. */
  restore(slot: number, count: number): number {
    if (!this.any) return count
    let revived = 0
    for (let i = slot; i < slot + count; i++) {
      const value = this.value(i)
      if (value !== NOT_SHARED) this.set(i, value + 1)
      if (value <= NOBODY) revived++
    }
    return revived
  }

  /** These slots are given out anew. */
  forget(slot: number, count: number): void {
    if (!this.any) return
    for (let i = slot; i < slot + count; i++) if (this.value(i) !== NOT_SHARED) this.set(i, NOT_SHARED)
  }

  /** A journal says that these slots are shared; {@link claim} will tell by how many. */
  mark(slot: number, count: number): void {
    for (let i = slot; i < slot + count; i++) if (this.value(i) === NOT_SHARED) this.set(i, NOBODY)
  }

  /** A finished map has a chunk in this shared slot. True for the first one. */
  claim(slot: number): boolean {
    const value = this.value(slot)
    this.set(slot, value + 1)
    return value === NOBODY
  }

  /** True when no chunk is left. */
  private dropOne(slot: number): boolean {
    const value = this.value(slot)
    if (value === NOT_SHARED) return true
    this.set(slot, value - 1)
    return value - 1 === NOBODY
  }

  private value(slot: number): number {
    const page = this.pages[Math.floor(slot / PAGE_SLOTS)]
    return page === undefined ? NOT_SHARED : page[slot % PAGE_SLOTS]!
  }

  private set(slot: number, value: number): void {
    this.any = true
    const index = Math.floor(slot / PAGE_SLOTS)
    let page = this.pages[index]
    if (page === undefined) {
      page = new Uint32Array(PAGE_SLOTS)
      this.pages[index] = page
      this.pageCount++
    }
    page[slot % PAGE_SLOTS] = value
  }
}

const PAGE_SLOTS = 1024
const NOT_SHARED = 0
/** Shared once, and no chunk is in it: it waits to be given out anew, or to be restored. */
const NOBODY = 1
