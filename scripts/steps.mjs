/**
 * Steps of `npm run check`, `npm test` and `npm run soak`, and their sum. A step is a program; it counts as one test,
 * or as the tests that it tells about: jest by its JSON report, any other suite by a last line `N passed, N failed`.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { ROOT } from './prepare.mjs'

/** What a silent step may say in all; a program that says more is cut in the middle of its words. */
const OUTPUT_LENGTH_MAX = 4 * 2 ** 20

/** Specs make many short-lived buffers: with more room for the young ones, collecting takes a sixth of the time less. */
const NODE_OPTIONS = '--no-warnings --max-semi-space-size=32'

const MEMORY_DISK = '/dev/shm'
/** Deltas want 5 GiB to stay free. */
const MEMORY_DISK_BYTES_MIN = 8 * 2 ** 30

/** Counts of all steps. */
export class Tally {
  passed = 0
  failed = 0
  skipped = 0

  add({ passed, failed, skipped = 0 }) {
    this.passed += passed
    this.failed += failed
    this.skipped += skipped
  }

  /** Prints the closing line and answers the exit code; nothing that passed is no success. */
  close() {
    const skipped = this.skipped > 0 ? `, ${this.skipped} skipped` : ''
    process.stdout.write(`\n${this.passed} passed, ${this.failed} failed${skipped}\n`)
    return this.failed === 0 && this.passed > 0 ? 0 : 1
  }
}

/** A program of node_modules that passes or fails as a whole; its words are shown when it fails. */
export async function tool(title, name, args) {
  const { code, output, seconds } = await run(toolCommand(name), args)
  report(title, code === 0 ? 'ok' : 'FAILED', seconds)
  if (code !== 0) process.stdout.write(output)
  return code === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 }
}

/**
 * Jest projects.
 * @param {{ node?: string, args?: string[], environment?: Record<string, string> }} options another Node, more
 *   arguments of jest, more variables
 */
export async function jest(title, project, { node = process.execPath, args = [], environment = {} } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'cloudx-jest-'))
  try {
    const report = join(folder, 'report.json')
    const all = ['--selectProjects', project, '--json', `--outputFile=${report}`, '--passWithNoTests', ...args]
    const options = { NODE_OPTIONS, FORCE_COLOR: '0', ...(project === 'unit' && memoryDisk()), ...environment }
    const { code, output, seconds } = await run([node, join(ROOT, 'node_modules/jest/bin/jest.js')], all, options)
    return judged(title, code, output, seconds, report)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/**
 * Unit specs make thousands of small files and sync each; on a disk in memory that takes a third of their time less. What
 * a real disk does is looked at by the end-to-end specs.
 */
function memoryDisk() {
  try {
    const { bavail, bsize } = statfsSync(MEMORY_DISK)
    return bavail * bsize >= MEMORY_DISK_BYTES_MIN ? { TMPDIR: MEMORY_DISK } : {}
  } catch {
    return {}
  }
}

function judged(title, code, output, seconds, file) {
  const counts = jestCounts(file)
  const verdict = code === 0 && counts !== undefined ? 'ok' : 'FAILED'
  report(title, counts ? `${verdict}, ${counts.passed} passed, ${counts.failed} failed` : verdict, seconds)
  if (verdict !== 'ok') process.stdout.write(output)
  if (counts === undefined) return { passed: 0, failed: 1 }
  // Jest can fail for other reasons than a test, such as a threshold or an open handle.
  return code !== 0 && counts.failed === 0 ? { ...counts, failed: 1 } : counts
}

function jestCounts(file) {
  try {
    const { numPassedTests, numFailedTests, numPendingTests, numRuntimeErrorTestSuites, testResults } = JSON.parse(
      readFileSync(file, 'utf8')
    )
    const failed = numFailedTests + numRuntimeErrorTestSuites
    return { passed: numPassedTests, failed, skipped: numPendingTests, campaigns: campaignsOf(testResults) }
  } catch {
    return undefined
  }
}

/** Tests that name a seed, and how they ended. */
function campaignsOf(files) {
  return files.flatMap(({ assertionResults }) =>
    assertionResults.flatMap(({ fullName, status }) => {
      const seed = /\(seed (\d+)\)/.exec(fullName)?.[1]
      return seed === undefined ? [] : [{ title: fullName, seed: Number(seed), status }]
    })
  )
}

/** A suite of scripts/: a program that ends with `N passed, N failed` (`, N skipped`). Its words are shown as they come. */
export async function suite(title, command, args = []) {
  const { code, output, seconds } = await run(command, args, {}, true)
  const last = /(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\s*$/.exec(output)
  report(title, code === 0 && last ? 'ok' : 'FAILED', seconds)
  if (!last) return { passed: 0, failed: 1 }
  const counts = { passed: Number(last[1]), failed: Number(last[2]), skipped: Number(last[3] ?? 0) }
  return code !== 0 && counts.failed === 0 ? { ...counts, failed: 1 } : counts
}

/** One line of the report. */
export function report(title, verdict, seconds) {
  process.stdout.write(`${title.padEnd(28)} ${verdict}${seconds === undefined ? '' : ` (${seconds.toFixed(1)} s)`}\n`)
}

/** @returns {Promise<{ code: number, output: string, seconds: number }>} */
function run([program, ...first], args, environment = {}, loud = false) {
  const begun = performance.now()
  return new Promise((resolve) => {
    const child = spawn(program, [...first, ...args], {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...plainEnvironment(), ...environment }
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8')
      stream.on('data', (text) => {
        if (loud) process.stdout.write(text)
        output = (output + text).slice(-OUTPUT_LENGTH_MAX)
      })
    }
    const end = (code) => resolve({ code, output, seconds: (performance.now() - begun) / 1000 })
    child.on('error', (error) => {
      output += `${error.message}\n`
      end(127)
    })
    child.on('close', (code) => end(code ?? 1))
  })
}

/**
 * The environment without what npm adds for its scripts: a spec that starts npm would hand our options on. System
 * folders are looked into, because mkfs and its kin are not on every user's path.
 */
export function plainEnvironment() {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^npm_(?!config_(cafile|registry|userconfig|globalconfig|cache)$)/i.test(name)
  )
  const environment = Object.fromEntries(kept)
  delete environment.INIT_CWD
  if (process.platform !== 'win32') environment.PATH = [environment.PATH, '/usr/sbin', '/sbin'].join(delimiter)
  return environment
}

function toolCommand(name) {
  const paths = {
    tsc: 'typescript/bin/tsc',
    oxlint: 'oxlint/bin/oxlint',
    oxfmt: 'oxfmt/bin/oxfmt'
  }
  return [process.execPath, join(ROOT, 'node_modules', paths[name])]
}
