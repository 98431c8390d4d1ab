import { describe, expect, it } from '@jest/globals'
import { Random, seedOf, steps } from '../../support/random.js'
import { CHUNK, FakeVolume, Host, Sense, fieldPointer, makeNexus, makeUnit } from '../../support/scsi.js'

type Extent = readonly [lba: number | bigint, blocks: number]

/** Parameter list: SBC-3 table 89. */
function list(
  extents: readonly Extent[],
  dataLength = 6 + 16 * extents.length,
  descriptors = 16 * extents.length
): Buffer {
  const bytes = Buffer.alloc(8 + 16 * extents.length)
  bytes.writeUInt16BE(dataLength & 0xffff, 0)
  bytes.writeUInt16BE(descriptors & 0xffff, 2)
  extents.forEach(([lba, blocks], index) => {
    bytes.writeBigUInt64BE(BigInt(lba), 8 + 16 * index)
    bytes.writeUInt32BE(blocks, 16 + 16 * index)
  })
  return bytes
}

function cdbOf(length: number, flags = 0): Buffer {
  const cdb = Buffer.alloc(10)
  cdb[0] = 0x42
  cdb[1] = flags
  cdb.writeUInt16BE(length, 7)
  return cdb
}

function bench(options: { blockSize?: number; blocks?: number } = {}) {
  const { blockSize = 512, blocks = 1024 } = options
  const volume = new FakeVolume(blocks * blockSize)
  volume.bytes.fill(0xaa)
  volume.mapped.fill(true)
  const unit = makeUnit({ volume, blockSize })
  const host = new Host()
  const nexus = makeNexus([unit])
  const unmap = (data: Buffer, length = data.length) => host.execute(nexus, cdbOf(length), { dataOut: data })
  return { volume, unit, host, nexus, unmap }
}

describe('UNMAP', () => {
  it.each([512, 4096])('zeroes every block that it names, of %d bytes, and frees whole chunks', async (blockSize) => {
    const { volume, unmap } = bench({ blockSize, blocks: 64 })
    const model = Buffer.from(volume.bytes)
    const extents: Extent[] = [
      [0, 1],
      [9, 15],
      [63, 1],
      [20, 2]
    ]
    for (const [lba, blocks] of extents) model.fill(0, Number(lba) * blockSize, (Number(lba) + blocks) * blockSize)
    expect((await unmap(list(extents))).status).toBe(0)
    expect(volume.bytes.equals(model)).toBe(true)
    volume.mapped.forEach((mapped, chunk) => {
      const isZero = model.subarray(chunk * CHUNK, (chunk + 1) * CHUNK).every((byte) => byte === 0)
      expect(mapped).toBe(!isZero)
    })
  })

  it.each([
    ['no list', Buffer.alloc(0), 0],
    ['a header alone', list([]), 8],
    ['a descriptor of no blocks', list([[5, 0]]), 24],
    ['a descriptor of no blocks at the end', list([[1024, 0]]), 24],
    ['an incomplete descriptor', list([[0, 8]], 21, 15), 24],
    ['a descriptor that the list cuts off', list([[0, 8]]), 23],
    ['a length of descriptors beyond the list', list([], 6, 0xffff), 8]
  ])('changes nothing for %s, which is no error', async (_what, data, length) => {
    const { volume, unmap } = bench()
    expect((await unmap(data.subarray(0, length), length)).status).toBe(0)
    expect(volume.calls).toEqual([])
  })

  it('uses the descriptors that are there as a whole', async () => {
    const { volume, unmap } = bench()
    const two = list([
      [0, 8],
      [8, 8]
    ])
    await unmap(two.subarray(0, 39), 39)
    expect(volume.calls).toEqual(['unmap 0+4096'])
  })

  it('takes descriptors that overlap', async () => {
    const { volume, unmap } = bench()
    const result = await unmap(
      list([
        [0, 16],
        [8, 16]
      ])
    )
    expect(result.status).toBe(0)
    expect(volume.bytes.subarray(0, 24 * 512).every((byte) => byte === 0)).toBe(true)
  })

  it.each([
    ['a list of 7 bytes', list([]).subarray(0, 7), 7, Sense.ParameterListLength, undefined],
    ['a list longer than what is sent', list([[0, 8]]), 40, Sense.ParameterListLength, undefined],
    [
      '257 descriptors',
      list(Array.from({ length: 257 }, (): Extent => [0, 1])),
      4120,
      Sense.InvalidParameter,
      'list byte 2'
    ],
    [
      '65535 bytes of descriptors',
      Buffer.concat([list([], 65533, 65520), Buffer.alloc(65520)]),
      65528,
      Sense.InvalidParameter,
      'list byte 2'
    ],
    ['a range past the end', list([[1023, 2]]), 24, Sense.LbaOutOfRange, undefined],
    ['an LBA past the end', list([[1025, 0]]), 24, Sense.LbaOutOfRange, undefined],
    ['an LBA of 2^64 - 1', list([[2n ** 64n - 1n, 1]]), 24, Sense.LbaOutOfRange, undefined],
    ['LBA and count that overflow together', list([[2n ** 64n - 1n, 0xffffffff]]), 24, Sense.LbaOutOfRange, undefined]
  ])('refuses %s', async (_what, data, length, sense, pointer) => {
    const { volume, unmap } = bench()
    const result = await unmap(data, length)
    expect([result.sense, fieldPointer(result.senseBytes)]).toEqual([sense, pointer])
    expect(volume.calls).toEqual([])
  })

  it('changes nothing when a later descriptor is bad', async () => {
    const { volume, unmap } = bench()
    const result = await unmap(
      list([
        [0, 8],
        [1024, 1]
      ])
    )
    expect(result.sense).toBe(Sense.LbaOutOfRange)
    expect(volume.calls).toEqual([])
  })

  it('counts the blocks of all descriptors together', async () => {
    const { unit, unmap } = bench()
    Object.defineProperty(unit, 'blockCount', { value: 2 ** 40 })
    const result = await unmap(
      list([
        [0, 0x80000],
        [0, 0x80001]
      ])
    )
    expect([result.sense, fieldPointer(result.senseBytes)]).toEqual([Sense.InvalidParameter, 'list byte 32'])
  })

  it('refuses ANCHOR, and is unknown to a unit that is not thin', async () => {
    const { host, nexus } = bench()
    expect((await host.execute(nexus, cdbOf(0, 1))).sense).toBe(Sense.InvalidCdbField)
    const thick = makeNexus([makeUnit({ thin: false })])
    expect((await host.execute(thick, cdbOf(0))).sense).toBe(Sense.InvalidOpcode)
  })

  it('works on a slow disk, and fails when the disk does', async () => {
    const { volume, unmap } = bench()
    volume.refusing = true
    expect((await unmap(list([[8, 8]]))).status).toBe(0)
    expect([volume.mapped[0], volume.mapped[1], volume.bytes[CHUNK]]).toEqual([true, false, 0])
    volume.broken.set('unmap', 'EIO')
    expect((await unmap(list([[8, 8]]))).sense).toBe('03/0c/00')
  })

  const seed = seedOf(20260805)
  it(`agrees with plain bytes over many lists (seed ${seed})`, async () => {
    const random = new Random(seed)
    const { volume, unmap } = bench()
    const model = Buffer.alloc(volume.size)
    for (let round = 0; round < steps(200); round++) {
      model.fill(1 + random.int(255))
      model.copy(volume.bytes)
      const extents = Array.from({ length: random.int(20) }, (): Extent => {
        const lba = random.int(1025)
        return [lba, random.int(Math.min(64, 1024 - lba) + 1)]
      })
      for (const [lba, blocks] of extents) model.fill(0, Number(lba) * 512, (Number(lba) + blocks) * 512)
      expect((await unmap(list(extents))).status).toBe(0)
      expect(volume.bytes.equals(model)).toBe(true)
    }
  })
})
