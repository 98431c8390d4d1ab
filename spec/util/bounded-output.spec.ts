import { describe, expect, it } from '@jest/globals'
import { Writable } from 'node:stream'
import { BoundedOutput } from '../../lib/util/bounded-output.js'

/** A console that takes a write only when it is told to. */
class SlowConsole extends Writable {
  text = ''
  private waiting: (() => void)[] = []
  constructor() {
    super({ highWaterMark: 10 })
  }
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString()
    this.waiting.push(done)
  }
  /** Everything that waits is shown. */
  async move(): Promise<void> {
    while (this.waiting.length > 0) {
      this.waiting.shift()!()
      await new Promise(setImmediate)
    }
  }
}

function stalled(limitBytes: number) {
  const console = new SlowConsole()
  const lost: number[] = []
  return { console, lost, output: new BoundedOutput(console, limitBytes, (count) => lost.push(count)) }
}

describe('BoundedOutput', () => {
  it('hands on what the destination takes', async () => {
    const { console, output, lost } = stalled(100)
    output.write('one ')
    output.write('two')
    await console.move()
    expect(console.text).toBe('one two')
    expect(lost).toEqual([])
  })

  it('never keeps more than its bound, and tells how many writes it dropped once all is shown', async () => {
    const { console, output, lost } = stalled(100)
    for (let i = 0; i < 50; i++) expect(output.write('0123456789')).toBe(true)
    expect(console.writableLength).toBe(100)
    expect(lost).toEqual([])
    await console.move()
    expect(console.text).toHaveLength(100)
    expect(lost).toEqual([40])
  })

  it('counts anew after each standstill', async () => {
    const { console, output, lost } = stalled(20)
    for (const count of [5, 3]) {
      for (let i = 0; i < count; i++) output.write('0123456789')
      await console.move()
    }
    expect(lost).toEqual([3, 1])
  })

  it('takes a write from whoever is told of the loss', async () => {
    const console = new SlowConsole()
    const output: BoundedOutput = new BoundedOutput(console, 20, (count) => output.write(`lost ${count}`))
    for (let i = 0; i < 3; i++) output.write('0123456789')
    await console.move()
    expect(console.text).toBe('01234567890123456789lost 1')
  })

  it('listens to the destination no more when it is destroyed, and leaves it open', () => {
    const { console, output } = stalled(20)
    output.destroy()
    expect(console.listenerCount('drain')).toBe(0)
    expect(console.destroyed).toBe(false)
  })
})
