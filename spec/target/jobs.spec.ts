import { describe, expect, it } from '@jest/globals'
import { JOBS_MAX, Jobs, type JobWork } from '../../lib/target/jobs.js'
import { TargetError } from '../../lib/target/errors.js'
import { FakeClock } from '../support/fake-clock.js'
import { LogRecorder } from '../support/log-recorder.js'

function make() {
  const log = new LogRecorder()
  return { log, jobs: new Jobs(new FakeClock(), log) }
}

/** Work that goes on until it is told to end. */
function held() {
  let end = (): void => undefined
  const ended = new Promise<void>((resolve) => (end = resolve))
  const work: JobWork = async ({ report }) => {
    report(3, 10)
    await ended
    return 'merged'
  }
  return { work, end }
}

describe('jobs', () => {
  it('tell how far they are, and what came of them', async () => {
    const { jobs, log } = make()
    const { work, end } = held()
    expect(jobs.start('flatten', '/a.img', work)).toMatchObject({ id: 1, kind: 'flatten', image: '/a.img' })
    expect(jobs.list()).toMatchObject([{ state: 'running', doneBytes: 3, totalBytes: 10, message: '' }])
    end()
    await jobs.idle()
    expect(jobs.list()).toMatchObject([{ state: 'done', message: 'merged', code: undefined }])
    expect(log.lines).toEqual(['info: /a.img: flatten: merged'])
  })

  it('fail with the reason and its code', async () => {
    const { jobs, log } = make()
    jobs.start('verify', '/a.img', () => Promise.reject(new TargetError('ERR_ISCSI_HASH', 'it differs')))
    await jobs.idle()
    expect(jobs.list()).toMatchObject([{ state: 'failed', message: 'it differs', code: 'ERR_ISCSI_HASH' }])
    expect(log.with('error', '/a.img', 'it differs')).toHaveLength(1)
  })

  it('are one at a time for an image, and others beside it', async () => {
    const { jobs } = make()
    const { work, end } = held()
    jobs.start('flatten', '/a.img', work)
    expect(() => jobs.start('verify', '/a.img', work)).toThrow(/flatten is under way/)
    jobs.start('verify', '/b.img', work)
    end()
    await jobs.idle()
    jobs.start('verify', '/a.img', work)
    await jobs.close()
  })

  it('hear that the server ends, which waits for them', async () => {
    const { jobs, log } = make()
    let heard = false
    jobs.start('flatten', '/a.img', ({ signal }) => {
      return new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          heard = true
          reject(new Error('stopped'))
        })
      })
    })
    await jobs.close()
    expect([heard, jobs.list()[0]!.state, log.lines]).toEqual([true, 'failed', []])
  })

  it('are forgotten when there are too many, the oldest first', async () => {
    const { jobs } = make()
    for (let n = 0; n < JOBS_MAX + 10; n++) {
      jobs.start('verify', '/a.img', () => Promise.resolve('good'))
      await jobs.idle()
    }
    expect([jobs.list().length, jobs.list()[0]!.id]).toEqual([JOBS_MAX, 11])
  })
})
