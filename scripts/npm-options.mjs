/**
 * Reads back options that npm took for its own. PowerShell swallows the first `--` of `npm start -- --lun x`, so npm
 * sees the options itself, and:
 *
 * - `--size=20G` becomes npm_config_size=20G; several of one name are joined by an empty line;
 * - `--size 20G` becomes npm_config_size=true and a bare `20G` among the arguments, because npm does not know that the
 *   option has a value. The order of the options is lost;
 * - `--no-multipath` becomes an empty npm_config_multipath;
 * - `--cache 4G` and `--read-only` are npm's own; the first becomes a path;
 * - npm up to 10 takes `--allow` for its own `--allow-same-version` and loses the value.
 *
 * What can be told apart is read back; the rest is refused with the command that works everywhere. Nothing is ignored.
 */
import { basename, dirname, resolve } from 'node:path'

/** Cannot be told apart; the message is for a person. */
export class SwallowedOptions extends Error {}

/**
 * The arguments as they were meant.
 * @param {string[]} args what npm left for us
 * @param {Record<string, string | undefined>} environment
 * @param {{ name: string, isSwitch: boolean }[]} options what we know
 */
export function readBack(args, environment, options) {
  refuseOwnOfNpm(environment)
  const found = options.flatMap((option) => taken(option, environment))
  const bare = args.filter((arg) => !arg.startsWith('-'))
  const open = found.filter((option) => openCount(option) > 0)
  const others = open.filter(({ name }) => name !== 'lun')
  // A bare argument is an image anyway, so values of --lun need no place; those of one other option have one when all
  // bare arguments are theirs.
  const told = others.length === 0 || (open.length === 1 && openCount(others[0]) === bare.length)
  if (!told) refuse(others, bare)
  const rest = others.length === 0 ? args : args.filter((arg) => arg.startsWith('-'))
  const values = [...bare]
  return [...rest, ...found.flatMap((option) => rewritten(option, values))]
}

/** How many values of this option stand somewhere among the bare arguments. */
function openCount({ isSwitch, texts }) {
  return isSwitch ? 0 : texts.filter((text) => text === 'true').length
}

function taken({ name, isSwitch }, environment) {
  const value = environment[`npm_config_${name.replaceAll('-', '_')}`]
  // npm always tells its cache folder; that one has been judged.
  if (value === undefined || name === 'cache') return []
  return [{ name, isSwitch, texts: value.split('\n\n') }]
}

function rewritten({ name, isSwitch, texts }, bare) {
  if (isSwitch) return [`--${name}=${texts.at(-1) === 'true'}`]
  return texts.flatMap((text) => {
    if (text !== 'true') return [`--${name}=${text}`]
    return name === 'lun' ? [] : [`--${name}=${bare.shift()}`]
  })
}

function refuseOwnOfNpm(environment) {
  const cache = environment.npm_config_cache
  const start = environment.INIT_CWD
  // npm makes a path of the value, from the folder where it was started.
  if (cache !== undefined && start !== undefined && resolve(dirname(cache)) === resolve(start)) {
    if (/^\d+(\.\d+)?([kmgtp](i?b)?)?$/i.test(basename(cache))) refuse([{ name: 'cache' }], [basename(cache)])
  }
  if (environment.npm_config_allow_same_version === 'true') refuse([{ name: 'allow' }], [])
}

function refuse(options, bare) {
  const names = options.map(({ name }) => `--${name}`)
  const left = bare.length === 0 ? '' : ` (it left: ${bare.join(' ')})`
  throw new SwallowedOptions(
    `npm took ${names.join(' and ')} for its own, and which value belongs to it cannot be told any more${left}.\n` +
      'Put the two dashes in quotes, which works in every shell:\n' +
      `  npm start "--" --lun ./share.img ${names.map((name) => `${name} …`).join(' ')}`
  )
}
