import { afterEach, describe, expect, it, jest } from '@jest/globals'
import fs from 'node:fs'
import { Transfer, readFully, writeFully } from '../../../lib/volume/drivers/transfer.js'
import { codeOf } from '../../../lib/util/errors.js'
import { Random } from '../../support/random.js'

/**
 * A file whose system calls go as ordered: each answer is a number of bytes that it moves at most, or an errno. After
 * the last answer it moves everything.
 */
class OrderedFile {
  readonly content = new Random(8).bytes(Buffer.alloc(1000))
  calls = 0

  private readonly answers: (number | string)[]

  constructor(answers: readonly (number | string)[]) {
    this.answers = [...answers]
    jest.spyOn(fs, 'readSync').mockImplementation(((...args: Call) => this.move(args, true)) as never)
    jest.spyOn(fs, 'writeSync').mockImplementation(((...args: Call) => this.move(args, false)) as never)
    for (const verb of ['read', 'write'] as const) {
      jest.spyOn(fs, verb).mockImplementation(((...args: Call) => {
        const done = args[5]!
        setImmediate(() => {
          try {
            done(null, this.move(args, verb === 'read'))
          } catch (error) {
            done(error as Error, 0)
          }
        })
      }) as never)
    }
  }

  private move([, buffer, start, length, offset]: Call, reading: boolean): number {
    this.calls++
    const answer = this.answers.shift() ?? length
    if (typeof answer === 'string') throw Object.assign(new Error(answer), { code: answer })
    const count = Math.min(answer, length)
    if (reading) this.content.copy(buffer, start, offset, offset + count)
    else buffer.copy(this.content, offset, start, start + count)
    return count
  }
}

type Call = [
  fd: number,
  buffer: Buffer,
  start: number,
  length: number,
  offset: number,
  done?: (error: Error | null, bytes: number) => void
]

function pooled(verb: 'read' | 'write', buffer: Buffer, start: number, length: number, offset: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const transfer = new Transfer((_transfer, error) => (error ? reject(error) : resolve()))
    transfer[verb](3, buffer, start, length, offset)
  })
}

/** Both ways to move bytes, as promises. */
const WAYS = {
  'at once': {
    read: async (...args: [Buffer, number, number, number]) => Promise.resolve(readFully(3, ...args)),
    write: async (...args: [Buffer, number, number, number]) => Promise.resolve(writeFully(3, ...args))
  },
  'through the pool': {
    read: (...args: [Buffer, number, number, number]) => pooled('read', ...args),
    write: (...args: [Buffer, number, number, number]) => pooled('write', ...args)
  }
}

afterEach(() => void jest.restoreAllMocks())

describe.each(Object.entries(WAYS))('a transfer %s', (_way, { read, write }) => {
  it.each([
    ['in one call', [], 1],
    ['in three short ones', [1, 300, 99], 3],
    ['after interruptions', ['EINTR', 'EAGAIN', 100, 'EINTR'], 5],
    ['after 64 interruptions', Array<string>(64).fill('EINTR'), 65],
    ['in 65 calls', Array<number>(64).fill(1), 65]
  ])('moves all of its bytes %s', async (_how, answers, calls) => {
    const file = new OrderedFile(answers)
    const buffer = Buffer.alloc(500, 0xee)
    await read(buffer, 50, 400, 300)
    expect(buffer.subarray(50, 450).equals(file.content.subarray(300, 700))).toBe(true)
    expect(buffer.subarray(0, 50).equals(Buffer.alloc(50, 0xee))).toBe(true)
    expect(buffer.subarray(450).equals(Buffer.alloc(50, 0xee))).toBe(true)
    expect(file.calls).toBe(calls)

    const written = new OrderedFile(answers)
    const before = Buffer.from(written.content)
    await write(buffer, 50, 400, 100)
    const wanted = Buffer.concat([before.subarray(0, 100), buffer.subarray(50, 450), before.subarray(500)])
    expect(written.content.equals(wanted)).toBe(true)
  })

  it.each([
    ['the file ends at once', [0]],
    ['the file ends in the middle', [100, 0]],
    ['it is interrupted for ever', Array<string>(1000).fill('EINTR')],
    ['it creeps', Array<number>(1000).fill(1)]
  ])('fails with EIO, after a bounded number of calls, when %s', async (_how, answers) => {
    for (const verb of [read, write]) {
      const file = new OrderedFile(answers)
      const error = await verb(Buffer.alloc(500), 0, 500, 0).then(() => undefined, codeOf)
      expect(error).toBe('EIO')
      expect(file.calls).toBeLessThan(70)
    }
  })

  it.each(['EIO', 'ENOSPC', 'EBADF', 'EDQUOT'])('passes %s on, also after some bytes', async (code) => {
    for (const verb of [read, write]) {
      for (const answers of [[code], [10, code]]) {
        const file = new OrderedFile(answers)
        expect(await verb(Buffer.alloc(500), 0, 500, 0).then(() => undefined, codeOf)).toBe(code)
        expect(file.calls).toBe(answers.length)
      }
    }
  })
})

describe('a transfer through the pool', () => {
  it('can be used again, and forgets the buffer in between', async () => {
    const file = new OrderedFile(['EIO', 5])
    const ends: (string | undefined)[] = []
    let next = () => {}
    const transfer = new Transfer((_transfer, error) => {
      ends.push(error && codeOf(error))
      next()
    })
    await new Promise<void>((resolve) => {
      next = resolve
      transfer.read(3, Buffer.alloc(10), 0, 10, 0)
      expect(ends).toEqual([])
    })
    const buffer = Buffer.alloc(10)
    await new Promise<void>((resolve) => {
      next = resolve
      transfer.read(3, buffer, 0, 10, 20)
    })
    expect(ends).toEqual(['EIO', undefined])
    expect(buffer.equals(file.content.subarray(20, 30))).toBe(true)
  })

  it('has done a transfer of no byte', async () => {
    new OrderedFile([])
    await expect(pooled('read', Buffer.alloc(0), 0, 0, 0)).resolves.toBeUndefined()
    await expect(pooled('write', Buffer.alloc(0), 0, 0, 0)).resolves.toBeUndefined()
  })
})
