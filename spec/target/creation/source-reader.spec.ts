import { mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { BLOCK_BYTES, SourceReader } from '../../../lib/target/creation/source-reader.js'
import { Random, seedOf } from '../../support/random.js'

let root: string
let path: string
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'cloudx-reader-'))
  path = join(root, 'file')
})
afterEach(() => rm(root, { recursive: true }))

describe('SourceReader', () => {
  const seed = seedOf(5)
  it.each([
    [1, 1],
    [5000, 5000],
    [BLOCK_BYTES, BLOCK_BYTES],
    [10_000, 2 * BLOCK_BYTES + 777],
    [BLOCK_BYTES + 4096, BLOCK_BYTES + 4096]
  ])(
    `reads %i bytes in a file of %i, past the page cache and as usual (seed ${seed})`,
    async (dataBytes, lengthBytes) => {
      await writeFile(path, new Random(seed).bytes(Buffer.alloc(dataBytes)))
      await truncate(path, lengthBytes)
      const expected = await readFile(path)
      const reader = new SourceReader()
      for (const sparse of [true, false, true]) {
        await reader.open(path, sparse)
        const parts = []
        for (let at = 0; at < lengthBytes; at += BLOCK_BYTES) parts.push(Buffer.from(await reader.read(at)))
        expect(Buffer.concat(parts).equals(expected)).toBe(true)
        expect((await reader.stat()).size).toBe(lengthBytes)
        expect(await reader.read(Math.ceil(lengthBytes / BLOCK_BYTES) * BLOCK_BYTES)).toHaveLength(0)
        await reader.close()
      }
    }
  )

  it('reads what has just been written', async () => {
    const reader = new SourceReader()
    await writeFile(path, Buffer.alloc(8192, 1))
    await reader.open(path, true)
    await writeFile(path, Buffer.alloc(8192, 2), { flag: 'r+' })
    expect((await reader.read(0)).every((byte) => byte === 2)).toBe(true)
    await reader.close()
    expect((await stat(path)).size).toBe(8192)
  })
})
