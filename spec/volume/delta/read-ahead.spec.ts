import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import fs from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ReadAhead } from '../../../lib/volume/delta/read-ahead.js'

const SIZE = 1000
const CARRY = 16

let directory: string
let file: FileHandle
beforeEach(async () => {
  directory = fs.mkdtempSync(join(tmpdir(), 'read-ahead-'))
  const path = join(directory, 'file')
  fs.writeFileSync(path, Buffer.from(Array.from({ length: SIZE }, (_, i) => i % 251)))
  file = await open(path, 'r')
})
afterEach(async () => {
  await file.close()
  fs.rmSync(directory, { recursive: true })
})

/** What a reader sees that takes pieces of so many bytes. */
async function taken(blocks: ReadAhead, pieceBytes: number): Promise<Buffer> {
  const pieces: Buffer[] = []
  while (await blocks.next()) {
    for (; blocks.end - blocks.at >= pieceBytes; blocks.at += pieceBytes) {
      pieces.push(Buffer.from(blocks.bytes.subarray(blocks.at, blocks.at + pieceBytes)))
    }
  }
  pieces.push(Buffer.from(blocks.bytes.subarray(blocks.at, blocks.end)))
  return Buffer.concat(pieces)
}

const expected = (from: number, to = SIZE) => Buffer.from(Array.from({ length: to - from }, (_, i) => (from + i) % 251))

describe('a file that is read ahead', () => {
  it.each([
    [17, 1],
    [17, 16],
    [64, 13],
    [100, 7],
    [1000, 16],
    [4096, 16]
  ])('in blocks of %d bytes gives all of it to who takes %d at a time', async (blockBytes, pieceBytes) => {
    const found = await taken(new ReadAhead(file, 3, SIZE, CARRY, blockBytes), pieceBytes)
    expect(found.equals(expected(3))).toBe(true)
  })

  it('ends where it is told to, and where the file ends before that', async () => {
    expect((await taken(new ReadAhead(file, 0, 500, CARRY, 64), 8)).equals(expected(0, 500))).toBe(true)
    expect((await taken(new ReadAhead(file, 0, 2000, CARRY, 64), 8)).equals(expected(0))).toBe(true)
    await expect(new ReadAhead(file, SIZE, SIZE, CARRY).next()).resolves.toBe(false)
    await expect(new ReadAhead(file, SIZE + 1, SIZE, CARRY).next()).resolves.toBe(false)
  })

  it('fails for who asks for a block that cannot be read, and for nobody else', async () => {
    const broken = { read: () => Promise.reject(new Error('EIO')) } as unknown as FileHandle
    const blocks = new ReadAhead(broken, 0, SIZE, CARRY)
    await expect(blocks.next()).rejects.toThrow('EIO')
    await expect(new ReadAhead(broken, 0, SIZE, CARRY).stop()).resolves.toBeUndefined()
  })
})
