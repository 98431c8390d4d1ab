import { describe, expect, it } from '@jest/globals'
import type { Connection } from '../../lib/iscsi/connection.js'
import type { IscsiTask } from '../../lib/iscsi/iscsi-task.js'
import { COMMAND_WINDOW, IMMEDIATE_TASKS } from '../../lib/iscsi/limits.js'
import { defaultParameters } from '../../lib/iscsi/parameters.js'
import { serialDistance } from '../../lib/iscsi/serial.js'
import { Session } from '../../lib/iscsi/session.js'
import { Staging } from '../../lib/scsi/staging.js'
import { Random, seedOf, steps } from '../support/random.js'

function session(cmdSn: number): Session {
  return new Session({
    connection: {} as Connection,
    type: 'Normal',
    initiatorName: 'iqn.2010-04.org.example:a',
    targetName: 'iqn.2010-04.org.example:t',
    isid: '00023d000000',
    tsih: 1,
    cid: 0,
    cmdSn,
    parameters: defaultParameters(),
    nexus: undefined,
    staging: new Staging()
  })
}

/** Takes in the next command as a connection does. */
function receive(one: Session): IscsiTask {
  if (one.place(one.expCmdSn) !== 'next') throw new Error('the window is closed')
  one.advance()
  return one.takeTask(false)!
}

describe('RFC 7143 §4.2.2.1: the window of a session', () => {
  it.each([0, 100, 0xffffffc0])('places CmdSNs around %i', (first) => {
    const one = session(first)
    const at = (distance: number) => one.place((first + distance) >>> 0)
    expect([-1, 0, 1, COMMAND_WINDOW - 1, COMMAND_WINDOW].map(at)).toEqual([
      'outside',
      'next',
      'ahead',
      'ahead',
      'outside'
    ])
  })

  it('shrinks by one for each open command, to nothing', () => {
    const one = session(1)
    const tasks = Array.from({ length: COMMAND_WINDOW }, () => receive(one))
    expect(one.maxCmdSn).toBe(COMMAND_WINDOW)
    expect(one.expCmdSn).toBe(COMMAND_WINDOW + 1)
    expect(one.place(one.expCmdSn)).toBe('outside')
    one.answered(tasks[3]!)
    one.answered(tasks[3]!)
    expect(one.maxCmdSn).toBe(COMMAND_WINDOW + 1)
    one.giveTask(tasks[3]!)
    expect(one.maxCmdSn).toBe(COMMAND_WINDOW + 1)
  })

  it(`never lets MaxCmdSN fall, nor more commands in than tasks (seed ${seedOf(6)})`, () => {
    const random = new Random(seedOf(6))
    const one = session(0xfffffe00)
    const open: IscsiTask[] = []
    let last = one.maxCmdSn
    for (let step = 0; step < steps(20_000); step++) {
      if (random.chance(0.55)) {
        if (one.place(one.expCmdSn) === 'next') {
          if (random.chance(0.1)) one.advance()
          else open.push(receive(one))
        }
      } else if (open.length > 0) {
        one.giveTask(open.splice(random.int(open.length), 1)[0]!)
      }
      const fell = serialDistance(last, one.maxCmdSn) < 0
      const right =
        !fell && open.length <= COMMAND_WINDOW && one.tasksInUse === open.length && !open.includes(undefined!)
      if (!right) throw new Error(`step ${step}: ${open.length} open, MaxCmdSN ${last} to ${one.maxCmdSn}`)
      last = one.maxCmdSn
    }
  })

  it('has a reserve of its own for immediate commands, which no other may use', () => {
    const one = session(1)
    const immediate = Array.from({ length: IMMEDIATE_TASKS }, () => one.takeTask(true)!)
    expect(one.takeTask(true)).toBeUndefined()
    expect(one.maxCmdSn).toBe(COMMAND_WINDOW)
    for (let index = 0; index < COMMAND_WINDOW; index++) expect(receive(one)).toBeDefined()
    one.giveTask(immediate[0]!)
    expect(one.takeTask(true)).toBeDefined()
  })
})

describe('the tasks of a session', () => {
  it('are found by tag while they are open', () => {
    const one = session(1)
    const task = receive(one)
    task.initiatorTaskTag = 42
    expect(one.tasks.get(42)).toBeUndefined()
    one.open(task)
    one.open(task)
    expect(one.tasks.get(42)).toBe(task)
    one.giveTask(task)
    expect(one.tasks.size).toBe(0)
  })

  it('are waited for until the last of them is back', async () => {
    const one = session(1)
    const tasks = [receive(one), receive(one), receive(one)]
    let quiet = false
    const waiting = one.whenQuiet(tasks.slice(0, 2)).then(() => (quiet = true))
    one.giveTask(tasks[2]!)
    one.giveTask(tasks[0]!)
    await Promise.resolve()
    expect(quiet).toBe(false)
    one.giveTask(tasks[1]!)
    await waiting
    await one.whenQuiet([])
  })

  it('have transfer tags that are never the reserved one', () => {
    const one = session(1)
    ;(one as unknown as { nextTransferTag: number }).nextTransferTag = 0xfffffffd
    expect([one.transferTag(), one.transferTag(), one.transferTag()]).toEqual([0xfffffffd, 0xfffffffe, 1])
  })
})
