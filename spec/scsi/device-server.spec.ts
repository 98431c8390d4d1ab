import { describe, expect, it } from '@jest/globals'
import { POWER_ON } from '../../lib/scsi/sense.js'
import { TaskAttribute, TaskState } from '../../lib/scsi/task.js'
import { Host, Sense, fieldPointer, makeNexus, makeUnit } from '../support/scsi.js'

const READ_10 = '28 00 00000000 00 0001 00'
const WRITE_10 = '2a 00 00000000 00 0001 00'
const BLOCK = Buffer.alloc(512, 0x5a)

describe('the gate of the device server', () => {
  const host = new Host()

  it.each([
    ['a missing unit before everything', 'ff', 4, Sense.LunNotSupported, undefined],
    ['an unknown operation code', 'ff', 0, Sense.InvalidOpcode, 'cdb byte 0'],
    ['a vendor specific operation code', 'c0', 0, Sense.InvalidOpcode, 'cdb byte 0'],
    ['a variable length CDB', '7f 00 0000 00 00 00 18 0009', 0, Sense.InvalidOpcode, 'cdb byte 0'],
    ['an unknown service action of a known code', '9e 1f', 0, Sense.InvalidCdbField, 'cdb byte 1 bit 4'],
    ['a reserved bit', '28 01 00000000 00 0001 00', 0, Sense.InvalidCdbField, 'cdb byte 1 bit 0'],
    ['protection information', '28 20 00000000 00 0001 00', 0, Sense.InvalidCdbField, 'cdb byte 1 bit 5'],
    ['NACA in the control byte', '28 00 00000000 00 0001 04', 0, Sense.InvalidCdbField, 'cdb byte 9 bit 2'],
    ['LINK in the control byte', '28 00 00000000 00 0001 01', 0, Sense.InvalidCdbField, 'cdb byte 9 bit 0']
  ])('refuses %s', async (_what, cdb, lun, sense, pointer) => {
    const result = await host.execute(makeNexus([makeUnit()]), cdb, { lun })
    expect(result.sense).toBe(sense)
    expect(fieldPointer(result.senseBytes)).toBe(pointer)
  })

  it('asks in its order: opcode, unit attention, reservation, CDB, fence, write protection, command', async () => {
    const unit = makeUnit()
    const [nexus, other] = [makeNexus([unit]), makeNexus([unit], { isid: '400001370001' })]
    const entry = nexus.units.get(0)!
    entry.establish(POWER_ON)
    entry.fenced = true
    unit.softwareWriteProtect = true
    unit.reservations.reserve(other)
    const bad = '2a 01 ffffffff 00 0001 00'
    expect((await host.execute(nexus, 'ff')).sense).toBe(Sense.InvalidOpcode)
    expect((await host.execute(nexus, bad)).sense).toBe('06/29/00')
    expect(await host.execute(nexus, bad)).toMatchObject({ status: 0x18, sense: undefined })
    unit.reservations.release(other)
    expect((await host.execute(nexus, bad)).sense).toBe(Sense.InvalidCdbField)
    const out = '2a 00 ffffffff 00 0001 00'
    expect((await host.execute(nexus, out)).sense).toBe(Sense.LunNotSupported)
    entry.fenced = false
    expect((await host.execute(nexus, out)).sense).toBe(Sense.WriteProtected)
    unit.softwareWriteProtect = false
    expect((await host.execute(nexus, out)).sense).toBe(Sense.LbaOutOfRange)
  })

  it('keeps a fenced nexus from the medium and changes nothing', async () => {
    const unit = makeUnit()
    const nexus = makeNexus([unit])
    nexus.units.get(0)!.fenced = true
    expect((await host.execute(nexus, WRITE_10, { dataOut: BLOCK })).sense).toBe(Sense.LunNotSupported)
    expect((await host.execute(nexus, READ_10)).sense).toBe(Sense.LunNotSupported)
    expect((await host.execute(nexus, '00 00 00 00 00 00')).status).toBe(0)
    expect(unit.volume.calls).toEqual([])
  })

  it('lets reads of a write protected unit through', async () => {
    const nexus = makeNexus([makeUnit({ readOnly: true })])
    expect((await host.execute(nexus, READ_10)).data).toHaveLength(512)
    expect((await host.execute(nexus, WRITE_10, { dataOut: BLOCK })).sense).toBe(Sense.WriteProtected)
  })

  it('finds commands by their operation code and service action', () => {
    const find = (...bytes: number[]) => host.server.find(Buffer.from([...bytes, ...Buffer.alloc(14)]))?.name
    expect(find(0x28)).toBe('READ(10)')
    expect(find(0x9e, 0x10)).toBe('READ CAPACITY(16)')
    expect(find(0x9e, 0xf0)).toBe('READ CAPACITY(16)')
    expect(find(0x9e, 0x11)).toBeUndefined()
    expect(find(0x04)).toBeUndefined()
  })

  it('treats a command that the unit does not have as an unknown one', async () => {
    const result = await host.execute(makeNexus([makeUnit({ thin: false })]), '42 00 00000000 00 0000 00')
    expect(result.sense).toBe(Sense.InvalidOpcode)
  })
})

describe('a task that has to wait in the task set', () => {
  it('starts when its time has come, and its owner is told', async () => {
    const host = new Host()
    const unit = makeUnit()
    const nexus = makeNexus([unit])
    const write = host.make(nexus, WRITE_10, { dataOut: BLOCK })
    const ordered = host.make(nexus, READ_10, { attribute: TaskAttribute.Ordered })
    host.server.start(write)
    host.server.start(ordered)
    expect(ordered.state).toBe(TaskState.Blocked)
    const answer = host.complete(ordered)
    await host.complete(write, { dataOut: BLOCK })
    host.server.release(write)
    expect((await answer).data).toEqual(BLOCK)
    host.server.release(ordered)
    expect(unit.taskSet.idle).toBe(true)
  })

  it('is judged only then: a reservation that has come meanwhile counts', async () => {
    const host = new Host()
    const unit = makeUnit()
    const [nexus, other] = [makeNexus([unit]), makeNexus([unit], { isid: '400001370001' })]
    const write = host.make(nexus, WRITE_10, { dataOut: BLOCK })
    const blocked = host.make(nexus, READ_10, { attribute: TaskAttribute.Ordered })
    host.server.start(write)
    host.server.start(blocked)
    unit.reservations.reserve(other)
    const answer = host.complete(blocked)
    write.finish()
    host.server.release(write)
    expect((await answer).status).toBe(0x18)
  })

  it('can be released while it still waits', () => {
    const host = new Host()
    const unit = makeUnit()
    const nexus = makeNexus([unit])
    const [write, blocked] = [host.make(nexus, WRITE_10, { dataOut: BLOCK }), host.make(nexus, READ_10)]
    blocked.attribute = TaskAttribute.Ordered
    host.server.start(write)
    host.server.start(blocked)
    host.server.release(blocked)
    write.finish()
    host.server.release(write)
    expect(unit.taskSet.idle).toBe(true)
    expect(blocked.state).toBe(TaskState.Idle)
  })
})
