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
