import assert from 'node:assert/strict'
import { describe, expect, it } from '@jest/globals'
import { MemoryVolume } from '../../../lib/volume/drivers/memory.js'
import { ZeroVolume } from '../../../lib/volume/drivers/zero.js'
import { CacheVolume, SharedCache } from '../../../lib/volume/layers/cache.js'
import { FaultPlan, FaultVolume } from '../../../lib/volume/layers/fault.js'
import { readVolume } from '../../../lib/volume/promises.js'
import { BlockIo } from '../../../lib/volume/block-io.js'
import { codeOf } from '../../../lib/util/errors.js'
import { failure, settle, volumeContract } from '../../contracts/volume.contract.js'
import { Random, seedOf } from '../../support/random.js'

const CHUNK = 65536
/** Ten chunks and a part of one. */
const content = new Random(6).bytes(Buffer.alloc(10 * CHUNK + 1536))

/** Counts the reads that reach it. */
class Counted extends MemoryVolume {
  reads: number[] = []

  constructor() {
    super(content.length, true, content)
  }

  override read(io: BlockIo): void {
    this.reads.push(io.offset)
    super.read(io)
  }
}

for (const chunks of [1, 3, 100]) {
  volumeContract(
    `a cache of ${chunks} chunks`,
    () => ({ volume: new CacheVolume(new Counted(), new SharedCache(chunks * CHUNK), 1), content }),
    { writable: false, requestBytesMax: 4 * CHUNK }
  )
}

async function opened(sizeBytes: number) {
  const base = new Counted()
  const plan = new FaultPlan()
  const cache = new SharedCache(sizeBytes)
  const volume = new CacheVolume(new FaultVolume(base, plan), cache, 5)
  await volume.open()
  return { base, plan, cache, volume }
}

function bytesAt(offset: number, length: number): Buffer {
  return content.subarray(offset, offset + length)
}

describe('a read cache', () => {
  it('reads a chunk once and answers synchronously from then on', async () => {
    const { volume, base } = await opened(20 * CHUNK)
    const buffer = Buffer.alloc(4096)
    expect(volume.tryRead(buffer, 0, 4096, 70000)).toBe(false)
    await readVolume(volume, buffer, 70000)
    expect(buffer.equals(bytesAt(70000, 4096))).toBe(true)
    for (const offset of [65536, 100000, 131072 - 4096]) {
      expect(volume.tryRead(buffer, 0, 4096, offset)).toBe(true)
      expect(buffer.equals(bytesAt(offset, 4096))).toBe(true)
    }
    expect(base.reads).toEqual([65536])
  })

  it('answers synchronously only when all chunks of the range are there', async () => {
    const { volume } = await opened(20 * CHUNK)
    await readVolume(volume, Buffer.alloc(1), 0)
    const buffer = Buffer.alloc(2 * CHUNK, 0x5a)
    expect(volume.tryRead(buffer, 0, 2 * CHUNK, 0)).toBe(false)
    await readVolume(volume, Buffer.alloc(1), CHUNK)
    expect(volume.tryRead(buffer, 0, 2 * CHUNK, 0)).toBe(true)
    expect(buffer.equals(bytesAt(0, 2 * CHUNK))).toBe(true)
  })

  it('joins misses of one chunk that come together to one read', async () => {
    const { volume, base, plan, cache } = await opened(20 * CHUNK)
    plan.add({ verb: 'read', effect: { kind: 'hold' } })
    const buffers = Array.from({ length: 100 }, () => Buffer.alloc(1000))
    const reads = buffers.map((buffer, i) => settle((io) => volume.read(io.set(buffer, 0, 1000, 3 * CHUNK + i * 600))))
    expect(plan.held).toBe(1)
    expect(cache.fillCount).toBe(1)
    plan.releaseAll()
    await Promise.all(reads)
    buffers.forEach((buffer, i) => expect(buffer.equals(bytesAt(3 * CHUNK + i * 600, 1000))).toBe(true))
    expect(base.reads).toEqual([3 * CHUNK])
    expect(cache.counters.joined).toBe(99)
  })

  it('gives everyone who waited the error, and tries again for the next', async () => {
    const { volume, plan, cache } = await opened(20 * CHUNK)
    plan.add({ verb: 'read', times: 1, effect: { kind: 'error', code: 'EIO' } })
    const buffer = Buffer.alloc(10)
    const failed = await Promise.all([0, 1, 2].map((i) => failure((io) => volume.read(io.set(buffer, 0, 10, i)))))
    expect(failed.map(codeOf)).toEqual(['EIO', 'EIO', 'EIO'])
    expect(cache.chunkCount).toBe(0)
    await readVolume(volume, buffer, 0)
    expect(buffer.equals(bytesAt(0, 10))).toBe(true)
    expect(cache.chunkCount).toBe(1)
  })

  it('fails a read of which one chunk fails, after all of its chunks have ended', async () => {
    const { volume, plan } = await opened(20 * CHUNK)
    plan.add({ verb: 'read', range: { offset: 2 * CHUNK, length: 1 }, effect: { kind: 'error', code: 'EIO' } })
    plan.add({ verb: 'read', range: { offset: 3 * CHUNK, length: 1 }, effect: { kind: 'hold' } })
    let ended = false
    const read = failure((io) => volume.read(io.set(Buffer.alloc(4 * CHUNK), 0, 4 * CHUNK, CHUNK)))
    const watched = read.then(() => (ended = true))
    await settle((io) => volume.read(io.set(Buffer.alloc(1), 0, 1, 6 * CHUNK)))
    await settle((io) => volume.read(io.set(Buffer.alloc(1), 0, 1, 7 * CHUNK)))
    expect(ended).toBe(false)
    plan.releaseAll()
    expect(codeOf(await read)).toBe('EIO')
    await watched
  })

  it('drops the chunk that was used least lately', async () => {
    const { volume, base, cache } = await opened(3 * CHUNK)
    const one = Buffer.alloc(1)
    for (const chunk of [0, 1, 2]) await readVolume(volume, one, chunk * CHUNK)
    expect(volume.tryRead(one, 0, 1, 0)).toBe(true)
    await readVolume(volume, one, 3 * CHUNK)
    expect(cache.chunkCount).toBe(3)
    expect([0, 1, 2, 3].map((chunk) => volume.tryRead(one, 0, 1, chunk * CHUNK))).toEqual([true, false, true, true])
    expect(base.reads).toHaveLength(4)
  })

  it('reads past the cache when every slot is being filled', async () => {
    const { volume, plan, cache } = await opened(2 * CHUNK)
    plan.add({ verb: 'read', times: 4, effect: { kind: 'hold' } })
    const buffer = Buffer.alloc(4 * CHUNK)
    const read = settle((io) => volume.read(io.set(buffer, 0, buffer.length, 100)))
    expect(cache.fillCount).toBe(2)
    expect(cache.counters.bypassed).toBe(3)
    plan.release(3)
    plan.releaseAll()
    await read
    expect(buffer.equals(bytesAt(100, buffer.length))).toBe(true)
  })

  it('never has more than 256 reads of chunks under way', async () => {
    const base = new MemoryVolume(400 * CHUNK, true)
    const plan = new FaultPlan().add({ verb: 'read', effect: { kind: 'hold' } })
    const cache = new SharedCache(400 * CHUNK)
    const volume = new CacheVolume(new FaultVolume(base, plan), cache, 5)
    await volume.open()
    const reads = Array.from({ length: 400 }, (_, i) =>
      settle((io) => volume.read(io.set(Buffer.alloc(1), 0, 1, i * CHUNK)))
    )
    // The others wait their turn, so that whoever wants the same chunk finds them.
    expect([plan.held, cache.fillCount, cache.counters.bypassed]).toEqual([256, 400, 0])
    plan.release(7)
    await new Promise((resolve) => setImmediate(resolve))
    await new Promise((resolve) => setImmediate(resolve))
    expect([plan.held, cache.fillCount]).toEqual([256, 399])
    plan.clear()
    plan.releaseAll()
    await Promise.all(reads)
    expect([cache.fillCount, cache.chunkCount]).toEqual([0, 400])
  })

  it('lets 4096 chunks wait to be read, and reads past the cache beyond that', async () => {
    const base = new ZeroVolume(5000 * CHUNK)
    const plan = new FaultPlan().add({ verb: 'read', effect: { kind: 'hold' } })
    const cache = new SharedCache(5000 * CHUNK)
    const volume = new CacheVolume(new FaultVolume(base, plan), cache, 5)
    await volume.open()
    const one = Buffer.alloc(1)
    for (let chunk = 0; chunk < 4400; chunk++) volume.read(new BlockIo(() => undefined).set(one, 0, 1, chunk * CHUNK))
    expect([cache.fillCount, cache.counters.bypassed]).toEqual([256 + 4096, 4400 - 256 - 4096])
  })

  for (const seed of [1, 2].map(seedOf)) {
    it(`reads each byte of a slow medium once for a hundred clients that start one after the other (seed ${seed})`, async () => {
      const random = new Random(seed)
      const { volume, base, plan, cache } = await opened(64 * CHUNK)
      plan.add({ verb: 'read', effect: { kind: 'hold' } })
      let running = 100
      const boot = async (start: number) => {
        const buffer = Buffer.alloc(16384)
        for (let turn = 0; turn < start; turn++) await new Promise((resolve) => setImmediate(resolve))
        for (let offset = 0; offset < content.length; offset += buffer.length) {
          const length = Math.min(buffer.length, content.length - offset)
          if (!volume.tryRead(buffer, 0, length, offset)) await readVolume(volume, buffer.subarray(0, length), offset)
          assert(buffer.subarray(0, length).equals(bytesAt(offset, length)))
        }
        running--
      }
      const boots = Array.from({ length: 100 }, (_, client) => boot(client % 10))
      while (running > 0) {
        await new Promise((resolve) => setImmediate(resolve))
        if (plan.held > 0 && random.chance(0.2)) plan.release(random.int(plan.held))
      }
      await Promise.all(boots)
      expect(base.reads.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 11 }, (_, chunk) => chunk * CHUNK))
      expect(cache.counters.joined).toBeGreaterThan(500)
    })
  }

  it('keeps layers apart and forgets one of them', async () => {
    const cache = new SharedCache(20 * CHUNK)
    const layers = [0, 1, 2 ** 21 - 1].map((id) => {
      const base = new MemoryVolume(2 * CHUNK, true, Buffer.alloc(2 * CHUNK, 1 + (id % 7)))
      return { volume: new CacheVolume(base, cache, id), byte: 1 + (id % 7) }
    })
    const one = Buffer.alloc(1)
    for (const { volume, byte } of layers) {
      await volume.open()
      await readVolume(volume, one, CHUNK)
      expect(one[0]).toBe(byte)
    }
    for (const { volume, byte } of layers) {
      expect(volume.tryRead(one, 0, 1, CHUNK)).toBe(true)
      expect(one[0]).toBe(byte)
    }
    cache.forget(1)
    expect(layers.map(({ volume }) => volume.tryRead(one, 0, 1, CHUNK))).toEqual([true, false, true])
    await layers[0]!.volume.close()
    expect(cache.chunkCount).toBe(1)
  })

  it('does not keep what was being read when its layer was forgotten', async () => {
    const { volume, plan, cache, base } = await opened(20 * CHUNK)
    plan.add({ verb: 'read', times: 1, effect: { kind: 'hold' } })
    const buffer = Buffer.alloc(5)
    const first = settle((io) => volume.read(io.set(buffer, 0, 5, 0)))
    cache.forget(5)
    const late = Buffer.alloc(5)
    await settle((io) => volume.read(io.set(late, 0, 5, 0)))
    plan.releaseAll()
    await first
    expect(buffer.equals(bytesAt(0, 5))).toBe(true)
    expect(cache.chunkCount).toBe(0)
    // The late one did not take the bytes of the read that had begun before.
    expect(base.reads).toEqual([0, 0])
  })

  it('returns every slot, whatever happened', async () => {
    const seed = seedOf(12)
    const random = new Random(seed)
    const { volume, plan, cache } = await opened(5 * CHUNK)
    plan.add({ verb: 'read', times: 30, effect: { kind: 'hold' } })
    const faults = new Random(seed + 1)
    for (let round = 0; round < 60; round++) {
      const reads = Array.from({ length: 6 }, () => {
        const length = 1 + random.int(3 * CHUNK)
        const offset = random.int(content.length - length)
        const buffer = Buffer.alloc(length)
        return settle((io) => volume.read(io.set(buffer, 0, length, offset))).then(
          () => expect(buffer.equals(bytesAt(offset, length))).toBe(true),
          (error: unknown) => expect(codeOf(error)).toBe('EIO')
        )
      })
      while (plan.held > 0) plan.release(faults.int(plan.held))
      if (round === 20) plan.add({ verb: 'read', times: 20, effect: { kind: 'error', code: 'EIO' } })
      if (faults.chance(0.1)) cache.forget(5)
      await Promise.all(reads)
    }
    cache.forget(5)
    // All five slots can be filled again at once.
    plan.clear()
    plan.add({ verb: 'read', effect: { kind: 'hold' } })
    const all = settle((io) => volume.read(io.set(Buffer.alloc(6 * CHUNK), 0, 6 * CHUNK, 0)))
    expect(cache.fillCount).toBe(5)
    plan.releaseAll()
    await all
  })
})
