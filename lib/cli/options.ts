import type { Argv, Options } from 'yargs'
import type { Entries, Entry } from '../target/config.js'
import { ConfigError } from '../target/config.js'
import { GROUPS, isOption, SETTING_KEYS, settingOf } from '../target/config/settings.js'
import type { SettingKey } from '../target/config/settings.js'
import { closest } from '../util/closest.js'

/** What yargs hands over: texts as they were typed, a list where an option was given more than once. */
export type ParsedArguments = Readonly<Record<string, unknown>>

/** Every setting of the table as an option, in the groups of the table. */
export function withSettings<T>(yargs: Argv<T>): Argv<T> {
  for (const group of GROUPS) {
    for (const key of SETTING_KEYS) {
      if (isOption(key) && settingOf(key).group === group) yargs.option(key, yargsOption(key))
    }
  }
  return yargs
}

/** yargs only splits the line; every value stays text until the table's own reader judges it. */
function yargsOption(key: SettingKey): Options {
  const { kind, group, about, preset } = settingOf(key)
  const isSwitch = kind.placeholder === ''
  return {
    group: `${group}:`,
    describe: preset === undefined ? about : `${about} [${preset}]`,
    ...(isSwitch ? { type: 'boolean' } : { nargs: 1, requiresArg: true })
  }
}

/**
 * The settings of a command line. A bare path is an image, like `--lun`.
 * @param directory - what relative paths start from
 */
export function entriesOf(args: ParsedArguments, images: readonly string[], directory: string): Entries {
  const entries = new Map<SettingKey, readonly Entry[]>()
  for (const key of SETTING_KEYS.filter(isOption)) {
    const texts = textsOf(args[key])
    if (key === 'lun') texts.push(...images)
    if (texts.length > 1 && !settingOf(key).list) throw new ConfigError([`--${key}: was given ${texts.length} times`])
    if (texts.length > 0)
      entries.set(
        key,
        texts.map((text) => ({ text, where: `--${key}`, directory }))
      )
  }
  return entries
}

/** `--config`, which is no setting. */
export function single(args: ParsedArguments, name: string): string | undefined {
  const texts = textsOf(args[name])
  if (texts.length > 1) throw new ConfigError([`--${name}: was given ${texts.length} times`])
  return texts[0]
}

/**
 * A whole number that an option has; undefined when it was left out.
 * @param what - what it must be, for people
 * @throws ConfigError when it is none, or out of range
 */
export function wholeNumber(
  args: ParsedArguments,
  name: string,
  [from, to]: readonly [number, number],
  what: string
): number | undefined {
  const text = single(args, name)
  if (text === undefined) return undefined
  const isNumber = /^\d+$/.test(text) && text.length <= String(to).length && !(from > 0 && text.startsWith('0'))
  if (isNumber && Number(text) >= from && Number(text) <= to) return Number(text)
  throw new ConfigError([`--${name}: "${text}" must be ${what}`])
}

/** A sentence for each option that does not exist. */
export function unknownOptions(names: readonly string[], known: readonly string[]): ConfigError {
  return new ConfigError(names.map((name) => `Unknown option ${dashed(name)}${suggestion(name, known)}`))
}

function suggestion(name: string, known: readonly string[]): string {
  const near = closest(name, known)
  return near === undefined ? '; --help lists all of them.' : `; did you mean --${near}?`
}

function dashed(name: string): string {
  return name.length === 1 ? `-${name}` : `--${name}`
}

/** All values of an option that may be given several times. */
export function textsOf(value: unknown): string[] {
  const list: unknown[] = Array.isArray(value) ? value : [value]
  return list.filter((item) => item !== undefined).map(String)
}
