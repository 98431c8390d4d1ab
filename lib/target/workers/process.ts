import { fork, type ChildProcess } from 'node:child_process'
import type { Socket } from 'node:net'
import type { Channel, Message } from './calls.js'
import type { WorkerProcess } from './workers.js'

/** Starts a process that runs main.ts beside this file, with a channel to it. */
export function startWorkerProcess(): WorkerProcess {
  const child = fork(new URL('./main.js', import.meta.url), [], {
    // Bytes and undefined cross it as they are.
    serialization: 'advanced',
    stdio: ['ignore', 'inherit', 'inherit', 'ipc']
  })
  // A channel that broke is a process that ends.
  child.on('error', () => child.kill('SIGKILL'))
  return {
    channel: channelOf(child),
    pid: child.pid,
    release: () => child.connected && child.disconnect(),
    kill: () => void child.kill('SIGKILL'),
    whenEnded: (ended) => void child.once('exit', (code, signal) => ended(signal ?? `exit code ${code}`))
  }
}

/** The channel of a child, or of this process to the one that started it. */
export function channelOf(end: Pick<ChildProcess, 'send' | 'on' | 'connected'>): Channel {
  return {
    send: (message, socket) => {
      // What has ended takes no message, and whoever looks after the process knows. A socket that Node takes out of our
      // hands stays open for ever when the process ends before it has it.
      if (end.connected) end.send(message, socket, { keepOpen: true })
    },
    receive: (take) => {
      end.on('message', (message, socket) => take(message as Message, socket as Socket | undefined))
    }
  }
}
