import { describe, expect, it } from '@jest/globals'
import { MemoryVolume } from '../../../lib/volume/drivers/memory.js'
import { ZeroVolume } from '../../../lib/volume/drivers/zero.js'
import { FaultPlan, FaultVolume } from '../../../lib/volume/layers/fault.js'
import { PartitionVolume } from '../../../lib/volume/layers/partition.js'
import { readVolume, writeVolume, zeroVolume } from '../../../lib/volume/promises.js'
import type { Volume } from '../../../lib/volume/volume.js'
import { codeOf } from '../../../lib/util/errors.js'
import { failure, thrown, volumeContract } from '../../contracts/volume.contract.js'
import { gptDisk, mbrDisk } from '../../support/disks.js'
import { Random } from '../../support/random.js'

const MIB = 1 << 20
const UUID = '6b1f4a52-0d3c-4a5e-9d5f-0123456789ab'
const BODY = new Random(2).bytes(Buffer.alloc(2 * MIB))

/** The disk of partition 2, whose bytes are `BODY`: it begins at sector 4096 of the image. */
function image(): Buffer {
  const disk = gptDisk()
  BODY.copy(disk, 4096 * 512)
  return disk
}

function shown(base: Volume, blockSize = 512, partition = 2): PartitionVolume {
  return new PartitionVolume(base, { partition, blockSize, imageUuid: UUID })
}

async function openWritable(): Promise<{ volume: PartitionVolume; base: MemoryVolume }> {
  const base = new MemoryVolume(8 * MIB, false, image())
  const volume = shown(base)
  await volume.open()
  return { volume, base }
}

/** What a fresh one reads, as the content that the contract expects; the specs below say that it is right. */
async function contentOf(make: () => Volume): Promise<Buffer> {
  const volume = make()
  await volume.open()
  const content = Buffer.alloc(volume.size)
  await readVolume(volume, content, 0)
  await volume.close()
  return content
}

for (const blockSize of [512, 4096]) {
  // Partition 2 ends at 4 MiB; the rest of the image is left empty, to be quick.
  const begin = image().subarray(0, 4 * MIB)
  const make = (readOnly: boolean) => () => shown(new MemoryVolume(8 * MIB, readOnly, begin), blockSize)
  const content = contentOf(make(true))
  volumeContract(
    `a partition in blocks of ${blockSize}, read-only`,
    async () => ({ volume: make(true)(), content: await content }),
    { writable: false }
  )
  volumeContract(
    `a partition in blocks of ${blockSize}, writable`,
    async () => ({ volume: make(false)(), content: await content }),
    { writable: true, writableRange: { offset: MIB, length: 2 * MIB } }
  )
}

describe('the disk of one partition', () => {
  it('has the table, the partition at 1 MiB and the backup table at its end', async () => {
    const { volume } = await openWritable()
    expect(volume.size).toBe(4 * MIB)
    const disk = Buffer.alloc(volume.size)
    await readVolume(volume, disk, 0)
    expect(disk.toString('latin1', 512, 520)).toBe('EFI PART')
    // 2 blocks and 16 KiB of entries, then nothing up to 1 MiB.
    expect(disk.subarray(34 * 512, MIB).equals(Buffer.alloc(MIB - 34 * 512))).toBe(true)
    expect(disk.subarray(MIB, 3 * MIB).equals(BODY)).toBe(true)
    expect(disk.subarray(3 * MIB, 4 * MIB - 33 * 512).equals(Buffer.alloc(MIB - 33 * 512))).toBe(true)
    expect(disk.subarray(4 * MIB - 33 * 512, 4 * MIB - 512).equals(disk.subarray(1024, 34 * 512))).toBe(true)
    expect(disk.toString('latin1', 4 * MIB - 512, 4 * MIB - 504)).toBe('EFI PART')
  })

  it('shows a logical partition of an MBR', async () => {
    const disk = mbrDisk()
    disk.fill(0x66, 10240 * 512, 14336 * 512)
    const volume = shown(new MemoryVolume(disk.length, true, disk), 512, 6)
    await volume.open()
    const found = Buffer.alloc(volume.size)
    await readVolume(volume, found, 0)
    expect(volume.size).toBe(3 * MIB)
    expect(found.subarray(MIB).equals(Buffer.alloc(2 * MIB, 0x66))).toBe(true)
    expect(found.subarray(446, 450).toString('hex')).toBe('00feffff')
  })

  it('closes its base again when the partition is not there', async () => {
    const base = new MemoryVolume(8 * MIB, true, image())
    await expect(shown(base, 512, 3).open()).rejects.toMatchObject({ code: 'ERR_ISCSI_NO_PARTITION' })
    expect(codeOf(thrown(() => base.tryRead(Buffer.alloc(1), 0, 1, 0)))).toBe('EBADF')
    await expect(shown(new ZeroVolume(MIB)).open()).rejects.toMatchObject({ code: 'ERR_ISCSI_NO_PARTITION_TABLE' })
  })

  it('would block when the base would, also where a read begins in the table', async () => {
    const plan = new FaultPlan()
    const volume = shown(new FaultVolume(new MemoryVolume(8 * MIB, true, image()), plan))
    await volume.open()
    plan.add({ verb: 'read', effect: { kind: 'block' } })
    const buffer = Buffer.alloc(2048)
    expect(volume.tryRead(buffer, 0, 2048, MIB - 1024)).toBe(false)
    expect(volume.tryRead(buffer, 0, 2048, MIB)).toBe(false)
    expect(volume.tryRead(buffer, 0, 2048, 0)).toBe(true)
    await readVolume(volume, buffer, MIB - 1024)
    expect(buffer.subarray(1024).equals(BODY.subarray(0, 1024))).toBe(true)
  })

  it('passes on an error of the base', async () => {
    const plan = new FaultPlan()
    const volume = shown(new FaultVolume(new MemoryVolume(8 * MIB, true, image()), plan))
    await volume.open()
    plan.add({ verb: 'read', effect: { kind: 'error', code: 'EIO' } })
    const buffer = Buffer.alloc(2048)
    expect(codeOf(await failure((io) => volume.read(io.set(buffer, 0, 2048, MIB - 1024))))).toBe('EIO')
    expect(codeOf(thrown(() => volume.tryRead(buffer, 0, 2048, 3 * MIB - 1024)))).toBe('EIO')
  })
})

describe("an author's writes to the disk of one partition", () => {
  it('land in the partition of the image and nowhere else', async () => {
    const { volume, base } = await openWritable()
    await writeVolume(volume, Buffer.alloc(2 * MIB, 0x77), MIB)
    const disk = Buffer.alloc(8 * MIB)
    await readVolume(base, disk, 0)
    const wanted = image()
    wanted.fill(0x77, 4096 * 512, 8192 * 512)
    expect(disk.equals(wanted)).toBe(true)
  })

  it.each([
    ['the boot record', 446, 1],
    ['the disk identifier', 512 + 56, 16],
    ['the gap before the partition', 500_000, 100],
    ['the last byte before the partition', MIB - 1, 1],
    ['the first byte behind the partition', 3 * MIB, 1],
    ['the backup table', 4 * MIB - 512, 512],
    ['a range that begins before the partition', MIB - 512, 1024],
    ['a range that ends behind the partition', 3 * MIB - 512, 1024],
    ['everything', 0, 4 * MIB]
  ])('end with an error and change nothing at %s', async (_what, offset, length) => {
    const { volume, base } = await openWritable()
    const bytes = Buffer.alloc(length, 0xd1)
    const code = 'ERR_ISCSI_OUTSIDE_PARTITION'
    expect(codeOf(thrown(() => volume.tryWrite(bytes, 0, length, offset)))).toBe(code)
    expect(codeOf(await failure((io) => volume.write(io.set(bytes, 0, length, offset))))).toBe(code)
    const disk = Buffer.alloc(8 * MIB)
    await readVolume(base, disk, 0)
    expect(disk.equals(image())).toBe(true)
  })

  it('may repeat the bytes that are there, around a change inside the partition', async () => {
    const { volume, base } = await openWritable()
    const disk = Buffer.alloc(volume.size)
    await readVolume(volume, disk, 0)
    disk.fill(0x3c, MIB, MIB + 512)
    await writeVolume(volume, disk, 0)
    await writeVolume(volume, disk.subarray(0, 512), 0)
    await writeVolume(volume, disk.subarray(4 * MIB - 512), 4 * MIB - 512)
    const found = Buffer.alloc(512)
    await readVolume(base, found, 4096 * 512)
    expect(found.equals(Buffer.alloc(512, 0x3c))).toBe(true)
  })

  it('may zero the gaps, not the tables, and the partition with a gap beside it', async () => {
    const { volume, base } = await openWritable()
    await zeroVolume(volume, 34 * 512, 1000, true)
    await zeroVolume(volume, MIB - 4096, 8192, false)
    await zeroVolume(volume, 3 * MIB - 4096, 4096 + MIB - 33 * 512, true)
    const found = Buffer.alloc(2 * MIB)
    await readVolume(base, found, 4096 * 512)
    const wanted = Buffer.from(BODY)
      .fill(0, 0, 4096)
      .fill(0, 2 * MIB - 4096)
    expect(found.equals(wanted)).toBe(true)
    for (const [offset, length] of [
      [0, 512],
      [1024, 1],
      [0, 4 * MIB],
      [4 * MIB - 33 * 512, 16],
      [3 * MIB - 512, MIB + 512]
    ] as const) {
      const code = codeOf(thrown(() => volume.tryZero(offset, length, true)))
      expect(code).toBe('ERR_ISCSI_OUTSIDE_PARTITION')
      const later = await failure((io) => volume.zero(io.set(Buffer.alloc(0), 0, length, offset)))
      expect(codeOf(later)).toBe('ERR_ISCSI_OUTSIDE_PARTITION')
    }
  })
})
