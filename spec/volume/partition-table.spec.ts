import { describe, expect, it } from '@jest/globals'
import { MemoryVolume } from '../../lib/volume/drivers/memory.js'
import { basicDisk, generateDisk, partitionNumbered, readPartitionTable } from '../../lib/volume/partition-table.js'
import { codeOf } from '../../lib/util/errors.js'
import { crc32OfBits, gptDisk, mbrDisk, setU64 } from '../support/disks.js'

const MIB = 1 << 20

async function tableOf(bytes: Buffer, blockSize?: number) {
  const volume = new MemoryVolume(bytes.length, true, bytes)
  await volume.open()
  return readPartitionTable(volume, blockSize)
}

function placesOf(table: Awaited<ReturnType<typeof tableOf>>): number[][] {
  return table.partitions.map(({ number, offset, lengthBytes }) => [number, offset, lengthBytes])
}

async function codeOfTable(bytes: Buffer): Promise<string> {
  return tableOf(bytes).then(() => 'none', codeOf)
}

describe('reading a GUID partition table', () => {
  it('finds the partitions of a table that sgdisk wrote', async () => {
    const table = await tableOf(gptDisk())
    expect(table.kind).toBe('gpt')
    expect(table.blockSize).toBe(512)
    expect(table.fromBackup).toBe(false)
    expect(placesOf(table)).toEqual([
      [1, 2048 * 512, MIB],
      [2, 4096 * 512, 2 * MIB]
    ])
    expect(table.partitions[1]!.entry!.subarray(16, 32).toString('hex')).toBe('aaaaaaaa000000000000000000000002')
  })

  it.each([
    ['its signature', 512],
    ['its revision', 512 + 8],
    ['its own checksum', 512 + 16],
    ['the disk identifier', 512 + 60],
    ['the checksum of the entries', 512 + 88],
    ['an entry', 1024 + 33],
    ['an entry that is free', 1024 + 128 * 100]
  ])('uses the backup when the primary is damaged in %s', async (_what, at) => {
    const disk = gptDisk()
    disk[at]! ^= 1
    const table = await tableOf(disk)
    expect(table.fromBackup).toBe(true)
    expect(placesOf(table)).toEqual([
      [1, 2048 * 512, MIB],
      [2, 4096 * 512, 2 * MIB]
    ])
  })

  it('says so when both copies are damaged', async () => {
    const disk = gptDisk()
    disk[512 + 60]! ^= 1
    disk[disk.length - 512 + 60]! ^= 1
    expect(await codeOfTable(disk)).toBe('ERR_ISCSI_PARTITION_TABLE')
  })

  it('finds a table behind a boot record that was wiped', async () => {
    const disk = gptDisk()
    disk.fill(0, 0, 512)
    expect((await tableOf(disk)).partitions).toHaveLength(2)
  })

  it('lets a boot record without a protective entry win over an old table', async () => {
    const disk = gptDisk()
    disk[446 + 4] = 0x83
    disk.writeUInt32LE(100, 446 + 8)
    disk.writeUInt32LE(50, 446 + 12)
    const table = await tableOf(disk)
    expect(table.kind).toBe('mbr')
    expect(placesOf(table)).toEqual([[1, 51200, 25600]])
  })

  it('finds the table of a disk with blocks of 4096 bytes', async () => {
    const disk = Buffer.alloc(4 * MIB)
    disk.set(gptDisk().subarray(0, 512))
    const array = Buffer.alloc(128 * 128)
    array.fill(0xab, 0, 32)
    setU64(array, 32, 256)
    setU64(array, 40, 511)
    const header = Buffer.from(gptDisk().subarray(512, 512 + 92))
    setU64(header, 32, 1023)
    header.writeUInt32LE(crc32OfBits(array), 88)
    header.writeUInt32LE(0, 16)
    header.writeUInt32LE(crc32OfBits(header), 16)
    header.copy(disk, 4096)
    array.copy(disk, 8192)
    const table = await tableOf(disk)
    expect(table.blockSize).toBe(4096)
    expect(placesOf(table)).toEqual([[1, MIB, MIB]])
  })

  it('does not follow an array of entries that lies outside, or is larger than a sane one', async () => {
    for (const [at, value] of [
      [72, 0xffffffff],
      [80, 0xffffffff],
      [84, 0],
      [84, 0xffffffff]
    ] as const) {
      const disk = gptDisk()
      for (const base of [512, disk.length - 512]) {
        const header = disk.subarray(base, base + 92)
        header.writeUInt32LE(value, at)
        header.writeUInt32LE(0, 16)
        header.writeUInt32LE(crc32OfBits(header), 16)
      }
      expect(await codeOfTable(disk)).toBe('ERR_ISCSI_PARTITION_TABLE')
    }
  })
})

describe('reading a master boot record', () => {
  it('finds primary and logical partitions that sfdisk wrote', async () => {
    const table = await tableOf(mbrDisk())
    expect(table.kind).toBe('mbr')
    expect(table.partitions).toEqual([
      { number: 1, offset: 2048 * 512, lengthBytes: MIB, type: 0x07, status: 0x80 },
      { number: 5, offset: 6144 * 512, lengthBytes: MIB, type: 0x83, status: 0 },
      { number: 6, offset: 10240 * 512, lengthBytes: 2 * MIB, type: 0x0c, status: 0 }
    ])
  })

  it('counts in the blocks of the device', async () => {
    const disk = Buffer.alloc(10 * MIB)
    disk.set(mbrDisk().subarray(0, 512))
    disk.fill(0, 446 + 16, 446 + 64)
    expect(placesOf(await tableOf(disk, 4096))).toEqual([[1, 2048 * 4096, 2048 * 4096]])
  })

  it('ends with an error when the chain of logical partitions goes round', async () => {
    const disk = mbrDisk()
    // The second record names itself: block 8192 is 4096 behind the extended partition's start.
    disk[8192 * 512 + 446 + 16 + 4] = 0x05
    disk.writeUInt32LE(4096, 8192 * 512 + 446 + 16 + 8)
    disk.writeUInt32LE(1, 8192 * 512 + 446 + 16 + 12)
    expect(await codeOfTable(disk)).toBe('ERR_ISCSI_PARTITION_TABLE')
  })

  it('ends with an error when the chain leaves the disk or meets no record', async () => {
    for (const next of [0x7fffffff, 100]) {
      const disk = mbrDisk()
      disk.writeUInt32LE(next, 4096 * 512 + 446 + 16 + 8)
      expect(await codeOfTable(disk)).toBe('ERR_ISCSI_PARTITION_TABLE')
    }
  })
})

describe('a disk without a table', () => {
  it.each([
    ['all zeroes', Buffer.alloc(MIB)],
    ['smaller than a table', Buffer.alloc(512)],
    ['a bare FAT volume', fatBootSector()]
  ])('is refused: %s', async (_title, disk) => {
    expect(await codeOfTable(disk)).toBe('ERR_ISCSI_NO_PARTITION_TABLE')
  })
})

/** Has the signature of a boot record, but text where its slots would be. */
function fatBootSector(): Buffer {
  const disk = Buffer.alloc(MIB)
  disk.write('NO SYSTEM DISK. REPLACE AND STRIKE ANY KEY WHEN READY. 123456789', 446, 'latin1')
  disk.writeUInt16LE(0xaa55, 510)
  return disk
}

describe('choosing a partition', () => {
  it('names the numbers that there are when there is no such partition', async () => {
    const table = await tableOf(mbrDisk())
    expect(() => partitionNumbered(table, 2, 16 * MIB)).toThrow('there is no partition 2: the disk has 1, 5, 6')
  })

  it('refuses one that reaches beyond the disk, and only that one', async () => {
    const table = await tableOf(gptDisk())
    expect(partitionNumbered(table, 1, 3 * MIB).number).toBe(1)
    expect(codeOf(thrownBy(() => partitionNumbered(table, 2, 3 * MIB)))).toBe('ERR_ISCSI_PARTITION_TABLE')
  })
})

function thrownBy(act: () => unknown): unknown {
  try {
    return act()
  } catch (error) {
    return error
  }
}

describe('the disk around one partition of a GPT', () => {
  const UUID = '6b1f4a52-0d3c-4a5e-9d5f-0123456789ab'

  async function generated(blockSize: number, uuid = UUID) {
    const table = await tableOf(gptDisk())
    return generateDisk('gpt', partitionNumbered(table, 2, 8 * MIB), blockSize, uuid)
  }

  it.each([
    // 1 MiB + 2 MiB + the backup table, rounded up to 1 MiB; array of 32 or 4 blocks.
    [512, 8191, 32],
    [4096, 1023, 4]
  ])('has both tables of UEFI 2.10 §5.3 for blocks of %d bytes', async (blockSize, lastBlock, arrayBlocks) => {
    const { size, head, tail } = await generated(blockSize)
    expect(size).toBe(4 * MIB)
    const array = head.subarray(2 * blockSize)
    expect(array.length).toBe(16384)
    expect(tail.subarray(0, 16384).equals(array)).toBe(true)
    const copies = [
      { header: head.subarray(blockSize, 2 * blockSize), my: 1, other: lastBlock, entries: 2 },
      { header: tail.subarray(16384), my: lastBlock, other: 1, entries: lastBlock - arrayBlocks }
    ]
    for (const { header, my, other, entries } of copies) {
      expect(header.length).toBe(blockSize)
      expect(header.toString('latin1', 0, 8)).toBe('EFI PART')
      expect(header.subarray(8, 16).toString('hex')).toBe('000001005c000000')
      expect(header.readUInt32LE(20)).toBe(0)
      expect(header.readBigUInt64LE(24)).toBe(BigInt(my))
      expect(header.readBigUInt64LE(32)).toBe(BigInt(other))
      expect(header.readBigUInt64LE(40)).toBe(BigInt(2 + arrayBlocks))
      expect(header.readBigUInt64LE(48)).toBe(BigInt(lastBlock - arrayBlocks - 1))
      expect(header.readBigUInt64LE(72)).toBe(BigInt(entries))
      expect([header.readUInt32LE(80), header.readUInt32LE(84)]).toEqual([128, 128])
      expect(header.readUInt32LE(88)).toBe(crc32OfBits(array))
      const checked = Buffer.from(header.subarray(0, 92))
      checked.writeUInt32LE(0, 16)
      expect(header.readUInt32LE(16)).toBe(crc32OfBits(checked))
    }
  })

  it('has a protective boot record', async () => {
    const { head } = await generated(512)
    // One entry, type EEh, from block 1 over the 8191 blocks behind it (1FFFh); then the signature.
    expect(head.subarray(440, 512).toString('hex')).toBe(
      '000000000000' + '00000200ee' + 'ffffff01000000ff1f0000' + '00'.repeat(48) + '55aa'
    )
    expect(head.subarray(0, 440).equals(Buffer.alloc(440))).toBe(true)
  })

  it('keeps type, identifier, attributes and name of the partition and moves it to 1 MiB', async () => {
    const { head } = await generated(512)
    const source = gptDisk().subarray(1024 + 128, 1024 + 256)
    const entry = head.subarray(1024, 1024 + 128)
    expect(entry.subarray(0, 32).equals(source.subarray(0, 32))).toBe(true)
    expect(entry.subarray(48).equals(source.subarray(48))).toBe(true)
    expect(entry.readBigUInt64LE(32)).toBe(2048n)
    expect(entry.readBigUInt64LE(40)).toBe(6143n)
    expect(head.subarray(1024 + 128).equals(Buffer.alloc(16384 - 128))).toBe(true)
  })

  it('has an identifier that is stable, differs between images and says that it is derived', async () => {
    const guid = async (uuid: string) => (await generated(512, uuid)).head.subarray(512 + 56, 512 + 72)
    const first = await guid(UUID)
    expect((await guid(UUID)).equals(first)).toBe(true)
    expect((await guid(UUID.replace('6b', '6c'))).equals(first)).toBe(false)
    expect(first.equals(gptDisk().subarray(512 + 56, 512 + 72))).toBe(false)
    // RFC 9562 §5.8: version 8 in the high half of byte 6, here 7, and the variant 10b in byte 8.
    expect(first[7]! >> 4).toBe(8)
    expect(first[8]! >> 6).toBe(2)
  })

  it('refuses a partition that the blocks do not divide', async () => {
    const table = await tableOf(gptDisk())
    const odd = { ...table.partitions[0]!, lengthBytes: MIB - 512 }
    expect(codeOf(thrownBy(() => generateDisk('gpt', odd, 4096, UUID)))).toBe('ERR_ISCSI_PARTITION_SIZE')
  })
})

describe('the disk around one partition of an MBR', () => {
  it('shows a logical partition as the first primary one', async () => {
    const table = await tableOf(mbrDisk())
    const { size, head, tail } = generateDisk('mbr', partitionNumbered(table, 6, 16 * MIB), 512, 'image')
    expect(size).toBe(3 * MIB)
    expect(tail).toHaveLength(0)
    expect(head.subarray(444, 512).toString('hex')).toBe(
      '0000' + '00feffff0cfeffff' + '0008000000100000' + '00'.repeat(48) + '55aa'
    )
    expect(head.readUInt32LE(440)).not.toBe(0)
  })

  it('keeps the mark of the active partition and counts in blocks of 4096', async () => {
    const table = await tableOf(mbrDisk())
    const { size, head } = generateDisk('mbr', partitionNumbered(table, 1, 16 * MIB), 4096, 'image')
    expect(size).toBe(2 * MIB)
    expect(head).toHaveLength(4096)
    expect(head.subarray(446, 462).toString('hex')).toBe('80feffff07feffff' + '0001000000010000')
  })

  it('has a signature that is stable and differs between partitions and images', async () => {
    const table = await tableOf(mbrDisk())
    const signature = (number: number, uuid: string) =>
      generateDisk('mbr', partitionNumbered(table, number, 16 * MIB), 512, uuid).head.readUInt32LE(440)
    expect(signature(1, 'a')).toBe(signature(1, 'a'))
    expect(new Set([signature(1, 'a'), signature(5, 'a'), signature(1, 'b')]).size).toBe(3)
  })
})

describe('a new disk with one partition', () => {
  const options = { name: 'CLOUD-X', diskGuid: Buffer.alloc(16, 0x55), partitionGuid: Buffer.alloc(16, 0xff) }

  it.each([512, 4096])(
    'has a basic data partition of whole MiB and both copies of its table, in blocks of %i',
    async (blockSize) => {
      const size = 5 * MIB + 4096
      const { head, tail, partition } = basicDisk({ ...options, size, blockSize })!
      expect(partition).toEqual({ offset: MIB, lengthBytes: 3 * MIB })
      const bytes = Buffer.alloc(size)
      for (const [part, at] of [
        [head, 0],
        [tail, size - tail.length]
      ] as const)
        part.copy(bytes, at)
      for (const damaged of [false, true]) {
        if (damaged) bytes.fill(0, blockSize, 2 * blockSize)
        const table = await tableOf(bytes)
        expect(table).toMatchObject({ kind: 'gpt', blockSize, fromBackup: damaged })
        expect(table.partitions).toMatchObject([{ number: 1, ...partition }])
        const entry = table.partitions[0]!.entry!
        // EBD0A0A2-B9E5-4433-87C0-68B6B72699C7, its first three fields little-endian.
        expect(entry.subarray(0, 16).toString('hex')).toBe('a2a0d0ebe5b9334487c068b6b72699c7')
        // Random, so version 4 and variant 10b.
        expect(entry.subarray(16, 32).toString('hex')).toBe('ffffffffffffff4fbfffffffffffffff')
        expect(entry.subarray(56).toString('utf16le').replace(/\0+$/, '')).toBe('CLOUD-X')
      }
    }
  )

  it.each([MIB, 2 * MIB, 2 * MIB + 33 * 512 - 512])('is none where %i bytes have no room for it', (size) => {
    expect(basicDisk({ ...options, size, blockSize: 512 })).toBeUndefined()
  })

  it('needs 33 blocks behind the partition', () => {
    expect(basicDisk({ ...options, size: 2 * MIB + 33 * 512, blockSize: 512 })!.partition.lengthBytes).toBe(MIB)
  })
})
