import { resolve } from 'node:path'
import { checkedKey } from './entries.js'
import type { Entries, Entry, Problems } from './entries.js'
import type { SettingKey } from './settings.js'

/** The image of a unit and what is said of this unit alone. */
export interface UnitPath {
  /** Absolute, or `scheme:…` of a driver. */
  readonly path: string
  readonly unit: Entries
}

/**
 * Takes `disk.img,partition=2` apart. Only `,word=value` at the end is a setting, so commas in file names stay; a file
 * whose name ends like one is written as `path:` in the configuration file.
 */
export function unitPath(entry: Entry, problems: Problems): UnitPath {
  if (entry.unit !== undefined) return { path: absolute(entry.text, entry.directory), unit: entry.unit }
  const unit = new Map<SettingKey, readonly Entry[]>()
  let path = entry.text
  for (let match = lastSetting(path); match !== null; match = lastSetting(path)) {
    const [whole, name, text] = match as unknown as [string, string, string]
    const where = `${entry.where} ${entry.text}`
    const key = checkedKey(name, 'unit', where, problems)
    if (key !== undefined) unit.set(key, [{ text, where: `${where}: ${key}`, directory: entry.directory }])
    path = path.slice(0, -whole.length)
  }
  return { path: absolute(path, entry.directory), unit }
}

function lastSetting(path: string): RegExpExecArray | null {
  return /,([a-z][a-z-]*)=([^,=]*)$/.exec(path)
}

/** A scheme has two letters at least, so that `C:\share.img` stays a path. */
function absolute(path: string, directory: string): string {
  return /^[a-z][a-z0-9+.-]+:/i.test(path) ? path : resolve(directory, path)
}
