/**
 * `npm run conformance`: writes docs/conformance.md. Clauses come from the comments of lib and the titles of spec, so the
 * page says what is there and not what somebody remembers; results of suites come from docs/conformance/*.json, which
 * `scripts/e2e/libiscsi-suite --json` writes.
 */
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { REFUSALS } from './conformance-refusals.mjs'
import { ROOT } from './prepare.mjs'

const PAGE = join(ROOT, 'docs/conformance.md')
const SUITE = join(ROOT, 'docs/conformance/libiscsi.json')
const STANDARDS = ['RFC 7143', 'RFC 3720', 'RFC 1994', 'SAM-5', 'SPC-2', 'SPC-3', 'SPC-4', 'SBC-2', 'SBC-3', 'SBC-4']
const CLAUSE = new RegExp(
  `(${STANDARDS.join('|')}) ((?:§|table |tables |appendix )[0-9A-Z][0-9.]*[0-9A-Z]?(?:, §[0-9.]*[0-9])*)`,
  'gi'
)
const TITLE = /\b(?:describe|it)(?:\.each)?\b[^\n]*?(['"`])(.*?)\1/g

writeFileSync(PAGE, page())
process.stdout.write(`${relative(ROOT, PAGE)}\n`)

function page() {
  return [
    '# Conformance',
    '',
    'Made by `npm run conformance`; what it shows is changed where it comes from.',
    '',
    ...suiteSection(),
    ...refusalSection(),
    ...clauseSection()
  ].join('\n')
}

function suiteSection() {
  if (!existsSync(SUITE)) return []
  const summary = JSON.parse(readFileSync(SUITE, 'utf8'))
  const rows = summary.configurations.map(({ title, passed, failed, skipped, hung }) => [
    title,
    passed,
    failed,
    skipped,
    hung
  ])
  const failures = summary.configurations.flatMap(({ title, failures: list }) =>
    list.map(({ test, verdict, reason }) => [title, test, verdict, reason])
  )
  const skips = new Map()
  for (const { reason, count } of summary.configurations.flatMap(({ skipReasons }) => skipReasons)) {
    skips.set(reason, (skips.get(reason) ?? 0) + count)
  }
  return [
    '## libiscsi',
    '',
    `Each of the ${summary.tests} tests by itself under a time limit, with \`scripts/e2e/libiscsi-suite\`; ` +
      `${summary.passedSomewhere} pass on one disk at least.`,
    '',
    ...table(['disk', 'passed', 'failed', 'skipped', 'hung'], rows),
    'Failures:',
    '',
    ...table(['disk', 'test', 'how', 'where'], failures),
    'Tests that pass nowhere, or fail somewhere, and why:',
    '',
    ...table(['test', 'reason'], reasonsOf(summary)),
    'Why tests skip themselves, over all disks:',
    '',
    ...table(
      ['reason', 'times'],
      [...skips].sort(([, left], [, right]) => right - left)
    )
  ]
}

function reasonsOf({ nowhere, excused }) {
  const reasons = new Map([...excused, ...nowhere].map(({ test, reason }) => [test, reason]))
  return [...reasons]
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
