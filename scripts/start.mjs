/**
 * `npm start`: installs and builds when needed, then runs the command line in this process, so that signals and a
 * closed console reach the server without a hop.
 */
import { clearInterval, setInterval, setTimeout } from 'node:timers'
import { readBack } from './npm-options.mjs'
import { prepare } from './prepare.mjs'

/** A handle that something forgot must not keep a finished program alive. */
const EXIT_MS_MAX = 2000
/** How often we look whether the shell that npm put between us is still there. */
const PARENT_CHECK_MS = 500

process.exitCode = await start()
setTimeout(() => process.exit(), EXIT_MS_MAX).unref()

async function start() {
  try {
    prepare()
    const args = await meantArguments(process.argv.slice(2))
    // npm changes to the folder of the project, but "./share.img" is meant from where the person is.
    if (process.env.INIT_CWD !== undefined && isNpmStart()) process.chdir(process.env.INIT_CWD)
    if (isNpmStart()) stopWithParent()
    const { main } = await import('../dist/cli/index.js')
    return await main(args)
  } catch (error) {
    process.stderr.write(`cloudx: ${error.message}\n`)
    return 1
  }
}

async function meantArguments(args) {
  if (!isNpmStart()) return args
  const { isOption, SETTING_KEYS, settingOf } = await import('../dist/target/config/settings.js')
  const settings = SETTING_KEYS.filter(isOption)
  const options = settings.map((name) => ({ name, isSwitch: settingOf(name).kind.placeholder === '' }))
  return readBack(args, process.env, [...options, { name: 'config', isSwitch: false }])
}

/**
 * A SIGTERM for npm ends npm and its shell, which does not pass it on: without this the server would go on, unseen, and
 * hold its port. The loss of the parent is taken like a closed console.
 */
function stopWithParent() {
  const parent = process.ppid
  const timer = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(timer)
    process.kill(process.pid, 'SIGHUP')
  }, PARENT_CHECK_MS)
  timer.unref()
}

function isNpmStart() {
  return process.env.npm_lifecycle_event === 'start'
}
