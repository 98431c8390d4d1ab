import { spawn, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'

/** CLOUDX_PROGRAM names another build than that of the clone. */
const PROGRAM = resolve(process.env.CLOUDX_PROGRAM ?? 'dist/cli/main.cjs')
/** How many processes every server of a run spreads its clients over. */
const WORKERS = process.env.CLOUDX_WORKERS
/** Only a bound: a start takes a second, and much longer on a PC that is busy with other things. */
const START_LIMIT_MS = 60_000
const STOP_LIMIT_MS = 30_000

export interface StartOptions {
  /** A free one when left out. */
  readonly port?: number
  /** What it listens on; 127.0.0.1 when left out. */
  readonly hosts?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  /** A program and its arguments that start the server, such as one that takes rights away. */
  readonly launcher?: readonly string[]
}

/** The real program, started as its user starts it, on a free loopback port. */
export class ServerProcess {
  readonly log: string[] = []
  private readonly child: ChildProcess
  private readonly exited: Promise<number | null>
  private readonly watchers = new Set<() => void>()

  private constructor(
    readonly port: number,
    args: readonly string[],
    { hosts = ['127.0.0.1'], environment = {}, launcher = [] }: StartOptions
  ) {
    if (!existsSync(PROGRAM)) throw new Error(`${PROGRAM} is missing: npm run build`)
    const env = { ...process.env, NODE_OPTIONS: '', ...environment }
    const places = [...hosts.flatMap((host) => ['--host', host]), '--port', String(port)]
    const workers = WORKERS !== undefined && !args.includes('--workers') ? ['--workers', WORKERS] : []
    const [program, ...line] = [...launcher, process.execPath, PROGRAM, ...args, ...places, ...workers]
    this.child = spawn(program!, line, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    this.exited = once(this.child, 'close').then(([code]) => code as number | null)
    for (const stream of [this.child.stdout!, this.child.stderr!]) {
      createInterface({ input: stream }).on('line', (line) => {
        this.log.push(line)
        for (const watcher of this.watchers) watcher()
      })
    }
  }

  /** Resolves when the server listens; fails with its log when it ends before. */
  static async start(args: readonly string[], options: StartOptions = {}): Promise<ServerProcess> {
    const server = new ServerProcess(options.port ?? (await freePort()), args, options)
    await server.logged(/Listening on/, START_LIMIT_MS)
    return server
  }

  /** Runs the program to its end, for starts that are refused; one that is not is stopped and fails. */
  static async run(
    args: readonly string[],
    options: StartOptions = {}
  ): Promise<{ code: number | null; log: string[] }> {
    const server = new ServerProcess(options.port ?? (await freePort()), args, options)
    const listens = server.logged(/Listening on/, START_LIMIT_MS).then(
      () => true,
      () => false
    )
    if (await listens) {
      await server.kill()
      throw server.problem('the server was expected to refuse, and listens')
    }
    return { code: await server.exited, log: server.log }
  }

  get pid(): number {
    return this.child.pid!
  }

  /** @param user - `name%secret` for CHAP */
  url(target: string, lun = 0, user?: string): string {
    return `iscsi://${user === undefined ? '' : `${user}@`}127.0.0.1:${this.port}/${target}/${lun}`
  }

  /** Resolves with the first line, past or future, that matches. */
  async logged(pattern: RegExp, limitMs = STOP_LIMIT_MS): Promise<string> {
    const found = () => this.log.find((line) => pattern.test(line))
    const ended = Symbol('ended')
    const line = found()
    if (line !== undefined) return line
    let watcher = () => {}
    let timer: NodeJS.Timeout | undefined
    const seen = new Promise<string>((resolve, reject) => {
      watcher = () => {
        const next = found()
        if (next !== undefined) resolve(next)
      }
      timer = setTimeout(() => reject(this.problem(`no line ${pattern} in the log`)), limitMs)
    })
    this.watchers.add(watcher)
    try {
      const first = await Promise.race([seen, this.exited.then(() => ended)])
      if (typeof first === 'string') return first
      throw this.problem(`the server ended before it logged ${pattern}`)
    } finally {
      clearTimeout(timer)
      seen.catch(() => {})
      this.watchers.delete(watcher)
    }
  }

  /** Every line that matches, so far. */
  lines(pattern: RegExp): string[] {
    return this.log.filter((line) => pattern.test(line))
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null
  }

  /** The exit code, when it has ended. */
  get ended(): Promise<number | null> {
    return this.exited
  }

  /** Asks the server to stop and answers its exit code. */
  stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (this.child.exitCode === null) this.child.kill(signal)
    return this.exited
  }

  /** Ends it as a power failure of the program would. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.exited
  }

  private problem(what: string): Error {
    return new Error(`${what}\n--- log of the server\n${this.log.join('\n')}`)
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

const POLL_MS = 20

/** Waits until something holds that nobody announces; what it gave at last is the answer. */
export async function until<T>(
  what: string,
  condition: () => T | Promise<T>,
  limitMs = STOP_LIMIT_MS
): Promise<NonNullable<T>> {
  const deadline = performance.now() + limitMs
  for (;;) {
    const value = await condition()
    if (value) return value
    if (performance.now() > deadline) throw new Error(`waited ${limitMs} ms in vain: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

/** A directory of its own for a spec, and how to get rid of it. */
export function workDirectory(place = tmpdir()): { path: string; remove: () => void } {
  const path = mkdtempSync(join(place, 'cloudx-e2e-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

export async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
  return hash.digest('hex')
}
