/**
 * Where a server that runs for days writes. A write to a terminal waits until the terminal takes it: for ever, while
 * text is selected in a console window of Windows or after Ctrl+S. Node does such a write in the thread that serves
 * the clients, so one selected word would stop all their disks. Therefore a process of its own writes to a console
 * (console-pump.ts): the pipe to it never blocks, and what the log keeps for it is bounded (util/bounded-output.ts).
 *
 * A thread would do on the way in and not on the way out, because a process waits for its threads when it ends. Files
 * and, except on Windows, pipes need none of this.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { Socket } from 'node:net'
import type { Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'

/** How long a console may take to show the last lines; one that stands still must not keep a server from ending. */
const LAST_LINES_MS_MAX = 1000

export interface Console {
  readonly stdout: NodeJS.WritableStream
  readonly stderr: NodeJS.WritableStream
  /** Resolves when the last line is shown, or cannot be. */
  close(): Promise<void>
}

/** Starts the process that writes; its input is standard error, its descriptor 3 standard output. */
export type StartPump = () => ChildProcess

/** Puts a pump in front of the streams that could block; others are handed back as they are. */
export function openConsole(
  stdout: NodeJS.WritableStream,
  stderr: NodeJS.WritableStream,
  platform: NodeJS.Platform = process.platform,
  startPump: StartPump = spawnPump
): Console {
  const pumped = [stdout, stderr].map((stream) => canBlock(stream, platform))
  if (!pumped.includes(true)) return { stdout, stderr, close: () => Promise.resolve() }
  const pump = startPump()
  const inputs = [pump.stdio[3] as Writable, pump.stdin!]
  // Without the process (it was killed, or never came up) lines are lost, and the server lives on.
  for (const emitter of [pump, ...inputs]) emitter.on('error', () => undefined)
  return {
    stdout: pumped[0] ? inputs[0]! : stdout,
    stderr: pumped[1] ? inputs[1]! : stderr,
    close: () => closePump(pump, inputs)
  }
}

function canBlock(stream: NodeJS.WritableStream, platform: NodeJS.Platform): boolean {
  if ((stream as Partial<NodeJS.WriteStream>).isTTY === true) return true
  return platform === 'win32' && stream instanceof Socket
}

function spawnPump(): ChildProcess {
  const program = fileURLToPath(new URL('console-pump.js', import.meta.url))
  const pump = spawn(process.execPath, [program], { stdio: ['pipe', 'inherit', 'inherit', 'pipe'] })
  pump.unref()
  for (const input of [pump.stdin, pump.stdio[3]]) (input as Socket | null)?.unref()
  return pump
}

async function closePump(pump: ChildProcess, inputs: readonly Writable[]): Promise<void> {
  if (pump.pid === undefined || pump.exitCode !== null || pump.signalCode !== null) return
  const ended = once(pump, 'exit')
  for (const input of inputs) input.end()
  const timer = setTimeout(() => pump.kill('SIGKILL'), LAST_LINES_MS_MAX)
  await ended
  clearTimeout(timer)
}
