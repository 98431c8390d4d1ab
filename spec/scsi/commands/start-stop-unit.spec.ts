import { describe, expect, it } from '@jest/globals'
import { setImmediate as turn } from 'node:timers/promises'
import { Host, Sense, makeNexus, makeUnit } from '../../support/scsi.js'

describe('START STOP UNIT', () => {
  it.each([
    ['a start', '1b 00 0000 01 00', []],
    ['a load', '1b 00 0000 03 00', []],
    ['a stop', '1b 00 0000 00 00', ['flush']],
    ['an eject', '1b 00 0000 02 00', ['flush']],
    ['a stop without flush', '1b 00 0000 04 00', []],
    ['ACTIVE', '1b 00 0000 10 00', []],
    ['IDLE with a modifier', '1b 00 0001 20 00', []],
    ['STANDBY', '1b 00 0000 30 00', []]
  ])('is good for %s, and the unit goes on', async (_what, cdb, calls) => {
    const host = new Host()
    const unit = makeUnit()
    const nexus = makeNexus([unit])
    expect((await host.execute(nexus, cdb)).status).toBe(0)
    expect(unit.volume.calls).toEqual(calls)
    expect((await host.execute(nexus, '00 00 00 00 00 00')).status).toBe(0)
    expect((await host.execute(nexus, '28 00 00000000 00 0001 00')).data).toHaveLength(512)
  })

  it('tells what it was told, for the log', async () => {
    const told: boolean[] = []
    const nexus = makeNexus([makeUnit({ onStartStop: (start) => void told.push(start) })])
    for (const cdb of ['1b 00 0000 00 00', '1b 00 0000 01 00']) await new Host().execute(nexus, cdb)
    expect(told).toEqual([false, true])
  })

  it('waits for the flush of a stop, but not with IMMED', async () => {
    const host = new Host()
    const unit = makeUnit()
    const nexus = makeNexus([unit])
    unit.volume.stalled = true
    expect((await host.execute(nexus, '1b 01 0000 00 00')).status).toBe(0)
    const stop = host.execute(nexus, '1b 00 0000 00 00')
    expect(unit.volume.stalledRequests).toBe(2)
    unit.volume.release()
    expect((await stop).status).toBe(0)
    await turn()
  })

  it('lets others start, and nothing else, under a reservation', async () => {
    const host = new Host()
    const unit = makeUnit()
    const [holder, other] = [makeNexus([unit]), makeNexus([unit], { isid: '400001370001' })]
    unit.reservations.persistent.registerAndIgnore(holder, 1n)
    unit.reservations.persistent.reserve(holder, 1n, 1)
    expect((await host.execute(other, '1b 00 0000 01 00')).status).toBe(0)
    expect((await host.execute(other, '1b 00 0000 00 00')).status).toBe(0x18)
    expect((await host.execute(other, '1b 00 0000 10 00')).status).toBe(0x18)
    expect((await host.execute(holder, '1b 00 0000 00 00')).status).toBe(0)
  })

  it.each(['1b 02 0000 00 00', '1b 00 0000 08 00', '1b 00 0010 00 00'])('refuses reserved bits: %s', async (cdb) => {
    expect((await new Host().execute(makeNexus([makeUnit()]), cdb)).sense).toBe(Sense.InvalidCdbField)
  })
})
