/**
 * `npm run guest -- [NAME ...]`: the scenarios of a Linux kernel's initiator in a virtual machine, all of them or those
 * whose title has one of these words in it. `npm test` runs them too.
 */
import { prepare } from './prepare.mjs'
import { jest, Tally } from './steps.mjs'

try {
  prepare()
  const tally = new Tally()
  const names = process.argv.slice(2).map((name) => name.replaceAll(/[^\p{L}\p{N} -]/gu, '.'))
  const filter = names.length > 0 ? ['--testNamePattern', names.join('|')] : []
  const args = ['--runInBand', '--testPathPatterns', 'spec/e2e/guest', ...filter]
  tally.add(await jest('guest scenarios', 'e2e', { args }))
  process.exitCode = tally.close()
} catch (error) {
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 1
}
