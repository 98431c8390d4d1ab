import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { checkDelta } from '../../lib/target/delta-check.js'
import { openOverlayDisk } from '../../lib/target/overlay-disk.js'
import { SpaceBudget } from '../../lib/volume/delta/budget.js'
import { MemoryVolume } from '../../lib/volume/drivers/memory.js'
import { writeVolume } from '../../lib/volume/promises.js'

const SIZE = 65536
const FINGERPRINT = {
  uuid: '0f8fad5b-d9cb-469f-a165-70867728950e',
  generation: 0,
  size: SIZE,
  mtimeNs: 1_234_567_890_123_456_789n,
  inode: 42n
}

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'cloudx-check-'))
  const base = new MemoryVolume(SIZE)
  await base.open()
  const disk = await openOverlayDisk({
    base,
    fingerprint: FINGERPRINT,
    directory,
    name: 'lun-0',
    targetName: 'iqn.2010-04.local.cloudx:share',
    initiatorName: 'iqn.1991-05.com.microsoft:pc',
    lun: 0,
    chapUser: undefined,
    incarnation: 3,
    epochAfter: 6,
    chunkBytes: 4096,
    bootId: undefined,
    budget: new SpaceBudget(),
    nearlyFull: () => undefined
  })
  await writeVolume(disk.volume, Buffer.alloc(512, 1), 0)
  await disk.close()
})
afterEach(() => rm(directory, { recursive: true }))

describe('checkDelta', () => {
  it('finds nothing against a delta over this base', async () => {
    expect(await checkDelta(directory, 'lun-0', 7, FINGERPRINT)).toBeUndefined()
  })

  it.each([
    ['uuid', { uuid: '0f8fad5b-d9cb-469f-a165-70867728950f' }],
    ['generation', { generation: 1 }],
    ['size', { size: SIZE * 2 }],
    ['mtimeNs', { mtimeNs: 1_234_567_890_123_456_788n }],
    ['inode', { inode: 43n }]
  ])('notices another %s of the base', async (_field, change) => {
    expect(await checkDelta(directory, 'lun-0', 7, { ...FINGERPRINT, ...change })).toMatchObject({
      event: 'base-changed'
    })
  })

  it.each([0, 100, 4095])('calls a header of %d bytes unreadable', async (length) => {
    const map = (await readdir(directory)).find((name) => name.endsWith('.map'))!
    await writeFile(join(directory, map), Buffer.alloc(length, 0x43))
    expect(await checkDelta(directory, 'lun-0', 7, FINGERPRINT)).toMatchObject({ event: 'unreadable' })
  })
})
