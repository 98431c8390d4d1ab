import { describe, expect, it } from '@jest/globals'
import { copyRange } from '../../lib/scsi/copy-range.js'
import { Random, seedOf } from '../support/random.js'
import { CHUNK, FakeVolume } from '../support/scsi.js'

const SIZE = 1024 * 1024
const ALWAYS = () => true

function filled(seed: number): FakeVolume {
  const volume = new FakeVolume(SIZE)
  new Random(seed).bytes(volume.bytes)
  volume.mapped.fill(true)
  return volume
}

/** Copies two granules at once inside itself, but not the fourth of them all. */
class Copying extends FakeVolume {
  readonly asked: number[][] = []

  override get copyGranularity(): number {
    return CHUNK
  }

  protected override _copy(source: number, destination: number, length: number): Promise<number> {
    this.asked.push([source, destination, length])
    const taken = source === 4 * CHUNK ? 0 : Math.min(length, 2 * CHUNK)
    this.bytes.copy(this.bytes, destination, source, source + taken)
    return Promise.resolve(taken)
  }
}

describe('copyRange', () => {
  it('does what copying an array does, whatever overlaps', async () => {
    const random = new Random(seedOf(10))
    const volume = filled(10)
    const model = Buffer.from(volume.bytes)
    for (let round = 0; round < 60; round++) {
      const length = random.int(600 * 1024)
      const [sourceOffset, destinationOffset] = [random.int(SIZE - length), random.int(SIZE - length)]
      volume.refusing = round % 3 === 0
      await copyRange({ source: volume, sourceOffset, destination: volume, destinationOffset, length }, ALWAYS)
      model.copy(model, destinationOffset, sourceOffset, sourceOffset + length)
      expect(volume.bytes.equals(model)).toBe(true)
    }
  })

  it('gives space back where nothing is stored in the source', async () => {
    const [source, destination] = [new FakeVolume(SIZE), filled(11)]
    source.mapped[2] = true
    source.bytes.fill(0x33, 2 * CHUNK, 3 * CHUNK)
    await copyRange({ source, sourceOffset: 0, destination, destinationOffset: 0, length: 4 * CHUNK }, ALWAYS)
    expect(destination.mapped.slice(0, 5)).toEqual([false, false, true, false, true])
    expect(destination.bytes.subarray(0, 4 * CHUNK).equals(source.bytes.subarray(0, 4 * CHUNK))).toBe(true)
  })

  it('lets a volume copy inside itself what it can, and copies the data of the rest', async () => {
    const volume = new Copying(SIZE)
    new Random(13).bytes(volume.bytes)
    volume.mapped.fill(true)
    const model = Buffer.from(volume.bytes)
    // Half a granule, two that the volume takes, one that it does not, and a rest.
    const range = { sourceOffset: CHUNK + 512, destinationOffset: 101 * CHUNK + 512, length: 4 * CHUNK }
    await copyRange({ source: volume, destination: volume, ...range }, ALWAYS)
    model.copy(model, range.destinationOffset, range.sourceOffset, range.sourceOffset + range.length)
    expect(volume.bytes.equals(model)).toBe(true)
    expect(volume.asked).toEqual([
      [2 * CHUNK, 102 * CHUNK, 3 * CHUNK],
      [4 * CHUNK, 104 * CHUNK, CHUNK]
    ])
  })

  it.each([
    ['that lie otherwise in their granules', CHUNK, 100 * CHUNK + 512, 8 * CHUNK],
    ['that overlap', CHUNK, 2 * CHUNK, 8 * CHUNK],
    ['that are shorter than a granule', CHUNK + 512, 100 * CHUNK + 512, CHUNK - 512]
  ])('asks no volume to copy ranges %s', async (_title, sourceOffset, destinationOffset, length) => {
    const volume = new Copying(SIZE)
    new Random(14).bytes(volume.bytes)
    volume.mapped.fill(true)
    const model = Buffer.from(volume.bytes)
    await copyRange({ source: volume, destination: volume, sourceOffset, destinationOffset, length }, ALWAYS)
    model.copy(model, destinationOffset, sourceOffset, sourceOffset + length)
    expect(volume.bytes.equals(model)).toBe(true)
    expect(volume.asked).toEqual([])
  })

  it('stops where it is told to', async () => {
    const [source, destination] = [filled(12), new FakeVolume(SIZE)]
    let pieces = 0
    const range = { source, sourceOffset: 0, destination, destinationOffset: 0, length: SIZE }
    expect(await copyRange(range, () => pieces++ < 2)).toBe(512 * 1024)
    expect(destination.bytes.subarray(512 * 1024).equals(Buffer.alloc(512 * 1024))).toBe(true)
  })
})
