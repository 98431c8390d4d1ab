import { execFile } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readFile, readdir, statfs } from 'node:fs/promises'
import { networkInterfaces } from 'node:os'

export interface Outcome {
  readonly code: number
  /** Standard output. */
  readonly output: string
}

/** What is asked of this PC. A spec answers with what Windows, macOS and Linux were seen to say. */
export interface System {
  readonly platform: NodeJS.Platform
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly now: () => Date
  /** Runs a program to its end; undefined when there is none, or when it took too long. */
  run(program: string, args: readonly string[]): Promise<Outcome | undefined>
  /** The text of a small file; undefined when it cannot be read. */
  read(path: string): Promise<string | undefined>
  /** The names in a folder; empty when there is none. */
  list(path: string): Promise<readonly string[]>
  interfaces(): ReturnType<typeof networkInterfaces>
  /** The address that this PC reaches the rest of the world from; undefined without a way there. */
  routeAddress(family: 4 | 6): Promise<string | undefined>
  /** Bytes of the file system that holds a path. */
  space(path: string): Promise<{ readonly freeBytes: number; readonly sizeBytes: number } | undefined>
}

/** How long one program may take; a first PowerShell needs some seconds. */
const PROGRAM_MS_MAX = 15_000
const OUTPUT_BYTES_MAX = 2 ** 20
/** Addresses of the documentation networks (RFC 5737, RFC 3849): routed by default, and nobody is there. */
const FAR_AWAY = { 4: '198.51.100.1', 6: '2001:db8::1' } as const

export const thisSystem: System = {
  platform: process.platform,
  environment: process.env,
  now: () => new Date(),
  run: (program, args) =>
    new Promise((resolve) => {
      const options = { timeout: PROGRAM_MS_MAX, maxBuffer: OUTPUT_BYTES_MAX, windowsHide: true } as const
      const environment = { ...process.env, LC_ALL: 'C' }
      execFile(program, [...args], { ...options, env: environment }, (error, output) => {
        const code = error ? error.code : 0
        resolve(typeof code === 'number' ? { code, output } : undefined)
      }).on('error', () => resolve(undefined))
    }),
  read: (path) => readFile(path, 'utf8').catch(() => undefined),
  list: (path) => readdir(path).catch(() => []),
  interfaces: networkInterfaces,
  routeAddress,
  space: (path) =>
    statfs(path).then(
      ({ bsize, bavail, blocks }) => ({ freeBytes: bavail * bsize, sizeBytes: blocks * bsize }),
      () => undefined
    )
}

/** Connecting a datagram socket sends nothing; it makes the system choose a route and with it our address. */
async function routeAddress(family: 4 | 6): Promise<string | undefined> {
  const socket = createSocket(family === 4 ? 'udp4' : 'udp6')
  try {
    const connected = once(socket, 'connect')
    socket.connect(9, FAR_AWAY[family])
    await connected
    return socket.address().address
  } catch {
    return undefined
  } finally {
    socket.close()
  }
}

/** Runs a line of Windows PowerShell. */
export async function powerShell(system: System, line: string): Promise<string | undefined> {
  const outcome = await system.run('powershell.exe', ['-NoProfile', '-NonInteractive', '-Command', line])
  return outcome?.code === 0 ? outcome.output : undefined
}
