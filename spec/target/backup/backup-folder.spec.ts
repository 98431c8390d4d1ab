import { readFileSync, readdirSync, statSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { BackupFolder } from '../../../lib/target/backup/backup-folder.js'
import { codeOf } from '../../../lib/util/errors.js'
import { BackedDisk, MIB } from '../../support/backup-disk.js'

let disk: BackedDisk
beforeEach(async () => {
  disk = new BackedDisk(2 * MIB)
  disk.write(Buffer.alloc(512, 1), 0)
  await disk.backUp()
  disk.publish()
  disk.write(Buffer.alloc(512, 2), MIB)
  await disk.backUp()
})
afterEach(() => disk.remove())

const failure = (work: Promise<unknown>) => work.then(() => 'done', codeOf)
const manifest = () => join(disk.path, '000002.json')

function edit(changes: object): void {
  writeFileSync(manifest(), JSON.stringify({ ...(JSON.parse(readFileSync(manifest(), 'utf8')) as object), ...changes }))
}

describe('a folder of backups', () => {
  it('knows them by their records, the newest last, and finds one by its number', async () => {
    const folder = await disk.open(false)
    expect(folder.backups.map(({ number }) => number)).toEqual([1, 2])
    expect([folder.find(undefined).number, folder.find(1).number]).toEqual([2, 1])
    expect(() => folder.find(7)).toThrow(/no backup 7 .* but 1, 2/)
    unlinkSync(manifest())
    expect((await disk.open(false)).newest!.number).toBe(1)
  })

  it('that has none says so', async () => {
    const folder = await BackupFolder.open(join(disk.directory, 'nothing'), false)
    expect(() => folder.find(undefined)).toThrow(/there is no backup in/)
    expect(readdirSync(disk.directory)).toEqual(['backups'])
  })

  it.each([
    { version: 9 },
    { number: 3 },
    { sizeBytes: -1 },
    { root: 'zz' },
    { file: '../../etc/passwd' },
    { file: '/etc/passwd' },
    { over: { number: 1, raw: '../x.raw', hashes: '' } }
  ])('refuses a record with %j', async (changes) => {
    edit(changes)
    expect(await failure(disk.open(false))).toBe('ERR_ISCSI_STATE')
  })

  it('refuses a record that does not say of what it is', async () => {
    edit({ generation: undefined })
    expect(await failure(disk.open(false))).toBe('ERR_ISCSI_BACKUP_DAMAGED')
  })

  it('refuses hashes that are not those of the backup', async () => {
    const folder = await disk.open(false)
    const path = join(disk.path, '000002.hashes')
    const bytes = readFileSync(path)
    for (const other of [bytes.subarray(1), Buffer.concat([bytes, bytes]), Buffer.alloc(bytes.length)]) {
      writeFileSync(path, other)
      expect(await failure(folder.hashesOf(folder.find(2)))).toBe('ERR_ISCSI_BACKUP_DAMAGED')
    }
    unlinkSync(path)
    expect(await failure(folder.hashesOf(folder.find(2)))).toBe('ERR_ISCSI_BACKUP_DAMAGED')
  })

  it('is free again behind it, and all lock one and the same file', async () => {
    const lockFile = () => statSync(join(disk.path, 'backup.lock'), { bigint: true })
    const first = await disk.open()
    const { ino, birthtimeNs } = lockFile()
    await first.close()
    // One that has opened this file before it is closed would hold a lock that nobody sees if it were removed.
    expect(lockFile()).toMatchObject({ ino, birthtimeNs })
    expect(readdirSync(disk.path).filter((name) => name.includes('lock'))).toEqual(['backup.lock'])
    const second = await disk.open()
    expect(lockFile()).toMatchObject({ ino, birthtimeNs })
    expect(await failure(disk.open())).toBe('ERR_ISCSI_LOCKED')
    await second.close()
  })
})
