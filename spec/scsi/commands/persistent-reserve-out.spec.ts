import { describe, expect, it } from '@jest/globals'
import type { Command } from '../../../lib/scsi/command.js'
import type { PersistedReservations, ReservationStore } from '../../../lib/scsi/reservation-store.js'
import { TaskState, type Task } from '../../../lib/scsi/task.js'
import type { Nexus } from '../../../lib/scsi/nexus.js'
import { Host, Sense, fieldPointer, makeNexus, makeUnit } from '../../support/scsi.js'

const CONFLICT = 0x18
const Action = { Register: 0, Reserve: 1, Release: 2, Clear: 3, Preempt: 4, PreemptAndAbort: 5, RegisterAndIgnore: 6 }

function cdbOf(serviceAction: number, scopeAndType = 0, length = 24): Buffer {
  const cdb = Buffer.alloc(10)
  cdb[0] = 0x5f
  cdb[1] = serviceAction
  cdb[2] = scopeAndType
  cdb.writeUInt32BE(length, 5)
  return cdb
}

function list(key: bigint, newKey = 0n, flags = 0): Buffer {
  const bytes = Buffer.alloc(24)
  bytes.writeBigUInt64BE(key, 0)
  bytes.writeBigUInt64BE(newKey, 8)
  bytes[20] = flags
  return bytes
}

class Releasing extends Host {
  override taskAborted(task: Task): void {
    if (!task.busy) this.server.release(task)
  }
}

function bench(host: Host = new Host()) {
  const unit = makeUnit()
  const [one, two] = [makeNexus([unit]), makeNexus([unit], { isid: '400001370001' })]
  const out = (nexus: Nexus, serviceAction: number, type: number, dataOut: Buffer) =>
    host.execute(nexus, cdbOf(serviceAction, type), { dataOut })
  return { host, unit, one, two, out, state: unit.reservations.persistent }
}

/** Keeps what it is given, when it is let. */
class Store implements ReservationStore {
  kept: PersistedReservations | undefined
  saves = 0
  broken = false
  private hold: Promise<void> | undefined
  release: () => void = () => {}

  stall(): void {
    this.hold = new Promise((resolve) => (this.release = resolve))
  }

  async save(state: PersistedReservations | undefined): Promise<void> {
    this.saves++
    await this.hold
    if (this.broken) throw Object.assign(new Error('the store is full'), { code: 'ENOSPC' })
    this.kept = state && (JSON.parse(JSON.stringify(state)) as PersistedReservations)
  }
}

describe('APTPL (SPC-4 §5.13.5)', () => {
  const APTPL = 0x01
  function kept() {
    const store = new Store()
    const unit = makeUnit({ reservationStore: store })
    const [one, two] = [makeNexus([unit]), makeNexus([unit], { initiatorName: 'iqn.1991-05.com.microsoft:pc-08' })]
    const host = new Host()
    const out = (nexus: Nexus, serviceAction: number, type: number, dataOut: Buffer) =>
      host.execute(nexus, cdbOf(serviceAction, type), { dataOut })
    const capabilities = async () => (await host.execute(one, '5e 02 00 00000000 0008 00')).data.subarray(2, 4)
    return { store, unit, one, two, host, out, capabilities }
  }

  it('is answered only when the registration is durable', async () => {
    const { store, one, host } = kept()
    store.stall()
    const dataOut = list(0n, 7n, APTPL)
    const task = host.make(one, cdbOf(Action.Register), { dataOut })
    host.server.start(task)
    const end = host.complete(task, { dataOut })
    expect([task.state, store.saves]).toEqual([TaskState.Pending, 1])
    store.release()
    expect((await end).status).toBe(0)
    expect(store.kept?.registrations.map(({ key }) => key)).toEqual(['0000000000000007'])
  })

  it('keeps all registrations and the reservation of a unit, and every change of them', async () => {
    const { store, unit, one, two, out } = kept()
    await out(one, Action.Register, 0, list(0n, 0xfedcba9876543210n, APTPL))
    await out(two, Action.Register, 0, list(0n, 8n, APTPL))
    await out(one, Action.Reserve, 5, list(0xfedcba9876543210n))
    const next = makeUnit({ reservationStore: store })
    next.reservations.persistent.restore(store.kept!)
    const { persistent } = next.reservations
    expect(persistent.registrations).toEqual(unit.reservations.persistent.registrations)
    expect([persistent.type, persistent.reservationKey, persistent.generation, persistent.persists]).toEqual([
      5,
      0xfedcba9876543210n,
      0,
      true
    ])
    expect(persistent.conflicts(makeNexus([next], { isid: '400001370009' }), { access: 'write' } as Command)).toBe(true)
    await out(two, Action.Clear, 0, list(8n))
    expect(store.kept).toBeUndefined()
  })

  it('ends with a registration that does not ask for it', async () => {
    const { store, one, out } = kept()
    await out(one, Action.Register, 0, list(0n, 7n, APTPL))
    expect(store.kept).toBeDefined()
    await out(one, Action.RegisterAndIgnore, 0, list(0n, 7n))
    expect(store.kept).toBeUndefined()
  })

  it('says in REPORT CAPABILITIES that it can be had, and whether it is', async () => {
    const { one, out, capabilities } = kept()
    expect((await capabilities()).toString('hex')).toBe('1190')
    await out(one, Action.Register, 0, list(0n, 7n, APTPL))
    expect((await capabilities()).toString('hex')).toBe('1191')
  })

  it('changes nothing when it cannot be kept', async () => {
    const { store, unit, one, out } = kept()
    store.broken = true
    const { status, sense } = await out(one, Action.Register, 0, list(0n, 7n, APTPL))
    expect([status, sense]).toEqual([0x02, Sense.SpaceAllocationFailed])
    expect([unit.reservations.persistent.registrations, unit.reservations.persistent.generation]).toEqual([[], 0])
  })

  it('costs nothing while nobody asks for it', async () => {
    const { store, one, out } = kept()
    await out(one, Action.Register, 0, list(0n, 7n))
    await out(one, Action.Reserve, 1, list(7n))
    expect(store.saves).toBe(0)
  })
})

describe('PERSISTENT RESERVE OUT', () => {
  it('registers, reserves, releases and unregisters', async () => {
    const { one, two, out, state } = bench()
    expect((await out(one, Action.Register, 0, list(0n, 7n))).status).toBe(0)
    expect((await out(two, Action.RegisterAndIgnore, 0, list(99n, 8n))).status).toBe(0)
    expect((await out(one, Action.Reserve, 3, list(7n))).status).toBe(0)
    expect([state.type, state.reservationKey]).toEqual([3, 7n])
    expect((await out(two, Action.Reserve, 3, list(8n))).status).toBe(CONFLICT)
    expect((await out(one, Action.Release, 3, list(7n))).status).toBe(0)
    expect(state.type).toBeUndefined()
    expect((await out(one, Action.Register, 0, list(6n, 0n))).status).toBe(CONFLICT)
    expect((await out(one, Action.Register, 0, list(7n, 0n))).status).toBe(0)
    expect(state.isRegistered(one)).toBe(false)
  })

  it('clears, and preempts', async () => {
    const { one, two, out, state } = bench()
    await out(one, Action.Register, 0, list(0n, 7n))
    await out(two, Action.Register, 0, list(0n, 8n))
    await out(one, Action.Reserve, 1, list(7n))
    expect((await out(two, Action.Preempt, 6, list(8n, 7n))).status).toBe(0)
    expect([state.type, state.reservationKey, state.isRegistered(one)]).toEqual([6, 8n, false])
    expect((await out(one, Action.Clear, 0, list(7n))).sense).toBe('06/2a/05')
    expect((await out(one, Action.Clear, 0, list(7n))).status).toBe(CONFLICT)
    expect((await out(two, Action.Clear, 0, list(8n))).status).toBe(0)
    expect(state.empty).toBe(true)
  })

  it.each([1, 3, 5, 6, 7, 8])('knows type %d', async (type) => {
    const { one, out, state } = bench()
    await out(one, Action.Register, 0, list(0n, 7n))
    expect((await out(one, Action.Reserve, type, list(7n))).status).toBe(0)
    expect(state.type).toBe(type)
  })

  it.each([0x00, 0x02, 0x04, 0x09, 0x0f, 0x11, 0x23])('refuses scope and type %d', async (scopeAndType) => {
    const { one, out } = bench()
    await out(one, Action.Register, 0, list(0n, 7n))
    for (const action of [Action.Reserve, Action.Release, Action.Preempt, Action.PreemptAndAbort]) {
      const result = await out(one, action, scopeAndType, list(7n))
      expect([result.sense, fieldPointer(result.senseBytes)]).toEqual([Sense.InvalidCdbField, 'cdb byte 2'])
    }
  })

  it.each([0, 8, 23, 25, 65536, 0xffffffff])(
    'refuses a parameter list of %d bytes, and asks for none of it',
    async (length) => {
      const { host, one } = bench()
      const task = host.make(one, cdbOf(Action.Register, 0, length), { dataOut: Buffer.alloc(64) })
      host.server.start(task)
      expect([task.state, task.dataOutLength]).toEqual([TaskState.Done, 0])
      expect((await host.complete(task)).sense).toBe(Sense.ParameterListLength)
    }
  )

  it('refuses a list that is not sent as a whole', async () => {
    const { one, out, state } = bench()
    expect((await out(one, Action.RegisterAndIgnore, 0, list(0n, 7n).subarray(0, 20))).sense).toBe(
      Sense.ParameterListLength
    )
    expect(state.empty).toBe(true)
  })

  it.each([
    ['SPEC_I_PT', 0x08, 'list byte 20 bit 3'],
    ['ALL_TG_PT', 0x04, 'list byte 20 bit 2'],
    ['APTPL', 0x01, 'list byte 20 bit 0']
  ])('refuses %s, which it says that it cannot do', async (_what, flags, pointer) => {
    const { one, out, state } = bench()
    const result = await out(one, Action.Register, 0, list(0n, 7n, flags))
    expect([result.sense, fieldPointer(result.senseBytes)]).toEqual([Sense.InvalidParameter, pointer])
    expect(state.empty).toBe(true)
  })

  it.each([7, 8, 0x1f])('refuses service action %d', async (serviceAction) => {
    const { one, out } = bench()
    const result = await out(one, serviceAction, 0, list(0n, 1n))
    expect([result.sense, fieldPointer(result.senseBytes)]).toEqual([Sense.InvalidCdbField, 'cdb byte 1 bit 4'])
  })

  it('names a release of another type as invalid', async () => {
    const { one, out } = bench()
    await out(one, Action.Register, 0, list(0n, 7n))
    await out(one, Action.Reserve, 3, list(7n))
    expect((await out(one, Action.Release, 1, list(7n))).sense).toBe('05/26/04')
  })

  it('refuses to preempt key 0 where not all registrants hold', async () => {
    const { one, out } = bench()
    await out(one, Action.Register, 0, list(0n, 7n))
    expect((await out(one, Action.Preempt, 1, list(7n, 0n))).sense).toBe(Sense.InvalidParameter)
  })

  it('PREEMPT AND ABORT ends the tasks of the preempted, and answers when the last has ended', async () => {
    const { host, unit, one, two, out } = bench(new Releasing())
    await out(one, Action.Register, 0, list(0n, 7n))
    await out(two, Action.Register, 0, list(0n, 8n))
    unit.volume.refusing = unit.volume.stalled = true
    const theirs = host.make(one, '2a 00 00000000 00 0001 00', { dataOut: Buffer.alloc(512) })
    const mine = host.make(two, '2a 00 00000000 00 0001 00', { dataOut: Buffer.alloc(512) })
    for (const task of [theirs, mine]) host.server.start(task)
    theirs.receive(Buffer.alloc(512), 0, 512)
    let answered = false
    const answer = out(two, Action.PreemptAndAbort, 1, list(8n, 7n)).then(({ status }) => {
      answered = true
      return status
    })
    await new Promise((resolve) => setImmediate(resolve))
    expect([theirs.aborted, mine.aborted, answered]).toEqual([true, false, false])
    const ready = host.ready(theirs)
    unit.volume.release()
    await ready
    host.server.release(theirs)
    expect(await answer).toBe(0)
    expect(unit.taskSet.tasks).toEqual([mine])
  })

  it('PREEMPT AND ABORT is good where nobody has a task', async () => {
    const { one, two, out } = bench()
    await out(one, Action.Register, 0, list(0n, 7n))
    await out(two, Action.Register, 0, list(0n, 8n))
    expect((await out(two, Action.PreemptAndAbort, 1, list(8n, 7n))).status).toBe(0)
    expect((await out(two, Action.PreemptAndAbort, 1, list(8n, 7n))).status).toBe(CONFLICT)
  })
})
