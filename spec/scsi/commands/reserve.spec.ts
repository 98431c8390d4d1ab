import { describe, expect, it } from '@jest/globals'
import { Host, Sense, makeNexus, makeUnit } from '../../support/scsi.js'

const CONFLICT = 0x18
const READ_10 = '28 00 00000000 00 0001 00'

describe.each([
  ['RESERVE(6)', '16 00 00 00 00 00', '17 00 00 00 00 00'],
  ['RESERVE(10)', '56 00 00000000 00 0000 00', '57 00 00000000 00 0000 00']
])('%s', (_name, reserve, release) => {
  it('keeps others off the unit until it is released', async () => {
    const host = new Host()
    const unit = makeUnit()
    const [one, two] = [makeNexus([unit]), makeNexus([unit], { isid: '400001370001' })]
    const status = async (nexus: typeof one, cdb: string) => (await host.execute(nexus, cdb)).status
    expect(await status(one, reserve)).toBe(0)
    expect(await status(one, reserve)).toBe(0)
    expect(await status(two, reserve)).toBe(CONFLICT)
    expect(await status(two, READ_10)).toBe(CONFLICT)
    expect(await status(two, '1a 00 3f 00 ff 00')).toBe(CONFLICT)
    expect(await status(two, '00 00 00 00 00 00')).toBe(CONFLICT)
    expect(await status(two, '12 00 00 00ff 00')).toBe(0)
    expect(await status(one, READ_10)).toBe(0)
    expect(await status(two, release)).toBe(0)
    expect(await status(two, reserve)).toBe(CONFLICT)
    expect(await status(one, release)).toBe(0)
    expect(await status(two, reserve)).toBe(0)
  })

  it('falls with its nexus', async () => {
    const host = new Host()
    const unit = makeUnit()
    const [one, two] = [makeNexus([unit]), makeNexus([unit], { isid: '400001370001' })]
    await host.execute(one, reserve)
    one.end()
    expect((await host.execute(two, reserve)).status).toBe(0)
  })

  it('conflicts with persistent reservations in both directions', async () => {
    const host = new Host()
    const unit = makeUnit()
    const [one, two] = [makeNexus([unit]), makeNexus([unit], { isid: '400001370001' })]
    unit.reservations.persistent.registerAndIgnore(one, 1n)
    expect((await host.execute(two, reserve)).status).toBe(CONFLICT)
    unit.reservations.persistent.registerAndIgnore(one, 0n)
    await host.execute(one, reserve)
    expect((await host.execute(one, '5e 00 0000000000 0008 00')).status).toBe(CONFLICT)
  })

  it('refuses third parties and extents', async () => {
    for (const byte of [1, 2]) {
      const cdb = Buffer.from(reserve.replaceAll(' ', ''), 'hex')
      cdb[byte] = 0x10
      expect((await new Host().execute(makeNexus([makeUnit()]), cdb)).sense).toBe(Sense.InvalidCdbField)
    }
  })
})
