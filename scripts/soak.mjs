/**
 * `npm run soak`: the long campaigns in full. A spec that is a campaign takes its length from SPEC_STEPS_FACTOR (1 in a
 * test run), suites from their `soak` arguments.
 */
import { prepare } from './prepare.mjs'
import { jest, suite, Tally } from './steps.mjs'
import { SUITES } from './suites.mjs'

/** A test run affords a thirtieth of a campaign. */
const FACTOR = process.env.SPEC_STEPS_FACTOR ?? '30'

try {
  prepare()
  const tally = new Tally()
  const environment = { SPEC_STEPS_FACTOR: FACTOR }
  const args = ['--testTimeout', String(60 * 60 * 1000)]
  tally.add(await jest('unit specs, long', 'unit', { environment, args }))
  tally.add(await jest('end-to-end specs, long', 'e2e', { environment, args: [...args, '--runInBand'] }))
  for (const { title, file, soak } of SUITES) if (soak) tally.add(await suite(title, [process.execPath, file], soak))
  process.exitCode = tally.close()
} catch (error) {
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 1
}
