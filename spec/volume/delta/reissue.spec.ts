import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { encodeHeader, HEADER_LENGTH, type JournalHeader } from '../../../lib/volume/delta/journal-format.js'
import { readDeltaHeader, rebaseDelta, reissueDelta } from '../../../lib/volume/delta/reissue.js'

const HEADER: JournalHeader = {
  chunkSize: 4096,
  base: { uuid: '00112233-4455-6677-8899-aabbccddeeff', generation: 3, size: 1 << 20, mtimeNs: 5n, inode: 7n },
  owner: { target: 'iqn.2010-04.local.cloudx:t', initiator: 'iqn.2010-04.local.cloudx:공유', lun: 2, chapUser: 'kim' },
  incarnation: 1,
  epoch: 4,
  salt: 0x12345678,
  snapshotRecords: 0,
  firstSequence: 1
}

let folder: string
let path: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cloudx-reissue-'))
  path = join(folder, 'lun-2-4.map')
  await writeFile(path, Buffer.concat([encodeHeader(HEADER), Buffer.from('records')]))
})
afterEach(() => rm(folder, { recursive: true }))

describe('reissueDelta', () => {
  it('changes epoch and incarnation, and nothing else', async () => {
    await reissueDelta(path, { epoch: 9, incarnation: 2 })
    expect(await readDeltaHeader(path)).toEqual({ ...HEADER, epoch: 9, incarnation: 2 })
    const bytes = await readFile(path)
    expect(bytes.subarray(HEADER_LENGTH).toString()).toBe('records')
    // Offsets of docs/delta-format.md: incarnation at 64, epoch at 72.
    expect([bytes.readBigUInt64BE(64), bytes.readBigUInt64BE(72)]).toEqual([2n, 9n])
  })

  it('refuses a map that is damaged or short, and leaves it as it is', async () => {
    const bytes = await readFile(path)
    bytes[20]! ^= 1
    await writeFile(path, bytes)
    await expect(reissueDelta(path, { epoch: 9, incarnation: 2 })).rejects.toThrow('damaged')
    expect((await readFile(path)).equals(bytes)).toBe(true)
    await writeFile(path, bytes.subarray(0, 100))
    await expect(readDeltaHeader(path)).rejects.toThrow('100 bytes')
  })
})

describe('rebaseDelta', () => {
  const base = { ...HEADER.base, generation: 4, size: 1 << 21 }

  it('changes what lies below, and nothing else', async () => {
    await rebaseDelta(path, base)
    expect(await readDeltaHeader(path)).toEqual({ ...HEADER, base })
    expect((await readFile(path)).subarray(HEADER_LENGTH).toString()).toBe('records')
    expect(await readdir(folder)).toEqual(['lun-2-4.map'])
  })

  it('leaves a map that is damaged as it is, and no other file', async () => {
    const bytes = await readFile(path)
    bytes[20]! ^= 1
    await writeFile(path, bytes)
    await expect(rebaseDelta(path, base)).rejects.toThrow('damaged')
    expect((await readFile(path)).equals(bytes)).toBe(true)
    expect(await readdir(folder)).toEqual(['lun-2-4.map'])
  })
})
