import { describe, expect, it } from '@jest/globals'
import { Random } from '../../support/random.js'
import { FakeVolume, Host, Sense, makeNexus, makeUnit } from '../../support/scsi.js'

/** CDBs of WRITE(6), (10), (12), (16). */
function writes(lba: number | bigint, blocks: number): string[] {
  const h = (value: number | bigint, digits: number) => value.toString(16).padStart(digits, '0')
  const all = [`8a 00 ${h(lba, 16)} ${h(blocks, 8)} 00 00`]
  if (lba <= 0xffffffff) all.push(`aa 00 ${h(lba, 8)} ${h(blocks, 8)} 00 00`)
  if (lba <= 0xffffffff && blocks <= 0xffff) all.push(`2a 00 ${h(lba, 8)} 00 ${h(blocks, 4)} 00`)
  if (lba <= 0x1fffff && blocks > 0 && blocks <= 256) all.push(`0a ${h(lba, 6)} ${h(blocks % 256, 2)} 00`)
  return all
}

describe('WRITE', () => {
  const host = new Host()

  it.each([512, 4096])('changes the blocks of %d bytes that its CDB names, and no byte beside', async (blockSize) => {
    const volume = new FakeVolume(300 * blockSize)
    const nexus = makeNexus([makeUnit({ volume, blockSize })])
    const model = Buffer.alloc(volume.size)
    const random = new Random(2)
    for (const [lba, blocks] of [
      [0, 1],
      [299, 1],
      [44, 256],
      [17, 3]
    ] as const) {
      for (const cdb of writes(lba, blocks)) {
        const dataOut = random.bytes(Buffer.alloc(blocks * blockSize))
        dataOut.copy(model, lba * blockSize)
        expect((await host.execute(nexus, cdb, { dataOut })).status).toBe(0)
        expect(volume.bytes.equals(model)).toBe(true)
      }
    }
  })

  it.each([
    [1025, 0],
    [1024, 1],
    [1023, 2],
    [0, 1025],
    [0xffffffff, 1],
    [0, 0xffffffff],
    [2n ** 64n - 1n, 1],
    [2n ** 64n - 1n, 0xffffffff]
  ])('refuses LBA %d and %d blocks, and changes nothing', async (lba, blocks) => {
    const unit = makeUnit()
    for (const cdb of writes(lba, blocks)) {
      const result = await host.execute(makeNexus([unit]), cdb, { dataOut: Buffer.alloc(1024, 1) })
      expect(result.sense).toBe(Sense.LbaOutOfRange)
    }
    expect(unit.volume.calls).toEqual([])
  })

  it('refuses more than the maximum transfer length', async () => {
    const unit = makeUnit()
    Object.defineProperty(unit, 'blockCount', { value: 2 ** 40 })
    const result = await host.execute(makeNexus([unit]), '8a 00 0000000000000000 00010001 00 00')
    expect(result.sense).toBe(Sense.InvalidCdbField)
  })

  const BLOCK = Buffer.alloc(512, 0x11)
  it.each([
    ['nothing, with a write cache', '2a 00 00000000 00 0001 00', true, false],
    ['FUA', '2a 08 00000000 00 0001 00', true, true],
    ['FUA in 12 bytes', 'aa 08 00000000 00000001 00 00', true, true],
    ['FUA in 16 bytes', '8a 08 0000000000000000 00000001 00 00', true, true],
    ['DPO alone', '2a 10 00000000 00 0001 00', true, false],
    ['6 bytes, where that bit belongs to the LBA', '0a 00 0001 01 00', true, false],
    ['nothing, without a write cache', '2a 00 00000000 00 0001 00', false, true]
  ])('flushes before its status for %s', async (_what, cdb, writeCacheEnabled, flushes) => {
    const unit = makeUnit()
    unit.writeCacheEnabled = writeCacheEnabled
    const result = await host.execute(makeNexus([unit]), cdb, { dataOut: BLOCK })
    expect(result.status).toBe(0)
    expect(unit.volume.calls.includes('flush')).toBe(flushes)
  })

  it('fails when the flush does', async () => {
    const unit = makeUnit()
    unit.volume.broken.set('flush', 'EIO')
    const result = await host.execute(makeNexus([unit]), '2a 08 00000000 00 0001 00', { dataOut: BLOCK })
    expect(result.sense).toBe('03/0c/00')
  })

  it.each([1, 2, 3, 4, 5, 6, 7])('refuses WRPROTECT %d', async (protect) => {
    const cdb = [0x2a, protect << 5, 0, 0, 0, 0, 0, 0, 1, 0]
    expect((await host.execute(makeNexus([makeUnit()]), cdb, { dataOut: BLOCK })).sense).toBe(Sense.InvalidCdbField)
  })
})
