import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { schedulerTimes } from './cpu.js'

/** A target that is measured: a process of its own, listening on the loopback address. */
export interface Server {
  readonly name: ServerName | 'minimal'
  readonly port: number
  readonly lun: number
  readonly process: ChildProcess
  readonly image: string
  /** CPU time of all its threads so far, in nanoseconds. */
  cpuNs(): number
  /** Time that its threads were ready and had no processor, in nanoseconds. */
  waitedNs(): number
  stop(): Promise<void>
}

export type ServerName = 'cloudx' | 'tgtd'

export const TARGET_NAME = 'iqn.2010-04.local.cloudx:bench'
export const HOST = '127.0.0.1'
/** Our unit, but for the port. */
export const UNIT = { host: HOST, target: TARGET_NAME, lun: 0, digests: false }

/**
 * Our own server, built, with every check, the journal and the log on, as a user starts it.
 * @param more - further arguments
 */
export async function startCloudx(
  root: string,
  folder: string,
  image: string,
  port: number,
  more: readonly string[] = []
): Promise<Server> {
  await refuseUsed(port)
  const options = ['--host', HOST, '--port', `${port}`, '--target-name', TARGET_NAME, '--undo', '0']
  const state = ['--state-dir', join(folder, 'state')]
  const child = start(
    process.execPath,
    [join(root, 'dist/cli/main.cjs'), 'serve', image, ...options, ...state, ...more],
    folder
  )
  return ready({ name: 'cloudx', port, lun: 0, child, image })
}

/** tgtd with what its package presets, 16 threads for I/O among it. LUN 0 is its controller, so the disk is LUN 1. */
export async function startTgtd(folder: string, image: string, port: number): Promise<Server> {
  await refuseUsed(port)
  const control = `${port}`
  const environment = { ...process.env, TGT_IPC_SOCKET: join(folder, 'tgtd-socket') }
  const child = start('tgtd', ['-f', '-C', control, '--iscsi', `portal=${HOST}:${port}`], folder, environment)
  const server = await ready({ name: 'tgtd', port, lun: 1, child, image })
  const admin = (...args: string[]) => tgtadm(environment, ['-C', control, '--lld', 'iscsi', ...args])
  admin('--op', 'new', '--mode', 'target', '--tid', '1', '-T', TARGET_NAME)
  admin('--op', 'new', '--mode', 'logicalunit', '--tid', '1', '--lun', '1', '-b', image)
  // Its preset for both digests is None alone.
  for (const name of ['HeaderDigest', 'DataDigest']) {
    admin('--op', 'update', '--mode', 'target', '--tid', '1', '--name', name, '--value', 'CRC32C,None')
  }
  admin('--op', 'bind', '--mode', 'target', '--tid', '1', '-I', 'ALL')
  return server
}

/** See minimal.ts. */
export async function startMinimal(folder: string, image: string, port: number): Promise<Server> {
  await refuseUsed(port)
  const program = fileURLToPath(new URL('minimal.js', import.meta.url))
  const child = start(process.execPath, [program, image, `${port}`], folder)
  return ready({ name: 'minimal', port, lun: 0, child, image })
}

function tgtadm(env: NodeJS.ProcessEnv, args: readonly string[]): void {
  const { status, stderr, error } = spawnSync('tgtadm', args, { env, encoding: 'utf8' })
  if (error) throw error
  if (status !== 0) throw new Error(`tgtadm ${args.join(' ')}: ${stderr}`)
}

function start(program: string, args: readonly string[], folder: string, env = process.env): ChildProcess {
  const log = openSync(join(folder, `${program === 'tgtd' ? 'tgtd' : 'cloudx'}.log`), 'a')
  const child = spawn(program, args, { env, stdio: ['ignore', log, log] })
  closeSync(log)
  endWithUs(child)
  return child
}

/** A server that outlives a bench that was broken off would be what the next one measures. */
function endWithUs(child: ChildProcess): void {
  const kill = () => void child.kill('SIGKILL')
  process.prependOnceListener('exit', kill)
  child.once('exit', () => process.off('exit', kill))
}

interface Started {
  readonly name: Server['name']
  readonly port: number
  readonly lun: number
  readonly child: ChildProcess
  readonly image: string
}

async function ready({ name, port, lun, child, image }: Started): Promise<Server> {
  let gone: string | undefined
  child.on('error', (error) => (gone = error.message))
  child.on('exit', (code) => (gone ??= `it ended with code ${code}`))
  for (let tries = 0; !(await accepts(port)); tries++) {
    if (gone !== undefined || tries === START_TRIES_MAX)
      throw new Error(`${name} does not start: ${gone ?? 'too slow'}`)
    await new Promise((resolve) => setTimeout(resolve, START_TRY_MS))
  }
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const exit = once(child, 'exit')
    // tgtd does not obey SIGTERM while it has targets.
    child.kill(name === 'tgtd' ? 'SIGKILL' : 'SIGTERM')
    await exit
  }
  const cpuNs = () => schedulerTimes(child.pid!).ranNs
  const waitedNs = () => schedulerTimes(child.pid!).waitedNs
  return { name, port, lun, process: child, image, cpuNs, waitedNs, stop }
}

async function refuseUsed(port: number): Promise<void> {
  if (await accepts(port)) throw new Error(`another program listens on port ${port} of ${HOST}: it would be measured`)
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, HOST)
    socket.on('connect', () => resolve(true))
    socket.on('error', () => resolve(false))
    socket.on('connect', () => socket.destroy())
  })
}

const START_TRIES_MAX = 300
const START_TRY_MS = 100
