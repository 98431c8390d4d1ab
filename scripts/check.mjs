/** `npm run check`: types, lint, format and unit specs, in under a minute. */
import { runChecks } from './checks.mjs'
import { prepare } from './prepare.mjs'
import { Tally } from './steps.mjs'

try {
  prepare({ build: false })
  const tally = new Tally()
  await runChecks(tally)
  process.exitCode = tally.close()
} catch (error) {
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 1
}
