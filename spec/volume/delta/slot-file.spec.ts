import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals'
import fs from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Adaptive } from '../../../lib/volume/adaptive.js'
import { SlotFile } from '../../../lib/volume/delta/slot-file.js'

describe('SlotFile', () => {
  let directory: string
  let handle: FileHandle

  beforeEach(async () => {
    directory = fs.mkdtempSync(join(tmpdir(), 'slots-'))
    handle = await open(join(directory, 'slots'), 'w+')
  })
  afterEach(async () => {
    jest.restoreAllMocks()
    await handle.close()
    fs.rmSync(directory, { recursive: true })
  })

  it('grows as it is written, at once or through the pool, and reads back by either way', async () => {
    const file = new SlotFile(handle, () => new Scripted([true, true]))
    file.writeNow(Buffer.from('xxabcd'), 2, 4, 100)
    await file.write(Buffer.from('xefgh'), 1, 4, 104)
    const now = Buffer.alloc(10, 0x2e)
    expect(file.tryRead(now, 1, 8, 100)).toBe(true)
    expect(now.toString()).toBe('.abcdefgh.')
    const later = Buffer.alloc(10, 0x2e)
    await file.read(later, 1, 8, 100)
    expect(later.toString()).toBe('.abcdefgh.')
    expect((await handle.stat()).size).toBe(108)
  })

  it('never works at once where an access may stall', () => {
    const file = new SlotFile(handle, () => new Adaptive(true))
    expect(file.tryRead(Buffer.alloc(1), 0, 1, 0)).toBe(false)
    expect(file.allowsWrite(performance.now(), 1)).toBe(false)
  })

  it('never works at once on more than a megabyte', () => {
    const file = new SlotFile(handle, () => new Scripted([true, true, true]))
    const length = (1 << 20) + 1
    expect(file.tryRead(Buffer.alloc(length), 0, length, 0)).toBe(false)
    expect(file.allowsWrite(0, length)).toBe(false)
    expect(file.allowsWrite(0, length - 1)).toBe(true)
  })

  it('learns of each direction by itself', () => {
    const made: Scripted[] = []
    const file = new SlotFile(handle, () => (made.push(new Scripted([true])), made.at(-1)!))
    expect(made).toHaveLength(2)
    file.wrote(500, 4096)
    expect(made.map((one) => one.seen)).toEqual([[], ['took 500 4096']])
  })

  it('learns of a read that failed after a long time', () => {
    let now = 1000
    jest.spyOn(performance, 'now').mockImplementation(() => now)
    jest.spyOn(fs, 'readSync').mockImplementation(() => {
      now += 7000
      throw Object.assign(new Error('i/o error'), { code: 'EIO' })
    })
    const made: Scripted[] = []
    const file = new SlotFile(handle, () => (made.push(new Scripted([true])), made.at(-1)!))
    expect(() => file.tryRead(Buffer.alloc(4), 0, 4, 0)).toThrow('i/o error')
    expect(made.map((one) => one.seen)).toEqual([['took 7000 4'], []])
  })

  it('tells the pool accesses to the one who decides', async () => {
    const made: Scripted[] = []
    const file = new SlotFile(handle, () => (made.push(new Scripted([true])), made.at(-1)!))
    await file.write(Buffer.from('abcd'), 0, 4, 0)
    await file.read(Buffer.alloc(4), 0, 4, 0)
    expect(made.map((one) => one.seen)).toEqual([
      ['started', 'ended'],
      ['started', 'ended']
    ])
  })

  it('fails a read behind its end rather than give old bytes', async () => {
    const file = new SlotFile(handle, () => new Scripted([true]))
    expect(() => file.tryRead(Buffer.alloc(4), 0, 4, 0)).toThrow(/ends before/)
    const failing = file.read(Buffer.alloc(4), 0, 4, 0).then(
      () => 'no error',
      (error: { code: string }) => error.code
    )
    await expect(failing).resolves.toBe('EIO')
  })
})

/** Answers what it was told to and notes what it is told. */
class Scripted extends Adaptive {
  readonly seen: string[] = []

  constructor(private readonly answers: boolean[]) {
    super(false)
  }

  override allows(): boolean {
    return this.answers.shift() ?? false
  }

  override took(elapsedMs: number, lengthBytes: number): void {
    this.seen.push(`took ${elapsedMs} ${lengthBytes}`)
  }

  override poolStarted(): void {
    this.seen.push('started')
  }

  override poolEnded(): void {
    this.seen.push('ended')
  }
}
