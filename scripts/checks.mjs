/** What `npm run check` runs and `npm test` begins with: all that needs neither a socket nor a foreign program. */
import { jest, tool } from './steps.mjs'

/** Two lanes for two cores: the unit specs are as long as all the others together. */
export async function runChecks(tally) {
  await Promise.all([
    (async () => tally.add(await jest('unit specs', 'unit')))(),
    (async () => {
      tally.add(await tool('types', 'tsc', ['-p', 'tsconfig.json', '--noEmit']))
      tally.add(await tool('lint', 'eslint', ['.']))
      tally.add(await tool('format', 'prettier', ['--check', '--log-level', 'warn', '.']))
    })()
  ])
}
