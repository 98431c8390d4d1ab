import { mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises'
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
    const place = join(root, 'new.img')
    expect(await storage.missing(path)).toBeUndefined()
    expect(await storage.missing(place)).toBe(place)
    const shape = { sizeBytes: 2 ** 30, blockSize: 512, nowMs: 0 }
    expect(await storage.create(place, { ...shape, blank: true })).toBe(true)
    expect(await storage.missing(place)).toBeUndefined()
    expect(await storage.locate(place)).toMatchObject({ kind: 'file' })
    expect(await stat(place)).toMatchObject({ size: 2 ** 30, blocks: 0 })
    expect(await storage.create(place, { ...shape, sizeBytes: 2 ** 22, blank: false })).toBe(false)
    expect((await stat(place)).size).toBe(2 ** 30)
  })

  it('makes no file where a link leads to nothing, and none for what is no file', async () => {
    const storage = fileStorage(undefined)
    await symlink(join(root, 'gone.img'), join(root, 'link.img'))
    const shape = { sizeBytes: 2 ** 30, blockSize: 512, nowMs: 0, blank: true }
    await expect(storage.create(join(root, 'link.img'), shape)).rejects.toThrow(
      /link\.img is a link that leads to nothing/
    )
    expect(await storage.missing('zero:1M')).toBeUndefined()
    expect(await storage.missing('device:/dev/does-not-exist')).toBeUndefined()
    await expect(storage.locate(join(root, 'gone.img'))).rejects.toMatchObject({ code: 'ERR_ISCSI_IMAGE_MISSING' })
  })

  it('locks shared for reading and exclusively for writing', async () => {
    const storage = fileStorage(undefined)
    const located = await storage.locate(path)
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
    const located = await fileStorage(0).locate(path)
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
    const image = await storage.open(await storage.locate(path), { ...OPTIONS, partition: 1 })
    await expect(image.view(1, 512)).rejects.toThrow(/partition/)
    expect(image.openView(1, 512)).toBeUndefined()
    await image.close()
  })
})
