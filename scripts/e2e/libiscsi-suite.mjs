/**
 * libiscsi's suite against the built program: every test of the ALL family by itself, under a time limit, on disks of all
 * the kinds that it has tests for. Ends with `N passed, N failed, N skipped`, counted over the tests: a test passes that
 * passed somewhere and failed nowhere without a written excuse.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { ROOT } from '../prepare.mjs'
import { CONFIGURATIONS, EXCUSED, NOT_APPLICABLE } from './libiscsi-configurations.mjs'

const HELP = `libiscsi-suite [options]

  --program PATH         the iscsi-test-cu to run; default the one of the path, or $ISCSI_TEST_CU
  --configuration NAME   only this one (repeatable): ${CONFIGURATIONS.map(({ name }) => name).join(', ')}
  --test PATTERN         only tests whose names match
  --special              on each disk only the tests that are about its kind
  --json FOLDER          write a file of results for each disk; docs/conformance.md shows those in docs/conformance
`

const { values } = parseArgs({
  options: {
    program: { type: 'string', default: process.env.ISCSI_TEST_CU ?? 'iscsi-test-cu' },
    configuration: { type: 'string', multiple: true },
    test: { type: 'string' },
    special: { type: 'boolean', default: false },
    json: { type: 'string' },
    help: { type: 'boolean', default: false }
  }
})

const TARGET = 'iqn.2026-01.org.example:suite'
const INITIATORS = ['iqn.2026-01.org.example:suite-1', 'iqn.2026-01.org.example:suite-2']
const START_LIMIT_MS = 120_000
/** A deadlock lasts for ever; a busy computer with a slow disk needs time. */
const TEST_LIMIT_MS = 120_000
/** It sleeps a minute at a time until the operation that it has begun is over. */
const PATIENT = /Sanitize\.(Reset|Overwrite)$/
const PATIENT_LIMIT_MS = 300_000
const VERDICTS = ['passed', 'failed', 'skipped', 'hung']

if (values.help) process.stdout.write(HELP)
else process.exitCode = await main()

async function main() {
  const tests = (await listTests()).filter((test) => new RegExp(values.test ?? '').test(test))
  if (tests.length === 0) throw new Error('no test is left to run')
  const chosen = CONFIGURATIONS.filter(({ name }) => values.configuration?.includes(name) ?? true)
  const reports = []
  for (const configuration of chosen) {
    // The first disk is the one that a run of the specs has already.
    const pattern = values.special ? configuration.special : (configuration.only ?? /./)
    const share = tests.filter((test) => pattern.test(test))
    if (values.special && configuration.name === 'thin') continue
    const report = { configuration, results: await runOn(configuration, share) }
    reports.push(report)
    printReport(report)
    if (values.json) writeReport(report, values.json)
  }
  return conclude(reports)
}

async function listTests() {
  const { output } = await run(values.program, ['--list'], START_LIMIT_MS)
  return [...new Set(output.match(/ALL\.[A-Za-z0-9]+\.[A-Za-z0-9]+/g))]
}

async function runOn(configuration, tests) {
  const folder = mkdtempSync(join(tmpdir(), 'cloudx-libiscsi-'))
  const server = await startServer(configuration, folder)
  try {
    const results = []
    for (const test of tests) results.push(await runTest(configuration, server.url, test))
    return results
  } finally {
    server.child.kill()
    await server.ended
    rmSync(folder, { recursive: true, force: true })
  }
}

async function startServer({ lun = '', server, chapUser, chapSecret = 'secret-of-the-suite' }, folder) {
  const port = await freePort()
  const image = `${join(folder, 'suite.img')}${lun}`
  const chap = chapUser ? ['--chap-user', chapUser] : []
  const args = ['--lun', image, ...server, ...chap, '--blank', '--target-name', TARGET, '--host', '127.0.0.1']
  const environment = chapUser ? { CLOUDX_CHAP_SECRET: chapSecret } : {}
  const child = spawn(process.execPath, [join(ROOT, 'dist/cli/main.cjs'), ...args, '--port', String(port)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...environment }
  })
  const ended = once(child, 'close')
  try {
    await listening(child)
  } catch (error) {
    child.kill()
    throw error
  }
  const user = chapUser ? `${chapUser}%${chapSecret}@` : ''
  return { child, ended, url: `iscsi://${user}127.0.0.1:${port}/${TARGET}/0` }
}

/** Resolves when the server says so; fails with what it said when it ends before. */
function listening(child) {
  let said = ''
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`the server does not start:\n${said}`)), START_LIMIT_MS)
    child.on('close', () => reject(new Error(`the server ended:\n${said}`)))
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (text) => {
        said += text
        if (!/Listening on/.test(said)) return
        clearTimeout(timer)
        resolve()
      })
    }
  })
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

/** The suite counts a test that skipped itself as passed, so what it says is read. */
async function runTest({ suite, twoPaths, twoInitiators, destructive }, url, test) {
  const [first, second] = INITIATORS
  const names = ['-i', first, '-I', twoInitiators ? second : first]
  const dataloss = destructive === undefined || destructive.test(test) ? ['--dataloss'] : []
  const args = [...names, ...dataloss, ...suite, '-V', `--test=${test}`, url, ...(twoPaths ? [url] : [])]
  const limit = PATIENT.test(test) ? PATIENT_LIMIT_MS : TEST_LIMIT_MS
  const { code, output } = await run(values.program, args, limit)
  if (code === null) return { test, verdict: 'hung', reason: `no end within ${limit / 1000} s` }
  const skipped = /\[SKIPPED\]\s*(.*)/.exec(output)
  const failures = output.match(/^\s+\d+\. .*$/gm) ?? []
  if (failures.length > 0) return { test, verdict: 'failed', reason: failures[0].trim().replace(/\s{2,}.*$/, '') }
  if (skipped) return { test, verdict: 'skipped', reason: skipped[1].trim() }
  const passed = code === 0 && /Tests completed with return value: 0/.test(output)
  return { test, verdict: passed ? 'passed' : 'failed', reason: passed ? '' : `ended with ${code}` }
}

/** @returns {Promise<{ code: number | null, output: string }>} code null when the limit was over */
function run(program, args, limitMs) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    let over = false
    const timer = setTimeout(() => {
      over = true
      child.kill('SIGKILL')
    }, limitMs)
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += text))
    child.on('error', reject)
    child.on('close', (code) => {
      clearTimeout(timer)
      resolve({ code: over ? null : (code ?? 1), output })
    })
  })
}

function countsOf(results) {
  return Object.fromEntries(
    VERDICTS.map((verdict) => [verdict, results.filter((one) => one.verdict === verdict).length])
  )
}

/** How often which reason was given, the most frequent first. */
function reasonsOf(results, verdict) {
  const counts = new Map()
  for (const { reason } of results.filter((one) => one.verdict === verdict)) {
    counts.set(reason, (counts.get(reason) ?? 0) + 1)
  }
  return [...counts].sort(([, left], [, right]) => right - left)
}

function printReport({ configuration, results }) {
  const counts = countsOf(results)
  process.stdout.write(
    `\n${configuration.title}: ${VERDICTS.map((verdict) => `${counts[verdict]} ${verdict}`).join(', ')}\n`
  )
  for (const { test, verdict, reason } of results) {
    if (verdict === 'failed' || verdict === 'hung') process.stdout.write(`  ${verdict}  ${test}: ${reason}\n`)
  }
  for (const [reason, count] of reasonsOf(results, 'skipped')) {
    process.stdout.write(`  ${String(count).padStart(3)} skipped: ${reason}\n`)
  }
}

/** By test: how it ended on each disk. */
function byTest(reports) {
  const all = new Map()
  for (const { results } of reports) {
    for (const result of results) all.set(result.test, [...(all.get(result.test) ?? []), result])
  }
  return all
}

function isBad({ test, verdict }) {
  return verdict === 'hung' || (verdict === 'failed' && EXCUSED[test] === undefined)
}

function writeReport({ configuration: { name, title }, results }, folder) {
  const passed = results.filter(({ verdict }) => verdict === 'passed').map(({ test }) => test)
  const others = results.filter(({ verdict }) => verdict !== 'passed')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, `libiscsi-${name}.json`), `${JSON.stringify({ title, passed, others }, undefined, 1)}\n`)
}

/** A test that only skipped itself counts as skipped; that is a fault only where the whole suite has run everywhere. */
function conclude(reports) {
  const tests = [...byTest(reports)]
  const failed = tests.filter(([, results]) => results.some(isBad))
  const passed = tests.filter((one) => !failed.includes(one) && one[1].some(({ verdict }) => verdict === 'passed'))
  const rest = tests.filter((one) => !failed.includes(one) && !passed.includes(one))
  const whole = !values.special && !values.test && !values.configuration
  const unknown = whole ? rest.filter(([test]) => !EXCUSED[test] && !NOT_APPLICABLE[test]) : []
  for (const [test] of unknown) process.stdout.write(`  nowhere ${test}, and no reason is written down\n`)
  const bad = failed.length + unknown.length
  process.stdout.write(`\n${passed.length} passed, ${bad} failed, ${rest.length - unknown.length} skipped\n`)
  return bad === 0 ? 0 : 1
}
