import { spawn, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

const PROGRAM = 'dist/cli/main.cjs'
const START_LIMIT_MS = 20_000
const STOP_LIMIT_MS = 30_000

/** The real program, started as its user starts it, on a free loopback port. */
export class ServerProcess {
  readonly log: string[] = []
  private readonly child: ChildProcess
  private readonly exited: Promise<number | null>
  private readonly watchers = new Set<() => void>()

  private constructor(
    readonly port: number,
    args: readonly string[]
  ) {
    if (!existsSync(PROGRAM)) throw new Error(`${PROGRAM} is missing: npm run build`)
    const env = { ...process.env, NODE_OPTIONS: '' }
    this.child = spawn(process.execPath, [PROGRAM, ...args, '--host', '127.0.0.1', '--port', String(port)], { env })
    this.exited = once(this.child, 'close').then(([code]) => code as number | null)
    for (const stream of [this.child.stdout!, this.child.stderr!]) {
      createInterface({ input: stream }).on('line', (line) => {
        this.log.push(line)
        for (const watcher of this.watchers) watcher()
      })
    }
  }

  /** Resolves when the server listens; fails with its log when it ends before. */
  static async start(args: readonly string[], port?: number): Promise<ServerProcess> {
    const server = new ServerProcess(port ?? (await freePort()), args)
    await server.logged(/Listening on/, START_LIMIT_MS)
    return server
  }

  /** Runs the program to its end: for starts that are refused. */
  static async run(args: readonly string[]): Promise<{ code: number | null; log: string[] }> {
    const server = new ServerProcess(await freePort(), args)
    return { code: await server.exited, log: server.log }
  }

  get pid(): number {
    return this.child.pid!
  }

  url(target: string, lun = 0): string {
    return `iscsi://127.0.0.1:${this.port}/${target}/${lun}`
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

/** A directory of its own for a spec, and how to get rid of it. */
export function workDirectory(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'cloudx-e2e-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

export async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
  return hash.digest('hex')
}
