import assert from 'node:assert/strict'
import { describe, expect, it } from '@jest/globals'
import { CHUNK, FakeVolume, Host, Sense, hex, makeNexus, makeUnit } from '../../support/scsi.js'
import { Random, seedOf, steps } from '../../support/random.js'

function cdb(lba: bigint, length: number): Buffer {
  const bytes = Buffer.alloc(16)
  bytes[0] = 0x9e
  bytes[1] = 0x12
  bytes.writeBigUInt64BE(lba, 2)
  bytes.writeUInt32BE(length, 10)
  return bytes
}

describe('GET LBA STATUS', () => {
  const host = new Host()

  it('describes runs of blocks from the one asked for, mapped as 0 and deallocated as 1', async () => {
    const unit = makeUnit()
    unit.volume.mapped[1] = true
    const { hex: data } = await host.execute(makeNexus([unit]), cdb(3n, 512))
    expect(data).toBe(
      hex(`00000034 00000000
        0000000000000003 00000005 01 000000
        0000000000000008 00000008 00 000000
        0000000000000010 000003f0 01 000000`)
    )
  })

  it.each([0, 1, 4, 8, 23, 24, 39])('has one descriptor in mind at an allocation length of %d', async (length) => {
    const unit = makeUnit()
    unit.volume.mapped[1] = true
    const whole = hex('00000014 00000000 0000000000000000 00000008 01 000000')
    const result = await host.execute(makeNexus([unit]), cdb(0n, length))
    expect(result).toMatchObject({ status: 0, hex: whole.slice(0, 2 * Math.min(length, 24)) })
  })

  it('has a descriptor that is not empty for the last block', async () => {
    const result = await host.execute(makeNexus([makeUnit()]), cdb(1023n, 24))
    expect(result.hex).toBe(hex('00000014 00000000 00000000000003ff 00000001 01 000000'))
  })

  it.each([1024n, 0xffffffffn, 0x8000000000000000n, 0xffffffffffffffffn])('refuses LBA %d', async (lba) => {
    expect((await host.execute(makeNexus([makeUnit()]), cdb(lba, 24))).sense).toBe(Sense.LbaOutOfRange)
  })

  it('says mapped for all of a unit that is not thin', async () => {
    const result = await host.execute(makeNexus([makeUnit({ thin: false })]), cdb(8n, 4096))
    expect(result.hex).toBe(hex('00000014 00000000 0000000000000008 000003f8 00 000000'))
  })

  const seed = seedOf(20260801)
  it(`agrees with a list of chunks, whatever is asked for (seed ${seed})`, async () => {
    const random = new Random(seed)
    for (let round = 0; round < steps(100); round++) {
      const blockSize = random.pick([512, 4096])
      const volume = new FakeVolume(64 * CHUNK)
      for (let chunk = 0; chunk < 64; chunk++) volume.mapped[chunk] = random.chance(0.5)
      const nexus = makeNexus([makeUnit({ volume, blockSize })])
      const perChunk = CHUNK / blockSize
      const first = random.int(64 * perChunk)
      const { data } = await host.execute(nexus, cdb(BigInt(first), 8 + 16 * (1 + random.int(80))))
      let next = first
      for (let at = 8; at < data.length; at += 16) {
        const blocks = data.readUInt32BE(at + 8)
        assert.equal(Number(data.readBigUInt64BE(at)), next)
        assert(blocks > 0)
        for (let lba = next; lba < next + blocks; lba++) {
          assert.equal(data[at + 12], volume.mapped[Math.floor(lba / perChunk)] ? 0 : 1)
        }
        next += blocks
      }
    }
  })
})
