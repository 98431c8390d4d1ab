import { describe, expect, it } from '@jest/globals'
import { FakeVolume, Host, Sense, fieldPointer, hex, makeNexus, makeUnit } from '../../support/scsi.js'

const MIB = 1024 * 1024
const DBD = 0x08
const LLBAA = 0x10

const PAGE_01 = '01 0a 00 00 000000 00 00 00 0000'
const PAGE_08 = '08 12 04 00 0000 0000 0000 0000 00 00 0000 00 000000'
const PAGE_0A = '0a 0a 02 10 00 00 0000 0000 0000'
const PAGE_1C = '1c 0a 00 00 00000000 00000000'
const ALL = PAGE_01 + PAGE_08 + PAGE_0A + PAGE_1C
const DESCRIPTOR = '00000400 00000200'

function cdb10(flags: number, page: number, subpage = 0, length = 65535): number[] {
  return [0x5a, flags, page, subpage, 0, 0, 0, length >> 8, length & 0xff, 0]
}

describe('MODE SENSE(6)', () => {
  const host = new Host()
  const nexus = makeNexus([makeUnit()])

  it.each([
    ['all pages', 0, 0x3f, 0, `43 00 10 08 ${DESCRIPTOR} ${ALL}`],
    ['all pages without block descriptor', DBD, 0x3f, 0, `3b 00 10 00 ${ALL}`],
    ['all pages and subpages', DBD, 0x3f, 0xff, `3b 00 10 00 ${ALL}`],
    ['the caching page', 0, 0x08, 0, `1f 00 10 08 ${DESCRIPTOR} ${PAGE_08}`],
    ['the control page', DBD, 0x0a, 0, `0f 00 10 00 ${PAGE_0A}`],
    ['the control page with all its subpages', DBD, 0x0a, 0xff, `0f 00 10 00 ${PAGE_0A}`],
    ['the error recovery page', DBD, 0x01, 0, `0f 00 10 00 ${PAGE_01}`],
    ['the informational exceptions page', DBD, 0x1c, 0, `0f 00 10 00 ${PAGE_1C}`],
    ['the changeable bits of caching', DBD, 0x48, 0, `17 00 10 00 08 12 04 ${'00'.repeat(17)}`],
    ['the changeable bits of control', DBD, 0x4a, 0, `0f 00 10 00 0a 0a 04 00 08 ${'00'.repeat(7)}`],
    ['the changeable bits of a page that has none', DBD, 0x5c, 0, `0f 00 10 00 1c 0a ${'00'.repeat(10)}`],
    ['the default of caching', DBD, 0x88, 0, `17 00 10 00 ${PAGE_08}`]
  ])('gives %s', async (_what, flags, page, subpage, expected) => {
    expect((await host.execute(nexus, [0x1a, flags, page, subpage, 0xff, 0])).hex).toBe(hex(expected))
  })

  it.each([0, 1, 4, 68, 255])('says all of the length when it is cut to %d bytes', async (length) => {
    const result = await host.execute(nexus, [0x1a, 0, 0x3f, 0, length, 0])
    expect(result).toMatchObject({ status: 0, hex: hex(`43 00 10 08 ${DESCRIPTOR} ${ALL}`).slice(0, 2 * length) })
  })

  it.each([
    ['a page that is not there', [0x1a, 0, 0x02, 0, 0xff, 0], 'cdb byte 2 bit 5'],
    ['a subpage that is not there', [0x1a, 0, 0x0a, 0x01, 0xff, 0], 'cdb byte 2 bit 5'],
    ['a subpage of all pages', [0x1a, 0, 0x3f, 0x01, 0xff, 0], 'cdb byte 2 bit 5'],
    ['reserved bits', [0x1a, 0x10, 0x3f, 0, 0xff, 0], 'cdb byte 1 bit 4']
  ])('refuses %s', async (_what, cdb, pointer) => {
    const result = await host.execute(nexus, cdb)
    expect([result.sense, fieldPointer(result.senseBytes)]).toEqual([Sense.InvalidCdbField, pointer])
  })

  it.each([0xff, 0xc8])('has no saved values (page byte %d)', async (page) => {
    expect((await host.execute(nexus, [0x1a, 0, page, 0, 0xff, 0])).sense).toBe(Sense.SavingNotSupported)
  })

  it('shows current and default values apart', async () => {
    const unit = makeUnit()
    Object.assign(unit, { writeCacheEnabled: false, descriptorSense: true, softwareWriteProtect: true })
    const own = makeNexus([unit])
    const read = async (page: number) => (await host.execute(own, [0x1a, DBD, page, 0, 0xff, 0])).hex
    expect(await read(0x08)).toBe(hex(`17 00 90 00 08 12 00 ${'00'.repeat(17)}`))
    expect(await read(0x0a)).toBe(hex(`0f 00 90 00 0a 0a 06 10 08 ${'00'.repeat(7)}`))
    expect(await read(0x88)).toBe(hex(`17 00 90 00 ${PAGE_08}`))
    expect(await read(0x8a)).toBe(hex(`0f 00 90 00 ${PAGE_0A}`))
  })

  it('says that a unit is write protected', async () => {
    const result = await host.execute(makeNexus([makeUnit({ readOnly: true })]), [0x1a, DBD, 0x08, 0, 4, 0])
    expect(result.hex).toBe('17009000')
  })

  it('has the threshold of a thin unit, and enables its notifications', async () => {
    const provisioning = () => ({ usedBytes: 0, limitBytes: 100 * MIB, thresholdBytes: 80 * MIB })
    const thin = makeNexus([makeUnit({ provisioning })])
    const threshold = `5c 02 0014 00 ${'00'.repeat(11)} 81 02 0000 00000050`
    const page = async (...cdb: number[]) => (await host.execute(thin, cdb)).hex
    expect(await page(0x1a, DBD, 0x1c, 0x02, 0xff, 0)).toBe(hex(`1b 00 10 00 ${threshold}`))
    expect(await page(0x1a, DBD, 0x1c, 0xff, 0xff, 0)).toBe(hex(`27 00 10 00 ${PAGE_1C} ${threshold}`))
    expect((await page(0x1a, DBD, 0x3f, 0xff, 0xff, 0)).endsWith(hex(PAGE_1C + threshold))).toBe(true)
    expect((await page(0x1a, DBD, 0x3f, 0x00, 0xff, 0)).endsWith(hex(PAGE_1C))).toBe(true)
    expect(await page(0x1a, DBD, 0x5c, 0x02, 0xff, 0)).toBe(hex(`1b 00 10 00 5c 02 0014 ${'00'.repeat(20)}`))
    expect(await page(0x1a, DBD, 0x01, 0, 0xff, 0)).toBe(hex('0f 00 10 00 01 0a 00 00 000000 80 00 00 0000'))
    expect((await host.execute(nexus, [0x1a, DBD, 0x1c, 0x02, 0xff, 0])).sense).toBe(Sense.InvalidCdbField)
  })
})

describe('MODE SENSE(10)', () => {
  const host = new Host()
  const nexus = makeNexus([makeUnit()])

  it.each([
    ['all pages', 0, `0046 00 10 00 00 0008 ${DESCRIPTOR} ${ALL}`],
    ['all pages without block descriptor', DBD, `003e 00 10 00 00 0000 ${ALL}`],
    ['a long block descriptor', LLBAA, `004e 00 10 01 00 0010 0000000000000400 00000000 00000200 ${ALL}`],
    ['no descriptor, even if it might be long', LLBAA | DBD, `003e 00 10 00 00 0000 ${ALL}`]
  ])('gives %s', async (_what, flags, expected) => {
    expect((await host.execute(nexus, cdb10(flags, 0x3f))).hex).toBe(hex(expected))
  })

  it.each([0, 1, 4, 72, 65535])('says all of the length when it is cut to %d bytes', async (length) => {
    const result = await host.execute(nexus, cdb10(0, 0x3f, 0, length))
    expect(result).toMatchObject({
      status: 0,
      hex: hex(`0046 00 10 00 00 0008 ${DESCRIPTOR} ${ALL}`).slice(0, 2 * length)
    })
  })

  it('has no room for more than 2^32 - 1 blocks but in a long descriptor', async () => {
    const unit = makeUnit({ blockSize: 4096, volume: new FakeVolume(4096) })
    Object.defineProperty(unit, 'blockCount', { value: 0x123456789a })
    const own = makeNexus([unit])
    expect((await host.execute(own, cdb10(0, 0x08, 0, 16))).hex).toBe(hex('0022 00 10 00 00 0008 ffffffff 00001000'))
    expect((await host.execute(own, cdb10(LLBAA, 0x08, 0, 24))).hex).toBe(
      hex('002a 00 10 01 00 0010 000000123456789a 00000000 00001000')
    )
  })

  it('refuses what the short form refuses', async () => {
    expect((await host.execute(nexus, cdb10(0, 0x02))).sense).toBe(Sense.InvalidCdbField)
    expect((await host.execute(nexus, cdb10(0, 0xff))).sense).toBe(Sense.SavingNotSupported)
  })
})
