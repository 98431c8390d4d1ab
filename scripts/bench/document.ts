import type { Machine } from './machine.js'
import type { MicroResult } from './micro.js'
import type { RowResult } from './measure.js'
import { tableOf, type Verdict } from './report.js'
import { GROWTH_NOTES, NOTES, RESTORE_NOTES, STORM_NOTES } from './notes.js'
import type { Comparison } from './compare-restore.js'
import { comparisonSection, growthSection } from './growth-report.js'
import type { Growth } from './growth.js'

/** What docs/performance.json holds. */
export interface Measurement {
  readonly date?: string
  readonly machine?: Machine
  readonly rows: Readonly<Record<string, RowResult>>
  /** Some of them on a virtual machine as its host leaves it. */
  readonly asIs?: Readonly<Record<string, RowResult>>
  readonly micro?: readonly MicroResult[]
  readonly growth?: Growth
  readonly restores?: readonly Comparison[]
}

/** docs/performance.md, made from what was measured and from {@link NOTES}. */
export function documentOf(measurement: Measurement, verdicts: readonly Verdict[], asIs: readonly Verdict[]): string {
  const judged = verdicts.filter(({ reached }) => reached !== undefined)
  const reached = judged.filter((verdict) => verdict.reached)
  return (
    [
      '<!-- Made by `npm run bench -- --document` from performance.json and scripts/bench/notes.ts. -->',
      '# Performance',
      INTRODUCTION,
      `Measured ${measurement.date ?? 'never'} on ${words(measurement.machine)}. ${reached.length} of ${judged.length} goals reached.`,
      `![ratios of all rows](performance.svg)`,
      tableOf(verdicts),
      noise(verdicts),
      ...(asIs.length > 0 ? [AS_IS, tableOf(asIs)] : []),
      NOTES,
      STORM_NOTES,
      ...(measurement.growth ? [...growthSection(measurement.growth), GROWTH_NOTES] : []),
      ...(measurement.restores ? [...comparisonSection(measurement.restores), RESTORE_NOTES] : []),
      ...microSection(measurement.micro),
      ''
    ]
      .join('\n\n')
      .trimEnd() + '\n'
  )
}

const INTRODUCTION = `\`npm run bench\` measures this server beside tgtd, the target that most Linux distributions bring, on one machine, over the
loopback device: an image of 2 GiB in the page cache, for us a private delta with its journal, all checks and the log on, for
tgtd the presets of its package. Each row is measured in pairs that follow each other, whoever was second being first in the
next pair; the columns hold medians, the ratios are medians of the pairs' ratios. Only the ratios travel to other machines.
CPU is what the scheduler gave to all threads of the target (\`/proc/PID/task/*/schedstat\`), divided by the operations.

The load comes from a generator of our own (\`scripts/bench/load/\`), a process that keeps a number of commands open in each
of its sessions. The last rows are the same kind of load from \`iscsi-perf\` and \`qemu-img bench\`, programs that are not ours.`

const AS_IS = `## A virtual machine as its host leaves it

The table above was measured with what \`scripts/bench/virtual-machine.ts\` does first, for both targets: processors poll for 0.2 ms before
they stop, the kernel's preset, which this host had turned off; and before each run of a row whose files grow 6 GiB of memory
are written and freed, so that it is the machine's and not its host's. A PC of one's own needs neither. Without them,
\`--as-is\`, a wake-up costs both targets some 50 µs, and what is new in the page cache 5 µs for 4 KiB instead of 1, which only the
target pays whose files grow. Measured an hour behind the table above, with the same build; in the first two rows both targets had
a third of their usual rate.`

function words(machine: Machine | undefined): string {
  if (!machine) return 'no machine yet'
  const { cpu, cpus, memoryGib, kernel, node, tgtd, fileSystem, haltPollNs } = machine
  const polls = haltPollNs ? `, processors that poll for ${haltPollNs / 1e6} ms before they stop` : ''
  return `${cpu}, ${cpus} virtual CPUs, ${memoryGib} GiB, Linux ${kernel}, ${fileSystem}, Node ${node}, tgtd ${tgtd}${polls}`
}

/** How far the numbers can be trusted. */
function noise(verdicts: readonly Verdict[]): string {
  const loads = verdicts.map(({ ours }) => ours.generatorLoad ?? 0)
  const waiting = verdicts.map(({ ours, theirs }) => [ours.waiting, theirs.waiting]).flat()
  const highest = (values: readonly number[]) => Math.max(...values, 0).toFixed(2)
  return `How far to trust this: the load generator used at most ${highest(loads)} of one processor, so it was not the limit. Threads of a
target that were ready to run and found no processor: ${highest(waiting)} on average in the worst row; a quiet machine shows less than 0.1
for us, and tgtd, with its 16 threads, several times as much.`
}

function microSection(micro: readonly MicroResult[] | undefined): string[] {
  if (!micro) return []
  const rows = micro.map(({ title, cpuNs }) => `| ${title} | ${cpuNs.toFixed(0)} |`)
  return [
    '## Parts',
    '`npm run bench -- --micro`: CPU of one operation in nanoseconds, the best of five rounds. The rows of the overlay are mostly the\nsystem calls in them.',
    ['| operation | ns |', '| --- | --- |', ...rows].join('\n')
  ]
}
