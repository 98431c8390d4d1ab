/**
 * `npm run check`: types, lint, format and unit specs, in under a minute. Seeded campaigns take a share of their steps;
 * `npm test` takes them all.
 */
import { runChecks } from './checks.mjs'
import { prepare } from './prepare.mjs'
import { Tally } from './steps.mjs'

const CAMPAIGN_SHARE = process.env.SPEC_STEPS_FACTOR ?? '0.1'

try {
  prepare({ build: false })
  const tally = new Tally()
  await runChecks(tally, { environment: { SPEC_STEPS_FACTOR: CAMPAIGN_SHARE } })
  process.exitCode = tally.close()
} catch (error) {
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 1
}
