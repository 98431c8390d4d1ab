import { describe, expect, it } from '@jest/globals'
import { MemoryVolume } from '../../../lib/volume/drivers/memory.js'
import { FaultPlan, FaultVolume } from '../../../lib/volume/layers/fault.js'
import { flushVolume, readVolume, writeVolume } from '../../../lib/volume/promises.js'
import { codeOf } from '../../../lib/util/errors.js'
import { failure, settle, thrown, volumeContract } from '../../contracts/volume.contract.js'
import { Random, seedOf } from '../../support/random.js'

const SIZE = 1 << 18
const content = new Random(4).bytes(Buffer.alloc(SIZE))

volumeContract(
  'a medium without faults',
  () => ({ volume: new FaultVolume(new MemoryVolume(SIZE, false, content), new FaultPlan()), content }),
  { writable: true }
)
volumeContract(
  'a medium that would always block',
  () => {
    const plan = new FaultPlan().add({ effect: { kind: 'block' } })
    return { volume: new FaultVolume(new MemoryVolume(SIZE, false, content), plan), content }
  },
  { writable: true }
)

async function faulty(plan: FaultPlan): Promise<FaultVolume> {
  const volume = new FaultVolume(new MemoryVolume(SIZE, false, content), plan)
  await volume.open()
  return volume
}

describe('a medium with faults', () => {
  it('fails the ordered request with the ordered code, either way', async () => {
    const plan = new FaultPlan().add({ verb: 'write', after: 1, times: 2, effect: { kind: 'error', code: 'ENOSPC' } })
    const volume = await faulty(plan)
    const bytes = Buffer.alloc(512)
    expect(volume.tryWrite(bytes, 0, 512, 0)).toBe(true)
    expect(codeOf(thrown(() => volume.tryWrite(bytes, 0, 512, 512)))).toBe('ENOSPC')
    expect(codeOf(await failure((io) => volume.write(io.set(bytes, 0, 512, 512))))).toBe('ENOSPC')
    expect(volume.tryWrite(bytes, 0, 512, 512)).toBe(true)
    await readVolume(volume, bytes, 0)
  })

  it('fails only what touches the range', async () => {
    const range = { offset: 4096, length: 4096 }
    const volume = await faulty(new FaultPlan().add({ range, effect: { kind: 'error', code: 'EIO' } }))
    const buffer = Buffer.alloc(4096)
    await readVolume(volume, buffer, 0)
    await readVolume(volume, buffer, 8192)
    for (const offset of [1, 4095, 4096, 8191]) {
      expect(codeOf(thrown(() => volume.tryRead(buffer, 0, 4096, offset)))).toBe('EIO')
    }
  })

  it('tears a write after the ordered bytes', async () => {
    for (const synchronous of [true, false]) {
      const volume = await faulty(new FaultPlan().add({ verb: 'write', effect: { kind: 'short', bytes: 100 } }))
      const bytes = Buffer.alloc(512, 0xfe)
      const error = synchronous
        ? thrown(() => volume.tryWrite(bytes, 0, 512, 0))
        : await failure((io) => volume.write(io.set(bytes, 0, 512, 0)))
      expect(codeOf(error)).toBe('EIO')
      const found = Buffer.alloc(512)
      await readVolume(volume, found, 0)
      expect(found.equals(Buffer.concat([bytes.subarray(0, 100), content.subarray(100, 512)]))).toBe(true)
    }
  })

  it('holds requests until they are released, in any order', async () => {
    const plan = new FaultPlan().add({ verb: 'read', times: 3, effect: { kind: 'hold' } })
    const volume = await faulty(plan)
    const buffer = Buffer.alloc(4)
    expect(volume.tryRead(buffer, 0, 1, 0)).toBe(false)
    const ended: number[] = []
    const reads = [0, 1, 2].map((i) => settle((io) => volume.read(io.set(buffer, i, 1, i))).then(() => ended.push(i)))
    expect(plan.held).toBe(3)
    plan.release(1)
    await reads[1]
    expect(ended).toEqual([1])
    plan.releaseAll()
    await Promise.all(reads)
    expect(ended).toEqual([1, 0, 2])
    expect(volume.tryRead(buffer, 0, 4, 0)).toBe(true)
    expect(() => plan.release()).toThrow(RangeError)
  })

  it('fails flushes as well', async () => {
    const volume = await faulty(
      new FaultPlan().add({ verb: 'flush', times: 1, effect: { kind: 'error', code: 'EIO' } })
    )
    expect(codeOf(await failure((io) => volume.flush(io)))).toBe('EIO')
    await flushVolume(volume)
  })

  it('strikes the same requests again with the same seed', async () => {
    const seed = seedOf(99)
    const run = async () => {
      const random = new Random(seed)
      const plan = new FaultPlan(() => random.next())
      plan.add({ verb: 'write', probability: 0.2, effect: { kind: 'error', code: 'EIO' } })
      const volume = await faulty(plan)
      const struck: number[] = []
      for (let i = 0; i < 200; i++) await writeVolume(volume, Buffer.alloc(1), i).catch(() => struck.push(i))
      return struck
    }
    const first = await run()
    expect(first.length).toBeGreaterThan(0)
    expect(first.length).toBeLessThan(200)
    expect(await run()).toEqual(first)
  })

  it('forgets its rules when it is told to', async () => {
    const plan = new FaultPlan().add({ effect: { kind: 'error', code: 'EIO' } })
    const volume = await faulty(plan)
    expect(codeOf(thrown(() => volume.tryZero(0, 1, true)))).toBe('EIO')
    plan.clear()
    expect(volume.tryZero(0, 1, true)).toBe(true)
  })
})
