import assert from 'node:assert/strict'
import { describe, expect, it } from '@jest/globals'
import { Slots } from '../../../lib/volume/delta/slots.js'
import { Random, seedOf, steps } from '../../support/random.js'

/** A barrier that covers everything that is committed. */
function flush(slots: Slots): void {
  slots.seal()
  slots.unseal(true)
}

describe('Slots', () => {
  it('gives fresh slots one behind the other', () => {
    const slots = new Slots()
    expect([slots.take(1), slots.take(5), slots.take(1)]).toEqual([0, 1, 6])
    expect([slots.highWater, slots.usedCount]).toEqual([7, 7])
  })

  it('gives a freed slot again when a barrier behind the commit is on the medium, not before', () => {
    const slots = new Slots()
    slots.take(4)
    slots.free(2, 1)
    expect(slots.take(1)).toBe(4)
    slots.commit()
    expect([slots.awaitsBarrier, slots.take(1)]).toEqual([true, 5])
    flush(slots)
    expect([slots.awaitsBarrier, slots.take(1)]).toEqual([false, 2])
  })

  it('gives a whole row where one is asked for, from the end if no hole is long enough', () => {
    const slots = new Slots()
    slots.take(4000)
    for (const first of [10, 20]) slots.free(first, 4)
    slots.commit()
    flush(slots)
    expect([slots.takeRow(6), slots.granted]).toEqual([4000, 6])
    expect([slots.takeRow(4), slots.granted]).toEqual([10, 4])
    expect([slots.highWater, slots.usedCount]).toEqual([4006, 4002])
  })

  it('keeps a slot that a rollback has mapped again', () => {
    const slots = new Slots()
    slots.take(4)
    slots.free(2, 1)
    slots.rollback()
    slots.commit()
    flush(slots)
    expect(slots.take(1)).toBe(4)
    expect(slots.usedCount).toBe(5)
  })

  it('waits for the reads that began before the commit, not for those that began behind it', () => {
    const slots = new Slots()
    slots.take(4)
    const before = slots.beginRead()
    slots.free(2, 1)
    slots.commit()
    flush(slots)
    const behind = slots.beginRead()
    expect(slots.take(1)).toBe(4)
    slots.endRead(before)
    expect(slots.take(1)).toBe(2)
    slots.endRead(behind)
  })

  it('keeps what is freed while older slots wait until the reads of both times have ended', () => {
    const slots = new Slots()
    slots.take(4)
    const first = slots.beginRead()
    slots.free(0, 1)
    slots.commit()
    flush(slots)
    const second = slots.beginRead()
    slots.free(1, 1)
    slots.commit()
    flush(slots)
    slots.endRead(first)
    expect(slots.take(1)).toBe(0)
    expect(slots.take(1)).toBe(4)
    slots.endRead(second)
    expect(slots.take(1)).toBe(1)
  })

  it('keeps discarded slots from readers that may know them', () => {
    const slots = new Slots()
    slots.take(2)
    const read = slots.beginRead()
    slots.discard(1, 1)
    slots.settle()
    expect(slots.take(1)).toBe(2)
    slots.endRead(read)
    expect(slots.take(1)).toBe(1)
  })

  it('keeps a long request in one piece while holes are few', () => {
    const slots = new Slots()
    slots.take(64)
    for (let slot = 0; slot < 64; slot += 2) slots.free(slot, 1)
    slots.commit()
    flush(slots)
    expect([slots.take(8), slots.granted]).toEqual([64, 8])
    expect([slots.take(1), slots.granted]).toEqual([0, 1])
  })

  it('fills a hole that is long enough with a long request', () => {
    const slots = new Slots()
    slots.take(100)
    slots.free(31, 40)
    slots.commit()
    flush(slots)
    expect([slots.take(40), slots.granted]).toEqual([31, 40])
  })

  it('fills holes in pieces rather than let the file grow far beyond what is in it', () => {
    const slots = new Slots()
    slots.take(16384)
    for (let slot = 0; slot < 16384; slot += 2) slots.free(slot, 1)
    slots.commit()
    flush(slots)
    let taken = 0
    while (taken < 8192) {
      slots.take(8192 - taken)
      taken += slots.granted
    }
    // An eighth and 1024 slots more than what is in it.
    expect(slots.highWater).toBeLessThanOrEqual(16384 + 2048 + 1024)
  })

  it('says when a slot is claimed twice', () => {
    const slots = new Slots()
    expect(slots.claim(10, 5)).toBe(true)
    expect(slots.claim(0, 10)).toBe(true)
    expect(slots.claim(14, 3)).toBe(false)
    expect(slots.highWater).toBe(17)
  })

  it('claims the slots that entries of a map name, and says at which of them it cannot', () => {
    const slots = new Slots()
    // Slots 4 and 70, the base, zeroes, a copy of the base.
    expect(slots.claimEntries(Uint32Array.of(5, 0, 71, 0xffffffff, 0x80000007), 71)).toBe(-1)
    expect([slots.usedCount, slots.highWater]).toEqual([2, 71])
    expect(slots.claimEntries(Uint32Array.of(0, 6, 71), 71)).toBe(2)
    expect(slots.claimEntries(Uint32Array.of(1, 2, 3, 4, 72), 71)).toBe(4)
    expect(slots.usedCount).toBe(7)
    const whole = Array.from({ length: 71 }, (_, slot) => slot)
    expect(whole.filter((slot) => !slots.claim(slot, 1))).toEqual([0, 1, 2, 3, 4, 5, 70])
  })

  it('takes it for a mistake when a slot comes back twice or a read ends twice', () => {
    const slots = new Slots()
    slots.take(1)
    slots.untake(0, 1)
    expect(() => slots.untake(0, 1)).toThrow(/twice/)
    expect(() => slots.endRead(0)).toThrow(/twice/)
  })

  it('keeps what was sealed when the barrier did not come about', () => {
    const slots = new Slots()
    slots.take(2)
    slots.free(0, 1)
    slots.commit()
    slots.seal()
    slots.unseal(false)
    expect([slots.awaitsBarrier, slots.take(1)]).toEqual([true, 2])
    flush(slots)
    expect(slots.take(1)).toBe(0)
  })

  it('does not give before the next barrier what is committed while one is written', () => {
    const slots = new Slots()
    slots.take(2)
    slots.seal()
    slots.free(0, 1)
    slots.commit()
    slots.unseal(true)
    expect(slots.take(1)).toBe(2)
    flush(slots)
    expect(slots.take(1)).toBe(0)
  })

  it('leaves the holes of a map that was read back alone until the first barrier', () => {
    const slots = new Slots()
    slots.claim(5, 1)
    // The file is longer than what the map names: what it unmapped last was at the end.
    slots.keepHoles(8)
    expect([slots.awaitsBarrier, slots.take(1)]).toEqual([true, 8])
    flush(slots)
    expect([slots.awaitsBarrier, slots.take(1)]).toEqual([false, 0])
  })

  for (const seed of [1, 2].map(seedOf)) {
    it(`never gives a slot that is in use, waits, or may be read (seed ${seed})`, () => {
      const random = new Random(seed)
      const slots = new Slots()
      const mapped: number[] = []
      const freed: number[] = []
      const committed: number[] = []
      const sealed: number[] = []
      /** Slots that no longer may be given, by the reads that know them. */
      let waiting: { slot: number; readers: Set<symbol> }[] = []
      const reads = new Map<symbol, 0 | 1>()
      for (let step = 0; step < steps(5000); step++) {
        const dice = random.int(7)
        if (dice < 2) {
          const slot = slots.take(1 + random.int(9))
          for (let i = slot; i < slot + slots.granted; i++) {
            const inUse =
              [mapped, freed, committed].some((list) => list.includes(i)) ||
              waiting.some((w) => w.slot === i && w.readers.size > 0)
            assert(!inUse, `slot ${i} in step ${step}`)
            mapped.push(i)
          }
        } else if (dice === 2 && mapped.length > 20) {
          for (let n = random.int(12); n >= 0; n--) {
            const slot = mapped.splice(random.int(mapped.length), 1)[0]!
            slots.free(slot, 1)
            freed.push(slot)
          }
        } else if (dice === 3) {
          slots.commit()
          committed.push(...freed.splice(0))
        } else if (dice === 4) {
          slots.seal()
          slots.commit()
          sealed.push(...committed.splice(0))
          committed.push(...freed.splice(0))
          const covered = random.chance(0.7)
          slots.unseal(covered)
          if (covered) for (const slot of sealed.splice(0)) waiting.push({ slot, readers: new Set(reads.keys()) })
          else committed.push(...sealed.splice(0))
        } else if (dice === 5 && reads.size < 6) reads.set(Symbol('read'), slots.beginRead())
        else if (reads.size > 0) {
          const read = random.pick([...reads.keys()])
          slots.endRead(reads.get(read)!)
          reads.delete(read)
          for (const one of waiting) one.readers.delete(read)
          waiting = waiting.filter((one) => one.readers.size > 0)
        }
      }
      for (const generation of reads.values()) slots.endRead(generation)
      slots.commit()
      flush(slots)
      expect(slots.usedCount).toBe(mapped.length)
    })
  }
})
