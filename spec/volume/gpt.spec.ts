import { describe, expect, it } from '@jest/globals'
import { gptHeaderCrc, isUsedEntry, markedGuid, readGptCopy, readU64 } from '../../lib/volume/gpt.js'
import { crc32OfBits, gptDisk } from '../support/disks.js'

/** As a file is read: nothing where the range leaves it. */
const reading = (disk: Buffer) => (offset: number, length: number) =>
  Promise.resolve(offset >= 0 && offset + length <= disk.length ? disk.subarray(offset, offset + length) : undefined)
const LAST = 8 * 2048 - 1

describe('a copy of a GUID Partition Table (UEFI 2.10 §5.3)', () => {
  it.each([
    [1, 512, 1024],
    [LAST, LAST * 512, (LAST - 32) * 512]
  ])('of sgdisk in sector %i is read with the places of header and entries', async (lba, headerAt, entriesAt) => {
    const copy = await readGptCopy(reading(gptDisk()), lba, 512)
    expect([copy!.headerAt, copy!.entriesAt, copy!.header.length, copy!.entryLength]).toEqual([
      headerAt,
      entriesAt,
      92,
      128
    ])
    expect(copy!.entries.length).toBe(16384)
    expect([0, 1, 2].map((index) => isUsedEntry(copy!.entries.subarray(index * 128)))).toEqual([true, true, false])
  })

  it.each([
    ['another block size', 1, 4096, () => undefined],
    ['no signature', 1, 512, (disk: Buffer) => disk.fill(0, 512, 513)],
    ['a damaged header', 1, 512, (disk: Buffer) => disk.fill(0xff, 512 + 60, 512 + 61)],
    ['a damaged entry', 1, 512, (disk: Buffer) => disk.fill(0xff, 1024 + 200, 1024 + 201)],
    ['the header of another place', 1, 512, (disk: Buffer) => disk.copyWithin(512, LAST * 512)]
  ])('is none with %s', async (_what, lba, blockSize, damage) => {
    const disk = gptDisk()
    damage(disk)
    expect(await readGptCopy(reading(disk), lba, blockSize)).toBeUndefined()
  })

  it('has a checksum over its header with zeroes in its own place', () => {
    const header = gptDisk().subarray(512, 512 + 92)
    const blank = Buffer.from(header).fill(0, 16, 20)
    expect(gptHeaderCrc(header)).toBe(crc32OfBits(blank))
    expect(gptHeaderCrc(header)).toBe(header.readUInt32LE(16))
  })
})

describe('markedGuid', () => {
  it('sets version and variant where the byte order of a GPT has them', () => {
    expect(markedGuid(Buffer.alloc(16, 0xff), 4).toString('hex')).toBe('ffffffffffffff4fbfffffffffffffff')
    expect(markedGuid(Buffer.alloc(16), 8).toString('hex')).toBe('00000000000000808000000000000000')
  })
})

describe('readU64', () => {
  it('is little-endian', () => expect(readU64(Buffer.from('00010000000200000000', 'hex'), 0)).toBe(0x200_0000_0100))
})
