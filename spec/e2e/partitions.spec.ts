import { closeSync, openSync, readFileSync, readSync, truncateSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, jest } from '@jest/globals'
import { describeWith, QemuIo, run, succeed } from '../support/programs.js'
import { Random } from '../support/random.js'
import { ServerProcess, sha256, workDirectory } from '../support/server-process.js'

jest.setTimeout(120_000)

const TARGET = 'iqn.2026-01.org.example:disk'
const INITIATOR = 'iqn.2026-01.org.example:pc'
const MIB = 1024 * 1024
const DISK_LENGTH = 24 * MIB
const FAT_LENGTH = 8 * MIB
const FAT_SECTORS = FAT_LENGTH / 512
/** Where the wanted partition begins on the disk that holds it, and on the disk that a client sees. */
const SOURCE_OFFSET = 9 * MIB
const SHOWN_OFFSET = MIB

interface Table {
  readonly name: string
  readonly program: string
  /** Makes the table. The wanted partition lies at {@link SOURCE_OFFSET}. */
  make(image: string): Promise<void>
  /** As Linux counts. */
  readonly partition: number
  /** The one line that sfdisk prints of the disk that a client sees, without its path. */
  readonly shown: RegExp
}

const GUID = '6B5D2C1E-0F3A-4E57-9C11-4D2A7B90E001'

const TABLES: readonly Table[] = [
  {
    name: 'a GUID partition table',
    program: 'sgdisk',
    make: async (image) => {
      const first = SOURCE_OFFSET / 512
      const second = [`-n2:${first}:${first + FAT_SECTORS - 1}`, '-t2:0700', '-c2:shared', `-u2:${GUID}`]
      await succeed('sgdisk', ['-n1:2048:10239', '-t1:ef00', ...second, '-n3:0:0', '-t3:8300', image])
    },
    partition: 2,
    shown: new RegExp(`start= +2048, size= +16384, type=EBD0A0A2-[-0-9A-F]+, uuid=${GUID}, name="shared"`)
  },
  {
    name: 'an MBR, as a primary partition',
    program: 'sfdisk',
    make: async (image) => {
      const lines = ['2048,8192,83', `${SOURCE_OFFSET / 512},${FAT_SECTORS},c,*`, ',,83']
      await succeed('sh', ['-c', `printf '%s\\n' 'label: dos' '${lines.join("' '")}' | sfdisk -q '${image}'`])
    },
    partition: 2,
    shown: /start= +2048, size= +16384, type=c, bootable/
  },
  {
    name: 'an MBR, as a logical partition',
    program: 'sfdisk',
    make: async (image) => {
      const lines = ['2048,8192,83', '14336,,f', `${SOURCE_OFFSET / 512},${FAT_SECTORS},c`]
      await succeed('sh', ['-c', `printf '%s\\n' 'label: dos' '${lines.join("' '")}' | sfdisk -q '${image}'`])
    },
    partition: 5,
    shown: /start= +2048, size= +16384, type=c$/
  }
]

let work: ReturnType<typeof workDirectory>
let server: ServerProcess | undefined
beforeEach(() => {
  work = workDirectory()
})
afterEach(async () => {
  await server?.kill()
  server = undefined
  work.remove()
})

const open = () => QemuIo.open({ port: server!.port, target: TARGET, initiatorName: INITIATOR })

async function copyOut(name: string): Promise<string> {
  const copy = join(work.path, name)
  await succeed('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', server!.url(TARGET), copy])
  return copy
}

/** A disk full of noise, its table, and in the wanted partition FAT with one file. */
async function makeDisk(table: Table): Promise<{ image: string; file: string; fat: string }> {
  const image = join(work.path, 'disk.img')
  writeFileSync(image, Buffer.alloc(DISK_LENGTH, new Random(20260103).bytes(Buffer.alloc(MIB - 512))))
  const zeroes = openSync(image, 'r+')
  writeSync(zeroes, Buffer.alloc(MIB), 0, MIB, 0)
  writeSync(zeroes, Buffer.alloc(MIB), 0, MIB, DISK_LENGTH - MIB)
  closeSync(zeroes)
  await table.make(image)
  const fat = join(work.path, 'fat.img')
  writeFileSync(fat, '')
  truncateSync(fat, FAT_LENGTH)
  await succeed('mkfs.vfat', [fat])
  const file = join(work.path, 'photo.bin')
  writeFileSync(file, new Random(20260104).bytes(Buffer.alloc(777_777)))
  await succeed('mcopy', ['-i', fat, file, '::'])
  const handle = openSync(image, 'r+')
  writeSync(handle, readFileSync(fat), 0, FAT_LENGTH, SOURCE_OFFSET)
  closeSync(handle)
  return { image, file, fat }
}

function bytesOf(path: string, offset: number, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  const handle = openSync(path, 'r')
  readSync(handle, bytes, 0, length, offset)
  closeSync(handle)
  return bytes
}

for (const table of TABLES) {
  const programs = [table.program, 'sfdisk', 'mkfs.vfat', 'fsck.vfat', 'mcopy', 'qemu-img', 'qemu-io', 'iscsi-inq']
  describeWith(programs, `one partition of a disk with ${table.name}`, () => {
    const start = (image: string, ...args: string[]) =>
      ServerProcess.start(['--lun', `${image},partition=${table.partition}`, '--target-name', TARGET, ...args])

    it('is a disk that holds it alone, with a table that tools accept, and the same at every start', async () => {
      const { image, file, fat } = await makeDisk(table)
      const original = await sha256(image)
      server = await start(image)
      const serial = await succeed('iscsi-inq', ['-e', '1', '-c', '128', server.url(TARGET)])
      const copy = await copyOut('copy.img')
      const listed = (await succeed('sfdisk', ['-d', copy])).split('\n').filter((line) => /start=/.test(line))
      expect(listed).toHaveLength(1)
      expect(listed[0]).toMatch(table.shown)
      expect((await run('sfdisk', ['--verify', copy])).output).toMatch(/No errors detected/)
      if (table.program === 'sgdisk') expect(await succeed('sgdisk', ['-v', copy])).toMatch(/No problems found/)
      expect(bytesOf(copy, SHOWN_OFFSET, FAT_LENGTH).equals(readFileSync(fat))).toBe(true)
      const extracted = join(work.path, 'extracted.bin')
      await succeed('mcopy', ['-n', '-i', `${copy}@@${SHOWN_OFFSET}`, '::photo.bin', extracted])
      expect(await sha256(extracted)).toBe(await sha256(file))

      expect(await server.stop()).toBe(0)
      server = await start(image)
      expect(await succeed('iscsi-inq', ['-e', '1', '-c', '128', server.url(TARGET)])).toBe(serial)
      expect(await sha256(await copyOut('again.img'))).toBe(await sha256(copy))
      expect(await sha256(image)).toBe(original)
    })

    it('can be written anywhere by a client, table and all, and is the original after its logout', async () => {
      const { image } = await makeDisk(table)
      const original = await sha256(image)
      server = await start(image)
      const shown = await sha256(await copyOut('copy.img'))
      const disk = await open()
      await disk.write(0xee, 0, 2 * MIB)
      await disk.write(0xdd, SHOWN_OFFSET + FAT_LENGTH - 512, 512)
      expect(await disk.holds(0xee, 0, 2 * MIB)).toBe(true)
      expect(await disk.holds(0xdd, SHOWN_OFFSET + FAT_LENGTH - 512, 512)).toBe(true)
      await disk.quit()
      expect(await sha256(await copyOut('again.img'))).toBe(shown)
      expect(await sha256(image)).toBe(original)
    })

    it('is written by its author alone, and nothing around it', async () => {
      const { image } = await makeDisk(table)
      const before = readFileSync(image)
      server = await start(image, '--author', INITIATOR)
      const disk = await open()
      await disk.write(0xaa, SHOWN_OFFSET + MIB, MIB)
      await disk.write(0xbb, SHOWN_OFFSET + FAT_LENGTH - 512, 512)
      const outside = ['0 512', `${SHOWN_OFFSET - 512} 512`, `${SHOWN_OFFSET - 512} 1k`]
      // The disk of an MBR partition ends with it; behind that of a GPT comes the second table.
      if (table.program === 'sgdisk') outside.push(`${SHOWN_OFFSET + FAT_LENGTH - 512} 1k`)
      for (const range of outside) {
        // DATA PROTECT, 07/27/00, is EACCES to QEMU.
        expect(await disk.command(`write -P 0xcc ${range}`)).toMatch(/write failed: Permission denied/)
      }
      await disk.quit()
      await server.logged(/left/)
      expect(await server.stop()).toBe(0)
      before.fill(0xaa, SOURCE_OFFSET + MIB, SOURCE_OFFSET + 2 * MIB)
      before.fill(0xbb, SOURCE_OFFSET + FAT_LENGTH - 512, SOURCE_OFFSET + FAT_LENGTH)
      expect(readFileSync(image).equals(before)).toBe(true)
    })
  })
}

describeWith(['sgdisk', 'qemu-img', 'fdisk'], 'a partition of a GPT disk as a 4Kn disk', () => {
  it('has a table in blocks of 4096 bytes', async () => {
    const { image, fat } = await makeDisk(TABLES[0]!)
    server = await ServerProcess.start([
      ...['--lun', `${image},partition=2`, '--target-name', TARGET, '--block-size', '4096']
    ])
    const copy = await copyOut('copy.img')
    const listed = await succeed('fdisk', ['-b', '4096', '-l', '-o', 'Start,Sectors', copy])
    expect(listed).toMatch(/Disklabel type: gpt/)
    expect(listed.trim().split('\n').at(-1)).toMatch(/^\s*256\s+2048\s*$/)
    expect(bytesOf(copy, SHOWN_OFFSET, FAT_LENGTH).equals(readFileSync(fat))).toBe(true)
  })
})

describeWith(['sgdisk'], 'a partition that there is not', () => {
  it('is refused with those that there are', async () => {
    const { image } = await makeDisk(TABLES[0]!)
    const { code, log } = await ServerProcess.run(['--lun', `${image},partition=7`])
    expect(code).toBe(1)
    expect(log.join('\n')).toMatch(/disk\.img: there is no partition 7: the disk has 1, 2,? (and )?3/)
  })
})
