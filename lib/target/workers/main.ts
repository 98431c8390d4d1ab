import { format } from 'node:util'
import { channelOf } from './process.js'
import { Worker } from './worker.js'
import type { ChildProcess } from 'node:child_process'

/** The program of a worker process; see workers.ts. */
const worker = new Worker(channelOf(process as unknown as ChildProcess))

// The front decides when the clients have to go: a key at the terminal, or a service manager, signals all processes.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGBREAK'] as const) process.on(signal, () => undefined)

// Without the front nobody holds the state directories, so nothing may be written any more.
process.on('disconnect', () => process.exit(0))

// A promise that nobody looked after is a mistake of ours that must not end everybody's sessions.
process.on('unhandledRejection', (reason) => worker.log('error', `A mistake in the server: ${format(reason)}`))
