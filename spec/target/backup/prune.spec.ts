import { copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { BackupDisk } from '../../../lib/target/backup/backup-disk.js'
import { pruneBackups } from '../../../lib/target/backup/prune.js'
import { codeOf } from '../../../lib/util/errors.js'
import { BackedDisk, MIB } from '../../support/backup-disk.js'

const SIZE = 4 * MIB + 512

let disk: BackedDisk
let contents: Buffer[]
beforeEach(async () => {
  disk = new BackedDisk(SIZE)
  contents = [Buffer.alloc(0)]
  for (let number = 1; number <= 4; number++) {
    disk.write(Buffer.alloc(4096, number), number * MIB - 2048)
    if (number === 3) disk.write(Buffer.alloc(MIB), 0)
    await disk.backUp()
    contents.push(Buffer.from(disk.content))
    disk.publish()
  }
})
afterEach(() => disk.remove())

const names = () => disk.names
const failure = (work: Promise<unknown>) => work.then(() => 'done', codeOf)

async function prune(keep: number): Promise<number> {
  const folder = await disk.open()
  try {
    return await pruneBackups(folder, keep, () => undefined)
  } finally {
    await folder.close()
  }
}

async function expectWhole(...numbers: number[]): Promise<void> {
  const folder = await disk.open(false)
  expect(folder.backups.map(({ number }) => number)).toEqual(numbers)
  for (const number of numbers) {
    const backup = await BackupDisk.open(folder, folder.find(number))
    const parts: Buffer[] = []
    for (let index = 0; index < backup.leafCount; index++) parts.push(await backup.read(index, Buffer.alloc(MIB)))
    await backup.close()
    expect(Buffer.concat(parts).equals(contents[number]!)).toBe(true)
  }
}

describe('pruning', () => {
  it('leaves the newest ones, the oldest of them as a raw disk', async () => {
    expect(await prune(2)).toBe(2)
    await expectWhole(3, 4)
    expect(names()).toEqual([
      '000001.raw',
      '000003.hashes',
      '000003.json',
      '000004.changes',
      '000004.hashes',
      '000004.json'
    ])
    expect(readFileSync(join(disk.path, '000001.raw')).equals(contents[3]!)).toBe(true)
    expect(await prune(2)).toBe(0)
    expect(await prune(1)).toBe(1)
    await expectWhole(4)
    disk.write(Buffer.alloc(512, 9), 0)
    const { backup } = await disk.backUp()
    contents[backup.number] = Buffer.from(disk.content)
    await expectWhole(4, 5)
  })

  it.each(['000001.raw', '000002.changes', '000004.changes', '000003.hashes', '000004.hashes'])(
    'removes nothing when %s is not what was written',
    async (name) => {
      const path = join(disk.path, name)
      const bytes = readFileSync(path)
      // A MiB of the raw disk that all of the later ones read from there.
      bytes[name.endsWith('.raw') ? SIZE - 100 : 100]! ^= 1
      if (name === '000001.raw') bytes.fill(7)
      writeFileSync(path, bytes)
      const before = names()
      expect(await failure(prune(2))).toBe('ERR_ISCSI_BACKUP_DAMAGED')
      expect(names()).toEqual(before)
    }
  )

  it('goes on behind a crash at any write, and every backup that is there is whole', async () => {
    const saved = join(disk.directory, 'saved')
    const copy = (from: string, to: string) => {
      mkdirSync(to, { recursive: true })
      for (const name of readdirSync(from)) copyFileSync(join(from, name), join(to, name))
    }
    copy(disk.path, saved)
    // What each step of a prune leaves: a merge that is noted, with none, a part or all of the changes in the raw file.
    const folder = await disk.open()
    const [, second] = folder.backups
    await folder.note({ ...second!, over: { number: 0, raw: '000001.raw', hashes: '000001.hashes' } })
    await folder.close()
    await expectWhole(1, 2, 3, 4)
    for (const part of [0, 0.5, 1]) {
      rmSync(join(disk.path, '000001.json'), { force: true })
      const raw = readFileSync(join(saved, '000001.raw'))
      const wanted = contents[2]!
      wanted.copy(raw, 0, 0, Math.floor(part * SIZE))
      writeFileSync(join(disk.path, '000001.raw'), raw)
      await expectWhole(2, 3, 4)
    }
    expect(await prune(4)).toBe(0)
    await expectWhole(2, 3, 4)
    expect(names()).not.toContain('000002.changes')
  })

  // A crash between the two records of a step; or a power cut on a drive where a removed name comes back with it.
  it.each(['before the merge', 'in the middle of it', 'behind it', 'behind the next one'])(
    'goes on when the one that goes is still listed %s',
    async (moment) => {
      const saved = readFileSync(join(disk.path, '000001.json'))
      const folder = await disk.open()
      const [, second] = folder.backups
      await folder.note({ ...second!, over: { number: 0, raw: '000001.raw', hashes: '000001.hashes' } })
      await folder.close()
      await expectWhole(1, 2, 3, 4)
      const merging = readFileSync(join(disk.path, '000002.json'))
      if (moment === 'in the middle of it') {
        const raw = readFileSync(join(disk.path, '000001.raw'))
        contents[2]!.copy(raw, 0, 0, SIZE / 2)
        writeFileSync(join(disk.path, '000001.raw'), raw)
      }
      if (moment.startsWith('behind')) {
        rmSync(join(disk.path, '000001.json'))
        await prune(moment === 'behind it' ? 3 : 2)
        writeFileSync(join(disk.path, '000001.json'), saved)
      }
      if (moment === 'behind the next one') writeFileSync(join(disk.path, '000002.json'), merging)
      await prune(2)
      await expectWhole(3, 4)
      expect(readFileSync(join(disk.path, '000001.raw')).equals(contents[3]!)).toBe(true)
    }
  )
})
