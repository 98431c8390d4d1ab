/** What `npm run check` runs and `npm test` begins with: all that needs neither a socket nor a foreign program. */
import { jest, tool } from './steps.mjs'

/**
 * The native tools come first and take seconds together, so a slip is told at once; then the specs have all processors.
 *
 * @param {{ environment?: Record<string, string> }} options more variables of the specs
 */
export async function runChecks(tally, { environment = {} } = {}) {
  tally.add(await tool('types', 'tsc', ['-p', 'tsconfig.json']))
  tally.add(await tool('lint', 'oxlint', []))
  tally.add(await tool('format', 'oxfmt', ['--list-different']))
  tally.add(await jest('unit specs', 'unit', { args: ['--maxWorkers=100%'], environment }))
}
