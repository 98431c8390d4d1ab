import type { Clock } from '../util/clock.js'
import { codeOf, messageOf } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import { TargetError } from './errors.js'

/** Long work that an order began and that goes on behind its answer. */
export interface JobView {
  readonly id: number
  /** The verb, such as `flatten`. */
  readonly kind: string
  /** Path of the image. */
  readonly image: string
  /** Wall clock, ms since 1970. */
  readonly startedAt: number
  readonly doneBytes: number
  /** 0 until it is known. */
  readonly totalBytes: number
  readonly state: 'running' | 'done' | 'failed'
  /** A sentence: what was done, or why not. */
  readonly message: string
  /** Of a failure. */
  readonly code: string | undefined
}

export interface JobProgress {
  report(doneBytes: number, totalBytes: number): void
  /** The server ends: stop at the next place where nothing is half done. */
  readonly signal: AbortSignal
}

/** Answers what was done, in one sentence. */
export type JobWork = (progress: JobProgress) => Promise<string>

/** Jobs that have ended are remembered up to this many. */
export const JOBS_MAX = 64

type Job = { -readonly [K in keyof JobView]: JobView[K] }

/** What runs in the background by order, one job for each image at a time. */
export class Jobs {
  private readonly jobs = new Map<number, Job>()
  private readonly running = new Set<Promise<void>>()
  private readonly abort = new AbortController()
  private next: number

  /** @param ids - so that several processes give no two jobs one number */
  constructor(
    private readonly clock: Clock,
    private readonly log: Logger,
    private readonly ids: { readonly first: number; readonly step: number } = { first: 1, step: 1 }
  ) {
    this.next = ids.first
  }

  /** @throws TargetError when the image has one already */
  start(kind: string, image: string, work: JobWork): JobView {
    const rival = [...this.jobs.values()].find((job) => job.image === image && job.state === 'running')
    if (rival) {
      throw new TargetError('ERR_ISCSI_JOB_RUNNING', `${image}: ${rival.kind} is under way; wait until it has ended`)
    }
    const began = { id: this.next, kind, image, startedAt: this.clock.now(), doneBytes: 0, totalBytes: 0 }
    const job: Job = { ...began, state: 'running', message: '', code: undefined }
    this.next += this.ids.step
    this.jobs.set(job.id, job)
    this.forgetOldest()
    const run = this.perform(job, work)
    this.running.add(run)
    void run.finally(() => this.running.delete(run))
    return { ...job }
  }

  list(): readonly JobView[] {
    return [...this.jobs.values()].map((job) => ({ ...job }))
  }

  /** Resolves when none is under way. */
  async idle(): Promise<void> {
    await Promise.all(this.running)
  }

  /** Stops all of them where nothing is half done. */
  async close(): Promise<void> {
    this.abort.abort()
    await this.idle()
  }

  private async perform(job: Job, work: JobWork): Promise<void> {
    const report = (doneBytes: number, totalBytes: number) => void Object.assign(job, { doneBytes, totalBytes })
    try {
      job.message = await work({ report, signal: this.abort.signal })
      job.state = 'done'
      this.log.info(`${job.image}: ${job.kind}: ${job.message}`)
    } catch (error) {
      Object.assign(job, { state: 'failed', message: messageOf(error), code: codeOf(error) })
      if (!this.abort.signal.aborted) this.log.error(`${job.image}: ${job.kind} failed: ${job.message}`)
    }
  }

  private forgetOldest(): void {
    const ended = [...this.jobs.values()].filter(({ state }) => state !== 'running')
    for (const { id } of ended.slice(0, Math.max(0, this.jobs.size - JOBS_MAX))) this.jobs.delete(id)
  }
}
