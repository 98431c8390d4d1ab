import type { RowResult, Sample } from './measure.js'
import { ROWS, type Row } from './rows.js'

/** One row as it is shown: medians, ratios of medians, and whether the goals are reached. */
export interface Verdict {
  readonly row: Row
  readonly ours: Sample
  readonly theirs: Sample
  readonly rounds: number
  /** Ours ÷ tgtd's: the median of the pairs, whose runs followed each other. */
  readonly rate: number
  readonly cpu: number
  readonly hotP99: number | undefined
  readonly reached: boolean | undefined
  readonly missed: readonly string[]
}

export function judge(result: RowResult): Verdict {
  const row = ROWS.find(({ id }) => id === result.id)!
  const { cloudx, tgtd } = result.samples
  const ratio = (of: (sample: Sample) => number) => median(cloudx.map((sample, round) => of(sample) / of(tgtd[round]!)))
  const rate = ratio(({ rate }) => rate)
  const cpu = ratio(({ cpuUs }) => cpuUs)
  const hotP99 = row.goals.hotP99 === undefined ? undefined : ratio(({ hotP99Ms }) => hotP99Ms ?? NaN)
  const ours = medians(cloudx)
  const { goals } = row
  const missed: string[] = []
  if (goals.rate !== undefined && rate < goals.rate) missed.push('rate')
  if (goals.cpu !== undefined && cpu > goals.cpu) missed.push('CPU')
  if (goals.fairness !== undefined && ours.fairness! < goals.fairness) missed.push('fairness')
  if (goals.hotP99 !== undefined && !(hotP99! <= goals.hotP99)) missed.push('p99')
  const reached = Object.keys(goals).length === 0 ? undefined : missed.length === 0
  return { row, ours, theirs: medians(tgtd), rounds: cloudx.length, rate, cpu, hotP99, reached, missed }
}

/** The table for people: on the terminal and, being Markdown, in the document. */
export function tableOf(verdicts: readonly Verdict[]): string {
  const head = ['workload', 'ops/s', 'tgtd', '÷', 'goal', 'µs/op', 'tgtd', '÷', 'goal', 'p99 ms', 'tgtd', 'verdict']
  const body = verdicts.map((verdict) => {
    const { row, ours, theirs, rate, cpu, hotP99 } = verdict
    const { goals } = row
    return [
      row.title,
      count(ours.rate),
      count(theirs.rate),
      rate.toFixed(2),
      goals.rate === undefined ? '' : `≥ ${goals.rate}`,
      ours.cpuUs.toPrecision(3),
      theirs.cpuUs.toPrecision(3),
      cpu.toFixed(2),
      goals.cpu === undefined ? '' : `≤ ${goals.cpu}`,
      time(ours.p99Ms),
      time(theirs.p99Ms),
      verdictWords(verdict, hotP99)
    ]
  })
  return markdown([head, ...body])
}

function verdictWords({ row, ours, reached, missed }: Verdict, hotP99: number | undefined): string {
  if (reached === undefined) return ''
  const words = [reached ? 'reached' : `missed: ${missed.join(', ')}`]
  if (row.goals.fairness !== undefined)
    words.push(`fairness ${ours.fairness!.toFixed(2)}, goal ≥ ${row.goals.fairness}`)
  if (hotP99 !== undefined) words.push(`p99 ${hotP99.toFixed(2)}, goal ≤ ${row.goals.hotP99}`)
  return words.join('; ')
}

/** Rows, the first one the head, as a table of Markdown. */
export function markdown(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(3, ...rows.map((row) => row[column]!.length)))
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`
  const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`
  return [line(rows[0]!), rule, ...rows.slice(1).map(line)].join('\n')
}

function medians(samples: readonly Sample[]): Sample {
  const keys = Object.keys(samples[0]!) as (keyof Sample)[]
  const pairs = keys.map((key) => [key, median(samples.map((sample) => sample[key] ?? NaN))])
  return Object.fromEntries(pairs) as Sample
}

/** Of an even number the lower one of the two in the middle. */
export function median(values: readonly number[]): number {
  return values.toSorted((left, right) => left - right)[(values.length - 1) >> 1] ?? NaN
}

function count(value: number): string {
  return value >= 1000 ? `${(value / 1000).toFixed(value >= 10_000 ? 0 : 1)}k` : value.toFixed(0)
}

function time(ms: number | undefined): string {
  return ms === undefined ? '' : ms.toPrecision(2)
}
