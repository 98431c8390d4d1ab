import assert from 'node:assert/strict'
import { describe, expect, it } from '@jest/globals'
import { BASE, DeltaMap, ZERO, isSlot } from '../../../lib/volume/delta/delta-map.js'
import { Neighbourhood, groupOf } from '../../../lib/volume/delta/neighbourhood.js'
import { Slots } from '../../../lib/volume/delta/slots.js'
import { Random, seedOf, steps } from '../../support/random.js'

const GROUP = 16
const CHUNKS = 2 ** 16

/** A delta without files: what is written gets slots, what is unmapped gives them back behind a flush. */
class Bench {
  readonly map = new DeltaMap(CHUNKS)
  readonly slots: Slots
  private readonly neighbourhood: Neighbourhood

  constructor(slotCountMax?: number) {
    this.slots = new Slots(slotCountMax)
    this.neighbourhood = new Neighbourhood(this.map, this.slots, GROUP)
  }

  /** As the overlay does: in as many pieces as slots are granted. */
  write(chunk: number, count = 1): void {
    for (let done = 0; done < count;) {
      const slot = this.neighbourhood.take(chunk + done, count - done)
      assert(slot >= 0 && this.slots.granted > 0 && this.slots.granted <= count - done)
      this.map.assign(chunk + done, this.slots.granted, slot + 1)
      done += this.slots.granted
    }
  }

  unmap(chunk: number, count: number): void {
    for (let at = chunk; at < chunk + count; at++) {
      const entry = this.map.get(at)
      if (isSlot(entry)) this.slots.free(entry - 1, 1)
    }
    this.map.assign(chunk, count, ZERO)
  }

  flush(): void {
    this.slots.commit()
    this.slots.seal()
    this.slots.unseal(true)
  }

  /** In how many pieces a range lies. */
  pieces(chunk: number, count: number): number {
    let pieces = 0
    for (let done = 0; done < count; pieces++) done += this.map.run(chunk + done, count - done)
    return pieces
  }
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index)
}

describe('Neighbourhood', () => {
  it.each([
    [4096, 16],
    [16384, 4],
    [65536, 1],
    [1 << 20, 1]
  ])('is 64 KiB of the disk: of chunks of %d bytes it has %d', (chunkSize, group) => {
    expect(groupOf(chunkSize)).toBe(group)
  })

  for (const seed of [1, 2].map(seedOf)) {
    it(`reads a neighbourhood back in five pieces, in whatever order it was written (seed ${seed})`, () => {
      const bench = new Bench()
      for (const chunk of new Random(seed).shuffle(upTo(2048))) bench.write(chunk)
      let pieces = 0
      for (let chunk = 0; chunk < 2048; chunk += GROUP) pieces += bench.pieces(chunk, GROUP)
      // Two chunks of sixteen are astray, and each of them cuts its neighbourhood in three.
      expect(pieces).toBeLessThanOrEqual(5 * 128)
      expect(bench.slots.usedCount).toBe(2048)
      // Each place is taken or was filled: the file is hardly longer than what is in it.
      expect(bench.slots.highWater).toBeLessThanOrEqual(2048 + 3 * 128)
    })
  }

  it('keeps what is written in sequence in one piece, wherever it begins', () => {
    for (const first of [0, 5, 15]) {
      const bench = new Bench()
      for (let chunk = first; chunk < first + 200; chunk++) bench.write(chunk)
      expect(bench.pieces(first, 200)).toBe(1)
      expect(bench.slots.highWater).toBe(200)
    }
  })

  it('keeps two files apart that are written by turns', () => {
    const bench = new Bench()
    for (let at = 0; at < 160; at++) {
      bench.write(at)
      bench.write(4096 + at)
    }
    expect([bench.pieces(0, 160), bench.pieces(4096, 160)].every((pieces) => pieces <= 30)).toBe(true)
  })

  it('puts what is scattered close together', () => {
    const bench = new Bench()
    for (let at = 0; at < 1000; at++) bench.write(((at * 37) % 2048) * 32)
    expect([bench.slots.highWater, bench.slots.usedCount]).toEqual([1000, 1000])
  })

  it('takes a row for a long write, and goes on behind the chunk before', () => {
    const bench = new Bench()
    bench.write(3, 100)
    bench.write(103, 7)
    bench.write(110, 64)
    expect([bench.pieces(3, 171), bench.slots.highWater]).toEqual([1, 171])
  })

  it('keeps places for neighbours alone, until nothing is left of their group', () => {
    const bench = new Bench()
    for (const chunk of [0, 7, 3]) bench.write(chunk)
    // The third opened a group behind the two: slots 16 to 31.
    expect(bench.map.get(3) - 1).toBe(19)
    for (let at = 0; at < 14; at++) bench.write(1000 + at * 100)
    expect(upTo(14).map((at) => bench.map.get(1000 + at * 100) - 1)).toEqual(upTo(14).map((at) => at + 2))
    bench.write(30000)
    expect(bench.map.get(30000) - 1).toBe(32)
    bench.unmap(3, 1)
    bench.flush()
    bench.write(40000, 15)
    expect(bench.map.get(40000) - 1).toBe(16)
  })

  it('gives a slot that comes free in a group to whoever wants one', () => {
    const bench = new Bench()
    for (const chunk of [0, 7, 3, 4]) bench.write(chunk)
    for (let at = 0; at < 14; at++) bench.write(1000 + at * 100)
    bench.unmap(3, 1)
    bench.flush()
    bench.write(50000)
    expect(bench.map.get(50000) - 1).toBe(19)
    // Its neighbour still finds its own place.
    bench.write(5)
    expect(bench.map.get(5) - 1).toBe(21)
  })

  it('opens a group in a place where one came free as a whole', () => {
    const bench = new Bench()
    bench.write(0, 64)
    bench.unmap(16, 16)
    bench.flush()
    for (let at = 0; at < 2; at++) bench.slots.take(1)
    expect(bench.slots.takeInGroup(GROUP, 5, 2)).toBe(64 + 5)
    bench.unmap(32, 16)
    bench.flush()
    expect(bench.slots.takeInGroup(GROUP, 5, 2)).toBe(32 + 5)
  })

  it('finds its groups again in a map that was read back', () => {
    const bench = new Bench()
    for (const chunk of [1, 7, 3, 4]) bench.write(chunk)
    const slots = new Slots()
    for (const chunk of [1, 7, 3, 4]) slots.claim(bench.map.get(chunk) - 1, 1)
    slots.keepHoles(32)
    slots.keepGroups(GROUP)
    const again = new Neighbourhood(bench.map, slots, GROUP)
    // Before the first barrier nobody knows which holes are holes.
    expect(again.take(5, 1)).toBeGreaterThanOrEqual(32)
    slots.seal()
    slots.unseal(true)
    slots.findGroups()
    expect(again.take(6, 1)).toBe(22)
    expect(slots.take(1)).toBeGreaterThanOrEqual(2)
    expect(slots.isKept(17)).toBe(true)
  })

  it('finds the groups of a long file part by part, while others take slots', () => {
    const slots = new Slots()
    const groups = 2000
    for (let index = 0; index < groups; index++) slots.claim(index * GROUP, 3)
    slots.keepGroups(GROUP)
    expect([slots.isKept(3), slots.awaitsGroups]).toEqual([false, true])
    slots.findGroups()
    // 8192 slots: 512 groups.
    expect([3, 511 * GROUP + 3, 512 * GROUP + 3].map((slot) => slots.isKept(slot))).toEqual([true, true, false])
    // A hole that is taken before its group is found is as good as any.
    expect(slots.takeAt(600 * GROUP + 3, 1)).toBe(true)
    expect(slots.takeInGroup(GROUP, 0, 1)).toBe(groups * GROUP)
    for (let part = 2; part <= 4; part++) slots.findGroups()
    expect(slots.awaitsGroups).toBe(false)
    const kept = upTo(slots.highWater).filter((slot) => slots.isKept(slot))
    // Of the last group that was read back the file had no more than three slots.
    expect(kept).toHaveLength((groups - 1) * 13 - 1 + 15)
    expect(slots.isKept((groups - 1) * GROUP - 1)).toBe(true)
    expect(slots.isKept((groups - 1) * GROUP + 3)).toBe(false)
    expect(slots.isKept(600 * GROUP + 3)).toBe(false)
  })

  it('looks for no more groups when the numbers of slots have run out', () => {
    const slots = new Slots(16_000)
    for (let slot = 0; slot < 16_000; slot += 2) slots.claim(slot, 1)
    slots.keepGroups(GROUP)
    slots.findGroups()
    expect(slots.awaitsGroups).toBe(true)
    while (slots.usedCount < 16_000) slots.take(1)
    expect(slots.awaitsGroups).toBe(false)
  })

  it('forgets groups when the numbers of slots run out, and gives every last one', () => {
    const bench = new Bench(256)
    // A neighbourhood of three each: two astray, one in a group of its own.
    for (let at = 0; at < 8; at++) for (const chunk of [0, 7, 3]) bench.write(at * GROUP + chunk)
    expect(bench.slots.usedCount).toBe(24)
    for (let at = 0; at < 256 - 24; at++) bench.write(1000 + at * 20)
    expect(bench.slots.usedCount).toBe(256)
    expect(bench.slots.take(1)).toBe(-1)
  })

  for (const seed of [1, 2].map(seedOf)) {
    it(`never gives a slot twice, and keeps the file short (seed ${seed})`, () => {
      const random = new Random(seed)
      const bench = new Bench()
      const owner = new Map<number, number>()
      for (let step = 0; step < steps(4000); step++) {
        const chunk = random.pick([random.int(256), random.int(CHUNKS - 64)])
        const count = random.pick([1, 1, 1, 4, 40])
        if (random.chance(0.25)) {
          for (let at = chunk; at < chunk + count; at++)
            if (isSlot(bench.map.get(at))) owner.delete(bench.map.get(at) - 1)
          bench.unmap(chunk, count)
        } else if (bench.map.run(chunk, count) === count && !isSlot(bench.map.entry)) {
          bench.write(chunk, count)
          for (let at = chunk; at < chunk + count; at++) {
            const slot = bench.map.get(at) - 1
            assert(!owner.has(slot), `slot ${slot} in step ${step}`)
            owner.set(slot, at)
          }
        }
        if (random.chance(0.05)) bench.flush()
      }
      bench.flush()
      expect(bench.slots.usedCount).toBe(owner.size)
      // A group is opened for a third chunk, so what is kept is at most thirteen places for three chunks.
      expect(bench.slots.highWater).toBeLessThan(owner.size * 6 + 2048)
      bench.unmap(0, CHUNKS)
      bench.flush()
      expect([bench.slots.usedCount, bench.map.get(5)]).toEqual([0, ZERO])
      expect(bench.map.chunksMapped).toBe(BASE)
    })
  }
})
