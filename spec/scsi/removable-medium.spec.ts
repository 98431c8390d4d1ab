import { describe, expect, it } from '@jest/globals'
import { Host, makeNexus, makeUnit } from '../support/scsi.js'

const EJECT = '1b 00 0000 02 00'
const LOAD = '1b 00 0000 03 00'
const PREVENT = '1e 00 0000 01 00'
const ALLOW = '1e 00 0000 00 00'
const TEST_UNIT_READY = '00 00 00 00 00 00'
const PREVENTED = '05/53/02'
const NO_MEDIUM = '02/3a/00'

function bench() {
  const host = new Host()
  const unit = makeUnit({ removable: true })
  const [one, two] = [makeNexus([unit]), makeNexus([unit], { isid: '400001370001' })]
  const send = async (nexus: typeof one, cdb: string, dataOut?: Buffer) => {
    const { status, sense } = await host.execute(nexus, cdb, dataOut ? { dataOut } : {})
    return sense ?? status
  }
  return { host, unit, one, two, send }
}

describe('a removable medium', () => {
  it('says RMB in the standard INQUIRY data', async () => {
    const { host, one } = bench()
    expect((await host.execute(one, '12 00 00 0060 00')).data[1]).toBe(0x80)
    expect((await host.execute(makeNexus([makeUnit()]), '12 00 00 0060 00')).data[1]).toBe(0x00)
  })

  it.each([
    ['TEST UNIT READY', TEST_UNIT_READY, 0],
    ['READ CAPACITY(10)', '25 00 00000000 0000 00 00', 0],
    ['READ CAPACITY(16)', '9e 10 0000000000000000 00000020 00 00', 0],
    ['READ(10)', '28 00 00000000 00 0001 00', 0],
    ['WRITE(10)', '2a 00 00000000 00 0001 00', 512],
    ['SYNCHRONIZE CACHE(10)', '35 00 00000000 00 0001 00', 0],
    ['UNMAP', '42 00 00000000 00 0018 00', 24],
    ['GET LBA STATUS', '9e 12 0000000000000000 00000018 00 00', 0]
  ])('that was ejected is missed by %s, and found again when it is loaded', async (_name, cdb, length) => {
    const { send, one } = bench()
    const dataOut = length > 0 ? Buffer.alloc(length) : undefined
    expect(await send(one, EJECT)).toBe(0)
    expect(await send(one, cdb, dataOut)).toBe(NO_MEDIUM)
    expect(await send(one, LOAD)).toBe(0)
    expect(await send(one, cdb, dataOut)).toBe(0)
  })

  it('keeps what is on it, and the other nexuses hear that it may have changed', async () => {
    const { send, one, two, host } = bench()
    await send(one, '2a 00 00000000 00 0001 00', Buffer.alloc(512, 0x5a))
    await send(one, EJECT)
    expect(await send(two, '12 00 00 0024 00')).toBe(0)
    expect(await send(two, TEST_UNIT_READY)).toBe(NO_MEDIUM)
    await send(one, LOAD)
    expect(await send(one, TEST_UNIT_READY)).toBe(0)
    expect(await send(two, TEST_UNIT_READY)).toBe('06/28/00')
    expect((await host.execute(two, '28 00 00000000 00 0001 00')).data.equals(Buffer.alloc(512, 0x5a))).toBe(true)
  })

  it('stays where it is while anybody prevents its removal', async () => {
    const { send, one, two } = bench()
    await send(two, PREVENT)
    expect(await send(one, EJECT)).toBe(PREVENTED)
    expect(await send(one, TEST_UNIT_READY)).toBe(0)
    await send(one, ALLOW)
    expect(await send(one, EJECT)).toBe(PREVENTED)
    await send(two, ALLOW)
    expect(await send(one, EJECT)).toBe(0)
    await send(one, PREVENT)
    expect(await send(one, LOAD)).toBe(PREVENTED)
  })

  it.each(['nexus', 'reset'])('may be removed again after the end of the preventing %s', async (what) => {
    const { send, one, two, unit } = bench()
    await send(two, PREVENT)
    if (what === 'nexus') two.end()
    else unit.reset()
    expect(await send(one, EJECT)).toBe(0)
  })

  it('is not moved without LOEJ, nor with a power condition', async () => {
    const { send, one } = bench()
    for (const cdb of ['1b 00 0000 00 00', '1b 00 0000 12 00', '1b 01 0000 f2 00']) expect(await send(one, cdb)).toBe(0)
    expect(await send(one, TEST_UNIT_READY)).toBe(0)
  })

  it('that is none stays, whatever is asked for', async () => {
    const { host } = bench()
    const nexus = makeNexus([makeUnit()])
    for (const cdb of [PREVENT, EJECT, TEST_UNIT_READY]) expect((await host.execute(nexus, cdb)).status).toBe(0)
  })
})
