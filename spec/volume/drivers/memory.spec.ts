import { describe, expect, it } from '@jest/globals'
import { MemoryVolume } from '../../../lib/volume/drivers/memory.js'

const PAGE = 65536

describe('a disk in memory', () => {
  it('takes memory only where something was written and gives whole pages back', async () => {
    const volume = new MemoryVolume(2 ** 40)
    await volume.open()
    expect(volume.extent(0, 2 ** 30)).toEqual({ length: 2 ** 30, mapped: false })
    volume.tryWrite(Buffer.alloc(10, 1), 0, 10, 5 * PAGE + 100)
    expect(volume.extent(0, 10 * PAGE)).toEqual({ length: 5 * PAGE, mapped: false })
    expect(volume.extent(5 * PAGE + 7, 10 * PAGE)).toEqual({ length: PAGE - 7, mapped: true })
    volume.tryZero(5 * PAGE, PAGE - 1, true)
    expect(volume.extent(5 * PAGE, PAGE).mapped).toBe(true)
    volume.tryZero(5 * PAGE, PAGE, true)
    expect(volume.extent(5 * PAGE, PAGE).mapped).toBe(false)
  })

  it('has its first content again, and no other, after it was closed and opened', async () => {
    const volume = new MemoryVolume(1024, false, Buffer.alloc(512, 7))
    await volume.open()
    volume.tryWrite(Buffer.alloc(1024, 9), 0, 1024, 0)
    await volume.close()
    await volume.open()
    const found = Buffer.alloc(1024)
    volume.tryRead(found, 0, 1024, 0)
    expect(found.equals(Buffer.concat([Buffer.alloc(512, 7), Buffer.alloc(512)]))).toBe(true)
  })
})
