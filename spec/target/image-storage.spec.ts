import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { fileStorage } from '../../lib/target/image-storage.js'
import { CacheVolume } from '../../lib/volume/layers/cache.js'

const UUID = '0f8fad5b-d9cb-469f-a165-70867728950e'
const OPTIONS = { readOnly: true, imageUuid: UUID, partition: undefined }

let root: string
let path: string
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'cloudx-storage-'))
  path = join(root, 'share.img')
  await writeFile(path, Buffer.alloc(65536))
})
afterEach(() => rm(root, { recursive: true }))

describe('fileStorage', () => {
  it('makes a missing file, sparse, and only then', async () => {
    const storage = fileStorage(undefined)
    const made = await storage.locate(join(root, 'new.img'), 2 ** 30)
    expect(made).toMatchObject({ kind: 'file', created: true })
    const { size, blocks } = await stat(made.path)
    expect(size).toBe(2 ** 30)
    expect(blocks * 512).toBeLessThan(2 ** 20)
    expect(await storage.locate(path, 2 ** 30)).toMatchObject({ created: false })
    expect((await stat(path)).size).toBe(65536)
  })

  it('locks shared for reading and exclusively for writing', async () => {
    const storage = fileStorage(undefined)
    const located = await storage.locate(path, 0)
    const [one, two] = [await storage.open(located, OPTIONS), await storage.open(located, OPTIONS)]
    const writable = { ...OPTIONS, readOnly: false }
    await expect(storage.open(located, writable)).rejects.toMatchObject({ code: 'ERR_ISCSI_LOCKED' })
    await one.close()
    await two.close()
    const alone = await storage.open(located, writable)
    await expect(storage.open(located, OPTIONS)).rejects.toMatchObject({ code: 'ERR_ISCSI_LOCKED' })
    await alone.close()
  })

  it('puts a cache before a local file only when a size is given, and never before a writable one', async () => {
    const located = await fileStorage(0).locate(path, 0)
    for (const [cacheBytes, readOnly, cached] of [
      [undefined, true, false],
      [0, true, false],
      [2 ** 20, true, true],
      [2 ** 20, false, false]
    ] as const) {
      const image = await fileStorage(cacheBytes).open(located, { ...OPTIONS, readOnly })
      expect(image.whole instanceof CacheVolume).toBe(cached)
      await image.close()
    }
  })

  it('refuses a partition of an image that has none', async () => {
    const storage = fileStorage(undefined)
    const image = await storage.open(await storage.locate(path, 0), { ...OPTIONS, partition: 1 })
    await expect(image.view(1, 512)).rejects.toThrow(/partition/)
    expect(image.openView(1, 512)).toBeUndefined()
    await image.close()
  })
})
