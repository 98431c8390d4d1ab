import assert from 'node:assert/strict'
import { describe, expect, it } from '@jest/globals'
import { BASE, DeltaMap, ZERO } from '../../../lib/volume/delta/delta-map.js'
import { Random, seedOf, steps } from '../../support/random.js'

/** Chunks in one leaf of the table. */
const LEAF = 1024

describe('DeltaMap', () => {
  it('says base of every chunk at first, and takes no memory for it', () => {
    const map = new DeltaMap(2 ** 28)
    expect(map.get(0)).toBe(BASE)
    expect(map.get(2 ** 28 - 1)).toBe(BASE)
    expect(map.run(5, 1000)).toBe(1000)
    expect(map.memoryBytes).toBe(0)
  })

  it('takes 16 KiB for the first chunk, and at most twice what its leaves need as they become more', () => {
    const map = new DeltaMap(2 ** 24)
    const directory = (2 ** 24 / LEAF) * 4
    map.assign(0, 1, 1)
    // Beside the leaves two bytes each for a counter, for twice as many leaves as there is room for.
    expect(map.memoryBytes - directory).toBe(16384 + 4 * 2 * 2)
    for (let leaf = 1; leaf < 300; leaf++) {
      map.assign(leaf * LEAF, 1, leaf + 1)
      const most = Math.max(16384, 2 * (leaf + 1) * 4096, (leaf + 64) * 4096)
      assert.ok(map.memoryBytes - directory <= most + 4096, `${leaf + 1} leaves take ${map.memoryBytes - directory}`)
    }
    for (let leaf = 0; leaf < 300; leaf++) assert.equal(map.get(leaf * LEAF), leaf + 1)
  })

  it('keeps chunks beyond 2^31 apart', () => {
    const map = new DeltaMap(2 ** 33)
    map.assign(2 ** 32 + 7, 1, 5)
    expect(map.get(2 ** 32 + 7)).toBe(5)
    expect(map.get(7)).toBe(BASE)
    expect(map.get(2 ** 31 + 7)).toBe(BASE)
  })

  it('joins slots that follow each other over the edge of leaves, and only those', () => {
    const map = new DeltaMap(4 * LEAF)
    map.assign(LEAF - 3, 3, 101)
    map.assign(LEAF, LEAF + 2, 104)
    map.assign(2 * LEAF + 2, 1, 7)
    expect(map.run(LEAF - 3, 3 * LEAF)).toBe(LEAF + 5)
    expect(map.entry).toBe(101)
    expect(map.run(LEAF - 1, 10)).toBe(10)
    expect(map.entry).toBe(103)
    expect(map.run(2 * LEAF + 2, 100)).toBe(1)
  })

  it('parts two chunks of different kinds', () => {
    const map = new DeltaMap(LEAF)
    map.assign(1, 1, 5)
    expect([map.run(0, 2), map.run(1, 2), map.run(2, 2)]).toEqual([1, 1, 2])
  })

  it('adds no leaf for zeroes up to the end of a disk whose last leaf is a short one', () => {
    const map = new DeltaMap(LEAF + 10)
    expect(map.missingLeaves(0, LEAF + 10, ZERO)).toBe(0)
    map.assign(0, LEAF + 10, ZERO)
    expect(map.leafCount).toBe(0)
  })

  it('joins base and zeroes over leaves that are there, markers, and none', () => {
    const map = new DeltaMap(8 * LEAF)
    map.assign(10, 4 * LEAF, ZERO)
    expect(map.run(0, 8 * LEAF)).toBe(10)
    expect(map.run(10, 8 * LEAF - 10)).toBe(4 * LEAF)
    expect(map.entry).toBe(ZERO)
    expect(map.run(10 + 4 * LEAF, 8 * LEAF - 10 - 4 * LEAF)).toBe(4 * LEAF - 10)
    expect(map.entry).toBe(BASE)
  })

  it('zeroes a disk of 1 TiB in at most 1 MiB, whatever was in it', () => {
    const chunks = 2 ** 28
    const map = new DeltaMap(chunks)
    map.assign(5, 1, 1)
    const before = map.memoryBytes - 2 ** 20
    map.assign(0, chunks, ZERO)
    expect(map.leafCount).toBe(0)
    expect(map.memoryBytes).toBe(before + 2 ** 20)
    expect(map.get(5)).toBe(ZERO)
    expect(map.chunksMapped).toBe(0)
  })

  it(`takes 8 bytes for each 4 KiB that a file system writes, and one for each MiB of the disk (seed ${seedOf(3)})`, () => {
    const random = new Random(seedOf(3))
    const chunks = 2 ** 24
    const map = new DeltaMap(chunks)
    let slot = 0
    const write = (chunk: number, count: number) => {
      map.assign(chunk, count, slot + 1)
      slot += count
    }
    // As ext4 does: block groups of 128 MiB, metadata at their start, files of 4 KiB to 8 MiB behind each other in some of them.
    for (let group = 0; group < chunks; group += 2 ** 15) {
      if (random.chance(0.5)) continue
      write(group, 512)
      let at = group + 1024
      for (let files = random.int(300); files > 0; files--) {
        const length = 1 + random.int(random.pick([1, 4, 16, 64, 512, 2048]))
        if (at + length > group + 2 ** 15) break
        write(at, length)
        at += length + random.pick([0, 0, 0, 1, random.int(512)])
      }
    }
    expect(map.memoryBytes).toBeLessThanOrEqual(8 * slot + chunks / 256)
    // What is scattered as far as can be costs a leaf for each chunk, and that is the most: as much as the data.
    const worst = new DeltaMap(chunks)
    for (let at = 0; at < 4096; at++) worst.assign(at * 4096, 1, at + 1)
    expect([worst.leafCount, worst.memoryBytes <= 4096 * 4096 * 1.05 + chunks / 256]).toEqual([4096, true])
  })

  it('adds no leaf for the ends of what is unmapped, only where three pieces and more meet in one', () => {
    const map = new DeltaMap(2 ** 28)
    // A file system keeps 100 chunks of each 128 MiB, and of every other one the last 7 as well.
    for (let group = 0; group < 2 ** 13; group++) {
      const first = group * 2 ** 15
      const count = 2 ** 15 - 100 - (group % 2) * 7
      expect(map.missingLeaves(first + 100, count, ZERO)).toBe(0)
      map.assign(first + 100, count, ZERO)
    }
    expect([map.leafCount, map.memoryBytes]).toEqual([0, 2 ** 20])
    expect([map.get(99), map.get(100), map.get(2 ** 16 - 8), map.get(2 ** 16 - 7)]).toEqual([BASE, ZERO, ZERO, BASE])
    expect(map.missingLeaves(3, 1, ZERO)).toBe(1)
    map.assign(3, 1, ZERO)
    expect([map.leafCount, map.run(3, 1), map.run(4, 1000)]).toEqual([1, 1, 96])
    map.assign(0, 100, ZERO)
    expect(map.leafCount).toBe(0)
  })

  it('turns a leaf into a marker when its last chunk becomes zero, and back when one is written', () => {
    const map = new DeltaMap(LEAF + 10)
    for (let chunk = LEAF - 1; chunk >= 0; chunk--) map.assign(chunk, 1, ZERO)
    expect(map.leafCount).toBe(0)
    map.assign(3, 1, 1)
    expect(map.leafCount).toBe(1)
    expect([map.get(2), map.get(3), map.get(4)]).toEqual([ZERO, 1, ZERO])
    // The last leaf of the disk is a short one.
    for (let chunk = LEAF; chunk < LEAF + 10; chunk++) map.assign(chunk, 1, ZERO)
    expect(map.leafCount).toBe(1)
  })

  it('uses leaves again that came free', () => {
    const map = new DeltaMap(2 ** 20)
    map.assign(0, 1, 1)
    const bytes = map.memoryBytes
    for (let i = 0; i < 1000; i++) {
      map.assign(i * LEAF, 1, 1)
      assert.equal(map.get(i * LEAF + 1), BASE)
      map.assign(i * LEAF, LEAF, i % 2 === 0 ? ZERO : BASE)
    }
    expect(map.memoryBytes).toBe(bytes)
  })

  it('puts entries that lie anywhere where they belong, over leaves and markers, and leaves gaps alone', () => {
    const map = new DeltaMap(3 * LEAF)
    map.assign(LEAF, LEAF, ZERO)
    map.assignEntries(LEAF - 2, Uint32Array.of(50, BASE, BASE, 70, 9), 4)
    expect([LEAF - 2, LEAF - 1, LEAF, LEAF + 1, LEAF + 2].map((chunk) => map.get(chunk))).toEqual([
      50,
      BASE,
      ZERO,
      70,
      ZERO
    ])
    map.assignEntries(2 * LEAF, new Uint32Array(5), 5)
    expect([map.leafCount, map.chunksMapped]).toEqual([2, 2])
    // The last chunk of zeroes makes a marker of the leaf again.
    map.assign(LEAF + 1, 1, ZERO)
    expect([map.leafCount, map.chunksMapped]).toEqual([1, 1])
    expect(() => map.assignEntries(3 * LEAF - 1, Uint32Array.of(1, 2), 2)).toThrow(/chunks/)
  })

  it('shows the entries of a leaf, where it has one', () => {
    const map = new DeltaMap(2 * LEAF + 3)
    expect(map.leafIndexEnd).toBe(0)
    map.assign(LEAF, LEAF, ZERO)
    map.assign(2 * LEAF + 1, 1, 8)
    expect(map.leafIndexEnd).toBe(3)
    expect([0, 1].map((index) => map.leafEntries(index))).toEqual([undefined, undefined])
    expect([...map.leafEntries(2)!]).toEqual([BASE, 8, BASE])
  })

  it.each([
    ['before the disk', -1, 1],
    ['behind the disk', 100, 1],
    ['over its end', 99, 2]
  ])('takes a range %s for a mistake', (_title, chunk, count) => {
    expect(() => new DeltaMap(100).assign(chunk, count, ZERO)).toThrow(/chunks/)
  })

  it('takes a disk of more chunks than it can count for a mistake', () => {
    expect(() => new DeltaMap(2 ** 38 + 1)).toThrow(/chunks/)
  })

  for (const seed of [1, 2, 3].map(seedOf)) {
    it(`agrees with a plain array, and foretells its leaves, over random ranges (seed ${seed})`, () => {
      const random = new Random(seed)
      const size = 5 * LEAF + 300
      const map = new DeltaMap(size)
      const model = new Array<number>(size).fill(BASE)
      let slot = 1
      for (let step = 0; step < steps(3000); step++) {
        const chunk = random.int(size)
        const longest = random.pick([1, 3, 40, LEAF, 3 * LEAF])
        const count = Math.min(size - chunk, 1 + random.int(longest))
        if (random.chance(0.2)) {
          const length = Math.min(count, 40)
          const entries = Uint32Array.from({ length }, () => (random.chance(0.5) ? BASE : slot++))
          map.assignEntries(chunk, entries, length)
          entries.forEach((one, i) => (model[chunk + i] = one === BASE ? model[chunk + i]! : one))
        }
        const kind = random.int(4)
        const entry = kind === 0 ? ZERO : kind === 1 ? BASE : slot
        const leaves = map.leafCount
        const missing = map.missingLeaves(chunk, count, entry)
        map.assign(chunk, count, entry)
        assert(entry === BASE || map.leafCount <= leaves + missing, `step ${step}`)
        for (let i = 0; i < count; i++) model[chunk + i] = entry === slot ? slot + i : entry
        if (entry === slot) slot += count
        checkRun(map, model, random.int(size), random)
      }
      for (let chunk = 0; chunk < size; chunk++) if (map.get(chunk) !== model[chunk]) throw new Error(`chunk ${chunk}`)
      expect(map.chunksMapped).toBe(model.filter((entry) => entry !== BASE && entry !== ZERO).length)
      map.assign(0, size, BASE)
      expect([map.chunksMapped, map.leafCount]).toEqual([0, 0])
    })
  }
})

function checkRun(map: DeltaMap, model: number[], chunk: number, random: Random): void {
  const limit = 1 + random.int(model.length - chunk)
  const first = model[chunk]!
  const step = first === BASE || first === ZERO ? 0 : 1
  let wanted = 1
  while (wanted < limit && model[chunk + wanted] === first + step * wanted) wanted++
  assert.equal(map.run(chunk, limit), wanted)
  assert.equal(map.entry, first)
}
