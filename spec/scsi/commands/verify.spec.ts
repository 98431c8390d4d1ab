import { describe, expect, it } from '@jest/globals'
import { PIECE_BYTES } from '../../../lib/scsi/pieces.js'
import { Random } from '../../support/random.js'
import { FakeVolume, Host, Sense, fieldPointer, makeNexus, makeUnit } from '../../support/scsi.js'

const FORMS = ['VERIFY(10)', 'VERIFY(12)', 'VERIFY(16)'] as const

function verify(form: (typeof FORMS)[number], lba: number | bigint, blocks: number, flags = 0): string {
  const h = (value: number | bigint, digits: number) => value.toString(16).padStart(digits, '0')
  if (form === 'VERIFY(10)') return `2f ${h(flags, 2)} ${h(lba, 8)} 00 ${h(blocks, 4)} 00`
  if (form === 'VERIFY(12)') return `af ${h(flags, 2)} ${h(lba, 8)} ${h(blocks, 8)} 00 00`
  return `8f ${h(flags, 2)} ${h(lba, 16)} ${h(blocks, 8)} 00 00`
}

function bench(blocks = 1024, blockSize = 512) {
  const volume = new FakeVolume(blocks * blockSize)
  new Random(3).bytes(volume.bytes)
  const unit = makeUnit({ volume, blockSize })
  return { host: new Host(), volume, unit, nexus: makeNexus([unit]) }
}

describe.each(FORMS)('%s', (form) => {
  it('reads all of its range for BYTCHK 0, whatever data comes along', async () => {
    const { host, nexus, volume } = bench()
    const result = await host.execute(nexus, verify(form, 3, 600), { dataOut: Buffer.alloc(512) })
    expect(result.status).toBe(0)
    expect(volume.calls).toEqual([`read 1536+${PIECE_BYTES}`, `read ${1536 + PIECE_BYTES}+${600 * 512 - PIECE_BYTES}`])
  })

  it('fails for BYTCHK 0 where the medium cannot be read', async () => {
    const { host, nexus, volume } = bench()
    volume.broken.set('read', 'EIO')
    expect((await host.execute(nexus, verify(form, 0, 1))).sense).toBe('03/11/00')
  })

  it.each([false, true])('compares its data for BYTCHK 1, slow disk: %s', async (refusing) => {
    const { host, nexus, volume } = bench()
    volume.refusing = refusing
    for (const difference of [-1, 0, 511, 512, 4095]) {
      const dataOut = Buffer.from(volume.bytes.subarray(1024, 1024 + 4096))
      if (difference >= 0) dataOut[difference]! ^= 0x80
      const before = Buffer.from(volume.bytes)
      const result = await host.execute(nexus, verify(form, 2, 8, 0x02), { dataOut, pieceLength: 700 })
      expect(result.sense).toBe(difference < 0 ? undefined : Sense.Miscompare)
      expect(volume.bytes.equals(before)).toBe(true)
    }
  })

  it('compares what came when the initiator has less than the CDB says', async () => {
    const { host, nexus, volume } = bench()
    const dataOut = Buffer.from(volume.bytes.subarray(0, 200))
    expect((await host.execute(nexus, verify(form, 0, 1, 0x02), { dataOut })).status).toBe(0)
  })

  it('compares one block with all for BYTCHK 3', async () => {
    const { host, nexus, volume } = bench()
    const block = Buffer.from(volume.bytes.subarray(0, 512))
    for (let lba = 10; lba < 310; lba++) block.copy(volume.bytes, lba * 512)
    const run = (lba: number, blocks: number) =>
      host.execute(nexus, verify(form, lba, blocks, 0x06), { dataOut: block })
    expect((await run(10, 300)).status).toBe(0)
    expect((await run(10, 301)).sense).toBe(Sense.Miscompare)
    expect((await run(9, 2)).sense).toBe(Sense.Miscompare)
  })

  it('takes no half block for BYTCHK 3', async () => {
    const { host, nexus } = bench()
    const result = await host.execute(nexus, verify(form, 0, 8, 0x06), { dataOut: Buffer.alloc(256) })
    expect(result.sense).toBe(Sense.InformationUnit)
  })

  it('refuses BYTCHK 2, which is reserved, and protection information', async () => {
    const { host, nexus } = bench()
    const reserved = await host.execute(nexus, verify(form, 0, 1, 0x04))
    expect([reserved.sense, fieldPointer(reserved.senseBytes)]).toEqual([Sense.InvalidCdbField, 'cdb byte 1 bit 2'])
    expect((await host.execute(nexus, verify(form, 0, 1, 0x20))).sense).toBe(Sense.InvalidCdbField)
  })

  it.each([0x00, 0x02, 0x06, 0x10])('judges the range, flags %d', async (flags) => {
    const { host, nexus } = bench()
    expect((await host.execute(nexus, verify(form, 1024, 0, flags))).status).toBe(0)
    for (const [lba, blocks] of [
      [1025, 0],
      [1024, 1],
      [1023, 2],
      [0xffffffff, 1]
    ] as const) {
      expect((await host.execute(nexus, verify(form, lba, blocks, flags))).sense).toBe(Sense.LbaOutOfRange)
    }
  })
})

describe('VERIFY of a disk with blocks of 4096 bytes', () => {
  it('compares one block with all', async () => {
    const { host, nexus, volume } = bench(64, 4096)
    const block = Buffer.from(volume.bytes.subarray(0, 4096))
    for (let lba = 1; lba < 40; lba++) block.copy(volume.bytes, lba * 4096)
    expect((await host.execute(nexus, verify('VERIFY(16)', 0, 40, 0x06), { dataOut: block })).status).toBe(0)
    expect((await host.execute(nexus, verify('VERIFY(16)', 0, 41, 0x06), { dataOut: block })).sense).toBe(
      Sense.Miscompare
    )
  })

  it('lets another command go on between two pieces of a long one', async () => {
    const { host, nexus, volume } = bench(1024, 4096)
    const long = host.execute(nexus, verify('VERIFY(16)', 0, 1024))
    await host.execute(nexus, '28 00 000003ff 00 0001 00')
    const reads = volume.calls.length
    await long
    expect(reads).toBeLessThan(4)
    expect(volume.calls).toHaveLength(17)
  })
})
