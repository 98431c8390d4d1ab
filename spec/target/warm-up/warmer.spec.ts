import { describe, expect, it } from '@jest/globals'
import { Warmer, type WarmerOptions } from '../../../lib/target/warm-up/warmer.js'
import type { Clock } from '../../../lib/util/clock.js'
import type { BlockIo } from '../../../lib/volume/block-io.js'
import { MemoryVolume } from '../../../lib/volume/drivers/memory.js'

const PIECE = 65536
const REQUEST_MS = 8

/** A clock on which each request takes so long; rests are noted and over at once. */
class RestClock implements Clock {
  ms = 0
  readonly rests: number[] = []
  now = () => this.ms
  monotonic = () => this.ms
  setTimer = (delayMs: number, callback: () => void) => {
    this.rests.push(delayMs)
    const immediate = setImmediate(callback)
    return { cancel: () => clearImmediate(immediate) }
  }
}

class SlowVolume extends MemoryVolume {
  readonly requests: [offset: number, length: number][] = []
  clock = new RestClock()
  beforeRead = (_io: BlockIo): Error | undefined => undefined

  protected override _read(io: BlockIo): void {
    this.requests.push([io.offset, io.length])
    this.clock.ms += REQUEST_MS
    const error = this.beforeRead(io)
    setImmediate(() => io.complete(error))
  }
}

async function warm(changes: Partial<WarmerOptions> & Pick<WarmerOptions, 'pieces'>, volume: SlowVolume) {
  const progress: [number, number][] = []
  const warmer = new Warmer({
    ...{ volume, budgetBytes: 1 << 30, activity: () => 0, clock: volume.clock },
    progress: (...at) => progress.push(at),
    ...changes
  })
  const bytes = await warmer.run()
  return { bytes, progress, requests: volume.requests }
}

async function volumeOf(sizeBytes: number): Promise<SlowVolume> {
  const volume = new SlowVolume(sizeBytes)
  await volume.open()
  return volume
}

describe('a warm-up', () => {
  it('reads neighbours in one request of 1 MiB at most, in the order of the disk', async () => {
    const volume = await volumeOf(64 * PIECE)
    const pieces = [...Array.from({ length: 17 }, (_, index) => index + 20), 3, 1, 2]
    const { bytes, requests } = await warm({ pieces }, volume)
    expect(requests).toEqual([
      [1 * PIECE, 3 * PIECE],
      [20 * PIECE, 16 * PIECE],
      [36 * PIECE, PIECE]
    ])
    expect(bytes).toBe(20 * PIECE)
  })

  it('reads what clients want first before what they want later', async () => {
    const volume = await volumeOf(1000 * PIECE)
    const pieces = [...Array.from({ length: 256 }, (_, index) => 700 + index), 0]
    const { requests } = await warm({ pieces }, volume)
    expect(requests[0]).toEqual([700 * PIECE, 16 * PIECE])
    expect(requests.at(-1)).toEqual([0, PIECE])
  })

  it('stops at its budget', async () => {
    const volume = await volumeOf(64 * PIECE)
    const { bytes, progress } = await warm({ pieces: [9, 5, 1, 0], budgetBytes: 2 * PIECE + 1 }, volume)
    expect(volume.requests).toEqual([
      [5 * PIECE, PIECE],
      [9 * PIECE, PIECE]
    ])
    expect(bytes).toBe(2 * PIECE)
    expect(progress.at(-1)).toEqual([2 * PIECE, 2 * PIECE])
  })

  it('reads no further than the disk goes', async () => {
    const volume = await volumeOf(2 * PIECE + 512)
    await warm({ pieces: [1, 2] }, volume)
    expect(volume.requests).toEqual([[PIECE, PIECE + 512]])
  })

  it('rests behind each request, and longer and with shorter ones while clients are at work', async () => {
    const volume = await volumeOf(64 * PIECE)
    let moved = 0
    const activity = () => (volume.requests.length > 1 && volume.requests.length < 4 ? ++moved : moved)
    const pieces = Array.from({ length: 64 }, (_, index) => index)
    await warm({ pieces, activity }, volume)
    expect(volume.requests.slice(0, 5).map(([, length]) => length / PIECE)).toEqual([16, 16, 4, 4, 16])
    // Nobody moved anything during the first and the fourth.
    expect(volume.clock.rests.slice(0, 5)).toEqual([2, 24, 24, 2, 2])
  })

  it('ends behind the request that is under way when it is stopped', async () => {
    const volume = await volumeOf(64 * PIECE)
    const warmer = new Warmer({
      ...{ volume, pieces: [0, 10, 20], budgetBytes: 1 << 30, activity: () => 0, clock: volume.clock },
      progress: () => warmer.stop()
    })
    expect(await warmer.run()).toBe(PIECE)
  })

  it('does not wait out its rest when it is stopped', async () => {
    const volume = await volumeOf(64 * PIECE)
    const never: Clock = {
      now: volume.clock.now,
      monotonic: volume.clock.monotonic,
      setTimer: () => {
        setImmediate(() => warmer.stop())
        return { cancel: () => undefined }
      }
    }
    const warmer = new Warmer({
      ...{ volume, pieces: [0, 10], budgetBytes: 1 << 30, activity: () => 0, clock: never },
      progress: () => undefined
    })
    expect(await warmer.run()).toBe(PIECE)
  })

  it('ends with the error of the disk', async () => {
    const volume = await volumeOf(64 * PIECE)
    volume.beforeRead = () => Object.assign(new Error('the disk is gone'), { code: 'EIO' })
    await expect(warm({ pieces: [0, 10] }, volume)).rejects.toThrow('the disk is gone')
    expect(volume.requests).toHaveLength(1)
  })
})
