import { describe, expect, it } from '@jest/globals'
import { Random } from '../../support/random.js'
import { FakeVolume, Host, Sense, makeNexus, makeUnit } from '../../support/scsi.js'

function cdbOf(lba: number | bigint, blocks: number, flags = 0): string {
  const h = (value: number | bigint, digits: number) => value.toString(16).padStart(digits, '0')
  return `8b ${h(flags, 2)} ${h(lba, 16)} ${h(blocks, 8)} 00 00`
}

describe('ORWRITE(16)', () => {
  it.each([
    [512, false],
    [512, true],
    [4096, false],
    [4096, true]
  ])('sets bits and clears none: blocks of %d, slow disk: %s', async (blockSize, refusing) => {
    const random = new Random(9)
    const volume = new FakeVolume(64 * blockSize)
    random.bytes(volume.bytes)
    const model = Buffer.from(volume.bytes)
    const dataOut = random.bytes(Buffer.alloc(7 * blockSize))
    for (let at = 0; at < dataOut.length; at++) model[3 * blockSize + at]! |= dataOut[at]!
    volume.refusing = refusing
    const nexus = makeNexus([makeUnit({ volume, blockSize })])
    expect((await new Host().execute(nexus, cdbOf(3, 7), { dataOut, pieceLength: 1000 })).status).toBe(0)
    expect(volume.bytes.equals(model)).toBe(true)
  })

  it.each([
    [0x08, true, true],
    [0x10, true, false],
    [0x00, false, true]
  ])('is durable with FUA (flags %d) or without a write cache (%s): %s', async (flags, writeCacheEnabled, durable) => {
    const unit = makeUnit()
    unit.writeCacheEnabled = writeCacheEnabled
    await new Host().execute(makeNexus([unit]), cdbOf(0, 1, flags), { dataOut: Buffer.alloc(512, 1) })
    expect(unit.volume.calls.includes('flush')).toBe(durable)
  })

  it.each([
    [0, 0, 0, undefined],
    [1025, 0, 0, Sense.LbaOutOfRange],
    [1023, 2, 0, Sense.LbaOutOfRange],
    [2n ** 64n - 1n, 1, 0, Sense.LbaOutOfRange],
    [0, 1, 0x20, Sense.InvalidCdbField]
  ])('judges LBA %d, %d blocks and flags %d', async (lba, blocks, flags, sense) => {
    const unit = makeUnit()
    const result = await new Host().execute(makeNexus([unit]), cdbOf(lba, blocks, flags), {
      dataOut: Buffer.alloc(blocks * 512)
    })
    expect(result.sense).toBe(sense)
    expect(unit.volume.calls).toEqual([])
  })

  it.each(['read', 'write'])('fails when the %s does', async (verb) => {
    for (const refusing of [false, true]) {
      const unit = makeUnit()
      unit.volume.refusing = refusing
      unit.volume.broken.set(verb, 'EIO')
      const result = await new Host().execute(makeNexus([unit]), cdbOf(0, 1), { dataOut: Buffer.alloc(512, 1) })
      expect(result.sense).toBe('03/0c/00')
    }
  })
})
