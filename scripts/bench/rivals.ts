import { measureInTurns, measureOnce, type Sample, type Timing } from './measure.js'
import { median } from './report.js'
import { ROWS } from './rows.js'
import type { Server } from './servers.js'

/** A server under the name that the table shows. */
export interface Rival {
  readonly title: string
  readonly server: Server
}

/** Prints one row on any number of servers, each of which has had a run before. */
export async function compare(id: string, rivals: readonly Rival[], timing: Timing): Promise<void> {
  const row = ROWS.find((one) => one.id === id)!
  const servers = rivals.map(({ server }) => server)
  for (const server of servers) await measureOnce(row, server, timing)
  const samples = await measureInTurns(row, servers, timing)
  process.stdout.write(`${row.title}\n`)
  const width = Math.max(...rivals.map(({ title }) => title.length))
  for (const [index, { title }] of rivals.entries()) {
    process.stdout.write(`  ${title.padEnd(width)}  ${summary(samples[index]!, samples[0]!)}\n`)
  }
}

/** Medians, and the median of the ratios of each round to the first server's. */
function summary(samples: readonly Sample[], first: readonly Sample[]): string {
  const of = (key: 'rate' | 'cpuUs') => median(samples.map((sample) => sample[key]))
  const ratio = (key: 'rate' | 'cpuUs') =>
    median(samples.map((sample, round) => sample[key] / first[round]![key])).toFixed(2)
  return `${of('rate').toFixed(0)} a second (÷ ${ratio('rate')}), ${of('cpuUs').toFixed(1)} µs of CPU each (÷ ${ratio('cpuUs')})`
}
