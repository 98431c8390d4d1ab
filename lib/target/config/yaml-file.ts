import { dirname } from 'node:path'
import { isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml'
import type { ParsedNode, YAMLMap } from 'yaml'
import { checkedKey } from './entries.js'
import type { Entries, Entry, Place, Problems } from './entries.js'
import { settingOf } from './settings.js'
import type { SettingKey } from './settings.js'

/** A file is read whole; whatever is longer is no configuration. */
export const CONFIG_BYTES_MAX = 2 ** 20

/** What a configuration file says. */
export interface ConfigFile {
  readonly top: Entries
  /** undefined without `targets:`; then the file describes one target. */
  readonly targets: readonly TargetEntries[] | undefined
}

export interface TargetEntries {
  readonly entries: Entries
  /** `cloudx.yaml:7`. */
  readonly where: string
}

/**
 * Reads the text of a configuration file. Mistakes go to `problems`, with file and line.
 * @param name - the file as the messages name it
 * @param path - the file's absolute path; relative paths in it start from its folder
 */
export function parseConfigFile(text: string, name: string, path: string, problems: Problems): ConfigFile {
  const lines = new LineCounter()
  // The failsafe schema keeps every value the text that was written: no 007 that turns into 7, no "no" that is false.
  const document = parseDocument(text, { schema: 'failsafe', lineCounter: lines, prettyErrors: false, merge: false })
  const reader = new Reader(name, dirname(path), lines, problems)
  for (const error of document.errors) problems.add(reader.at(error.pos[0]), sentenceOf(error.message))
  // What follows a broken line is guesswork, so nothing else is judged then.
  problems.check()
  return reader.file(document.contents)
}

class Reader {
  constructor(
    private readonly name: string,
    private readonly directory: string,
    private readonly lines: LineCounter,
    private readonly problems: Problems
  ) {}

  at(offset: number): string {
    return `${this.name}:${this.lines.linePos(offset).line}`
  }

  file(contents: ParsedNode | null): ConfigFile {
    if (contents === null || isEmpty(contents)) return { top: new Map(), targets: undefined }
    if (!isMap(contents)) {
      this.problems.add(this.where(contents), 'must be "key: value" lines, such as "lun: ./share.img"')
      return { top: new Map(), targets: undefined }
    }
    let targets: TargetEntries[] | undefined
    const top = this.map(contents, 'file', (key, value) => {
      if (key !== 'targets') return false
      targets = this.targets(value)
      return true
    })
    return { top, targets }
  }

  private targets(list: ParsedNode | null): TargetEntries[] {
    if (!isSeq(list) || list.items.length === 0) {
      this.problems.add(this.where(list), '"targets" must be a list: each target begins with "- lun: …"')
      return []
    }
    return list.items.flatMap((item) => {
      const where = this.where(item)
      if (isMap(item)) return [{ entries: this.map(item, 'target'), where }]
      this.problems.add(where, 'a target must be "key: value" lines, such as "- lun: ./share.img"')
      return []
    })
  }

  /** @param special - takes the keys that are no settings; answers whether it did */
  private map(
    map: YAMLMap.Parsed,
    place: Place,
    special: (key: string, value: ParsedNode | null) => boolean = () => false
  ): Entries {
    const entries = new Map<SettingKey, readonly Entry[]>()
    for (const pair of map.items) {
      const name = isScalar(pair.key) ? String(pair.key.value) : ''
      if (special(name, pair.value)) continue
      if (name === INITIATORS && place !== 'unit') {
        entries.set('policy', [...(entries.get('policy') ?? []), ...this.initiators(pair.value)])
        continue
      }
      const key = checkedKey(name, place, this.where(pair.key), this.problems)
      if (key !== undefined) entries.set(key, this.values(key, pair.value ?? pair.key, pair.value))
    }
    return entries
  }

  /** Each as the option `--policy` has it. */
  private initiators(list: ParsedNode | null): Entry[] {
    if (!isSeq(list)) {
      this.problems.add(this.where(list), `"${INITIATORS}" must be a list: each begins with "- match: iqn.…"`)
      return []
    }
    return list.items.flatMap((item) => {
      const where = `${this.where(item)}: ${INITIATORS}`
      const fields = isMap(item) ? textsOf(item) : undefined
      const other = fields && [...fields.keys()].find((name) => !RULE_KEYS.includes(name))
      if (fields && other === undefined && fields.has('match') && (fields.has('policy') || fields.has('restore-on'))) {
        return [{ text: ruleText(fields), where, directory: this.directory }]
      }
      const why =
        other === undefined
          ? 'needs "match:", and "policy:" or "restore-on:"'
          : `has no key "${other}"; known are ${RULE_KEYS.join(', ')}`
      this.problems.add(where, `an entry ${why}`)
      return []
    })
  }

  private values(key: SettingKey, place: ParsedNode, value: ParsedNode | null): Entry[] {
    if (!isSeq(value)) return this.value(key, place, value)
    if (settingOf(key).list) return value.items.flatMap((item) => this.value(key, item, item))
    this.problems.add(this.where(place), `${key}: takes one value, not a list`)
    return []
  }

  private value(key: SettingKey, place: ParsedNode, value: ParsedNode | null): Entry[] {
    const where = `${this.where(place)}: ${key}`
    if (isScalar(value)) return [{ text: String(value.value), where, directory: this.directory }]
    if (isMap(value) && key === 'lun') return this.unit(value, where)
    this.problems.add(where, `must be ${settingOf(key).kind.expects}`)
    return []
  }

  private unit(map: YAMLMap.Parsed, where: string): Entry[] {
    let text: string | undefined
    const unit = this.map(map, 'unit', (key, value) => {
      if (key !== 'path') return false
      text = isScalar(value) ? String(value.value) : ''
      return true
    })
    if (text === undefined || text === '') {
      this.problems.add(where, 'a unit needs "path:", its image')
      return []
    }
    return [{ text, where, directory: this.directory, unit }]
  }

  private where(node: ParsedNode | null): string {
    return node === null ? this.name : this.at(node.range[0])
  }
}

function textsOf(map: YAMLMap.Parsed): Map<string, string> {
  const text = (node: unknown) => (isScalar(node) ? String(node.value) : '')
  return new Map(map.items.map(({ key, value }) => [text(key), text(value)]))
}

const RULE_KEYS: readonly string[] = ['match', 'policy', 'restore-on', 'lun']

/** `iqn.…=keep,lun=1` */
function ruleText(fields: ReadonlyMap<string, string>): string {
  const words = ['restore-on', 'lun'].filter((key) => fields.has(key)).map((key) => `${key}=${fields.get(key)}`)
  const policy = fields.get('policy')
  return `${fields.get('match')}=${[...(policy === undefined ? [] : [policy]), ...words].join(',')}`
}

/** The list of what holds for single initiators; each of them is one value of the setting `policy`. */
const INITIATORS = 'initiators'

/** `key:` without a value is an empty text in the failsafe schema. */
function isEmpty(node: ParsedNode): boolean {
  return isScalar(node) && node.value === ''
}

function sentenceOf(message: string): string {
  return `not valid YAML: ${message.charAt(0).toLowerCase()}${message.slice(1)}`
}
