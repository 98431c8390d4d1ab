/**
 * The process between the server and a console (see console.ts): standard input goes to standard error, descriptor 3
 * to standard output. Its writes may block for as long as they like. It ends with its inputs, which end with the
 * server; a Ctrl+C that reaches all processes of the console is for the server alone, whose last lines have to come.
 */
import { Socket } from 'node:net'

const SIGNALS: readonly NodeJS.Signals[] =
  process.platform === 'win32' ? ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGBREAK'] : ['SIGINT', 'SIGTERM', 'SIGHUP']

for (const signal of SIGNALS) process.on(signal, () => undefined)
// The console is gone, and with it all that there is to do.
for (const output of [process.stdout, process.stderr]) output.on('error', () => process.exit())

process.stdin.pipe(process.stderr)
new Socket({ fd: 3, readable: true, writable: false }).pipe(process.stdout)
