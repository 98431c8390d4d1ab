import { describe, expect, it } from '@jest/globals'
import { blockLimits } from '../../../lib/scsi/vpd/block-limits.js'
import { Random, seedOf, steps } from '../../support/random.js'
import { CHUNK, FakeVolume, Host, Sense, fieldPointer, makeNexus, makeUnit } from '../../support/scsi.js'

const UNMAP = 0x08
const NDOB = 0x01
const ANCHOR = 0x10

function cdbOf(form: 10 | 16, lba: number | bigint, blocks: number, flags = 0): string {
  const h = (value: number | bigint, digits: number) => value.toString(16).padStart(digits, '0')
  if (form === 10) return `41 ${h(flags, 2)} ${h(lba, 8)} 00 ${h(blocks, 4)} 00`
  return `93 ${h(flags, 2)} ${h(lba, 16)} ${h(blocks, 8)} 00 00`
}

function filled(volume = new FakeVolume(1024 * 512)): FakeVolume {
  volume.bytes.fill(0xaa)
  volume.mapped.fill(true)
  return volume
}

describe.each([10, 16] as const)('WRITE SAME(%d)', (form) => {
  const host = new Host()
  const block = new Random(5).bytes(Buffer.alloc(512))

  it.each([
    [0, 1],
    [1023, 1],
    [3, 777]
  ])('writes its block to LBA %d and the %d blocks from there', async (lba, blocks) => {
    const volume = filled()
    const model = Buffer.from(volume.bytes)
    for (let i = 0; i < blocks; i++) block.copy(model, (lba + i) * 512)
    const result = await host.execute(makeNexus([makeUnit({ volume })]), cdbOf(form, lba, blocks), { dataOut: block })
    expect(result.status).toBe(0)
    expect(volume.bytes.equals(model)).toBe(true)
  })

  it('refuses 0 blocks and writes nothing, because WSNZ is 1', async () => {
    const volume = filled()
    const cdb = cdbOf(form, 1000, 0)
    const result = await host.execute(makeNexus([makeUnit({ volume })]), cdb, { dataOut: block })
    expect([result.sense, fieldPointer(result.senseBytes)]).toEqual([
      Sense.InvalidCdbField,
      `cdb byte ${form === 10 ? 7 : 10} bit 7`
    ])
    expect(volume.bytes.every((byte) => byte === 0xaa)).toBe(true)
  })

  it('takes 0 blocks for all to the end of a disk that is not thin, and says so (SBC-3 §5.43)', async () => {
    const volume = filled()
    const unit = makeUnit({ volume, thin: false })
    expect(blockLimits.build(unit, makeNexus([unit]))[0]).toBe(0)
    const model = Buffer.from(volume.bytes)
    for (let lba = 1000; lba < 1024; lba++) block.copy(model, lba * 512)
    const result = await host.execute(makeNexus([unit]), cdbOf(form, 1000, 0), { dataOut: block })
    expect(result.status).toBe(0)
    expect(volume.bytes.equals(model)).toBe(true)
  })

  it.each([1024, 1025, 0x80000000, 0xffffffff])('refuses 0 blocks from LBA %d on, behind its end', async (lba) => {
    const volume = filled()
    const unit = makeUnit({ volume, thin: false })
    const result = await host.execute(makeNexus([unit]), cdbOf(form, lba, 0), { dataOut: block })
    expect(result.sense).toBe(Sense.LbaOutOfRange)
    expect(volume.calls).toEqual([])
  })

  it('refuses 0 blocks where all to the end are more than MAXIMUM WRITE SAME LENGTH', async () => {
    const volume = new FakeVolume(2 * 128 * 1024 * 1024)
    const nexus = makeNexus([makeUnit({ volume, thin: false })])
    const at = form === 10 ? 7 : 10
    const wrong = await host.execute(nexus, cdbOf(form, 128 * 2048 - 1, 0), { dataOut: Buffer.alloc(512) })
    expect([wrong.sense, fieldPointer(wrong.senseBytes)]).toEqual([Sense.InvalidCdbField, `cdb byte ${at} bit 7`])
    const right = await host.execute(nexus, cdbOf(form, 128 * 2048, 0), { dataOut: Buffer.alloc(512) })
    expect(right.status).toBe(0)
  })

  it.each([
    ['zeroes', 0, 'zero'],
    ['zeroes with UNMAP', UNMAP, 'unmap']
  ])('makes %s a matter of the map', async (_what, flags, verb) => {
    const volume = filled()
    const nexus = makeNexus([makeUnit({ volume })])
    const result = await host.execute(nexus, cdbOf(form, 3, 21, flags), { dataOut: Buffer.alloc(512) })
    expect(result.status).toBe(0)
    expect(volume.calls).toEqual([`${verb} 1536+10752`])
    expect(volume.bytes.subarray(1536, 1536 + 10752).every((byte) => byte === 0)).toBe(true)
    expect(volume.bytes.subarray(0, 1536).every((byte) => byte === 0xaa)).toBe(true)
    expect(volume.bytes.subarray(1536 + 10752).every((byte) => byte === 0xaa)).toBe(true)
    expect(volume.mapped.slice(0, 4)).toEqual([true, verb === 'zero', verb === 'zero', true])
  })

  it('writes other data than zeroes even with UNMAP, for a read must give it back', async () => {
    const volume = filled()
    const result = await host.execute(makeNexus([makeUnit({ volume })]), cdbOf(form, 8, 8, UNMAP), { dataOut: block })
    expect(result.status).toBe(0)
    expect(volume.bytes.subarray(CHUNK, CHUNK + 512).equals(block)).toBe(true)
    expect(volume.mapped[1]).toBe(true)
  })

  it.each([0, 256, 511, 1024])('refuses %d bytes of data, and changes nothing', async (length) => {
    const volume = filled()
    const nexus = makeNexus([makeUnit({ volume })])
    const result = await host.execute(nexus, cdbOf(form, 0, 1, UNMAP), { dataOut: Buffer.alloc(length) })
    expect(result.sense).toBe(Sense.InformationUnit)
    expect(volume.calls).toEqual([])
  })

  it.each([
    ['ANCHOR', ANCHOR, true, 'cdb byte 1 bit 4'],
    ['ANCHOR with UNMAP', ANCHOR | UNMAP, true, 'cdb byte 1 bit 4'],
    ['UNMAP where the unit is not thin', UNMAP, false, 'cdb byte 1 bit 3'],
    ['WRPROTECT', 0x20, true, 'cdb byte 1 bit 5']
  ])('refuses %s', async (_what, flags, thin, pointer) => {
    const result = await host.execute(makeNexus([makeUnit({ thin })]), cdbOf(form, 0, 1, flags), { dataOut: block })
    expect([result.sense, fieldPointer(result.senseBytes)]).toEqual([Sense.InvalidCdbField, pointer])
  })

  it.each([
    [1024, 1],
    [1023, 2],
    [0xffffffff, 1]
  ])('refuses LBA %d and %d blocks', async (lba, blocks) => {
    const result = await host.execute(makeNexus([makeUnit()]), cdbOf(form, lba, blocks), { dataOut: block })
    expect(result.sense).toBe(Sense.LbaOutOfRange)
  })

  it('makes it durable where the write cache is off', async () => {
    const unit = makeUnit()
    unit.writeCacheEnabled = false
    await host.execute(makeNexus([unit]), cdbOf(form, 0, 1), { dataOut: block })
    expect(unit.volume.calls.at(-1)).toBe('flush')
  })

  it('fails when the disk does', async () => {
    const unit = makeUnit()
    unit.volume.broken.set('write', 'ENOSPC')
    const result = await host.execute(makeNexus([unit]), cdbOf(form, 0, 1), { dataOut: block })
    expect(result.sense).toBe(Sense.SpaceAllocationFailed)
  })
})

describe('WRITE SAME(16)', () => {
  const host = new Host()

  it('needs no data with NDOB, and means zeroes', async () => {
    const volume = filled()
    const nexus = makeNexus([makeUnit({ volume })])
    expect((await host.execute(nexus, cdbOf(16, 8, 8, NDOB | UNMAP))).status).toBe(0)
    expect(volume.bytes.subarray(CHUNK, 2 * CHUNK).every((byte) => byte === 0)).toBe(true)
    expect(volume.mapped.slice(0, 3)).toEqual([true, false, true])
  })

  it.each([
    [2n ** 64n - 1n, 1],
    [0, 0xffffffff]
  ])('refuses LBA %d and %d blocks', async (lba, blocks) => {
    const result = await host.execute(makeNexus([makeUnit()]), cdbOf(16, lba, blocks, NDOB))
    expect(result.sense).toBe(Sense.LbaOutOfRange)
  })

  it.each([
    [0, 262145],
    [2 ** 40 - 262145, 262145]
  ])('refuses more than the maximum: LBA %d, %d blocks', async (lba, blocks) => {
    const unit = makeUnit()
    Object.defineProperty(unit, 'blockCount', { value: 2 ** 40 })
    const result = await host.execute(makeNexus([unit]), cdbOf(16, lba, blocks, NDOB))
    expect([result.sense, fieldPointer(result.senseBytes)]).toEqual([Sense.InvalidCdbField, 'cdb byte 10 bit 7'])
  })

  it('works in blocks of 4096 bytes', async () => {
    const volume = filled(new FakeVolume(64 * 4096))
    const nexus = makeNexus([makeUnit({ volume, blockSize: 4096 })])
    const block = new Random(6).bytes(Buffer.alloc(4096))
    expect((await host.execute(nexus, cdbOf(16, 60, 4), { dataOut: block })).status).toBe(0)
    expect(volume.bytes.subarray(60 * 4096).equals(Buffer.concat([block, block, block, block]))).toBe(true)
    expect(volume.bytes[60 * 4096 - 1]).toBe(0xaa)
  })

  const seed = seedOf(20260804)
  it(`agrees with plain bytes over many ranges (seed ${seed})`, async () => {
    const random = new Random(seed)
    const volume = filled()
    const nexus = makeNexus([makeUnit({ volume })])
    const model = Buffer.from(volume.bytes)
    for (let round = 0; round < steps(200); round++) {
      volume.refusing = random.chance(0.3)
      const lba = random.int(1024)
      const blocks = random.int(1024 - lba) + 1
      const block = random.chance(0.5) ? Buffer.alloc(512) : random.bytes(Buffer.alloc(512))
      const flags = random.chance(0.5) ? UNMAP : 0
      expect((await host.execute(nexus, cdbOf(16, lba, blocks, flags), { dataOut: block })).status).toBe(0)
      for (let i = 0; i < blocks; i++) block.copy(model, (lba + i) * 512)
      expect(volume.bytes.equals(model)).toBe(true)
    }
  })
})
