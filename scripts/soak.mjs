/**
 * `npm run soak`: the long campaigns in full. A spec that is a campaign takes its length from SPEC_STEPS_FACTOR (1 in a
 * test run), suites from their `soak` arguments. What came of it is left in docs/soak.json.
 */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { prepare, ROOT } from './prepare.mjs'
import { jest, suite, Tally } from './steps.mjs'
import { SUITES } from './suites.mjs'

/** A test run affords a thirtieth of a campaign. */
const FACTOR = process.env.SPEC_STEPS_FACTOR ?? '30'

try {
  prepare()
  const tally = new Tally()
  const environment = { SPEC_STEPS_FACTOR: FACTOR }
  const args = ['--testTimeout', String(60 * 60 * 1000)]
  const runs = []
  const add = (title, { campaigns = [], ...counts }) => {
    tally.add(counts)
    runs.push({ title, ...counts, campaigns })
    for (const { title: name, seed, status } of campaigns) process.stdout.write(`  ${status}  seed ${seed}  ${name}\n`)
  }
  add('unit specs', await jest('unit specs, long', 'unit', { environment, args }))
  add('end-to-end specs', await jest('end-to-end specs, long', 'e2e', { environment, args: [...args, '--runInBand'] }))
  for (const { title, file, soak } of SUITES) if (soak) add(title, await suite(title, [process.execPath, file], soak))
  const commit = execFileSync('git', ['rev-parse', 'HEAD'], { cwd: ROOT, encoding: 'utf8' }).trim()
  const result = { date: new Date().toISOString(), commit, factor: Number(FACTOR), runs }
  writeFileSync(join(ROOT, 'docs/soak.json'), `${JSON.stringify(result, null, 2)}\n`)
  process.exitCode = tally.close()
} catch (error) {
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 1
}
