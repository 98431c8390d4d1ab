import { resolve } from 'node:path'
import { checkedKey } from './entries.js'
import type { Entries, Entry, Problems } from './entries.js'
import { onOff } from './kinds.js'
import { isSettingKey, settingOf, type SettingKey } from './settings.js'

/** The image of a unit and what is said of this unit alone. */
export interface UnitPath {
  /** Absolute, or `scheme:…` of a driver. */
  readonly path: string
  readonly unit: Entries
}

/**
 * Takes `disk.img,partition=2,shared` apart. Only `,word=value` at the end is a setting, and `,word` where the word is one
 * that is on or off, so commas in file names stay; a file whose name ends like one is written as `path:` in the
 * configuration file.
 */
export function unitPath(entry: Entry, problems: Problems): UnitPath {
  if (entry.unit !== undefined) return { path: absolute(entry.text, entry.directory), unit: entry.unit }
  const unit = new Map<SettingKey, readonly Entry[]>()
  let path = entry.text
  for (let match = lastSetting(path); match !== null; match = lastSetting(path)) {
    const [whole, name, text] = match as unknown as [string, string, string | undefined]
    const where = `${entry.where} ${entry.text}`
    const key = checkedKey(name, 'unit', where, problems)
    if (key !== undefined)
      unit.set(key, [{ text: text ?? 'true', where: `${where}: ${key}`, directory: entry.directory }])
    path = path.slice(0, -whole.length)
  }
  return { path: absolute(path, entry.directory), unit }
}

function lastSetting(path: string): RegExpExecArray | null {
  const match = /,([a-z][a-z-]*)(?:=([^,=]*))?$/.exec(path)
  return match && (match[2] !== undefined || isSwitch(match[1]!)) ? match : null
}

/** `,shared` says as much as `,shared=true`. */
function isSwitch(name: string): boolean {
  return isSettingKey(name) && settingOf(name).kind === onOff && settingOf(name).scope.startsWith('unit')
}

/** A scheme has two letters at least, so that `C:\share.img` stays a path. */
function absolute(path: string, directory: string): string {
  return /^[a-z][a-z0-9+.-]+:/i.test(path) ? path : resolve(directory, path)
}
