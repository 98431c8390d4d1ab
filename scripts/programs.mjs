/** The foreign programs that our suites use, and how they are installed. */
import { accessSync, constants, existsSync, readFileSync } from 'node:fs'
import { delimiter, isAbsolute, join } from 'node:path'
import { plainEnvironment } from './steps.mjs'

/** Program, or path of a file that programs read → Debian package. */
export const PROGRAMS = JSON.parse(readFileSync(new URL('programs.json', import.meta.url), 'utf8'))

/** Names of the programs that are not here. */
export function missingPrograms() {
  return Object.keys(PROGRAMS).filter((name) => !isInstalled(name))
}

/** The command that installs a program. */
export function installCommand(name) {
  return `apt-get install ${PROGRAMS[name]}`
}

function isInstalled(name) {
  if (isAbsolute(name)) return existsSync(name)
  return plainEnvironment()
    .PATH.split(delimiter)
    .some((folder) => isExecutable(join(folder, name)) || isExecutable(join(folder, `${name}.exe`)))
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
