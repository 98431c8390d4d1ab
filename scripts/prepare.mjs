/**
 * Makes a fresh clone ready: installs the packages and builds, each only when needed. Uses nothing but Node itself,
 * because it runs before anything is installed.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('..', import.meta.url))

const BUILD_INPUTS = ['lib', 'tsconfig.json', 'tsconfig.build.json', 'package.json']

/**
 * @param {{ root?: string, build?: boolean }} options the folder of the project; false when dist is not needed
 */
export function prepare({ root = ROOT, build: wanted = true } = {}) {
  if (!isInstalled(root)) install(root)
  if (wanted && !isBuilt(root)) build(root)
}

/** True when node_modules holds every package of the lock file that this platform needs, in its version. */
export function isInstalled(root) {
  const locked = packagesOf(join(root, 'package-lock.json'))
  const present = packagesOf(join(root, 'node_modules', '.package-lock.json'))
  if (locked === undefined || present === undefined) return false
  return Object.entries(locked).every(([path, { version, optional }]) => {
    if (path === '') return true
    // An optional package may be absent, since it may be one for another platform.
    return present[path] === undefined ? optional === true : present[path].version === version
  })
}

export function isBuilt(root) {
  try {
    return readFileSync(join(root, 'dist', '.stamp'), 'utf8') === sourceHash(root)
  } catch {
    return false
  }
}

function install(root) {
  say('Installing the packages (npm ci); this takes a minute the first time …')
  // Without --include=dev a NODE_ENV of "production" would leave out the compiler.
  run(npmCommand(), ['ci', '--include=dev', '--no-audit', '--no-fund'], root, 'The packages could not be installed')
}

/** Builds beside dist and swaps, so that neither a failed nor a second build at the same time leaves half a dist. */
function build(root) {
  say('Building …')
  const hash = sourceHash(root)
  const fresh = mkdtempSync(join(root, 'node_modules', '.cloudx-build-'))
  try {
    const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
    run([process.execPath, tsc], ['-p', 'tsconfig.build.json', '--outDir', fresh], root, 'The build failed')
    writeFileSync(join(fresh, '.stamp'), hash)
    rmSync(join(root, 'dist'), { recursive: true, force: true })
    renameSync(fresh, join(root, 'dist'))
  } catch (error) {
    // Another build that was quicker is as good.
    if (!isBuilt(root)) throw error
  } finally {
    rmSync(fresh, { recursive: true, force: true })
  }
  say('Built.')
}

/** Content and not time: a checkout gives every file a new time. */
function sourceHash(root) {
  const hash = createHash('sha256')
  for (const path of BUILD_INPUTS.flatMap((input) => filesOf(root, input))) {
    hash
      .update(`${path}\0`)
      .update(readFileSync(join(root, path)))
      .update('\0')
  }
  return hash.digest('hex')
}

function filesOf(root, path) {
  if (!existsSync(join(root, path))) return []
  try {
    const names = readdirSync(join(root, path)).sort()
    return names.flatMap((name) => filesOf(root, `${path}/${name}`))
  } catch (error) {
    if (error.code === 'ENOTDIR') return [path]
    throw error
  }
}

function packagesOf(lockFile) {
  try {
    return JSON.parse(readFileSync(lockFile, 'utf8')).packages
  } catch {
    return undefined
  }
}

/** The npm that runs us, else the one of the path. On Windows that one is a batch file, which only a shell starts. */
export function npmCommand() {
  const own = process.env.npm_execpath
  if (own !== undefined && /npm-cli\.c?js$/.test(own)) return [process.execPath, own]
  return [process.platform === 'win32' ? 'npm.cmd' : 'npm']
}

function run([program, ...first], rest, cwd, failure) {
  const shell = program.endsWith('.cmd')
  const { status, error } = spawnSync(program, [...first, ...rest], { cwd, stdio: ['ignore', 2, 2], shell })
  if (error) throw new Error(`${failure}: ${error.message}`)
  if (status !== 0) throw new Error(`${failure}; the lines above tell why.`)
}

/** Progress goes to standard error: standard output belongs to the program that is started afterwards. */
function say(line) {
  process.stderr.write(`cloudx: ${line}\n`)
}
