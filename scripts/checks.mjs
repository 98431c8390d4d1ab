/** What `npm run check` runs and `npm test` begins with: all that needs neither a socket nor a foreign program. */
import { availableParallelism } from 'node:os'
import { jest, tool } from './steps.mjs'

/** One more than processors, because some specs wait for a file system or a time limit. */
export const SPEC_WORKERS = `--maxWorkers=${availableParallelism() + 1}`

/**
 * The native tools come first and take seconds together, so a slip is told at once; then the specs have all processors.
 *
 * @param {{ environment?: Record<string, string> }} options more variables of the specs
 */
export async function runChecks(tally, { environment = {} } = {}) {
  const tools = [
    tool('types', 'tsc', ['-p', 'tsconfig.json']),
    tool('lint', 'oxlint', []),
    tool('format', 'oxfmt', ['--list-different'])
  ]
  for (const counts of await Promise.all(tools)) tally.add(counts)
  tally.add(await jest('unit specs', 'unit', { args: [SPEC_WORKERS], environment }))
}
