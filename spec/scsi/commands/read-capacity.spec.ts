import { describe, expect, it, jest } from '@jest/globals'
import { FakeVolume, Host, Sense, hex, makeNexus, makeUnit } from '../../support/scsi.js'
import type { LogicalUnit } from '../../../lib/scsi/logical-unit.js'

/** A unit that only says how large it is. */
function unitOf(blockCount: number, blockSize = 512, thin = true): LogicalUnit {
  const unit = makeUnit({ blockSize, thin, volume: new FakeVolume(CHUNKS) })
  Object.defineProperty(unit, 'blockCount', { value: blockCount })
  return unit
}
const CHUNKS = 4096

function cdb16(lba: bigint, length: number, flags = 0): Buffer {
  const cdb = Buffer.alloc(16)
  cdb[0] = 0x9e
  cdb[1] = 0x10
  cdb.writeBigUInt64BE(lba, 2)
  cdb.writeUInt32BE(length, 10)
  cdb[14] = flags
  return cdb
}

describe('READ CAPACITY(10)', () => {
  const host = new Host()

  it.each([
    [1024, 512, '000003ff 00000200'],
    [1, 4096, '00000000 00001000'],
    [0xffffffff, 512, 'fffffffe 00000200'],
    [0x100000000, 512, 'ffffffff 00000200'],
    [0x100000001, 512, 'ffffffff 00000200'],
    [2 ** 44, 512, 'ffffffff 00000200']
  ])('answers the last of %d blocks of %d bytes', async (count, size, expected) => {
    const result = await host.execute(makeNexus([unitOf(count, size)]), '25 00 00000000 0000 00 00')
    expect(result.hex).toBe(hex(expected))
  })

  it('refuses an LBA without PMI, and answers it with', async () => {
    const nexus = makeNexus([makeUnit()])
    expect((await host.execute(nexus, '25 00 00000001 0000 00 00')).sense).toBe(Sense.InvalidCdbField)
    expect((await host.execute(nexus, '25 00 00000001 0000 01 00')).hex).toBe(hex('000003ff 00000200'))
    expect((await host.execute(nexus, '25 00 00000400 0000 01 00')).sense).toBe(Sense.LbaOutOfRange)
  })
})

describe('READ CAPACITY(16)', () => {
  const host = new Host()
  const full = hex('00000000000003ff 00000200 00 03 c000') + '00'.repeat(16)

  it('answers 32 bytes: thin, reads zeroes, eight blocks to a physical one', async () => {
    expect((await host.execute(makeNexus([makeUnit()]), cdb16(0n, 32))).hex).toBe(full)
  })

  it('says nothing of provisioning where the unit is not thin', async () => {
    const unit = makeUnit({ thin: false, blockSize: 4096 })
    const result = await host.execute(makeNexus([unit]), cdb16(0n, 32))
    expect(result.hex).toBe(hex('000000000000007f 00001000 00 00 0000') + '00'.repeat(16))
  })

  it('has room for a last LBA of more than four bytes', async () => {
    const result = await host.execute(makeNexus([unitOf(2 ** 44)]), cdb16(0n, 8))
    expect(result.hex).toBe('00000fffffffffff')
  })

  it.each([0, 1, 4, 12, 32, 65535])('cuts its data at an allocation length of %d', async (length) => {
    const result = await host.execute(makeNexus([makeUnit()]), cdb16(0n, length))
    expect(result).toMatchObject({ status: 0, hex: full.slice(0, 2 * Math.min(length, 32)) })
  })

  it.each([
    [1n, 0, Sense.InvalidCdbField],
    [0xffffffffffffffffn, 0, Sense.InvalidCdbField],
    [0x400n, 1, Sense.LbaOutOfRange],
    [0xffffffffffffffffn, 1, Sense.LbaOutOfRange],
    [0x3ffn, 1, undefined]
  ])('judges LBA %d with PMI %d', async (lba, pmi, sense) => {
    expect((await host.execute(makeNexus([makeUnit()]), cdb16(lba, 32, pmi))).sense).toBe(sense)
  })

  it('is open to a fenced nexus, and tells that it has looked', async () => {
    const onLook = jest.fn()
    const nexus = makeNexus([makeUnit()], { onLook })
    nexus.units.get(0)!.fenced = true
    expect((await host.execute(nexus, cdb16(0n, 32))).status).toBe(0)
    expect((await host.execute(nexus, '25 00 00000000 0000 00 00')).status).toBe(0)
    expect(onLook.mock.calls.map(([, command]) => command)).toEqual(['read-capacity', 'read-capacity'])
  })
})
