/**
 * `npm run soak [-- --share 0.1]`: the long campaigns in full, or a share of them. A spec that is a campaign asks
 * `steps()` for its length, which follows SPEC_STEPS_FACTOR (1 in a test run); other specs are not run. Suites have their
 * `soak` arguments. What came of it is left in docs/soak.json.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { prepare, ROOT } from './prepare.mjs'
import { jest, suite, Tally } from './steps.mjs'
import { SUITES } from './suites.mjs'

/** A test run affords a thirtieth of a campaign. */
const FULL_FACTOR = 30
const FUZZ_PDUS = 10_000_000

const { values } = parseArgs({ options: { share: { type: 'string', default: '1' }, help: { type: 'boolean' } } })
const share = Number(values.share)
if (values.help || !(share > 0 && share <= 1)) {
  process.stdout.write(
    'npm run soak [-- --share N]   N from 0 to 1: how much of each campaign is run, 1 when left out\n'
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

function parted(list, test) {
  return [list.filter(test), list.filter((one) => !test(one))]
}

try {
  prepare()
  const tally = new Tally()
  const environment = { SPEC_STEPS_FACTOR: FACTOR }
  const args = ['--testTimeout', String(60 * 60 * 1000)]
  const runs = []
  const add = (title, { campaigns: seeded = [], ...counts }) => {
    tally.add(counts)
    runs.push({ title, ...counts, campaigns: seeded })
    for (const { title: name, seed, status } of seeded) process.stdout.write(`  ${status}  seed ${seed}  ${name}\n`)
  }
  const [endToEnd, unit] = parted(campaigns(), (path) => path.startsWith('spec/e2e/'))
  add(
    'unit specs',
    await jest('unit specs, long', 'unit', { environment, args: [...args, '--runTestsByPath', ...unit] })
  )
  add(
    'end-to-end specs',
    await jest('end-to-end specs, long', 'e2e', {
      environment,
      args: [...args, '--runInBand', '--runTestsByPath', ...endToEnd]
    })
  )
  for (const { title, file, soak, args: few } of SUITES)
    if (soak) add(title, await suite(title, [process.execPath, file], shortened(soak, few)))
  const commit = execFileSync('git', ['rev-parse', 'HEAD'], { cwd: ROOT, encoding: 'utf8' }).trim()
  const result = { date: new Date().toISOString(), commit, factor: Number(FACTOR), runs }
  // A share is a rehearsal: what the page shows is the last full run.
  const place = share === 1 ? join(ROOT, 'docs/soak.json') : join(ROOT, '.cache/soak.json')
  mkdirSync(dirname(place), { recursive: true })
  writeFileSync(place, `${JSON.stringify(result, null, 2)}\n`)
  process.exitCode = tally.close()
} catch (error) {
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 1
}
