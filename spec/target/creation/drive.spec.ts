import { describe, expect, it } from '@jest/globals'
import { DRIVE_BYTES_MIN, driveBytesFor, planDrive, type Drive } from '../../../lib/target/creation/drive.js'
import { readPartitionTable } from '../../../lib/volume/partition-table.js'
import { openDriver } from '../../../lib/volume/drivers/index.js'
import { writeVolume } from '../../../lib/volume/promises.js'
import { readExfat } from '../../support/exfat-reader.js'

const MIB = 2 ** 20
const TIMES = { createdMs: 1e12, modifiedMs: 1e12, accessedMs: 1e12 }
const OPTIONS = {
  blockSize: 512,
  label: 'CLOUD-X',
  children: [],
  random: (length: number) => Buffer.alloc(length, 0xa5)
}

function bytesOf(drive: Drive<Buffer>): Buffer {
  const bytes = Buffer.alloc(drive.sizeBytes)
  for (const piece of drive.pieces()) piece.bytes.copy(bytes, piece.offset)
  for (const { file, offset } of drive.files) file.source.copy(bytes, offset)
  return bytes
}

describe('planDrive', () => {
  it.each([
    [DRIVE_BYTES_MIN, 512],
    [DRIVE_BYTES_MIN, 4096],
    [5 * MIB + 512, 512],
    [8 * MIB - 4096, 4096]
  ])(
    'makes a disk of %i bytes in blocks of %i with one partition of whole MiB and a file system',
    async (sizeBytes, blockSize) => {
      const source = Buffer.from('hello')
      const children = [{ name: 'x', lengthBytes: 5, times: TIMES, source }]
      const bytes = bytesOf(planDrive({ ...OPTIONS, sizeBytes, blockSize, children }))
      const disk = openDriver(`memory:${sizeBytes}`, { readOnly: false })
      await disk.open()
      await writeVolume(disk, bytes, 0)
      const table = await readPartitionTable(disk)
      expect(table).toMatchObject({ kind: 'gpt', blockSize, fromBackup: false })
      const [partition] = table.partitions
      expect(partition!.offset).toBe(MIB)
      expect(partition!.lengthBytes % MIB).toBe(0)
      const volume = bytes.subarray(MIB, MIB + partition!.lengthBytes)
      // PartitionOffset, in sectors.
      expect(Number(volume.readBigUInt64LE(64)) * blockSize).toBe(MIB)
      const { label, files, problems } = readExfat(volume)
      expect(problems).toEqual([])
      expect([label, files.get('x')!.content.toString()]).toEqual(['CLOUD-X', 'hello'])
      await disk.close()
    }
  )

  it('has other identifiers each time', () => {
    const of = () => bytesOf(planDrive({ blockSize: 512, label: 'x', children: [], sizeBytes: DRIVE_BYTES_MIN }))
    const [one, two] = [of(), of()]
    // Disk GUID, partition GUID, volume serial number.
    for (const [at, length] of [
      [512 + 56, 16],
      [1024 + 16, 16],
      [MIB + 100, 4]
    ] as const) {
      expect(one.subarray(at, at + length).equals(two.subarray(at, at + length))).toBe(false)
    }
  })

  it.each([MIB, 2 * MIB])('says for %i bytes what would do', (sizeBytes) => {
    expect(() => planDrive({ ...OPTIONS, sizeBytes })).toThrow(/too small for a drive .* --size 3M or more, or --blank/)
  })
})

describe('driveBytesFor', () => {
  it('is enough for the content with its spare room, in whole MiB', () => {
    const children = [{ name: 'x', lengthBytes: 100 * MIB, times: TIMES, source: Buffer.alloc(0) }]
    const sizeBytes = driveBytesFor(children, 512, 10 * MIB)
    expect(sizeBytes % MIB).toBe(0)
    expect(sizeBytes).toBeGreaterThanOrEqual(112 * MIB)
    expect(sizeBytes).toBeLessThan(116 * MIB)
    expect(planDrive({ ...OPTIONS, sizeBytes, children }).files).toHaveLength(1)
  })
})
