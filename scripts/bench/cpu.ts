import { readdirSync, readFileSync } from 'node:fs'

/** What all threads of a process have had from the scheduler so far, in nanoseconds. */
export interface SchedulerTimes {
  readonly ranNs: number
  /** Ready to run, but no processor was free. */
  readonly waitedNs: number
}

/**
 * `schedstat` has exactly what `stat` counts in hundredths of a second. Threads that have ended are missing, so a
 * pool that shrinks would be seen too small.
 */
export function schedulerTimes(pid: number): SchedulerTimes {
  let ranNs = 0
  let waitedNs = 0
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    try {
      const [ran, waited] = readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')
      ranNs += Number(ran)
      waitedNs += Number(waited)
    } catch {
      // It ended between the two calls.
    }
  }
  return { ranNs, waitedNs }
}
