import { describe, expect, it } from '@jest/globals'
import { ZeroVolume } from '../../../lib/volume/drivers/zero.js'

describe('a disk of zeroes', () => {
  it('reads zeroes over what the buffer held, at any offset', async () => {
    const volume = new ZeroVolume(2 ** 50)
    await volume.open()
    const buffer = Buffer.alloc(16, 0xff)
    expect(volume.tryRead(buffer, 4, 8, 2 ** 50 - 8)).toBe(true)
    expect(buffer.toString('hex')).toBe('ffffffff' + '00'.repeat(8) + 'ffffffff')
  })

  it('has nothing stored', async () => {
    const volume = new ZeroVolume(4096)
    await volume.open()
    expect(volume.extent(512, 2 ** 30)).toEqual({ length: 3584, mapped: false })
  })

  it('refuses a size that plain numbers cannot count', async () => {
    expect(() => new ZeroVolume(2 ** 54).open()).toThrow(/bytes/)
    await new ZeroVolume(2 ** 53 - 512).open()
  })
})
