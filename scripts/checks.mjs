/** What `npm run check` runs and `npm test` begins with: all that needs neither a socket nor a foreign program. */
import { join } from 'node:path'
import { ROOT } from './prepare.mjs'
import { jest, tool } from './steps.mjs'

const CACHE = join(ROOT, 'node_modules', '.cache')
const TYPES = ['-p', 'tsconfig.json', '--noEmit', '--incremental', '--tsBuildInfoFile', join(CACHE, 'tsc', 'checks')]
const FORMAT = ['--check', '--log-level', 'warn', ...cached('prettier')]

/**
 * The specs have two processes; the others share their processors, and are done long before them when little changed.
 *
 * @param {{ quick?: boolean, environment?: Record<string, string> }} options quick: lint looks only at the files that
 *   changed. It then misses a promise that is not awaited in a file that did not change, because another file made its
 *   function asynchronous; `npm test` finds that.
 */
export async function runChecks(tally, { quick = false, environment = {} } = {}) {
  await Promise.all([
    (async () => tally.add(await jest('unit specs', 'unit', { args: ['--maxWorkers=2'], environment })))(),
    (async () => {
      tally.add(await tool('types', 'tsc', TYPES))
      tally.add(await tool('lint', 'eslint', quick ? ['.', ...cached('eslint')] : ['.']))
      tally.add(await tool('format', 'prettier', [...FORMAT, '.']))
    })()
  ])
}

/** By content and not by time: a checkout gives every file a new time. */
function cached(name) {
  return ['--cache', '--cache-strategy', 'content', '--cache-location', join(CACHE, name, 'checks')]
}
