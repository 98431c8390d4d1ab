import { describe, expect, it } from '@jest/globals'
import { Staging } from '../../lib/scsi/staging.js'

describe('staging', () => {
  it('lends up to its capacity and no byte more', () => {
    const staging = new Staging(100)
    const first = staging.take(60)!
    expect(first.length).toBe(60)
    expect(staging.take(41)).toBeUndefined()
    expect(staging.take(40)).toHaveLength(40)
    expect(staging.used).toBe(100)
    staging.give(first)
    expect(staging.used).toBe(40)
  })

  it('lends a buffer that came back again, to whoever asks for that length', () => {
    const staging = new Staging(100)
    const first = staging.take(40)!
    staging.give(first)
    expect(staging.take(30)).toHaveLength(30)
    expect(staging.take(40)).toBe(first)
    expect(staging.take(30)).not.toBe(first)
  })

  it('never lends one buffer to two, and keeps 4 MiB at most', () => {
    const staging = new Staging(16 << 20)
    const buffers = Array.from({ length: 8 }, () => staging.take(1 << 20)!)
    for (const buffer of buffers) staging.give(buffer)
    expect(staging.used).toBe(0)
    const again = Array.from({ length: 8 }, () => staging.take(1 << 20)!)
    expect(new Set(again).size).toBe(8)
    expect(again.filter((buffer) => buffers.includes(buffer))).toHaveLength(4)
  })

  it('keeps buffers of lengths that are asked for now', () => {
    const staging = new Staging()
    for (let length = 512; length <= 64 * 512; length += 512) staging.give(staging.take(length)!)
    const last = staging.take(64 * 512)!
    staging.give(last)
    expect(staging.take(64 * 512)).toBe(last)
  })

  it('calls those who wait in line, one for each buffer that came back', async () => {
    const staging = new Staging(10)
    const buffers = [staging.take(5)!, staging.take(5)!]
    const called: string[] = []
    const both = new Promise<void>((resolve) => {
      staging.wait(() => {
        called.push('first')
        return true
      })
      staging.wait(() => {
        called.push('second')
        resolve()
        return true
      })
    })
    for (const buffer of buffers) staging.give(buffer)
    expect(called).toEqual([])
    await both
    expect(called).toEqual(['first', 'second'])
  })
})
