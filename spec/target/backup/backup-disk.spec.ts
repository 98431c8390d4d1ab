import { readFileSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { BackupDisk, changedPlaces } from '../../../lib/target/backup/backup-disk.js'
import { codeOf } from '../../../lib/util/errors.js'
import { BackedDisk, MIB } from '../../support/backup-disk.js'

let disk: BackedDisk
beforeEach(async () => {
  disk = new BackedDisk(3 * MIB)
  disk.write(Buffer.alloc(3 * MIB, 1), 0)
  await disk.backUp()
  disk.publish()
  disk.write(Buffer.alloc(MIB, 2), MIB)
  await disk.backUp()
})
afterEach(() => disk.remove())

async function failureOf(number: number): Promise<string> {
  const folder = await disk.open(false)
  const verify = async () => {
    const backup = await BackupDisk.open(folder, folder.find(number))
    try {
      await backup.verify()
    } finally {
      await backup.close()
    }
  }
  return verify().then(() => 'whole', codeOf)
}

describe('a backup as a disk', () => {
  it('finds what a file of changes holds by where hashes differ', () => {
    const list = (...fills: number[]) => Buffer.concat(fills.map((fill) => Buffer.alloc(32, fill)))
    expect([...changedPlaces(list(1, 2, 3, 4), list(1, 9, 3))]).toEqual([-1, 0, -1, 1])
    expect([...changedPlaces(list(1), list(1, 2))]).toEqual([-1])
  })

  it('tells how far a verification is', async () => {
    const folder = await disk.open(false)
    const backup = await BackupDisk.open(folder, folder.find(2))
    const told: number[] = []
    await backup.verify((done, total) => told.push(done / total))
    await backup.close()
    expect(told).toEqual([1 / 3, 2 / 3, 1])
  })

  it.each<[string, number, string, string]>([
    ['000001.raw', 2 * MIB, 'ERR_ISCSI_BACKUP_DAMAGED', 'ERR_ISCSI_BACKUP_DAMAGED'],
    // What the second one has itself, it does not read from the first.
    ['000001.raw', MIB, 'ERR_ISCSI_BACKUP_DAMAGED', 'whole'],
    ['000002.changes', 0, 'whole', 'ERR_ISCSI_BACKUP_DAMAGED']
  ])('notices a bit of %s at %d that has turned', async (name, at, first, second) => {
    const path = join(disk.path, name)
    const bytes = readFileSync(path)
    bytes[at]! ^= 0x80
    writeFileSync(path, bytes)
    expect([await failureOf(1), await failureOf(2)]).toEqual([first, second])
  })

  it('notices a file that is short or gone', async () => {
    truncateSync(join(disk.path, '000002.changes'), MIB - 1)
    expect(await failureOf(2)).toBe('ERR_ISCSI_BACKUP_DAMAGED')
    unlinkSync(join(disk.path, '000001.raw'))
    expect([await failureOf(1), await failureOf(2)]).toEqual(Array(2).fill('ERR_ISCSI_BACKUP_DAMAGED'))
  })
})
