import { describe, expect, it } from '@jest/globals'
import { SpareBuffers } from '../../lib/util/spare-buffers.js'

describe('spare buffers', () => {
  it('give one that came back to whoever asks for its length, and never to two', () => {
    const spares = new SpareBuffers(100)
    const one = spares.take(40)
    expect(one).toHaveLength(40)
    spares.give(one)
    expect(spares.take(30)).toHaveLength(30)
    expect(spares.take(40)).toBe(one)
    expect(spares.take(40)).not.toBe(one)
  })

  it('are no more than the limit says', () => {
    const spares = new SpareBuffers(100)
    const buffers = [40, 40, 40].map((length) => spares.take(length))
    for (const buffer of buffers) spares.give(buffer)
    const again = [40, 40, 40].map((length) => spares.take(length))
    expect(again.filter((buffer) => buffers.includes(buffer))).toHaveLength(2)
  })

  it('are those of lengths that are asked for now', () => {
    const spares = new SpareBuffers(100)
    const [long, short] = [spares.take(60), spares.take(50)]
    spares.give(spares.take(40))
    spares.give(long)
    spares.give(short)
    expect(spares.take(50)).toBe(short)
    expect(spares.take(60)).not.toBe(long)
  })

  it('never hold one that is longer than all of them may be', () => {
    const spares = new SpareBuffers(100)
    const long = spares.take(101)
    spares.give(long)
    expect(spares.take(101)).not.toBe(long)
  })
})
