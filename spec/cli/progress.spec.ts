import { Writable } from 'node:stream'
import { describe, expect, it } from '@jest/globals'
import { Progress, REDRAW_MS, type ProgressStream } from '../../lib/cli/progress.js'

class Screen extends Writable {
  text = ''
  constructor(
    readonly isTTY: boolean,
    readonly columns = 80
  ) {
    super()
  }
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString()
    done()
  }
}

const MIB = 2 ** 20

describe('progress', () => {
  it('is a line for each tenth where there is no terminal', () => {
    const screen = new Screen(false)
    const progress = new Progress(screen as ProgressStream)
    for (let done = 0; done <= 1000; done++) progress.update(done * MIB, 1000 * MIB)
    progress.end()
    const lines = screen.text.split('\n')
    expect(lines).toHaveLength(11)
    expect([lines[0], lines[9], lines[10]]).toEqual(['10 %, 100 MiB of 1000 MiB', '100 %, 1000 MiB of 1000 MiB', ''])
  })

  it('is a bar on a terminal that is drawn over itself, not too often, and taken away', () => {
    const screen = new Screen(true)
    let now = 0
    const progress = new Progress(screen as ProgressStream, () => now)
    progress.update(0, 4 * MIB)
    progress.update(MIB, 4 * MIB)
    now = REDRAW_MS
    progress.update(2 * MIB, 4 * MIB)
    progress.end()
    progress.end()
    const drawn = screen.text.split('\r\u001b[K')
    expect(drawn).toEqual([
      '',
      `[${'.'.repeat(40)}] 0 %, 0 bytes of 4 MiB`,
      `[${'#'.repeat(20)}${'.'.repeat(20)}] 50 %, 2 MiB of 4 MiB`,
      ''
    ])
  })

  it.each([
    [60, `[${'#'.repeat(10)}${'.'.repeat(10)}] 50 %`],
    [30, '50 %']
  ])('fits into %i columns', (columns, start) => {
    const screen = new Screen(true, columns)
    new Progress(screen as ProgressStream).update(MIB, 2 * MIB)
    expect(screen.text).toContain(`\u001b[K${start}`)
    expect(screen.text.length - 4).toBeLessThan(columns)
  })

  it('of nothing is whole', () => {
    const screen = new Screen(false)
    new Progress(screen as ProgressStream).update(0, 0)
    expect(screen.text).toBe('100 %, 0 bytes of 0 bytes\n')
  })
})
