import { describe, expect, it } from '@jest/globals'
import type { AdminClient } from '../../lib/admin/client.js'
import { tellJob, waitForJob } from '../../lib/cli/job.js'
import type { JobView } from '../../lib/target/control.js'
import { FAKE_JOB } from '../support/fake-control.js'
import { TextOutput } from '../support/text-output.js'

/** A server that answers these states of the job, one behind the other. */
function clientOf(...states: (Partial<JobView> | undefined)[]) {
  const jobs = () => {
    const state = states.length > 1 ? states.shift() : states[0]
    return Promise.resolve({ jobs: state === undefined ? [] : [{ ...FAKE_JOB, ...state }] })
  }
  return { jobs } as unknown as AdminClient
}

function make() {
  const [stdout, stderr] = [new TextOutput(), new TextOutput()]
  return { stdout, stderr, context: { environment: {}, directory: '/', stdout, stderr } }
}

describe('a job of the server', () => {
  it('is waited for, with how far it is', async () => {
    const { context, stdout, stderr } = make()
    const client = clientOf({ doneBytes: 5, totalBytes: 10 }, { state: 'done', message: 'merged', totalBytes: 0 })
    await tellJob(client, FAKE_JOB, {}, context)
    expect([stdout.text, stderr.text]).toEqual(['/disks/share.img: merged.\n', '50 %, 5 bytes of 10 bytes\n'])
  })

  it('is told as one JSON value to a program', async () => {
    const { context, stdout } = make()
    await tellJob(clientOf({ state: 'done', message: 'merged' }), FAKE_JOB, { json: true }, context)
    expect(JSON.parse(stdout.text)).toMatchObject({ id: 1, state: 'done', message: 'merged' })
  })

  it('fails as it failed there', async () => {
    const failed = clientOf({ state: 'failed', message: 'it differs', code: 'ERR_ISCSI_HASH' })
    await expect(waitForJob(failed, FAKE_JOB, make().context)).rejects.toMatchObject({
      code: 'ERR_ISCSI_HASH',
      message: 'it differs'
    })
  })

  it('is gone when the server was started anew', async () => {
    await expect(waitForJob(clientOf(undefined), FAKE_JOB, make().context)).rejects.toThrow(/started anew/)
  })
})
