import { describe, expect, it } from '@jest/globals'
import { Random } from '../../support/random.js'
import { FakeVolume, Host, Sense, fieldPointer, makeNexus, makeUnit } from '../../support/scsi.js'

function cdbOf(lba: number | bigint, blocks: number, flags = 0): Buffer {
  const cdb = Buffer.alloc(16)
  cdb[0] = 0x89
  cdb[1] = flags
  cdb.writeBigUInt64BE(BigInt(lba), 2)
  cdb[13] = blocks
  return cdb
}

function bench(blockSize = 512, blocks = 1024) {
  const volume = new FakeVolume(blocks * blockSize)
  new Random(8).bytes(volume.bytes)
  const unit = makeUnit({ volume, blockSize })
  return { host: new Host(), volume, unit, nexus: makeNexus([unit]) }
}

describe('COMPARE AND WRITE', () => {
  it.each([
    [512, 0, 1],
    [512, 769, 1],
    [4096, 0, 1],
    [4096, 1023, 1]
  ])('writes where the medium is as expected: blocks of %d, LBA %d, %d blocks', async (blockSize, lba, blocks) => {
    const { host, nexus, volume } = bench(blockSize)
    const length = blocks * blockSize
    const expected = Buffer.from(volume.bytes.subarray(lba * blockSize, lba * blockSize + length))
    const model = Buffer.from(volume.bytes)
    model.fill(0xb7, lba * blockSize, lba * blockSize + length)
    const dataOut = Buffer.concat([expected, Buffer.alloc(length, 0xb7)])
    const result = await host.execute(nexus, cdbOf(lba, blocks), { dataOut, pieceLength: 8192 })
    expect(result.status).toBe(0)
    expect(volume.bytes.equals(model)).toBe(true)
  })

  it.each([0, 1, 511])('changes nothing where byte %d differs, and says which', async (offset) => {
    const { host, nexus, volume } = bench()
    const before = Buffer.from(volume.bytes)
    const dataOut = Buffer.concat([before.subarray(512, 1024), Buffer.alloc(512, 0xb7)])
    dataOut[offset]! ^= 0x04
    const result = await host.execute(nexus, cdbOf(1, 1), { dataOut })
    expect(result.sense).toBe(Sense.Miscompare)
    expect(result.senseBytes![0]).toBe(0xf0)
    expect(result.senseBytes!.readUInt32BE(3)).toBe(offset)
    expect(volume.bytes.equals(before)).toBe(true)
  })

  it.each([
    ['less than both halves', 1, 1023, Sense.InformationUnit, undefined],
    ['more than both halves', 1, 2048, Sense.InformationUnit, undefined],
    ['nothing', 1, 0, Sense.InformationUnit, undefined],
    ['data for no blocks', 0, 1024, Sense.InvalidCdbField, 'cdb byte 13 bit 7']
  ])('refuses %s, and changes nothing', async (_what, blocks, length, sense, pointer) => {
    const { host, nexus, volume } = bench()
    const result = await host.execute(nexus, cdbOf(0, blocks), { dataOut: Buffer.alloc(length) })
    expect([result.sense, fieldPointer(result.senseBytes)]).toEqual([sense, pointer])
    expect(volume.calls).toEqual([])
  })

  it('changes nothing when the initiator sends less than it said', async () => {
    const { host, nexus, volume } = bench()
    const dataOut = Buffer.from(volume.bytes.subarray(0, 600))
    const result = await host.execute(nexus, cdbOf(0, 1), { dataOut, expectedDataOut: 1024 })
    expect(result.sense).toBe(Sense.InformationUnit)
    expect(volume.calls).toEqual([])
  })

  it('does nothing for no blocks', async () => {
    const { host, nexus, volume } = bench()
    expect((await host.execute(nexus, cdbOf(0, 0))).status).toBe(0)
    expect(volume.calls).toEqual([])
  })

  it.each([
    [512, 0, 1, 0x08, true],
    [512, 0, 1, 0x10, false]
  ])(
    'is durable with FUA: blocks of %d, LBA %d, %d blocks, flags %d: %s',
    async (_size, lba, blocks, flags, durable) => {
      const { host, nexus, volume } = bench()
      const dataOut = Buffer.concat([volume.bytes.subarray(0, 512), Buffer.alloc(512)])
      expect((await host.execute(nexus, cdbOf(lba, blocks, flags), { dataOut })).status).toBe(0)
      expect(volume.calls.includes('flush')).toBe(durable)
    }
  )

  it.each([
    ['more blocks than the one that VPD page B0h promises', 512, 0, 2, 0, Sense.InvalidCdbField],
    ['as many blocks as its byte can say', 4096, 0, 255, 0, Sense.InvalidCdbField],
    ['a range past the end', 512, 1023, 2, 0, Sense.LbaOutOfRange],
    ['an LBA of 2^64 - 1', 512, 2n ** 64n - 1n, 1, 0, Sense.LbaOutOfRange],
    ['WRPROTECT', 512, 0, 1, 0x20, Sense.InvalidCdbField]
  ])('refuses %s', async (_what, blockSize, lba, blocks, flags, sense) => {
    const { host, nexus } = bench(blockSize)
    const dataOut = Buffer.alloc(2 * blocks * blockSize)
    expect((await host.execute(nexus, cdbOf(lba, blocks, flags), { dataOut })).sense).toBe(sense)
  })

  it('is atomic: of many that want the same change at once, one has it', async () => {
    const { host, nexus, volume } = bench()
    const other = makeNexus([nexus.units.get(0)!.unit], { isid: '400001370001' })
    volume.refusing = true
    const expected = Buffer.from(volume.bytes.subarray(0, 512))
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, index) => {
        const dataOut = Buffer.concat([expected, Buffer.alloc(512, index)])
        return host.execute(index % 2 === 0 ? nexus : other, cdbOf(0, 1), { dataOut, pieceLength: 100 })
      })
    )
    const winners = results.flatMap(({ status }, index) => (status === 0 ? [index] : []))
    expect(winners).toHaveLength(1)
    expect(volume.bytes.subarray(0, 512).equals(Buffer.alloc(512, winners[0]))).toBe(true)
    expect(results.filter(({ sense }) => sense === Sense.Miscompare)).toHaveLength(19)
  })
})
