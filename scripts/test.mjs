/**
 * `npm test`: everything. The checks, the end-to-end specs and the suites against real initiators that are installed.
 * A missing program costs one line with the command that installs it; with CI=true it is a failure, and the unit specs
 * run on the current Node LTS too.
 */
import { SPEC_WORKERS, runChecks } from './checks.mjs'
import { hasOtherNode, otherNode } from './node-lts.mjs'
import { prepare } from './prepare.mjs'
import { installCommand, missingPrograms } from './programs.mjs'
import { jest, report, suite, Tally } from './steps.mjs'
import { SUITES, TWO_WORKERS, WORKER_SPECS } from './suites.mjs'

const ci = process.env.CI === 'true'

try {
  prepare()
  const tally = new Tally()
  await runChecks(tally)
  if (ci && hasOtherNode()) tally.add(await unitSpecsOnOtherNode())
  const missing = missingPrograms()
  for (const name of missing) tally.add(tellMissing(name))
  // Two at a time: they wait for processes, guests and clocks most of the time.
  tally.add(await jest('end-to-end specs', 'e2e', { args: ['--maxWorkers=2'] }))
  const workers = { environment: TWO_WORKERS, args: ['--maxWorkers=2', '--runTestsByPath', ...WORKER_SPECS] }
  tally.add(await jest('end-to-end specs, two workers', 'e2e', workers))
  for (const { title, file, args, needs } of SUITES) {
    const absent = needs.filter((name) => missing.includes(name))
    if (absent.length > 0) report(title, `left out without ${absent.join(', ')}`)
    else tally.add(await suite(title, [process.execPath, file], args))
  }
  process.exitCode = tally.close()
} catch (error) {
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 1
}

async function unitSpecsOnOtherNode() {
  const node = otherNode()
  if (node !== undefined) return jest('unit specs, Node LTS', 'unit', { node, args: [SPEC_WORKERS] })
  report('unit specs, Node LTS', 'FAILED: this Node could not be installed')
  return { passed: 0, failed: 1 }
}

/** Suites that need the program leave themselves out; in CI they must not. */
function tellMissing(name) {
  report(name, `missing: ${installCommand(name)}`)
  return ci ? { passed: 0, failed: 1 } : { passed: 0, failed: 0, skipped: 1 }
}
