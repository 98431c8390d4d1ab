import { describe, expect, it } from '@jest/globals'
import { equalsMediumNow, firstMediumDifference } from '../../lib/scsi/compare-medium.js'
import { PIECE_BYTES } from '../../lib/scsi/pieces.js'
import { Random, seedOf } from '../support/random.js'
import { FakeVolume } from '../support/scsi.js'

describe('comparing with the medium', () => {
  const length = PIECE_BYTES + 1000
  const seed = seedOf(7)

  it.each([-1, 0, 999, PIECE_BYTES - 1, PIECE_BYTES, length - 1])(
    `finds the first byte that differs: %d (seed ${seed})`,
    async (difference) => {
      const volume = new FakeVolume(length + 512)
      new Random(seed).bytes(volume.bytes)
      const data = Buffer.from(volume.bytes.subarray(512))
      if (difference >= 0) data[difference]! ^= 0x01
      expect(await firstMediumDifference(volume, data, 512)).toBe(difference)
      expect(equalsMediumNow(volume, Buffer.concat([Buffer.alloc(3), data]), 3, length, 512)).toBe(difference < 0)
    }
  )

  it('cannot say at once what the disk has to be asked for', async () => {
    const volume = new FakeVolume(4096)
    volume.refusing = true
    expect(equalsMediumNow(volume, Buffer.alloc(512), 0, 512, 0)).toBeUndefined()
    expect(await firstMediumDifference(volume, Buffer.alloc(512), 0)).toBe(-1)
  })

  it('passes an error of the disk on', async () => {
    const volume = new FakeVolume(4096)
    volume.broken.set('read', 'EIO')
    expect(() => equalsMediumNow(volume, Buffer.alloc(512), 0, 512, 0)).toThrow('read fails')
    await expect(firstMediumDifference(volume, Buffer.alloc(512), 0)).rejects.toMatchObject({ code: 'EIO' })
  })
})
