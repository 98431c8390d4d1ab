import type { Argv } from 'yargs'
import { ConfigError } from '../target/config.js'
import { single } from './options.js'
import type { ParsedArguments } from './options.js'
import { en } from './text/en.js'
import { ko } from './text/ko.js'
import type { Text } from './text/text.js'

export const LANGUAGES = ['en', 'ko'] as const
export type Language = (typeof LANGUAGES)[number]

const TEXTS: Readonly<Record<Language, Text>> = { en, ko }

export interface LanguageSources {
  /** `--language`; undefined = the language of the system. */
  readonly chosen: Language | undefined
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly platform: NodeJS.Platform
  /** BCP 47, as Intl tells it. */
  readonly locale: string
}

/** The texts to speak in. */
export function textFor(sources: LanguageSources): Text {
  return TEXTS[sources.chosen ?? systemLanguage(sources)]
}

/** The texts for this process. */
export function textOfProcess(chosen: Language | undefined, environment: LanguageSources['environment']): Text {
  const { locale } = Intl.DateTimeFormat().resolvedOptions()
  return textFor({ chosen, environment, platform: process.platform, locale })
}

/**
 * POSIX: the first of LC_ALL, LC_MESSAGES and LANG that is set decides, and a terminal with another character set than
 * UTF-8 could not show Hangul. Windows sets none of them; there Node's ICU knows the language of the user.
 */
function systemLanguage({ environment, platform, locale }: LanguageSources): Language {
  const named = [environment.LC_ALL, environment.LC_MESSAGES, environment.LANG].find((value) => value)
  if (named !== undefined) return /^ko\b/i.test(named.replace('_', '-')) && !hasOtherCharset(named) ? 'ko' : 'en'
  return platform === 'win32' && /^ko\b/i.test(locale) ? 'ko' : 'en'
}

function hasOtherCharset(locale: string): boolean {
  const charset = /\.([^@]+)/.exec(locale)?.[1]
  return charset !== undefined && !/^utf-?8$/i.test(charset)
}

/** `--language` for a command whose settings are not those of `serve`. */
export function withLanguage(yargs: Argv): Argv {
  return yargs.option('language', { nargs: 1, requiresArg: true, describe: 'en or ko; that of the system when absent' })
}

export function languageOf(args: ParsedArguments): Language | undefined {
  const text = single(args, 'language')
  const found = LANGUAGES.find((language) => language === text)
  if (text !== undefined && found === undefined) throw new ConfigError([`--language: "${text}" must be en or ko`])
  return found
}
