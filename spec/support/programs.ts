import { execFileSync, spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { isAbsolute } from 'node:path'
import { afterEach, describe } from '@jest/globals'

export interface Outcome {
  readonly code: number | null
  /** Standard output and error, as they came. */
  readonly output: string
}

/** Runs a program that is not ours to its end. */
export async function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const child = spawn(program, args, {
    timeout: options.limitMs ?? 60_000,
    killSignal: 'SIGKILL',
    cwd: options.cwd,
    env: { ...process.env, ...options.environment }
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    // A character of several bytes can be cut in two by the pipe.
    stream.setEncoding('utf8').on('data', (chunk: string) => (output += chunk))
  }
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, output }
}

/** Runs a program that must succeed, and answers its output. */
export async function succeed(program: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, output } = await run(program, args, options)
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${code}:\n${output}`)
  return output
}

export interface RunOptions {
  readonly limitMs?: number
  readonly cwd?: string
  readonly environment?: Readonly<Record<string, string>>
}

/** @param program - its name, or the path of a file that programs read */
export function isInstalled(program: string): boolean {
  if (isAbsolute(program)) return existsSync(program)
  try {
    execFileSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/**
 * A group of specs that need programs which may be missing. Without them it is skipped, and `npm test` has said so;
 * with CI=true it fails.
 */
export function describeWith(programs: readonly string[], title: string, body: () => void): void {
  const missing = programs.filter((program) => !isInstalled(program))
  if (missing.length === 0 || process.env.CI === 'true') describe(title, body)
  else describe.skip(`${title} (missing: ${missing.join(', ')})`, body)
}

/** A group of specs for which this computer may lack something else than a program; the reason stands in the title. */
export function describeWhen(possible: boolean, reason: string, title: string, body: () => void): void {
  if (possible) describe(title, body)
  else describe.skip(`${title} (${reason})`, body)
}

const alive = new Set<ChildProcessWithoutNullStreams>()
// A spec that failed half-way has left them, and the runner would wait for them for ever.
afterEach(() => {
  for (const child of alive) child.kill('SIGKILL')
})

/** QEMU's own initiator in an interactive qemu-io: one session for as long as it lives. */
export class QemuIo {
  private readonly child: ChildProcessWithoutNullStreams
  private output = ''
  private waiting: (() => void) | undefined

  private constructor(options: QemuIoOptions) {
    const image = [
      'driver=iscsi',
      'transport=tcp',
      `portal=127.0.0.1:${options.port}`,
      `target=${options.target}`,
      `lun=${options.lun ?? 0}`,
      `initiator-name=${options.initiatorName}`,
      ...(options.headerDigest ? ['header-digest=crc32c'] : []),
      ...(options.chap ? [`user=${options.chap.user}`, 'password-secret=chap'] : []),
      ...(options.readOnly ? ['read-only=on'] : [])
    ].join(',')
    const secret = options.chap ? ['--object', `secret,id=chap,data=${options.chap.secret}`] : []
    const mode = options.readOnly ? ['-r'] : []
    this.child = spawn('qemu-io', [...secret, ...mode, '--image-opts', image])
    alive.add(this.child)
    // A command that is sent to a program that has ended fails by its answer.
    this.child.stdin.on('error', () => {})
    const take = (chunk: Buffer) => {
      this.output += chunk.toString()
      this.waiting?.()
    }
    this.child.stdout.on('data', take)
    this.child.stderr.on('data', take)
    this.child.on('close', () => {
      alive.delete(this.child)
      this.waiting?.()
    })
  }

  static async open(options: QemuIoOptions): Promise<QemuIo> {
    const qemu = new QemuIo(options)
    await qemu.prompt()
    return qemu
  }

  get pid(): number {
    return this.child.pid!
  }

  /** Runs one command of qemu-io and answers what it printed. */
  async command(line: string): Promise<string> {
    this.output = ''
    this.child.stdin.write(`${line}\n`)
    return this.prompt()
  }

  /** Writes `pattern` to a range; throws when that failed. */
  async write(pattern: number, offset: number, length: number): Promise<void> {
    const printed = await this.command(`write -P ${pattern} ${offset} ${length}`)
    if (!printed.includes(`wrote ${length}/${length}`)) throw new Error(`write at ${offset}: ${printed}`)
  }

  /** True when the whole range holds `pattern`. */
  async holds(pattern: number, offset: number, length: number): Promise<boolean> {
    const printed = await this.command(`read -P ${pattern} ${offset} ${length}`)
    if (!printed.includes(`read ${length}/${length}`)) throw new Error(`read at ${offset}: ${printed}`)
    return !printed.includes('Pattern verification failed')
  }

  /** Leaves as a program does that is closed: with a logout. */
  async quit(): Promise<void> {
    this.child.stdin.write('quit\n')
    await this.gone()
  }

  /** Vanishes without a logout, as a PC does that loses its power. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.gone()
  }

  private async gone(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, 'close')
  }

  private async prompt(): Promise<string> {
    while (!this.output.endsWith('qemu-io> ')) {
      if (this.child.exitCode !== null || this.child.signalCode !== null)
        throw new Error(`qemu-io ended: ${this.output}`)
      await new Promise<void>((resolve) => (this.waiting = resolve))
    }
    return this.output
  }
}

export interface QemuIoOptions {
  readonly port: number
  readonly target: string
  readonly initiatorName: string
  readonly lun?: number
  readonly headerDigest?: boolean
  readonly chap?: { readonly user: string; readonly secret: string }
  readonly readOnly?: boolean
}
