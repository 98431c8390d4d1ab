import { describe, expect, it } from '@jest/globals'
import type { Connection } from '../../lib/iscsi/connection.js'
import { IscsiTask } from '../../lib/iscsi/iscsi-task.js'
import { Staging } from '../../lib/scsi/staging.js'
import { ByteBudget, ByteShare } from '../../lib/util/byte-budget.js'

const share = () => new ByteShare(new ByteBudget(0), 100)

describe('a task of a connection', () => {
  it('is after a reset as it was when it was made, but for what its pool keeps', () => {
    const connection = {} as Connection
    const fresh = new IscsiTask(connection, new Staging(), share()) as unknown as Record<string, unknown>
    const used = new IscsiTask(connection, new Staging(), share())
    const fields = used as unknown as Record<string, unknown>
    for (const [name, value] of Object.entries(fields)) {
      if (typeof value === 'number') fields[name] = 77
      if (typeof value === 'boolean') fields[name] = true
    }
    used.waiting.take(used.earlyWaiting)
    used.early = Buffer.alloc(1)
    used.r2ts.push({ tag: 1, end: 2 })
    used.reset()
    // These are set for each command, and `taken` belongs to the pool.
    const kept = ['scsi', 'lun', 'connection', 'initiatorTaskTag', 'cmdSn', 'since', 'taken']
    const differences = Object.keys(fields).filter(
      (name) => !kept.includes(name) && JSON.stringify(fields[name]) !== JSON.stringify(fresh[name])
    )
    expect(differences).toEqual([])
  })

  it('tells its connection what happens to it', () => {
    const told: string[] = []
    const connection = {
      taskReady: () => told.push('ready'),
      discard: () => told.push('discard'),
      fail: () => told.push('fail')
    } as unknown as Connection
    const task = new IscsiTask(connection, new Staging(), share())
    task.scsi.owner.taskReady(task.scsi)
    task.scsi.owner.taskAborted?.(task.scsi)
    task.scsi.checkVolume(new Error('an error of the volume'))
    expect(told).toEqual(['ready', 'discard'])
  })
})
