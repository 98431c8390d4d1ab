import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import type { DeltaDiskOptions } from '../../lib/target/delta-disk.js'
import { openOverlayDisk } from '../../lib/target/overlay-disk.js'
import { SpaceBudget } from '../../lib/volume/delta/budget.js'
import { MemoryVolume } from '../../lib/volume/drivers/memory.js'
import { readVolume, writeVolume } from '../../lib/volume/promises.js'

const SIZE = 65536

let root: string
let options: DeltaDiskOptions
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'cloudx-disk-'))
  for (const name of ['delta', 'bin']) await mkdir(join(root, name))
  const base = new MemoryVolume(SIZE)
  await base.open()
  options = {
    base,
    fingerprint: { uuid: '0f8fad5b-d9cb-469f-a165-70867728950e', generation: 0, size: 1, mtimeNs: 5n, inode: 6n },
    directory: join(root, 'delta'),
    name: 'lun-0',
    targetName: 'iqn.2010-04.local.cloudx:share',
    initiatorName: 'iqn.1991-05.com.microsoft:pc',
    lun: 0,
    chapUser: 'alice',
    incarnation: 3,
    epochAfter: 6,
    chunkBytes: 4096,
    bootId: undefined,
    budget: new SpaceBudget(),
    nearlyFull: () => undefined
  }
})
afterEach(() => rm(root, { recursive: true }))

describe('an overlay disk', () => {
  it('stores nothing until something is written, and begins after the epoch that it is told', async () => {
    const disk = await openOverlayDisk(options)
    expect(disk).toMatchObject({ stored: false, bytesStored: 0, epoch: 7, incarnation: 3, leftovers: [] })
    expect(await readdir(options.directory)).toEqual([])
    await writeVolume(disk.volume, Buffer.alloc(512, 1), 0)
    expect(disk).toMatchObject({ stored: true, bytesStored: 4096 })
    await disk.close()
  })

  it('moves its files at a restore and reads as its base, under a new epoch', async () => {
    const disk = await openOverlayDisk(options)
    await writeVolume(disk.volume, Buffer.alloc(512, 1), 0)
    const { durable } = await disk.restore(join(root, 'bin'))
    expect(await readdir(options.directory)).toEqual([])
    expect(await readdir(join(root, 'bin'))).toHaveLength(2)
    const bytes = Buffer.alloc(512, 9)
    await readVolume(disk.volume, bytes, 0)
    expect(bytes.equals(Buffer.alloc(512))).toBe(true)
    expect(disk).toMatchObject({ stored: false, bytesStored: 0, epoch: 8 })
    await durable
    await disk.close()
  })

  it.each([
    ['CHAP user', { chapUser: 'bert' }, 'ERR_ISCSI_DELTA_OWNER'],
    ['initiator', { initiatorName: 'iqn.1991-05.com.microsoft:pc2' }, 'ERR_ISCSI_DELTA_OWNER'],
    [
      'base',
      { fingerprint: { uuid: '0f8fad5b-d9cb-469f-a165-70867728950e', generation: 0, size: 1, mtimeNs: 4n, inode: 6n } },
      'ERR_ISCSI_DELTA_FINGERPRINT'
    ]
  ])('is not opened for another %s', async (_what, change, code) => {
    const disk = await openOverlayDisk(options)
    await writeVolume(disk.volume, Buffer.alloc(512, 1), 0)
    await disk.close()
    await expect(openOverlayDisk({ ...options, ...change })).rejects.toMatchObject({ code })
  })
})
