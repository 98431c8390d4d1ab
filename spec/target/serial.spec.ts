import { describe, expect, it } from '@jest/globals'
import { Serial } from '../../lib/target/serial.js'

describe('Serial', () => {
  it('begins a step when the one before it has ended, in the order of asking', async () => {
    const serial = new Serial()
    const seen: string[] = []
    let release = (): void => undefined
    const first = serial.run(async () => {
      await new Promise<void>((resolve) => (release = resolve))
      seen.push('first')
    })
    const second = serial.run(() => Promise.resolve(seen.push('second')))
    await new Promise((resolve) => setImmediate(resolve))
    expect(seen).toEqual([])
    expect(serial.busy).toBe(true)
    release()
    await Promise.all([first, second])
    expect(seen).toEqual(['first', 'second'])
  })

  it('goes on after a step that failed, and tells only its caller', async () => {
    const serial = new Serial()
    const failed = serial.run(() => Promise.reject(new Error('no')))
    const next = serial.run(() => Promise.resolve(7))
    await expect(failed).rejects.toThrow('no')
    await expect(next).resolves.toBe(7)
    await serial.idle()
    expect(serial.busy).toBe(false)
  })
})
