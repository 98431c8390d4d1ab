import { measureOnce, type Sample, type Timing } from './measure.js'
import { median } from './report.js'
import type { Row } from './rows.js'
import type { Server } from './servers.js'

/** A server under the name that the table shows. */
export interface Rival {
  readonly title: string
  readonly server: Server
}

/** One row on any number of servers: a warm-up each, then one after another, whoever was last being first in the next round. */
export async function measureByTurns(row: Row, rivals: readonly Rival[], timing: Timing): Promise<void> {
  const samples: Sample[][] = rivals.map(() => [])
  for (const { server } of rivals) await measureOnce(row, server, timing)
  for (let round = 0; round < timing.rounds; round++) {
    const order = [...rivals.keys()]
    for (const index of round % 2 === 0 ? order : order.reverse()) {
      samples[index]!.push(await measureOnce(row, rivals[index]!.server, timing))
    }
  }
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
