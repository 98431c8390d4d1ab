import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { giveNewIdentity } from '../../../lib/target/creation/new-identity.js'
import { StateDirectory } from '../../../lib/target/state-directory.js'
import { codeOf } from '../../../lib/util/errors.js'
import { acquireLock } from '../../../lib/volume/lock.js'
import { LogRecorder } from '../../support/log-recorder.js'

const BLOCKS = 4096
const LAST = BLOCKS - 1

let folder: string
let path: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cloudx-new-id-'))
  path = join(folder, 'copy.img')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const failure = (work: Promise<unknown>) => work.then(() => 'done', codeOf)

/** A disk with a GPT of two partitions, laid out by hand after UEFI 2.10 tables 5-5 and 5-6. */
function gptDisk(blockSize = 512): Buffer {
  const disk = Buffer.alloc(BLOCKS * blockSize, 0x5a)
  disk.fill(0, 0, 34 * blockSize)
  disk[450] = 0xee
  disk.writeUInt16LE(0xaa55, 510)
  const entries = Buffer.alloc(128 * 128)
  for (const [index, type] of ['a2a0d0ebe5b9334487c068b6b72699c7', 'af3dc60f838472478e793d69d8477de4'].entries()) {
    entries.write(type, index * 128, 'hex')
    entries.fill(0xc0 + index, index * 128 + 16, index * 128 + 32)
    entries.writeBigUInt64LE(BigInt(100 + index * 100), index * 128 + 32)
    entries.writeBigUInt64LE(BigInt(199 + index * 100), index * 128 + 40)
  }
  const entryBlocks = entries.length / blockSize
  for (const [lba, other, entriesLba] of [
    [1, LAST, 2],
    [LAST, 1, LAST - entryBlocks]
  ] as const) {
    const header = Buffer.alloc(92)
    header.write('EFI PART', 0, 'latin1')
    header.writeUInt32LE(0x10000, 8)
    header.writeUInt32LE(92, 12)
    header.writeBigUInt64LE(BigInt(lba), 24)
    header.writeBigUInt64LE(BigInt(other), 32)
    header.writeBigUInt64LE(34n, 40)
    header.writeBigUInt64LE(BigInt(LAST - entryBlocks - 1), 48)
    header.write('00112233445566778899aabbccddeeff', 56, 'hex')
    header.writeBigUInt64LE(BigInt(entriesLba), 72)
    header.writeUInt32LE(128, 80)
    header.writeUInt32LE(128, 84)
    header.writeUInt32LE(crc32(entries), 88)
    header.writeUInt32LE(crc32(header), 16)
    header.copy(disk, lba * blockSize)
    entries.copy(disk, entriesLba * blockSize)
  }
  return disk
}

function mbrDisk(signature: number): Buffer {
  const disk = Buffer.alloc(1 << 20, 0x5a)
  disk.fill(0, 440, 512)
  disk.writeUInt32LE(signature, 440)
  disk[450] = 0x07
  disk.writeUInt16LE(0xaa55, 510)
  return disk
}

/** Bytes that are other than before, as ranges. */
function changed(before: Buffer, after: Buffer): [number, number][] {
  const ranges: [number, number][] = []
  for (let at = 0; at < before.length; at++) {
    if (before[at] === after[at]) continue
    const last = ranges.at(-1)
    if (last && at - last[1] < 8) last[1] = at
    else ranges.push([at, at])
  }
  return ranges
}

describe('a new identity', () => {
  it.each([512, 4096])(
    'is a GUID of the disk and of each partition, in both copies of a GPT of %d',
    async (blockSize) => {
      const before = gptDisk(blockSize)
      writeFileSync(path, before)
      const { kind, before: old, after: fresh, partitions } = await giveNewIdentity(path)
      // The first three parts of a GUID lie on the disk with their bytes turned.
      expect([kind, old, partitions]).toEqual(['gpt', '33221100-5544-7766-8899-AABBCCDDEEFF', 2])
      const after = readFileSync(path)
      for (const [lba, entriesLba] of [
        [1, 2],
        [LAST, LAST - (128 * 128) / blockSize]
      ] as const) {
        const header = Buffer.from(after.subarray(lba * blockSize, lba * blockSize + 92))
        const guid = header.subarray(56, 72).toString('hex')
        expect(fresh.toLowerCase().replaceAll('-', '').slice(16)).toBe(guid.slice(16))
        const entries = after.subarray(entriesLba * blockSize, entriesLba * blockSize + 128 * 128)
        expect(crc32(entries)).toBe(header.readUInt32LE(88))
        const crc = header.readUInt32LE(16)
        header.writeUInt32LE(0, 16)
        expect(crc32(header)).toBe(crc)
        expect(entries.subarray(16, 32)).not.toEqual(entries.subarray(144, 160))
        expect(entries.subarray(256).every((byte) => byte === 0)).toBe(true)
      }
      // Nothing else: per copy the checksums and the GUID of the header, and two GUIDs of entries.
      const ranges = changed(before, after)
      const bytes = ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0)
      expect(bytes).toBeLessThanOrEqual(2 * (4 + 16 + 4 + 2 * 16))
      expect((await giveNewIdentity(path)).before).toBe(fresh)
    }
  )

  it('is the signature of an MBR, and four bytes alone change', async () => {
    const before = mbrDisk(0x1234abcd)
    writeFileSync(path, before)
    const identity = await giveNewIdentity(path)
    expect(identity).toMatchObject({ kind: 'mbr', before: '1234ABCD', partitions: 0 })
    const after = readFileSync(path)
    expect(after.readUInt32LE(440)).toBe(parseInt(identity.after, 16))
    expect(after.readUInt32LE(440)).not.toBe(0)
    expect(changed(before, after).every(([first, last]) => first >= 440 && last < 444)).toBe(true)
  })

  it.each<[string, (disk: Buffer) => void]>([
    ['its primary header', (disk) => disk.fill(1, 512 + 56, 512 + 57)],
    ['its entries', (disk) => disk.fill(1, 1024 + 60, 1024 + 61)],
    ['its backup header', (disk) => disk.fill(0, LAST * 512, LAST * 512 + 8)],
    ['the length of its header', (disk) => disk.writeUInt32LE(5000, 512 + 12)],
    ['the number of its entries', (disk) => disk.writeUInt32LE(0xffffffff, 512 + 80)],
    ['the place of its backup', (disk) => disk.writeBigUInt64LE(2n ** 63n, 512 + 32)]
  ])('is refused for a GPT that is damaged in %s, and nothing is written', async (_what, damage) => {
    const disk = gptDisk()
    damage(disk)
    writeFileSync(path, disk)
    expect(await failure(giveNewIdentity(path))).toBe('ERR_ISCSI_NEW_ID')
    expect(readFileSync(path).equals(disk)).toBe(true)
  })

  it('is refused for what has no partition table, is short, or is no file', async () => {
    writeFileSync(path, Buffer.alloc(4096))
    expect(await failure(giveNewIdentity(path))).toBe('ERR_ISCSI_NEW_ID')
    truncateSync(path, 100)
    expect(await failure(giveNewIdentity(path))).toBe('ERR_ISCSI_NEW_ID')
    expect(await failure(giveNewIdentity(folder))).toBe('ERR_ISCSI_NEW_ID')
    expect(await failure(giveNewIdentity(join(folder, 'none.img')))).toBe('ENOENT')
  })

  it('is refused for an image that is shared, or was', async () => {
    writeFileSync(path, mbrDisk(1))
    const lock = await acquireLock(path, { exclusive: false })
    expect(await failure(giveNewIdentity(path))).toBe('ERR_ISCSI_LOCKED')
    await lock.release()
    mkdirSync(`${path}.cloudx`)
    expect(await failure(giveNewIdentity(path))).toBe('ERR_ISCSI_NEW_ID')
    expect(readFileSync(path).equals(mbrDisk(1))).toBe(true)
  })

  it('is refused for an image that was shared by another name, or with a state directory elsewhere', async () => {
    writeFileSync(path, mbrDisk(1))
    const link = join(folder, 'link.img')
    symlinkSync(path, link)
    mkdirSync(`${link}.cloudx`)
    expect(await failure(giveNewIdentity(link))).toBe('ERR_ISCSI_NEW_ID')
    const state = await StateDirectory.open(join(folder, 'state'), new LogRecorder())
    await state.imageUuid('../copy.img')
    expect(await failure(giveNewIdentity(path, state.path))).toBe('ERR_ISCSI_NEW_ID')
    expect(await failure(giveNewIdentity(path, join(folder, 'none')))).toBe('ERR_ISCSI_STATE')
    expect(readFileSync(path).equals(mbrDisk(1))).toBe(true)
    writeFileSync(join(folder, 'other.img'), mbrDisk(1))
    expect(await failure(giveNewIdentity(join(folder, 'other.img'), state.path))).toBe('done')
  })
})
