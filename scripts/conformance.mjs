/**
 * `npm run conformance`: writes docs/conformance.md. Clauses come from the comments of lib and the titles of spec, so the
 * page says what is there and not what somebody remembers; results of suites come from docs/conformance/*.json, which
 * `scripts/e2e/libiscsi-suite --json docs/conformance` and `npm run fuzz -- --report docs/conformance/fuzz.json` write.
 */
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { CONFIGURATIONS, EXCUSED, NOT_APPLICABLE } from './e2e/libiscsi-configurations.mjs'
import { REFUSALS } from './conformance-refusals.mjs'
import { ROOT } from './prepare.mjs'

const PAGE = join(ROOT, 'docs/conformance.md')
const RESULTS = join(ROOT, 'docs/conformance')
const STANDARDS = ['RFC 7143', 'RFC 3720', 'RFC 1994', 'SAM-5', 'SPC-2', 'SPC-3', 'SPC-4', 'SBC-2', 'SBC-3', 'SBC-4']
const CLAUSE = new RegExp(
  `(${STANDARDS.join('|')}) ((?:§|table |tables |appendix )[0-9A-Z][0-9.]*[0-9A-Z]?(?:, §[0-9.]*[0-9])*)`,
  'gi'
)
const TITLE = /\b(?:describe|it)(?:\.each)?\b[^\n]*?(['"`])(.*?)\1/g

function page() {
  return [
    '# Conformance',
    '',
    'Made by `npm run conformance`; what it shows is changed where it comes from.',
    '',
    ...suiteSection(),
    ...fuzzSection(),
    ...soakSection(),
    ...refusalSection(),
    ...clauseSection()
  ].join('\n')
}

function suiteSection() {
  const disks = CONFIGURATIONS.map(({ name }) => join(RESULTS, `libiscsi-${name}.json`))
    .filter((path) => existsSync(path))
    .map((path) => JSON.parse(readFileSync(path, 'utf8')))
  if (disks.length === 0) return []
  const others = disks.flatMap((disk) => disk.others)
  const passed = new Set(disks.flatMap((disk) => disk.passed))
  const tests = new Set([...passed, ...others.map(({ test }) => test)])
  const bad = disks.flatMap(({ title, others: list }) =>
    list
      .filter(({ verdict }) => verdict !== 'skipped')
      .map(({ test, verdict, reason }) => [title, test, verdict, reason])
  )
  const unexplained = [...tests].filter((test) => !passed.has(test) && !REASONS[test])
  return [
    '## libiscsi',
    '',
    `Each of the ${tests.size} tests of libiscsi's newest suite by itself under a time limit, by ` +
      `\`scripts/e2e/libiscsi-suite\`. ${passed.size} pass on one disk at least.`,
    '',
    ...table(['disk', 'passed', 'failed', 'skipped', 'hung'], disks.map(countsOf)),
    'Failures:',
    '',
    ...table(['disk', 'test', 'how', 'where'], bad),
    'Tests that fail somewhere or pass nowhere, and why:',
    '',
    ...table(['test', 'reason'], [...Object.entries(REASONS), ...unexplained.map((test) => [test, 'not explained'])]),
    'Why tests skip themselves, over all disks:',
    '',
    ...table(['reason', 'times'], skipReasons(others))
  ]
}

const REASONS = { ...EXCUSED, ...NOT_APPLICABLE }

function countsOf({ title, passed, others }) {
  const count = (wanted) => others.filter(({ verdict }) => verdict === wanted).length
  return [title, passed.length, count('failed'), count('skipped'), count('hung')]
}

function skipReasons(others) {
  const counts = new Map()
  for (const { verdict, reason } of others) {
    if (verdict === 'skipped') counts.set(reason, (counts.get(reason) ?? 0) + 1)
  }
  return [...counts].sort(([, left], [, right]) => right - left)
}

function fuzzSection() {
  const path = join(RESULTS, 'fuzz.json')
  if (!existsSync(path)) return []
  const { commit, seed, node, seconds, pdus, findings, fuzzers } = JSON.parse(readFileSync(path, 'utf8'))
  const count = (number) => number.toLocaleString('en')
  return [
    '## Hostile input',
    '',
    `\`npm run fuzz -- --seed ${seed} --pdus 10m\` at commit ${commit}: ${count(pdus)} PDUs in ${count(seconds)} s on ` +
      `Node ${node.replace('v', '')}, ${findings} findings. What is judged stands in [iscsi](iscsi.md#hostile-input).`,
    '',
    ...table(
      ['fuzzer', 'what it sends', 'rounds', 'PDUs', 'findings'],
      fuzzers.map((one) => [one.name, one.about, count(one.rounds), count(one.pdus), one.findings])
    )
  ]
}

function soakSection() {
  const path = join(ROOT, 'docs/soak.json')
  if (!existsSync(path)) return []
  const { factor, runs } = JSON.parse(readFileSync(path, 'utf8'))
  const campaigns = runs.flatMap(({ campaigns: all }) => all)
  return [
    '## Long campaigns',
    '',
    `\`npm run soak\`; each campaign has ${factor} times the steps of a test run.`,
    '',
    ...table(
      ['run', 'commit', 'day', 'passed', 'failed', 'skipped'],
      runs.map(({ title, commit, date, passed, failed, skipped = 0 }) => {
        return [title, commit.slice(0, 7), date.slice(0, 10), passed, failed, skipped]
      })
    ),
    ...(campaigns.length > 0
      ? table(
          ['campaign', 'seed', 'outcome'],
          campaigns.map(({ title, seed, status }) => [title.replace(/ \(seed \d+\)/, ''), seed, status])
        )
      : [])
  ]
}

function refusalSection() {
  return ['## What is refused, and why', '', ...table(['what', 'answer', 'why'], REFUSALS)]
}

function clauseSection() {
  const clauses = new Map()
  for (const path of sources('lib')) note(clauses, path, readFileSync(join(ROOT, path), 'utf8'), 'code')
  for (const path of sources('spec')) {
    const titles = [...readFileSync(join(ROOT, path), 'utf8').matchAll(TITLE)].map(([, , title]) => title)
    note(clauses, path, titles.join('\n'), 'specs')
  }
  return [
    '## Clause, code, spec',
    '',
    'The spec of a file lies under the same name; specs that name the clause themselves stand before it.',
    '',
    ...STANDARDS.flatMap((standard) => standardSection(standard, [...clauses.values()]))
  ]
}

function standardSection(standard, clauses) {
  const own = clauses.filter((one) => one.standard === standard)
  return own.length === 0 ? [] : [`### ${standard}`, '', ...clauseTable(own)]
}

function note(clauses, path, text, kind) {
  for (const [, standard, numbers] of text.matchAll(CLAUSE)) {
    for (const number of numbers.split(', ')) {
      const key = `${standard.toUpperCase()} ${number}`
      const entry = clauses.get(key) ?? { standard: standard.toUpperCase(), number, code: new Set(), specs: new Set() }
      entry[kind].add(path)
      clauses.set(key, entry)
    }
  }
}

function clauseTable(entries) {
  const sorted = entries.sort((left, right) => left.number.localeCompare(right.number, 'en', { numeric: true }))
  return table(
    ['clause', 'code', 'spec'],
    sorted.map(({ number, code, specs }) => [number, links(code), links(new Set([...specs, ...mirrors(code)]))])
  )
}

/** lib/a/b.ts is held to by spec/a/b.spec.ts. */
function mirrors(code) {
  return [...code]
    .map((path) => path.replace(/^lib\//, 'spec/').replace(/\.ts$/, '.spec.ts'))
    .filter((path) => existsSync(join(ROOT, path)))
}

function links(paths) {
  return [...paths].map((path) => `[${path.replace(/^(lib|spec)\//, '')}](../${path})`).join(', ')
}

function sources(folder) {
  return readdirSync(join(ROOT, folder), { recursive: true })
    .map((name) => join(folder, name).replaceAll('\\', '/'))
    .filter((path) => path.endsWith('.ts') && !path.includes('/support/'))
    .sort()
}

function table(head, rows) {
  const line = (cells) => `| ${cells.map((cell) => String(cell).replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line), '']
}

writeFileSync(PAGE, page())
process.stdout.write(`${relative(ROOT, PAGE)}\n`)
