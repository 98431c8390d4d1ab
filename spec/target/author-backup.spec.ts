import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { END_BYTES, MAX_BACKUPS, saveEnds } from '../../lib/target/author-backup.js'
import { MemoryVolume } from '../../lib/volume/drivers/memory.js'
import { writeVolume } from '../../lib/volume/promises.js'

let directory: string
beforeEach(async () => (directory = await mkdtemp(join(tmpdir(), 'cloudx-author-'))))
afterEach(() => rm(directory, { recursive: true }))

async function disk(sizeBytes: number): Promise<MemoryVolume> {
  const volume = new MemoryVolume(sizeBytes)
  await volume.open()
  await writeVolume(volume, Buffer.alloc(512, 1), 0)
  await writeVolume(volume, Buffer.alloc(512, 2), sizeBytes - 512)
  return volume
}

describe('saveEnds', () => {
  it('saves the first and the last MiB, for the owner alone', async () => {
    const path = await saveEnds(await disk(3 * END_BYTES), directory, 0)
    const first = await readFile(join(path, 'first.bin'))
    const last = await readFile(join(path, 'last.bin'))
    expect([first.length, first[0], first[512]]).toEqual([END_BYTES, 1, 0])
    expect([last.length, last[0], last[END_BYTES - 512]]).toEqual([END_BYTES, 0, 2])
    expect((await stat(join(path, 'first.bin'))).mode & 0o777).toBe(0o600)
  })

  it('saves a small image whole', async () => {
    const path = await saveEnds(await disk(8192), directory, 0)
    expect((await readFile(join(path, 'first.bin'))).length).toBe(8192)
    expect((await readFile(join(path, 'last.bin')))[8191]).toBe(2)
  })

  it('says of an image without partition table that it has none', async () => {
    const path = await saveEnds(await disk(8192), directory, 0)
    expect(JSON.parse(await readFile(join(path, 'table.json'), 'utf8'))).toMatchObject({ imageBytes: 8192 })
  })

  it('keeps the newest sessions', async () => {
    const volume = await disk(8192)
    for (let day = 0; day < MAX_BACKUPS + 3; day++) await saveEnds(volume, directory, day * 86_400_000)
    const names = (await readdir(directory)).sort()
    expect(names).toHaveLength(MAX_BACKUPS)
    expect(names[0]).toBe('1970-01-04T00-00-00-000Z')
  })
})
