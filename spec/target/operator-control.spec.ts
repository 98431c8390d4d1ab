import { describe, expect, it } from '@jest/globals'
import type { SessionView } from '../../lib/iscsi/portal-group.js'
import { Jobs } from '../../lib/target/jobs.js'
import { OperatorControl, type ControlParts } from '../../lib/target/operator-control.js'
import type { TargetNode } from '../../lib/target/target.js'
import { FakeClock } from '../support/fake-clock.js'
import { LogRecorder } from '../support/log-recorder.js'

/** Two targets with the same two initiators; what is done to them is written down in order. */
function make(failing = false) {
  const done: string[] = []
  const targets = ['t1', 't2'].map((name) => ({
    name,
    owners: {
      list: () => Promise.resolve(['a', 'b'].map((initiatorName) => ({ targetName: name, initiatorName }))),
      drain: (key: { initiatorName: string }) => Promise.resolve(void done.push(`drain ${name} ${key.initiatorName}`)),
      undrain: (key: { initiatorName: string }) =>
        Promise.resolve(void done.push(`undrain ${name} ${key.initiatorName}`)),
      discard: (key: { initiatorName: string }, event: string) => {
        if (failing) return Promise.reject(new Error('disk'))
        done.push(`${event} ${name} ${key.initiatorName}`)
        return Promise.resolve({ bytes: 10, tookMs: 1 })
      }
    }
  }))
  const parts: ControlParts = {
    targets: () => targets as unknown as TargetNode[],
    clock: new FakeClock(),
    log: new LogRecorder(),
    jobs: new Jobs(new FakeClock(), new LogRecorder()),
    roots: () => [],
    server: () => ({ startedAt: 0, portals: [], lostMs: 0, shred: false, undoMs: 0 }),
    sessions: () => [{ initiatorName: 'a', targetName: 't1' }] as SessionView[],
    endSessions: (filter) => {
      for (const targetName of ['t1', 't2']) {
        for (const initiatorName of ['a', 'b']) {
          if (filter({ initiatorName, targetName } as SessionView)) done.push(`end ${targetName} ${initiatorName}`)
        }
      }
      return Promise.resolve()
    }
  }
  return { done, control: new OperatorControl(parts) }
}

describe('OperatorControl', () => {
  it('lets nobody in, ends the sessions, discards, and lets in again, in this order', async () => {
    const { control, done } = make()
    expect(await control.restore({ initiator: 'a', target: 't2' })).toEqual({ bytes: 10, tookMs: 1 })
    expect(done).toEqual(['drain t2 a', 'end t2 a', 'operator t2 a', 'undrain t2 a'])
  })

  it('adds up what it took over all that the filter names', async () => {
    expect(await make().control.restore({ initiator: 'b' })).toEqual({ bytes: 20, tookMs: 2 })
    expect(await make().control.restore({})).toEqual({ bytes: 40, tookMs: 4 })
    expect(await make().control.restore({ target: 'none' })).toEqual({ bytes: 0, tookMs: 0 })
  })

  it('lets an initiator in again when the discard fails', async () => {
    const { control, done } = make(true)
    await expect(control.restore({ initiator: 'a', target: 't1' })).rejects.toThrow('disk')
    expect(done.at(-1)).toBe('undrain t1 a')
  })

  it('counts the sessions that it disconnects', async () => {
    const { control, done } = make()
    expect(await control.disconnect({ initiator: 'a' })).toBe(1)
    expect(done).toEqual(['end t1 a', 'end t2 a'])
  })
})
