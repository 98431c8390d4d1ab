import { describe, expect, it } from '@jest/globals'
import type { BlockIo } from '../../../lib/volume/block-io.js'
import { FakeVolume, Host, Sense, fieldPointer, makeNexus, makeUnit } from '../../support/scsi.js'

class AtomicVolume extends FakeVolume {
  protected override _writeAtomic(io: BlockIo): void {
    this.calls.push(`atomic ${io.offset}+${io.length}`)
    setImmediate(() => {
      io.buffer.copy(this.bytes, io.offset, io.start, io.start + io.length)
      io.complete()
    })
  }
}

function cdbOf(lba: number | bigint, blocks: number, flags = 0, boundary = 0): Buffer {
  const cdb = Buffer.alloc(16)
  cdb[0] = 0x9c
  cdb[1] = flags
  cdb.writeBigUInt64BE(BigInt(lba), 2)
  cdb.writeUInt16BE(boundary, 10)
  cdb.writeUInt16BE(blocks, 12)
  return cdb
}

function bench(blockSize = 512) {
  const volume = new AtomicVolume(4096 * blockSize)
  const unit = makeUnit({ volume, blockSize, atomicWrites: true })
  return { host: new Host(), volume, nexus: makeNexus([unit]) }
}

describe('WRITE ATOMIC(16)', () => {
  it.each([
    [512, 8, 8],
    [512, 0, 2048],
    [4096, 5, 1],
    [4096, 0, 256]
  ])('hands all of its data to the volume at once: blocks of %d, LBA %d, %d blocks', async (blockSize, lba, blocks) => {
    const { host, volume, nexus } = bench(blockSize)
    const dataOut = Buffer.alloc(blocks * blockSize, 0xa6)
    expect((await host.execute(nexus, cdbOf(lba, blocks), { dataOut, pieceLength: 8192 })).status).toBe(0)
    expect(volume.calls).toEqual([`atomic ${lba * blockSize}+${dataOut.length}`])
    expect(volume.bytes.subarray(lba * blockSize, lba * blockSize + dataOut.length).equals(dataOut)).toBe(true)
  })

  it.each([
    [0x08, ['atomic 0+4096', 'flush']],
    [0x10, ['atomic 0+4096']]
  ])('is durable with FUA: flags %d', async (flags, calls) => {
    const { host, volume, nexus } = bench()
    await host.execute(nexus, cdbOf(0, 8, flags), { dataOut: Buffer.alloc(4096) })
    expect(volume.calls).toEqual(calls)
  })

  it('of no blocks does nothing', async () => {
    const { host, volume, nexus } = bench()
    expect((await host.execute(nexus, cdbOf(0, 0))).status).toBe(0)
    expect(volume.calls).toEqual([])
  })

  it.each([
    ['an LBA inside a physical block', cdbOf(1, 8), 4096, Sense.InvalidCdbField, 'cdb byte 2 bit 7'],
    ['a length of no whole physical blocks', cdbOf(0, 7), 3584, Sense.InvalidCdbField, 'cdb byte 12 bit 7'],
    ['more than it promises', cdbOf(0, 2056), 2056 * 512, Sense.InvalidCdbField, 'cdb byte 12 bit 7'],
    ['an atomic boundary', cdbOf(0, 8, 0, 8), 4096, Sense.InvalidCdbField, 'cdb byte 11 bit 3'],
    ['a range past the end', cdbOf(4096, 8), 4096, Sense.LbaOutOfRange, undefined],
    ['no blocks past the end', cdbOf(2n ** 63n, 0), 0, Sense.LbaOutOfRange, undefined],
    ['less data than blocks', cdbOf(0, 8), 4095, Sense.InformationUnit, undefined],
    ['more data than blocks', cdbOf(0, 8), 4608, Sense.InformationUnit, undefined]
  ])('refuses %s, and writes nothing', async (_what, cdb, length, sense, pointer) => {
    const { host, volume, nexus } = bench()
    const result = await host.execute(nexus, cdb, { dataOut: Buffer.alloc(length) })
    expect([result.sense, fieldPointer(result.senseBytes)]).toEqual([sense, pointer])
    expect(volume.calls).toEqual([])
  })

  it('is an invalid operation code where the volume cannot do it', async () => {
    const result = await new Host().execute(makeNexus([makeUnit()]), cdbOf(0, 8), { dataOut: Buffer.alloc(4096) })
    expect(result.sense).toBe(Sense.InvalidOpcode)
  })

  it('fails on a volume that was said to be able and is not, rather than write in part', async () => {
    const unit = makeUnit({ atomicWrites: true })
    const result = await new Host().execute(makeNexus([unit]), cdbOf(0, 8), { dataOut: Buffer.alloc(4096) })
    expect(result.sense).toBe('04/44/00')
    expect(unit.volume.calls).toEqual([])
  })
})
