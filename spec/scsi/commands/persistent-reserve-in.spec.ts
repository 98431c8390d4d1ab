import { describe, expect, it } from '@jest/globals'
import { Host, INITIATOR, Sense, fieldPointer, hex, makeNexus, makeUnit } from '../../support/scsi.js'

function cdbOf(serviceAction: number, length = 4096): Buffer {
  const cdb = Buffer.alloc(10)
  cdb[0] = 0x5e
  cdb[1] = serviceAction
  cdb.writeUInt16BE(length, 7)
  return cdb
}

function bench() {
  const unit = makeUnit()
  const host = new Host()
  const nexus = makeNexus([unit])
  const read = async (serviceAction: number, length?: number) => host.execute(nexus, cdbOf(serviceAction, length))
  return { state: unit.reservations.persistent, nexus, other: makeNexus([unit], { isid: '400001370001' }), read, host }
}

describe('PERSISTENT RESERVE IN', () => {
  it('has nothing to tell of a unit without registrations', async () => {
    const { read } = bench()
    for (const serviceAction of [0, 1, 3]) {
      expect((await read(serviceAction)).hex).toBe(hex('00000000 00000000'))
    }
  })

  it('READ KEYS lists the keys, in the order of their registration', async () => {
    const { state, nexus, other, read } = bench()
    state.registerAndIgnore(other, 0xfedcba9876543210n)
    state.registerAndIgnore(nexus, 1n)
    expect((await read(0)).hex).toBe(hex('00000002 00000010 fedcba9876543210 0000000000000001'))
  })

  it.each([0, 1, 4, 8, 15, 16, 65535])('says all of the length when it is cut to %d bytes', async (length) => {
    const { state, nexus, read } = bench()
    state.registerAndIgnore(nexus, 1n)
    const whole = hex('00000001 00000008 0000000000000001')
    expect(await read(0, length)).toMatchObject({ status: 0, hex: whole.slice(0, 2 * length) })
  })

  it.each([
    [1, '000000000000000a', '01'],
    [6, '000000000000000a', '06'],
    [7, '0000000000000000', '07'],
    [8, '0000000000000000', '08']
  ])('READ RESERVATION tells of type %d: key %s', async (type, key, scopeAndType) => {
    const { state, nexus, read } = bench()
    state.registerAndIgnore(nexus, 10n)
    state.reserve(nexus, 10n, type)
    expect((await read(1)).hex).toBe(hex(`00000001 00000010 ${key} 00000000 00 ${scopeAndType} 0000`))
  })

  it('REPORT CAPABILITIES names the six types and what cannot be had', async () => {
    const { read } = bench()
    expect((await read(2)).hex).toBe(hex('0008 10 90 ea01 0000'))
  })

  it('READ FULL STATUS names every registered port and who holds', async () => {
    const { state, nexus, other, read } = bench()
    state.registerAndIgnore(nexus, 0x1122334455667788n)
    state.registerAndIgnore(other, 2n)
    state.reserve(nexus, 0x1122334455667788n, 5)
    const port = (isid: string) => Buffer.from(`${INITIATOR},i,0x${isid}`).toString('hex').padEnd(104, '0')
    expect(INITIATOR).toHaveLength(31)
    // 31 + ",i,0x" 5 + ISID 12 + null = 49, padded to 52 = 34h; with its header 56 = 38h.
    expect((await read(3)).hex).toBe(
      hex(`00000002 000000a0
        1122334455667788 00000000 01 05 00000000 0001 00000038 45 00 0034 ${port('400001370000')}
        0000000000000002 00000000 00 00 00000000 0001 00000038 45 00 0034 ${port('400001370001')}`)
    )
  })

  it('shows that all registrants hold an all registrants reservation', async () => {
    const { state, nexus, other, read } = bench()
    state.registerAndIgnore(nexus, 1n)
    state.registerAndIgnore(other, 2n)
    state.reserve(nexus, 1n, 8)
    const { data } = await read(3)
    expect([data[20], data[21], data[100], data[101]]).toEqual([1, 8, 1, 8])
  })

  it.each([4, 5, 0x1f])('refuses service action %d', async (serviceAction) => {
    const result = await bench().read(serviceAction)
    expect([result.sense, fieldPointer(result.senseBytes)]).toEqual([Sense.InvalidCdbField, 'cdb byte 1 bit 4'])
  })

  it('is open to who is kept off the unit', async () => {
    const { state, other, read } = bench()
    state.registerAndIgnore(other, 1n)
    state.reserve(other, 1n, 3)
    for (const serviceAction of [0, 1, 2, 3]) expect((await read(serviceAction)).status).toBe(0)
  })
})
