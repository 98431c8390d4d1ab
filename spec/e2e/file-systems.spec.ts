import { afterEach, beforeEach, expect, it, jest } from '@jest/globals'
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Random } from '../support/random.js'
import { describeWith, succeed } from '../support/programs.js'
import { ServerProcess, sha256, workDirectory } from '../support/server-process.js'

jest.setTimeout(180_000)

const TARGET = 'iqn.2026-01.org.example:disk'
const LENGTH = 64 * 1024 * 1024
const FILES = { 'readme.txt': 40, 'large.bin': 3_000_001, 'sub/empty.bin': 0, 'sub/photo.bin': 777_777 }

/** One way to make a file system with files in it, and to read one of its files again, by programs that are not ours. */
interface FileSystem {
  readonly name: string
  readonly programs: readonly string[]
  /** ntfscp cannot make folders. */
  readonly flat?: boolean
  make(image: string, folder: string): Promise<void>
  extract(image: string, name: string, to: string): Promise<void>
  check(image: string): Promise<void>
}

const FILE_SYSTEMS: readonly FileSystem[] = [
  {
    name: 'ext4',
    programs: ['mkfs.ext4', 'debugfs', 'e2fsck'],
    make: async (image, folder) => void (await succeed('mkfs.ext4', ['-q', '-F', '-d', folder, image])),
    extract: async (image, name, to) => void (await succeed('debugfs', ['-R', `dump /${name} ${to}`, image])),
    check: async (image) => void (await succeed('e2fsck', ['-f', '-n', image]))
  },
  {
    name: 'FAT32',
    programs: ['mkfs.vfat', 'mcopy', 'fsck.vfat'],
    make: async (image, folder) => {
      await succeed('mkfs.vfat', ['-F', '32', image])
      const names = ['readme.txt', 'large.bin', 'sub']
      await succeed('mcopy', ['-s', '-i', image, ...names.map((name) => join(folder, name)), '::'])
    },
    extract: async (image, name, to) => void (await succeed('mcopy', ['-n', '-i', image, `::${name}`, to])),
    check: async (image) => void (await succeed('fsck.vfat', ['-n', image]))
  },
  {
    name: 'NTFS',
    programs: ['mkntfs', 'ntfscp', 'ntfscat', 'ntfsfix'],
    flat: true,
    make: async (image, folder) => {
      await succeed('mkntfs', ['-q', '-F', '-Q', image])
      for (const name of ['readme.txt', 'large.bin']) {
        await succeed('ntfscp', ['-q', image, join(folder, name), name])
      }
    },
    extract: async (image, name, to) => void (await succeed('sh', ['-c', `ntfscat "${image}" ${name} > "${to}"`])),
    check: async (image) => void (await succeed('ntfsfix', ['-n', image]))
  }
]

let work: ReturnType<typeof workDirectory>
let server: ServerProcess | undefined
beforeEach(() => {
  work = workDirectory()
})
afterEach(async () => {
  await server?.kill()
  work.remove()
})

for (const fileSystem of FILE_SYSTEMS) {
  describeWith([...fileSystem.programs, 'qemu-img'], `an image with ${fileSystem.name}`, () => {
    it('is read through the target as it was made', async () => {
      const folder = join(work.path, 'folder')
      mkdirSync(join(folder, 'sub'), { recursive: true })
      const random = new Random(20100401)
      for (const [name, length] of Object.entries(FILES)) {
        writeFileSync(join(folder, name), random.bytes(Buffer.alloc(length)))
      }
      const image = join(work.path, 'share.img')
      writeFileSync(image, '')
      truncateSync(image, LENGTH)
      await fileSystem.make(image, folder)
      const original = await sha256(image)

      server = await ServerProcess.start(['--lun', image, '--target-name', TARGET])
      const copy = join(work.path, 'copy.img')
      await succeed('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', server.url(TARGET), copy])

      expect(await sha256(copy)).toBe(original)
      await fileSystem.check(copy)
      const names = Object.keys(FILES).filter((name) => !fileSystem.flat || !name.includes('/'))
      for (const name of names) {
        const to = join(work.path, 'extracted')
        writeFileSync(to, '')
        await fileSystem.extract(copy, name, to)
        expect(readFileSync(to).equals(readFileSync(join(folder, name)))).toBe(true)
      }
      expect(await server.stop()).toBe(0)
      expect(await sha256(image)).toBe(original)
    })
  })
}
