import { run, succeed } from './programs.js'

export type Verdict = 'passed' | 'failed' | 'skipped' | 'hung'

export interface SuiteResult {
  readonly test: string
  readonly verdict: Verdict
  /** Why it was skipped, or the assertions that failed. */
  readonly reason: string
}

const TEST_LIMIT_MS = 30_000
const INITIATOR = 'iqn.2026-01.org.example:suite'

/** The names of all single tests of the ALL family that this iscsi-test-cu knows. */
export async function listTests(): Promise<string[]> {
  const printed = await succeed('iscsi-test-cu', ['--list'])
  const names = printed.match(/ALL\.[A-Za-z0-9]+\.[A-Za-z0-9]+/g) ?? []
  return [...new Set(names)]
}

/**
 * Runs one test of libiscsi's suite by itself. Both initiators of the tests that need two have one name: then they
 * are two I_T nexuses of one initiator, which share its private unit.
 *
 * The summary of the suite counts a test that skipped itself as passed, so the output is read for what happened.
 */
export async function runTest(test: string, url: string): Promise<SuiteResult> {
  const args = ['-i', INITIATOR, '-I', INITIATOR, '-d', '-V', `--test=${test}`, url]
  const { code, output } = await run('iscsi-test-cu', args, { limitMs: TEST_LIMIT_MS })
  if (code === null) return { test, verdict: 'hung', reason: `no end within ${TEST_LIMIT_MS / 1000} s` }
  const skipped = /\[SKIPPED\]\s*(.*)/.exec(output)
  if (skipped) return { test, verdict: 'skipped', reason: skipped[1]!.trim() }
  const failures = output.match(/^\s+\d+\. .*$/gm) ?? []
  const passed = code === 0 && /passed/.test(output) && failures.length === 0
  return { test, verdict: passed ? 'passed' : 'failed', reason: failures.join(' ').trim() }
}

/** Runs tests one after the other and answers all results. */
export async function runSuite(tests: readonly string[], url: string): Promise<SuiteResult[]> {
  const results: SuiteResult[] = []
  for (const test of tests) results.push(await runTest(test, url))
  return results
}

/** What a report says: counts, and a line for each test that did not pass. */
export function tableOf(results: readonly SuiteResult[]): string {
  const count = (verdict: Verdict) => results.filter((result) => result.verdict === verdict).length
  const head = (['passed', 'failed', 'skipped', 'hung'] as const).map((verdict) => `${count(verdict)} ${verdict}`)
  const rows = results
    .filter((result) => result.verdict !== 'passed')
    .map(({ test, verdict, reason }) => `  ${verdict.padEnd(8)}${test}: ${reason}`)
  return [head.join(', '), ...rows].join('\n')
}
