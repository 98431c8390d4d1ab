import { closest } from '../../util/closest.js'
import { TargetError } from '../errors.js'
import { isSettingKey, SETTING_KEYS, settingOf } from './settings.js'
import type { Scope, SettingKey } from './settings.js'

/** One value as somebody wrote it, and where, so that a message can point at it. */
export interface Entry {
  readonly text: string
  /** `--size`, or `cloudx.yaml:12: size`. */
  readonly where: string
  /** What a relative path starts from. */
  readonly directory: string
  /** For a unit that is written as a map: its own settings. */
  readonly unit?: Entries
}

/** What one place (command line, top of the file, one target, one unit) says. */
export type Entries = ReadonlyMap<SettingKey, readonly Entry[]>

/** Every mistake of a command line or file at once: whoever writes one wants to mend all of them in one go. */
export class ConfigError extends TargetError {
  constructor(readonly problems: readonly string[]) {
    super('ERR_ISCSI_CONFIG', problems.join('\n'))
  }
}

/** Gathers sentences; {@link check} throws when there is any. */
export class Problems {
  private readonly sentences: string[] = []

  add(where: string, sentence: string): void {
    this.sentences.push(`${where}: ${sentence}`)
  }

  check(): void {
    if (this.sentences.length > 0) throw new ConfigError(this.sentences)
  }
}

/** The keys that may stand in a place of the file. */
const SCOPES: Readonly<Record<Place, readonly Scope[]>> = {
  file: ['server', 'target', 'unit'],
  target: ['target', 'unit'],
  unit: ['unit', 'unit-only']
}
export type Place = 'file' | 'target' | 'unit'

/** The key when it may stand there, else undefined after a sentence on what is wrong and what would be right. */
export function checkedKey(name: string, place: Place, where: string, problems: Problems): SettingKey | undefined {
  if (isSettingKey(name) && SCOPES[place].includes(settingOf(name).scope)) return name
  problems.add(where, isSettingKey(name) ? misplaced(name) : unknown(name, place))
  return undefined
}

function misplaced(name: SettingKey): string {
  const right: Record<Scope, string> = {
    server: 'it goes to the top of the file, because it holds for the whole server',
    target: 'it goes to the top of the file or into a target, because it holds for all units of one',
    unit: 'it goes to the top of the file, into a target or into a unit',
    'unit-only': 'it goes into a unit of "lun:", because it says which part of the image is shared'
  }
  return `"${name}" cannot stand here; ${right[settingOf(name).scope]}`
}

function unknown(name: string, place: Place): string {
  const keys = SETTING_KEYS.filter((key) => SCOPES[place].includes(settingOf(key).scope)).map(String)
  if (place !== 'unit') keys.push('initiators')
  if (place === 'file') keys.push('targets')
  if (place === 'unit') keys.push('path')
  const near = closest(name, keys)
  return `unknown key "${name}"; ${near === undefined ? `known are ${keys.join(', ')}` : `did you mean "${near}"?`}`
}
