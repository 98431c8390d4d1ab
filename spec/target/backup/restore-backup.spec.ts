import { chmodSync, existsSync, readFileSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { restoreOver, restoreToFile } from '../../../lib/target/backup/restore-backup.js'
import { codeOf } from '../../../lib/util/errors.js'
import { BackedDisk, MIB } from '../../support/backup-disk.js'
import { ALICE, BASE_BYTE, LOGOUT, SILENCE, TargetBench, BOB, IMAGE_BYTES } from '../../support/target-bench.js'

const STUDIO = 'iqn.2026-01.org.example:studio'

let disk: BackedDisk
let bench: TargetBench
beforeEach(async () => {
  disk = new BackedDisk(IMAGE_BYTES)
  disk.write(Buffer.alloc(MIB, 0x11), MIB)
  await disk.backUp()
  disk.publish()
  disk.write(Buffer.alloc(MIB, 0x22), 2 * MIB)
  await disk.backUp()
  bench = await TargetBench.make({}, { initiators: [{ match: STUDIO, policy: 'author' }] })
})
afterEach(async () => {
  disk.remove()
  await bench.remove()
})

const failure = (work: Promise<unknown>) => work.then(() => 'done', codeOf)
const none = () => undefined

async function over(image = bench.image, stateDirectory?: string): Promise<string | undefined> {
  const folder = await disk.open(false)
  const place = { image, stateDirectory, log: bench.log, now: Date.UTC(2026, 10, 23) }
  return restoreOver(folder, folder.find(undefined), place, none)
}

describe('a restore', () => {
  it('makes a new file, sparse, of any backup', async () => {
    const folder = await disk.open(false)
    const path = join(disk.directory, 'new.img')
    await restoreToFile(folder, folder.find(1), path, none)
    const expected = Buffer.alloc(IMAGE_BYTES).fill(0x11, MIB, 2 * MIB)
    expect(readFileSync(path).equals(expected)).toBe(true)
    expect(statSync(path).blocks * 512).toBeLessThan(2 * MIB)
    expect(await failure(restoreToFile(folder, folder.find(2), path, none))).toBe('ERR_ISCSI_IMAGE_EXISTS')
    expect(readFileSync(path).equals(expected)).toBe(true)
  })

  it('leaves no file when a hash is wrong', async () => {
    const raw = join(disk.path, '000001.raw')
    writeFileSync(raw, readFileSync(raw).fill(9, 0, 1))
    const before = readFileSync(bench.image)
    const folder = await disk.open(false)
    const path = join(disk.directory, 'new.img')
    expect(await failure(restoreToFile(folder, folder.find(2), path, none))).toBe('ERR_ISCSI_BACKUP_DAMAGED')
    expect(await failure(over())).toBe('ERR_ISCSI_BACKUP_DAMAGED')
    expect(readdirSync(disk.directory)).toEqual(['backups'])
    expect(readdirSync(bench.directory)).toEqual(['share.img'])
    expect(readFileSync(bench.image).equals(before)).toBe(true)
  })

  it('takes the place of an image, with its mode, when no server shares it', async () => {
    chmodSync(bench.image, 0o640)
    expect(await over()).toBe(undefined)
    expect(readFileSync(bench.image).equals(disk.content)).toBe(true)
    expect(statSync(bench.image).mode & 0o777).toBe(0o640)
    expect(readdirSync(bench.directory)).toEqual(['share.img'])
  })

  it('is refused while a server shares it', async () => {
    await bench.start()
    expect(await failure(over())).toBe('ERR_ISCSI_LOCKED')
    await bench.stop()
    expect(await failure(over())).toBe('done')
  })

  it('puts the generations of the old file aside, and who wrote over it is told', async () => {
    await bench.start()
    await bench.visit(0x33, LOGOUT, { initiatorName: STUDIO })
    await bench.server!.control.publish({})
    await bench.visit(0x44, SILENCE, { initiatorName: BOB })
    await bench.stop()
    const aside = (await over())!
    expect(aside).toMatch(/\.before-restore-2026-11-23/)
    expect(existsSync(aside)).toBe(true)
    await bench.start()
    const [image] = await bench.server!.control.images()
    expect([image!.trouble, image!.current]).toEqual([undefined, 0])
    const nexus = await bench.login({ initiatorName: BOB })
    expect([await bench.read(nexus, 0), await bench.read(nexus, MIB)]).toEqual([0, 0x11])
    expect(bench.log.lines.join('\n')).toMatch(/lost its delta/)
    expect(BASE_BYTE).not.toBe(0)
  })

  it('gives the disks of all clients new identities, and is backed up to the same folder still', async () => {
    await bench.start()
    const before = await bench.login({ initiatorName: ALICE })
    const serial = before.units.get(0)!.unit.identity.serial
    expect(await bench.read(before, 0)).toBe(BASE_BYTE)
    // Its PC sleeps, with the volume mounted and what it has read in its cache.
    await bench.end(before, SILENCE)
    const [image] = await bench.server!.control.images()
    await bench.stop()
    await over()
    await bench.start()
    const after = await bench.login({ initiatorName: ALICE })
    expect(await bench.read(after, 0)).toBe(0)
    expect(after.units.get(0)!.unit.identity.serial).not.toBe(serial)
    const [restored] = await bench.server!.control.images()
    expect(restored!.uuid).not.toBe(image!.uuid)
    expect([image!.backupUuid, restored!.backupUuid]).toEqual([image!.uuid, image!.uuid])
  })

  it('finds the state directory beside either name of the image, and takes no other one for it', async () => {
    const [link, elsewhere] = [join(bench.directory, 'link.img'), join(bench.directory, 'elsewhere')]
    symlinkSync(bench.image, link)
    await bench.start()
    const [image] = await bench.server!.control.images()
    await bench.stop()
    await over(link)
    await bench.start()
    const [restored] = await bench.server!.control.images()
    await bench.stop()
    expect(restored!.uuid).not.toBe(image!.uuid)
    const before = readFileSync(bench.image)
    expect(await failure(over(link, elsewhere))).toBe('ERR_ISCSI_STATE')
    await bench.start({ stateDirectory: `${link}.cloudx` })
    await bench.stop()
    expect(await failure(over(link))).toBe('ERR_ISCSI_STATE')
    expect(readFileSync(bench.image).equals(before)).toBe(true)
    expect(await failure(over(link, `${link}.cloudx`))).toBe('done')
  })
})
