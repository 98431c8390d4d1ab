import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { Random } from '../../spec/support/random.js'
import { additionalHeaders } from './ahs.js'
import { commands } from './commands.js'
import type { Fuzzer, FuzzerRun } from './fuzzer.js'
import { login } from './login.js'
import { reader } from './reader.js'
import { session } from './session.js'
import { text } from './text.js'

const FUZZERS: readonly Fuzzer[] = [reader, additionalHeaders, text, login, commands, session]
/** A fuzzer that goes on finding would say the same again and again. */
const FINDINGS_MAX = 5
/** A run is opened anew after so many rounds, so that what it leaves behind is told near its cause. */
const ROUNDS_EACH_RUN = 200
/** How long one fuzzer works before the next has its turn. */
const TURN_MS = 2_000
/** How often a long campaign says how far it is. */
const PROGRESS_MS = 60_000
/** A round that takes this long hangs. */
const ROUND_LIMIT_MS = 60_000

export interface CampaignOptions {
  readonly seed: number
  readonly seconds: number
  readonly pdus: number
  readonly only: readonly string[]
  readonly round: number | undefined
  readonly report: string | undefined
}

interface Figures {
  readonly fuzzer: Fuzzer
  run: FuzzerRun | undefined
  rounds: number
  pdus: number
  milliseconds: number
  readonly findings: string[]
}

/** @returns the exit code */
export async function campaign(options: CampaignOptions): Promise<number> {
  const unknown = options.only.filter((name) => !FUZZERS.some((fuzzer) => fuzzer.name === name))
  if (unknown.length > 0) throw new Error(`there is no fuzzer ${unknown.join(', ')}`)
  const chosen = FUZZERS.filter(({ name }) => options.only.length === 0 || options.only.includes(name))
  const all = chosen.map((fuzzer): Figures => {
    return { fuzzer, run: undefined, rounds: 0, pdus: 0, milliseconds: 0, findings: [] }
  })
  say(`seed ${options.seed}`)
  const stray: string[] = []
  const lost = (error: unknown) => void stray.push(wordsOf(error))
  process.on('unhandledRejection', lost).on('uncaughtException', lost)
  const begun = performance.now()
  let stopped = false
  process.once('SIGINT', () => (stopped = true))
  const over = () =>
    stopped || performance.now() - begun >= options.seconds * 1000 || sum(all, ({ pdus }) => pdus) >= options.pdus
  const progress = setInterval(() => say(`… ${sum(all, ({ pdus }) => pdus)} PDUs`), PROGRESS_MS)
  if (options.round !== undefined) for (const figures of all) await work(figures, options, () => true)
  else
    while (!over() && all.some(stillFinds)) {
      for (const figures of all)
        if (!over() && stillFinds(figures)) await work(figures, options, turnEnd(figures, over))
    }
  clearInterval(progress)
  for (const figures of all) await close(figures)
  for (const figures of all) tell(figures)
  for (const words of stray) say(`a stray error: ${words}`)
  if (options.report !== undefined) writeReport(options, all, performance.now() - begun)
  const failed = all.filter(({ findings }) => findings.length > 0).length + (stray.length > 0 ? 1 : 0)
  say(`\n${all.length - failed} passed, ${failed} failed`)
  return failed === 0 ? 0 : 1
}

function stillFinds({ findings }: Figures): boolean {
  return findings.length < FINDINGS_MAX
}

function turnEnd({ fuzzer }: Figures, over: () => boolean): () => boolean {
  const end = performance.now() + TURN_MS * fuzzer.share
  return () => performance.now() >= end || over()
}

async function work(figures: Figures, options: CampaignOptions, ended: () => boolean): Promise<void> {
  const begun = performance.now()
  do {
    const round = options.round ?? figures.rounds
    figures.rounds++
    try {
      figures.run ??= await figures.fuzzer.open()
      figures.pdus += await limited(Promise.resolve(figures.run.round(new Random(mix(options.seed, round)))))
    } catch (error) {
      found(figures, `seed ${options.seed}, round ${round}`, error)
    }
    if (figures.rounds % ROUNDS_EACH_RUN === 0) await close(figures)
  } while (!ended() && stillFinds(figures))
  figures.milliseconds += performance.now() - begun
}

async function close(figures: Figures): Promise<void> {
  const { run } = figures
  figures.run = undefined
  try {
    if (run) await limited(Promise.resolve(run.close()))
  } catch (error) {
    found(figures, `after round ${figures.rounds - 1}`, error)
  }
}

function found(figures: Figures, where: string, error: unknown): void {
  const words = `${figures.fuzzer.name}, ${where}: ${wordsOf(error)}`
  figures.findings.push(words)
  say(words)
  // What came behind a finding would be judged wrongly.
  const { run } = figures
  figures.run = undefined
  void Promise.resolve(run?.close()).catch(() => undefined)
}

async function limited<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`it hangs: no end after ${ROUND_LIMIT_MS} ms`)), ROUND_LIMIT_MS)
  })
  try {
    return await Promise.race([work, limit])
  } finally {
    clearTimeout(timer)
  }
}

/** Seeds of neighbouring rounds must not be neighbours. */
function mix(seed: number, round: number): number {
  return (Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(round + 1, 0xc2b2ae35)) >>> 0
}

function tell({ fuzzer, rounds, pdus, milliseconds, findings }: Figures): void {
  const verdict = findings.length === 0 ? 'ok' : `${findings.length} FOUND`
  say(`${fuzzer.name.padEnd(10)} ${verdict}, ${rounds} rounds, ${pdus} PDUs (${(milliseconds / 1000).toFixed(1)} s)`)
}

function writeReport({ report, seed }: CampaignOptions, all: readonly Figures[], milliseconds: number): void {
  const figures = {
    commit: commit(),
    seed,
    node: process.version,
    processor: cpus()[0]?.model ?? 'unknown',
    seconds: Math.round(milliseconds / 1000),
    pdus: sum(all, ({ pdus }) => pdus),
    findings: sum(all, ({ findings }) => findings.length),
    fuzzers: all.map(({ fuzzer, rounds, pdus, findings }) => {
      return { name: fuzzer.name, about: fuzzer.about, rounds, pdus, findings: findings.length }
    })
  }
  writeFileSync(report!, `${JSON.stringify(figures, undefined, 2)}\n`)
}

function commit(): string {
  try {
    const head = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
    const changed = execFileSync('git', ['status', '--porcelain', '-uno'], { encoding: 'utf8' }).trim() !== ''
    return changed ? `${head} with changes` : head
  } catch {
    return 'unknown'
  }
}

function sum(all: readonly Figures[], of: (figures: Figures) => number): number {
  return all.reduce((total, figures) => total + of(figures), 0)
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
