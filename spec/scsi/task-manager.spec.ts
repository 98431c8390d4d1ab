import { describe, expect, it } from '@jest/globals'
import {
  TaskManagementFunction as Function,
  TaskManager,
  type TaskManagementRequest
} from '../../lib/scsi/task-manager.js'
import { TaskAttribute, type Task } from '../../lib/scsi/task.js'
import type { LogicalUnit } from '../../lib/scsi/logical-unit.js'
import type { Nexus } from '../../lib/scsi/nexus.js'
import { Host, makeNexus, makeUnit } from '../support/scsi.js'

const READ_10 = '28 00 00000000 00 0001 00'
const WRITE_10 = '2a 00 00000000 00 0001 00'
const COMPLETE = 0

/** A transport that releases aborted tasks as it should. */
class Releasing extends Host {
  readonly aborted: Task[] = []

  override taskReady(task: Task): void {
    if (task.aborted) this.server.release(task)
    else super.taskReady(task)
  }

  override taskAborted(task: Task): void {
    this.aborted.push(task)
    if (!task.busy) this.server.release(task)
  }

  startTask(nexus: Nexus, cdb: string, lun = 0, attribute: number = TaskAttribute.Simple): Task {
    const task = this.make(nexus, cdb, { lun, attribute, dataOut: Buffer.alloc(512, 0xee) })
    this.server.start(task)
    return task
  }
}

describe('task management', () => {
  const manager = new TaskManager()

  function execute(request: Omit<TaskManagementRequest, 'lun'> & { lun?: number }): number[] {
    const responses: number[] = []
    manager.execute({ lun: 0, ...request }, (response) => responses.push(response))
    return responses
  }

  function bench() {
    const host = new Releasing()
    const units = [makeUnit({ lun: 0 }), makeUnit({ lun: 1 })]
    const [own, other] = [makeNexus(units), makeNexus(units, { isid: '400001370001' })]
    return { host, units, own, other }
  }

  /** The unit attention that waits, as text. */
  function attention(nexus: Nexus, unit: LogicalUnit): string | undefined {
    return nexus.units.get(unit.lun)!.attention?.name
  }

  it('aborts a task that waits for data, at once', () => {
    const { host, own, units } = bench()
    const task = host.startTask(own, WRITE_10)
    const spared = host.startTask(own, WRITE_10)
    expect(execute({ function: Function.AbortTask, nexus: own, task })).toEqual([COMPLETE])
    expect(host.aborted).toEqual([task])
    expect(units[0]!.taskSet.tasks).toEqual([spared])
  })

  it('answers only when the file operations of the task have ended', () => {
    const { host, own, units } = bench()
    const { volume } = units[0]!
    volume.refusing = volume.stalled = true
    const task = host.startTask(own, WRITE_10)
    expect(task.receive(Buffer.alloc(512, 0xee), 0, 512)).toBe(true)
    const responses = execute({ function: Function.AbortTask, nexus: own, task })
    expect([responses, volume.bytes[0], task.aborted]).toEqual([[], 0, true])
    volume.release()
    expect([responses, volume.bytes[0]]).toEqual([[COMPLETE], 0xee])
    expect(units[0]!.taskSet.idle).toBe(true)
  })

  it('does not find a task that is not there', () => {
    const { own } = bench()
    expect(execute({ function: Function.AbortTask, nexus: own, task: undefined })).toEqual([1])
  })

  it('takes a blocked task out, and what waited behind it starts', () => {
    const { host, own, units } = bench()
    const write = host.startTask(own, WRITE_10)
    const ordered = host.startTask(own, READ_10, 0, TaskAttribute.Ordered)
    const later = host.startTask(own, WRITE_10)
    expect(execute({ function: Function.AbortTask, nexus: own, task: ordered })).toEqual([COMPLETE])
    expect(later.command?.name).toBe('WRITE(10)')
    expect(new Set(units[0]!.taskSet.tasks)).toEqual(new Set([write, later]))
  })

  it('aborts the task set of one nexus on one unit', () => {
    const { host, own, other, units } = bench()
    const mine = [host.startTask(own, WRITE_10), host.startTask(own, READ_10, 0, TaskAttribute.Ordered)]
    const elsewhere = host.startTask(own, WRITE_10, 1)
    const theirs = host.startTask(other, WRITE_10)
    expect(execute({ function: Function.AbortTaskSet, nexus: own })).toEqual([COMPLETE])
    expect(new Set(host.aborted)).toEqual(new Set(mine))
    expect(units[0]!.taskSet.tasks).toEqual([theirs])
    expect(units[1]!.taskSet.tasks).toEqual([elsewhere])
    expect(attention(other, units[0]!)).toBeUndefined()
  })

  it('clears the task set of all nexuses, and those that lost a task hear of it', () => {
    const { host, own, other, units } = bench()
    host.startTask(own, WRITE_10)
    host.startTask(other, WRITE_10)
    expect(execute({ function: Function.ClearTaskSet, nexus: own })).toEqual([COMPLETE])
    expect(units[0]!.taskSet.idle).toBe(true)
    expect(attention(other, units[0]!)).toBe('COMMANDS CLEARED BY ANOTHER INITIATOR')
    expect(attention(own, units[0]!)).toBeUndefined()
  })

  it('resets a unit: its tasks, RESERVE and modes, and every nexus hears of it', () => {
    const { host, own, other, units } = bench()
    const [unit, untouched] = units as [(typeof units)[0], (typeof units)[0]]
    for (const one of units) {
      one.descriptorSense = true
      one.reservations.reserve(other)
    }
    const tasks = [host.startTask(other, WRITE_10), host.startTask(other, WRITE_10)]
    const spared = host.startTask(other, WRITE_10, 1)
    expect(execute({ function: Function.LogicalUnitReset, nexus: own })).toEqual([COMPLETE])
    expect(new Set(host.aborted)).toEqual(new Set(tasks))
    expect([unit.descriptorSense, unit.reservations.reserve(own)]).toEqual([false, true])
    expect([attention(own, unit), attention(other, unit)]).toEqual(Array(2).fill('BUS DEVICE RESET FUNCTION OCCURRED'))
    expect([untouched.descriptorSense, untouched.reservations.reserve(own)]).toEqual([true, false])
    expect(untouched.taskSet.tasks).toEqual([spared])
    expect(attention(other, untouched)).toBeUndefined()
  })

  it('keeps persistent registrations over a reset', () => {
    const { own, units } = bench()
    units[0]!.reservations.persistent.registerAndIgnore(own, 5n)
    execute({ function: Function.LogicalUnitReset, nexus: own })
    expect(units[0]!.reservations.persistent.isRegistered(own)).toBe(true)
  })

  it.each([Function.TargetWarmReset, Function.TargetColdReset])(
    'resets all units of the nexus, and no others (%d)',
    (fn) => {
      const { host, own, units } = bench()
      const foreign = makeUnit()
      const stranger = makeNexus([foreign], { initiatorName: 'iqn.2000-01.org:stranger' })
      const spared = host.startTask(stranger, WRITE_10)
      units.forEach(({ volume }) => (volume.refusing = volume.stalled = true))
      for (const { lun } of units) host.startTask(own, WRITE_10, lun).receive(Buffer.alloc(512), 0, 512)
      const responses = execute({ function: fn, nexus: own })
      units[0]!.volume.release()
      expect(responses).toEqual([])
      units[1]!.volume.release()
      expect(responses).toEqual([COMPLETE])
      expect(units.every((unit) => unit.taskSet.idle && attention(own, unit) !== undefined)).toBe(true)
      expect(foreign.taskSet.tasks).toEqual([spared])
      expect(attention(stranger, foreign)).toBeUndefined()
    }
  )

  it('answers a target reset of a nexus without units', () => {
    expect(execute({ function: Function.TargetWarmReset, nexus: makeNexus([]) })).toEqual([COMPLETE])
  })

  it.each([Function.AbortTaskSet, Function.ClearTaskSet, Function.LogicalUnitReset])(
    'knows no unit at a LUN without one (%d)',
    (fn) => {
      expect(execute({ function: fn, nexus: makeNexus([makeUnit()]), lun: 3 })).toEqual([2])
      expect(execute({ function: fn, nexus: makeNexus([makeUnit()]), lun: -1 })).toEqual([2])
    }
  )

  it.each([
    ['TASK REASSIGN', 8, 4],
    ['CLEAR ACA', 3, 5],
    ['QUERY TASK', 9, 5],
    ['0', 0, 5],
    ['127', 127, 5]
  ])('refuses %s', (_name, fn, response) => {
    expect(execute({ function: fn, nexus: makeNexus([makeUnit()]) })).toEqual([response])
  })

  it('ends 64 running tasks with one reset', () => {
    const { host, own, units } = bench()
    for (let i = 0; i < 64; i++) host.startTask(own, i % 8 === 7 ? READ_10 : WRITE_10, 0, i % 8 === 7 ? 2 : 1)
    expect(execute({ function: Function.LogicalUnitReset, nexus: own })).toEqual([COMPLETE])
    expect(host.aborted).toHaveLength(64)
    expect(units[0]!.taskSet.idle).toBe(true)
  })
})
