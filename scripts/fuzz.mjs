/**
 * `npm run fuzz -- --seed S --seconds N`: sends the target what nobody would send, and watches everything that it says.
 * It ends with `N passed, M failed`, where one passed is one fuzzer that ran its time without a finding.
 */
import { register } from 'node:module'
import { parseArgs } from 'node:util'

const HELP = `npm run fuzz -- [options]

  --seed S       start of all randomness; a random one when left out, and always printed
  --seconds N    how long it runs, all fuzzers together (60)
  --pdus N       run until this many PDUs were sent instead, all fuzzers together; takes suffixes k and m
  --only NAME    one fuzzer alone (repeatable): ahs, commands, login, reader, session, text
  --round R      with --only: this one round of the seed, to see a finding again
  --report FILE  write the figures as JSON
  --help         this text
`

try {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string' },
      seconds: { type: 'string', default: '60' },
      pdus: { type: 'string' },
      only: { type: 'string', multiple: true, default: [] },
      round: { type: 'string' },
      report: { type: 'string' },
      help: { type: 'boolean', default: false }
    }
  })
  if (values.help) process.stdout.write(HELP)
  else {
    register('./fuzz/typescript-hooks.mjs', import.meta.url)
    const { campaign } = await import('./fuzz/campaign.ts')
    process.exitCode = await campaign({
      seed: values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : number('seed', values.seed),
      seconds: values.pdus === undefined ? number('seconds', values.seconds) : Infinity,
      pdus: values.pdus === undefined ? Infinity : number('pdus', values.pdus),
      only: values.only,
      round: values.round === undefined ? undefined : number('round', values.round),
      report: values.report
    })
  }
} catch (error) {
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 1
}

function number(name, text) {
  const [, digits, unit] = /^(\d+)([km]?)$/i.exec(text) ?? []
  if (digits === undefined) throw new Error(`--${name} is a whole number, not ${text}`)
  return Number(digits) * { '': 1, k: 1e3, m: 1e6 }[unit.toLowerCase()]
}
