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

  it('stops where it is told to', async () => {
    const [source, destination] = [filled(12), new FakeVolume(SIZE)]
    let pieces = 0
    const range = { source, sourceOffset: 0, destination, destinationOffset: 0, length: SIZE }
    expect(await copyRange(range, () => pieces++ < 2)).toBe(512 * 1024)
    expect(destination.bytes.subarray(512 * 1024).equals(Buffer.alloc(512 * 1024))).toBe(true)
  })
})
