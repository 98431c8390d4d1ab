import { mkdir, mkdtemp, open, readdir, readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import {
  createBlankImage,
  createFolderImage,
  createWelcomeImage,
  type FolderImageOptions
} from '../../../lib/target/creation/create-image.js'
import { timestamp } from '../../../lib/filesystem/timestamp.js'
import { readExfat } from '../../support/exfat-reader.js'

const MIB = 2 ** 20
const SIZE = 8 * MIB

let root: string
let path: string
let folder: string
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'cloudx-create-'))
  path = join(root, 'new.img')
  folder = join(root, 'folder')
  await mkdir(join(folder, 'sub'), { recursive: true })
  await writeFile(join(folder, 'sub', '한글.txt'.normalize('NFD')), 'hello')
})
afterEach(() => rm(root, { recursive: true }))

async function volumeOf(image: string) {
  const bytes = await readFile(image)
  return readExfat(bytes.subarray(MIB, bytes.length - MIB))
}

const create = (changes: Partial<FolderImageOptions> = {}) =>
  createFolderImage({ path, folder, sizeBytes: SIZE, blockSize: 512, label: 'CLOUD-X', ...changes })

describe('creating an image', () => {
  it('of zeroes takes no space', async () => {
    await createBlankImage(path, { sizeBytes: 2 ** 40, blockSize: 512 })
    expect(await stat(path)).toMatchObject({ size: 2 ** 40, blocks: 0 })
  })

  it('makes a drive with its texts', async () => {
    await createWelcomeImage(path, { sizeBytes: SIZE, blockSize: 512 }, 1e12)
    const { label, files, problems } = await volumeOf(path)
    expect(problems).toEqual([])
    expect([label, ...files.keys()]).toEqual(['CLOUD-X', 'README.txt', '읽어주세요.txt'])
    expect((await stat(path)).blocks * 512).toBeLessThan(MIB / 4)
  })

  it('takes over a folder, tells what it found and how far it is', async () => {
    await writeFile(join(folder, 'big'), Buffer.alloc(3 * MIB, 7))
    await utimes(join(folder, 'big'), 1e9, 1.2e9)
    const told: unknown[] = []
    await create({
      label: '공유',
      found: ({ fileCount, contentBytes }, sizeBytes) => told.push([fileCount, contentBytes, sizeBytes]),
      progress: (done, total) => told.push([done, total])
    })
    const { label, files, problems } = await volumeOf(path)
    expect(problems).toEqual([])
    expect([label, ...files.keys()]).toEqual(['공유', 'big', 'sub/', 'sub/한글.txt'])
    expect(files.get('sub/한글.txt')!.content.toString()).toBe('hello')
    expect(files.get('big')!.content.equals(Buffer.alloc(3 * MIB, 7))).toBe(true)
    expect(files.get('big')!.modified).toBe(timestamp(1.2e12).doubleSeconds)
    expect(told).toEqual([
      [2, 3 * MIB + 5, SIZE],
      [MIB, 3 * MIB + 5],
      [2 * MIB, 3 * MIB + 5],
      [3 * MIB, 3 * MIB + 5],
      [3 * MIB + 5, 3 * MIB + 5]
    ])
  })

  it('chooses a size with room to spare when none is given, and holes take no space', async () => {
    await writeFile(join(folder, 'sub', 'hole'), '')
    await truncate(join(folder, 'sub', 'hole'), 100 * MIB)
    await create({ sizeBytes: undefined })
    const { size, blocks } = await stat(path)
    // 1 GiB more than the content.
    expect(size).toBeGreaterThan(1124 * MIB)
    expect(size).toBeLessThan(1130 * MIB)
    expect(blocks * 512).toBeLessThan(MIB / 2)
  })

  it('refuses a folder that does not fit, with figures, and makes nothing', async () => {
    await truncate(join(folder, 'sub', '한글.txt'.normalize('NFD')), 100 * MIB)
    await expect(create()).rejects.toThrow(
      /folder does not fit: the content needs 100.* MiB .*has room for 6 MiB; leave --size out for 1\.1 GiB/
    )
    expect(await readdir(root)).toEqual(['folder'])
  })

  it('refuses when the disk has too little space, and makes nothing', async () => {
    const answer = () => Promise.resolve({ bavail: 100, bsize: 4096 })
    await expect(create({ statfs: answer })).rejects.toThrow(/needs 16 MiB on disk, and .* has 400 KiB free/)
    expect(await readdir(root)).toEqual(['folder'])
  })

  it('leaves nothing behind when it is told to end, or a file changes meanwhile', async () => {
    await writeFile(join(folder, 'big'), Buffer.alloc(3 * MIB, 7))
    const abort = new AbortController()
    await expect(create({ signal: abort.signal, progress: () => abort.abort(new Error('enough')) })).rejects.toThrow(
      'enough'
    )
    expect(await readdir(root)).toEqual(['folder'])
    const file = await open(join(folder, 'big'), 'r+')
    await expect(create({ found: () => void file.appendFile('x'), progress: () => undefined })).rejects.toThrow(
      /changed/
    )
    await file.close()
    expect(await readdir(root)).toEqual(['folder'])
  })

  it('may lie in the folder that it is made from', async () => {
    await create({ path: join(folder, 'new.img') })
    await create({ path: join(folder, 'second.img'), sizeBytes: 16 * MIB })
    const { files } = await volumeOf(join(folder, 'second.img'))
    expect([...files.keys()]).toEqual(['new.img', 'sub/', 'sub/한글.txt'])
  })
})
