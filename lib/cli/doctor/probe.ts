import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { codeOf } from '../../util/errors.js'
import type { PortState } from './check.js'

const STATES: Readonly<Record<string, PortState>> = {
  EADDRINUSE: 'taken',
  EACCES: 'forbidden',
  EADDRNOTAVAIL: 'no-address',
  ENOTFOUND: 'no-address'
}
const CONNECT_MS_MAX = 2000

/** Listens for a moment, and connects to it as a client on this PC would. */
export async function probePort(host: string, port: number, address: string): Promise<PortState> {
  const server = createServer((socket) => socket.destroy())
  try {
    server.listen(port, host)
    await once(server, 'listening')
  } catch (error) {
    return STATES[codeOf(error)] ?? 'no-address'
  }
  const { port: own } = server.address() as { port: number }
  const reached = await canConnect(address, own)
  server.close()
  return reached ? 'free' : 'unreachable'
}

async function canConnect(address: string, port: number): Promise<boolean> {
  const socket = connect({ host: address, port, timeout: CONNECT_MS_MAX })
  socket.once('timeout', () => socket.destroy(new Error('no answer')))
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.on('error', () => undefined)
    socket.destroy()
  }
}
