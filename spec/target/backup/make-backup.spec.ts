import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { BackupDisk } from '../../../lib/target/backup/backup-disk.js'
import { describeBackup } from '../../../lib/target/backup/make-backup.js'
import { codeOf } from '../../../lib/util/errors.js'
import { BackedDisk, CHECKPOINT_LEAVES, MIB } from '../../support/backup-disk.js'
import { Random, seedOf, steps } from '../../support/random.js'

/** The last MiB is a short one. */
const SIZE = 5 * MIB + 1536

let disk: BackedDisk
beforeEach(() => {
  disk = new BackedDisk(SIZE)
  disk.write(Buffer.alloc(2 * MIB, 0x11), MIB / 2)
})
afterEach(() => disk.remove())

const names = () => disk.names
const failure = (work: Promise<unknown>) => work.then(() => 'done', codeOf)

/** A backup as it can be read. */
async function contentOf(number: number): Promise<Buffer> {
  const folder = await disk.open(false)
  const backup = await BackupDisk.open(folder, folder.find(number))
  const parts: Buffer[] = []
  const buffer = Buffer.alloc(MIB)
  for (let index = 0; index < backup.leafCount; index++) parts.push(Buffer.from(await backup.read(index, buffer)))
  await backup.close()
  return Buffer.concat(parts)
}

describe('a backup', () => {
  it('is the raw disk the first time, and what differs from then on', async () => {
    const first = await disk.backUp()
    expect(names()).toEqual(['000001.hashes', '000001.json', '000001.raw'])
    expect(readFileSync(join(disk.path, '000001.raw')).equals(disk.content)).toBe(true)
    expect(describeBackup(first)).toMatch(
      /^backup 1: generation 0, 5 MiB \(the whole disk\), SHA-256 [0-9a-f]{64}, read/
    )
    disk.publish()
    disk.write(Buffer.alloc(512, 0x22), 4 * MIB)
    const second = await disk.backUp()
    expect([second.isNew, second.storedBytes]).toEqual([true, MIB])
    expect(statSync(join(disk.path, '000002.changes')).size).toBe(MIB)
    expect(disk.asked.at(-1)).toEqual([0, 0])
    expect((await contentOf(2)).equals(disk.content)).toBe(true)
    expect((await contentOf(1)).subarray(4 * MIB, 4 * MIB + 512).equals(Buffer.alloc(512))).toBe(true)
  })

  it('finds by itself what differs when the server does not know', async () => {
    await disk.backUp()
    disk.publish()
    disk.write(Buffer.alloc(512, 0x22), SIZE - 512)
    const { storedBytes } = await disk.backUp(false)
    expect([storedBytes, disk.asked.at(-1)]).toEqual([1536, [0, undefined]])
    expect((await contentOf(2)).equals(disk.content)).toBe(true)
  })

  it('is not made twice of one generation, nor of one that holds the same', async () => {
    await disk.backUp()
    expect(await disk.backUp()).toMatchObject({ isNew: false, backup: { number: 1 } })
    disk.publish()
    expect(await disk.backUp(false)).toMatchObject({ isNew: false, backup: { number: 1 } })
    expect(names()).toEqual(['000001.hashes', '000001.json', '000001.raw'])
  })

  it('holds zeroes where there were bytes, and a disk that has grown', async () => {
    await disk.backUp()
    disk.publish()
    disk.write(Buffer.alloc(MIB), MIB)
    const grown = new BackedDisk(2 * SIZE)
    disk.content = Buffer.concat([disk.content, grown.content.subarray(SIZE)])
    grown.remove()
    await disk.backUp(false)
    expect((await contentOf(2)).equals(disk.content)).toBe(true)
  })

  it('of another image is refused', async () => {
    await disk.backUp()
    Object.assign(disk, { uuid: '11111111-0000-4000-8000-000000000000' })
    expect(await failure(disk.backUp())).toBe('ERR_ISCSI_BACKUP_IMAGE')
  })

  it('is refused while another one is written to the folder', async () => {
    const folder = await disk.open()
    expect(await failure(disk.backUp())).toBe('ERR_ISCSI_LOCKED')
    await folder.close()
    expect((await disk.backUp()).isNew).toBe(true)
  })

  it.each([true, false])('that was cut short goes on where it was, as changes: %s', async (isSecond) => {
    disk.remove()
    disk = new BackedDisk(8 * MIB)
    for (let mib = 0; mib < 8; mib++) disk.write(Buffer.alloc(512, mib + 1), mib * MIB)
    if (isSecond) {
      await disk.backUp()
      disk.publish()
      for (let mib = 0; mib < 8; mib++) disk.write(Buffer.alloc(512, 0xee), mib * MIB + 512)
    }
    // In parts of 256 KiB.
    disk.breakAfter = isSecond ? 4 * 6 : 6
    expect(await failure(disk.backUp())).not.toBe('done')
    expect(names().filter((name) => name.endsWith('.json'))).toHaveLength(isSecond ? 1 : 0)
    disk.breakAfter = Infinity
    const { backup } = await disk.backUp()
    expect(disk.asked.at(-1)![0]).toBeGreaterThanOrEqual(CHECKPOINT_LEAVES * MIB)
    expect((await contentOf(backup.number)).equals(disk.content)).toBe(true)
    expect(names().filter((name) => /part|draft/.test(name))).toEqual([])
  })

  it('begins anew when what was left of it is not what was written, or of another generation', async () => {
    disk.remove()
    disk = new BackedDisk(8 * MIB)
    for (let mib = 0; mib < 8; mib++) disk.write(Buffer.alloc(512, mib + 1), mib * MIB)
    disk.breakAfter = 6
    await failure(disk.backUp())
    const part = join(disk.path, '000001.raw.part')
    const bytes = readFileSync(part)
    bytes[MIB]! ^= 1
    writeFileSync(part, bytes)
    disk.breakAfter = 6
    await failure(disk.backUp())
    expect(disk.asked.at(-1)).toEqual([0, undefined])
    disk.publish()
    disk.breakAfter = Infinity
    disk.write(Buffer.alloc(512, 0x99), 0)
    await disk.backUp()
    expect(disk.asked.at(-1)).toEqual([0, undefined])
    expect((await contentOf(1)).equals(disk.content)).toBe(true)
  })

  const seed = seedOf(0xbac)
  it(`of many generations gives each of them back, whatever was cut short (seed ${seed})`, async () => {
    const random = new Random(seed)
    const contents = new Map<number, Buffer>()
    for (let round = 0; round < Math.min(20, steps(5)); round++) {
      for (let write = 0; write < 3; write++) {
        const bytes = random.bytes(Buffer.alloc(512 * (1 + random.int(3000))))
        disk.write(
          random.chance(0.2) ? Buffer.alloc(bytes.length) : bytes,
          512 * random.int((SIZE - bytes.length) / 512)
        )
      }
      disk.breakAfter = random.int(24)
      await failure(disk.backUp(random.chance(0.7)))
      disk.breakAfter = Infinity
      const { backup } = await disk.backUp(random.chance(0.7))
      contents.set(backup.number, Buffer.from(disk.content))
      disk.publish()
    }
    for (const [number, content] of contents) {
      if (!(await contentOf(number)).equals(content)) throw new Error(`backup ${number} is another disk`)
    }
  })
})
