/**
 * `npm run soak [-- --share 0.1] [--only unit]`: the long campaigns in full, a share of them, or one part. A spec that is a
 * campaign asks `steps()` for its length, which follows SPEC_STEPS_FACTOR (1 in a test run); other specs are not run. Suites
 * have their `soak` arguments. What came of each part, and of which commit, is left in docs/soak.json.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { prepare, ROOT } from './prepare.mjs'
import { jest, suite, Tally } from './steps.mjs'
import { SUITES, TWO_WORKERS } from './suites.mjs'

/** A test run affords a thirtieth of a campaign. */
const FULL_FACTOR = 30
const FUZZ_PDUS = 10_000_000

/** A name for `--only`, and what runs; suites under the name of their file. */
const PARTS = [
  { name: 'unit', run: () => specs('unit specs', 'unit', [], (path) => !isEndToEnd(path)) },
  { name: 'e2e', run: () => specs('end-to-end specs', 'e2e', ['--runInBand'], isEndToEnd) },
  { name: 'workers', run: spread },
  ...SUITES.filter(({ soak }) => soak).map(({ title, file, soak, args }) => ({
    name: basename(file, '.mjs'),
    run: async () => ({
      title,
      ...(await suite(title, [process.execPath, file], shortened(soak, args))),
      campaigns: []
    })
  }))
]
const NAMES = PARTS.map(({ name }) => name)

const { values } = parseArgs({
  options: {
    share: { type: 'string', default: '1' },
    only: { type: 'string', multiple: true, default: NAMES },
    help: { type: 'boolean' }
  }
})
const share = Number(values.share)
if (values.help || !(share > 0 && share <= 1) || values.only.some((name) => !NAMES.includes(name))) {
  process.stdout.write(
    `npm run soak [-- --share N] [--only PART]
  --share N    from 0 to 1: how much of each campaign is run, 1 when left out
  --only PART  ${NAMES.join(', ')} (repeatable); what docs/soak.json says of the others stays\n`
  )
  process.exit(values.help ? 0 : 1)
}
const FACTOR = process.env.SPEC_STEPS_FACTOR ?? String(FULL_FACTOR * share)

/** The command line of a suite's campaign; what a share of it finds is not its report. */
function shortened(soak, args) {
  if (share === 1) return soak
  // One that has no length is run as in a test run.
  if (soak.length === 0) return args
  const report = soak.indexOf('--report')
  const kept = report < 0 ? soak : soak.toSpliced(report, 2)
  return kept.map((word, index) => (kept[index - 1] === '--pdus' ? String(Math.ceil(FUZZ_PDUS * share)) : word))
}

/** Spec files that ask for the length of a campaign, themselves or through the contract of volumes. */
function campaigns() {
  const files = readdirSync(join(ROOT, 'spec'), { recursive: true }).map((name) => `spec/${name.replaceAll('\\', '/')}`)
  const specs = files.filter((path) => path.endsWith('.spec.ts'))
  return specs.filter((path) => /\b(steps|volumeContract)\(/.test(readFileSync(join(ROOT, path), 'utf8')))
}

function isEndToEnd(path) {
  return path.startsWith('spec/e2e/')
}

async function specs(title, project, args, isOne) {
  const environment = { SPEC_STEPS_FACTOR: FACTOR }
  const all = ['--testTimeout', String(60 * 60 * 1000), ...args, '--runTestsByPath', ...campaigns().filter(isOne)]
  return { title, ...(await jest(`${title}, long`, project, { environment, args: all })) }
}

/** All end-to-end specs, as in a test run, on servers of two processes. */
async function spread() {
  const title = 'end-to-end specs, two workers'
  const args = ['--testTimeout', String(60 * 60 * 1000), '--runInBand']
  return { title, ...(await jest(title, 'e2e', { environment: TWO_WORKERS, args })) }
}

/** What an earlier run left of the parts that are not run now. */
function earlier(place) {
  if (!existsSync(place)) return []
  return JSON.parse(readFileSync(place, 'utf8')).runs.filter(({ name }) => NAMES.includes(name))
}

try {
  prepare()
  const commit = execFileSync('git', ['rev-parse', 'HEAD'], { cwd: ROOT, encoding: 'utf8' }).trim()
  // A share is a rehearsal: what the page shows is the last full run.
  const place = share === 1 ? join(ROOT, 'docs/soak.json') : join(ROOT, '.cache/soak.json')
  mkdirSync(dirname(place), { recursive: true })
  const tally = new Tally()
  for (const { name, run } of PARTS.filter((part) => values.only.includes(part.name))) {
    const { title, campaigns: seeded = [], ...counts } = await run()
    tally.add(counts)
    for (const one of seeded) process.stdout.write(`  ${one.status}  seed ${one.seed}  ${one.title}\n`)
    const made = { name, title, date: new Date().toISOString(), commit, ...counts, campaigns: seeded }
    const runs = [...earlier(place).filter((one) => one.name !== name), made]
    runs.sort((left, right) => NAMES.indexOf(left.name) - NAMES.indexOf(right.name))
    writeFileSync(place, `${JSON.stringify({ factor: Number(FACTOR), runs }, null, 2)}\n`)
  }
  process.exitCode = tally.close()
} catch (error) {
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 1
}
