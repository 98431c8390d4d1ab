import { createHash } from 'node:crypto'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { openExfat } from '../../../lib/filesystem/reading/exfat.js'
import { openExt } from '../../../lib/filesystem/reading/ext.js'
import { clipped, openFat } from '../../../lib/filesystem/reading/fat.js'
import { openNtfs } from '../../../lib/filesystem/reading/ntfs.js'
import { openFileSystem } from '../../../lib/filesystem/reading/open.js'
import {
  addExtent,
  isName,
  PagedSource,
  type ByteSource,
  type FileExtent
} from '../../../lib/filesystem/reading/source.js'
import { createFolderImage } from '../../../lib/target/creation/create-image.js'
import { describeWith, succeed } from '../../support/programs.js'
import { Random, seedOf } from '../../support/random.js'

const MIB = 1 << 20
const HELLO = Buffer.from('hello\n')
const TEXT = Buffer.from(Array.from({ length: 20_000 }, (_, line) => `${line}\n`).join(''))
const BIG = new Random(3).bytes(Buffer.alloc(700_000))
const LONG = 'a long name 학교.txt'

let folder: string
let tree: string
beforeAll(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'cloudx-reading-'))
  tree = join(folder, 'tree')
  fs.mkdirSync(join(tree, 'deep', 'er'), { recursive: true })
  fs.writeFileSync(join(tree, 'hello.txt'), HELLO)
  fs.writeFileSync(join(tree, 'deep', 'er', LONG), TEXT)
  fs.writeFileSync(join(tree, 'deep', 'big.bin'), BIG)
  for (let number = 0; number < 40; number++) fs.writeFileSync(join(tree, 'deep', `file-${number}`), `${number}`)
})
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }))

const FILES: [string, Buffer][] = [
  ['/hello.txt', HELLO],
  [`/deep/er/${LONG}`, TEXT],
  ['/deep/big.bin', BIG],
  ...Array.from({ length: 40 }, (_, number): [string, Buffer] => [`/deep/file-${number}`, Buffer.from(`${number}`)])
]
const hash = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
const EXPECTED = Object.fromEntries(FILES.map(([path, bytes]) => [path, hash(bytes)]))

function sourceOf(disk: Buffer): ByteSource {
  return { size: disk.length, read: (buffer, offset) => Promise.resolve(void disk.copy(buffer, 0, offset)) }
}

/** Path → hash of what lies there; directories by their paths with a slash. */
async function contentOf(disk: Buffer, offset = 0) {
  const reader = await openFileSystem(sourceOf(disk), offset, disk.length - offset)
  const files: Record<string, string> = {}
  const directories: string[] = []
  for await (const file of reader!.files()) {
    if (file.directory) directories.push(file.path)
    else {
      const bytes = Buffer.alloc(file.lengthBytes)
      for (const { at, offset: from, lengthBytes } of file.extents) {
        disk.copy(bytes, at, offset + from, offset + from + lengthBytes)
      }
      file.inline?.copy(bytes)
      files[file.path] = hash(bytes)
    }
  }
  return { kind: reader!.kind, files, directories: directories.sort() }
}

const image = (name: string, sizeBytes: number) => {
  const path = join(folder, name)
  fs.writeFileSync(path, '')
  fs.truncateSync(path, sizeBytes)
  return path
}

describeWith(['mkfs.vfat', 'mcopy'], 'FAT as mkfs.vfat and mtools write it', () => {
  it.each([
    ['FAT16', 16 * MIB, '16'],
    ['FAT32', 64 * MIB, '32']
  ])('is read: %s', async (kind, size, bits) => {
    const path = image(`${kind}.img`, size)
    await succeed('mkfs.vfat', ['-F', bits, path])
    await succeed('mcopy', ['-s', '-i', path, join(tree, 'hello.txt'), join(tree, 'deep'), '::'])
    const found = await contentOf(fs.readFileSync(path))
    expect(found).toEqual({ kind, files: EXPECTED, directories: ['/deep', '/deep/er'] })
  })

  it('is read: FAT12, with names of eight and three letters', async () => {
    const path = image('FAT12.img', MIB)
    await succeed('mkfs.vfat', ['-F', '12', path])
    await succeed('mcopy', ['-i', path, join(tree, 'hello.txt'), '::SHORT.TXT'])
    const { kind, files } = await contentOf(fs.readFileSync(path))
    expect([kind, files]).toEqual(['FAT12', { '/SHORT.TXT': hash(HELLO) }])
  })
})

describeWith(['mke2fs'], 'ext as mke2fs writes it', () => {
  it.each([
    ['ext4', ['-t', 'ext4']],
    ['ext4', ['-t', 'ext4', '-O', 'inline_data,^64bit', '-I', '256']],
    ['ext2', ['-t', 'ext2', '-b', '1024']],
    ['ext3', ['-t', 'ext3', '-b', '4096']]
  ])('is read: %s %j', async (kind, options) => {
    const path = image(`${kind}.img`, 32 * MIB)
    await succeed('mke2fs', ['-q', '-F', ...options, '-d', tree, path])
    const found = await contentOf(fs.readFileSync(path))
    expect(found).toEqual({ kind, files: EXPECTED, directories: ['/deep', '/deep/er', '/lost+found'] })
  })
})

describeWith(['mkntfs', 'ntfscp'], 'NTFS as mkntfs and ntfscp write it', () => {
  it('is read, content in the records and outside', async () => {
    const path = image('ntfs.img', 16 * MIB)
    await succeed('mkntfs', ['-q', '-F', '-s', '512', path])
    await succeed('ntfscp', ['-q', '-f', path, join(tree, 'hello.txt'), 'hello.txt'])
    await succeed('ntfscp', ['-q', '-f', path, join(tree, 'deep', 'big.bin'), 'Big File.bin'])
    const { kind, files } = await contentOf(fs.readFileSync(path))
    expect([kind, files]).toEqual(['NTFS', { '/hello.txt': hash(HELLO), '/Big File.bin': hash(BIG) }])
  })
})

describe('exFAT', () => {
  it('is read out of a partition', async () => {
    const path = join(folder, 'exfat.img')
    await createFolderImage({
      path,
      folder: tree,
      label: 'TREE',
      sizeBytes: 32 * MIB,
      blockSize: 512,
      found: () => undefined,
      progress: () => undefined
    })
    const disk = fs.readFileSync(path)
    const found = await contentOf(disk, MIB)
    expect(found).toMatchObject({ kind: 'exFAT', files: EXPECTED })
  })
})

describe('a disk that is damaged or hostile', () => {
  const seed = seedOf(0xf5)
  it.each(['FAT16.img', 'FAT32.img', 'ext4.img', 'ext2.img', 'ntfs.img', 'exfat.img'])(
    `is read to an end, whatever is changed in %s (seed ${seed})`,
    async (name) => {
      const path = join(folder, name)
      if (!fs.existsSync(path)) return
      const random = new Random(seed)
      const original = fs.readFileSync(path).subarray(0, 8 * MIB)
      const start = name === 'exfat.img' ? MIB : 0
      for (let round = 0; round < 4; round++) {
        const disk = Buffer.from(original)
        for (let flip = 0; flip < 400; flip++) {
          // The first parts of a file system are those that lead to others.
          const at = start + random.int(random.chance(0.5) ? 65536 : disk.length - start)
          if (disk[at] !== 0 || random.chance(0.1)) disk[at] = random.int(256)
        }
        const reader = await openFileSystem(sourceOf(disk), start, disk.length - start)
        let count = 0
        for await (const file of reader?.files() ?? []) {
          count++
          for (const extent of file.extents) {
            if (!(extent.offset >= 0 && extent.lengthBytes >= 0 && Number.isSafeInteger(extent.at))) {
              throw new Error(`${file.path}: ${JSON.stringify(extent)}`)
            }
          }
          if (!file.path.startsWith('/') || /\/\.\.?(\/|$)/.test(file.path)) throw new Error(`path ${file.path}`)
          if (count > 5000) break
        }
      }
    }
  )

  it.each([0, 511, 512, 2000])('is nothing when it has %i bytes', async (length) => {
    expect(await openFileSystem(sourceOf(Buffer.alloc(length)), 0, length)).toBe(undefined)
  })

  it('of noise is nothing', async () => {
    const source = new PagedSource(sourceOf(new Random(9).bytes(Buffer.alloc(65536))), 0, 65536)
    const boot = await source.bytes(0, 512)
    expect([openFat(source, boot), openExfat(source, boot)]).toEqual([undefined, undefined])
    expect([await openNtfs(source, boot), await openExt(source)]).toEqual([undefined, undefined])
  })
})

describe('what readers share', () => {
  it('reads across pages, and nothing behind the end', async () => {
    const disk = new Random(4).bytes(Buffer.alloc(200_000))
    const source = new PagedSource(sourceOf(disk), 1000, 150_000)
    expect((await source.bytes(60_000, 80_000)).equals(disk.subarray(61_000, 141_000))).toBe(true)
    expect((await source.bytes(149_990, 100)).equals(disk.subarray(150_990, 151_000))).toBe(true)
    for (const offset of [-1, 150_000, NaN, 2 ** 60]) expect((await source.bytes(offset, 4)).length).toBe(0)
  })

  it('joins runs that go on, and cuts what lies behind the end of a file', () => {
    const extents: FileExtent[] = []
    addExtent(extents, 0, 100, 50)
    addExtent(extents, 50, 150, 50)
    addExtent(extents, 100, 900, 50)
    expect(extents).toEqual([
      { at: 0, offset: 100, lengthBytes: 100 },
      { at: 100, offset: 900, lengthBytes: 50 }
    ])
    expect(clipped(extents, 60)).toEqual([{ at: 0, offset: 100, lengthBytes: 60 }])
  })

  it.each(['', '.', '..', 'a/b', 'a\0b'])('takes %j for no name', (name) => expect(isName(name)).toBe(false))
})
