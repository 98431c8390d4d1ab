import {
  appendFile,
  mkdtemp,
  open,
  readFile,
  rm,
  stat,
  truncate,
  utimes,
  writeFile,
  type FileHandle
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { copyFile, HOLE_BYTES, writeAll } from '../../../lib/target/creation/copy.js'
import type { SourceFile } from '../../../lib/target/creation/folder.js'
import { BLOCK_BYTES, SourceReader } from '../../../lib/target/creation/source-reader.js'
import { Random, seedOf } from '../../support/random.js'

let root: string
let path: string
let target: FileHandle
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'cloudx-copy-'))
  path = join(root, 'source')
  target = await open(join(root, 'target'), 'wx+')
})
afterEach(async () => {
  await target.close()
  await rm(root, { recursive: true })
})

async function sourceOf(): Promise<SourceFile> {
  const { size, mtimeMs, blocks } = await stat(path)
  return { path, lengthBytes: size, modifiedMs: mtimeMs, sparse: blocks * 512 < size }
}

const copy = (
  source: SourceFile,
  offset: number,
  moved: (bytes: number) => void = () => undefined,
  signal?: AbortSignal
) => copyFile(source, target, offset, { reader: new SourceReader(), moved, signal })

describe('copyFile', () => {
  const seed = seedOf(77)
  it.each([1, 4095, 65536, 65537, BLOCK_BYTES, 2 * BLOCK_BYTES + 12345])(
    `puts %i bytes with holes in them to their place (seed ${seed})`,
    async (length) => {
      const random = new Random(seed)
      const content = random.bytes(Buffer.alloc(length))
      for (let i = 0; i < 6; i++) content.fill(0, random.int(length), random.int(length))
      await writeFile(path, content)
      let moved = 0
      await copy(await sourceOf(), 4096, (bytes) => (moved += bytes))
      await target.truncate(4096 + length)
      expect((await readFile(join(root, 'target'))).subarray(4096).equals(content)).toBe(true)
      expect(moved).toBe(length)
    }
  )

  it('leaves zeroes as holes', async () => {
    await writeFile(path, Buffer.alloc(4 * BLOCK_BYTES))
    await appendFile(path, Buffer.alloc(HOLE_BYTES, 1))
    await truncate(path, 64 * BLOCK_BYTES)
    await target.truncate(64 * BLOCK_BYTES)
    await copy(await sourceOf(), 0)
    const { blocks } = await target.stat()
    expect(blocks * 512).toBeGreaterThan(0)
    expect(blocks * 512).toBeLessThanOrEqual(2 * HOLE_BYTES)
    const written = await readFile(join(root, 'target'))
    expect(written.equals(await readFile(path))).toBe(true)
  })

  it.each<[string, (source: SourceFile) => Promise<void>]>([
    ['shrank', () => truncate(path, 10)],
    ['grew', () => appendFile(path, 'more')],
    ['was written', ({ modifiedMs }) => utimes(path, 1, modifiedMs / 1000 + 10)]
  ])('refuses a file that %s since it was looked at', async (_what, change) => {
    await writeFile(path, Buffer.alloc(100, 1))
    const source = await sourceOf()
    await change(source)
    await expect(copy(source, 0)).rejects.toThrow(/source changed while it was copied/)
  })

  it('refuses a file that is gone', async () => {
    const source = { path, lengthBytes: 10, modifiedMs: 0, sparse: false }
    await expect(copy(source, 0)).rejects.toMatchObject({ code: 'ERR_ISCSI_SOURCE' })
    await expect(copy({ ...source, sparse: true }, 0)).rejects.toThrow(/source cannot be read/)
  })

  it('ends when it is told to', async () => {
    await writeFile(path, 'x')
    await expect(copy(await sourceOf(), 0, undefined, AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough')
  })
})

describe('writeAll', () => {
  it('tells with its errno what the disk says', async () => {
    const full = await open('/dev/full', 'r+').catch(() => undefined)
    if (!full) return
    await expect(writeAll(full, Buffer.alloc(10), 0)).rejects.toMatchObject({ code: 'ENOSPC' })
    await full.close()
  })
})
