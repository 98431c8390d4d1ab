import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { GroupResult, LoadJob, LoadMessage } from './job.js'

export interface LoadRun {
  readonly groups: readonly GroupResult[]
  /** CPU of the target while the clock ran, in nanoseconds. */
  readonly targetCpuNs: number
  /** Time that threads of the target waited for a processor, in nanoseconds. */
  readonly targetWaitedNs: number
  /** Share of one CPU that the load generator itself used. */
  readonly generatorLoad: number
}

/**
 * Runs a job in a process of its own.
 * @param target - what it costs is read when the clock starts and when it stops
 */
export function runLoad(job: LoadJob, target: { cpuNs(): number; waitedNs(): number }): Promise<LoadRun> {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(new URL('worker.js', import.meta.url)), {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc']
    })
    let cpuBefore = 0
    let waitedBefore = 0
    let result: LoadRun | undefined
    child.on('message', (data) => {
      const message = data as LoadMessage
      if (message.kind === 'begun') {
        cpuBefore = target.cpuNs()
        waitedBefore = target.waitedNs()
      } else if (message.kind === 'failed') reject(new Error(message.message))
      else {
        const seconds = message.groups[0]!.seconds
        result = {
          groups: message.groups,
          targetCpuNs: target.cpuNs() - cpuBefore,
          targetWaitedNs: target.waitedNs() - waitedBefore,
          generatorLoad: message.cpuSeconds / seconds
        }
      }
    })
    child.on('error', reject)
    // The next run begins when this one's sessions are logged out.
    child.on('exit', () => (result ? resolve(result) : reject(new Error('the load generator ended early'))))
    child.send(job)
  })
}
