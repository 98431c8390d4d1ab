import { once } from 'node:events'
import { lstat, unlink } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { connect } from 'node:net'
import type { Control } from '../target/control.js'
import { codeOf } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import { endpointOf, withEndpoint } from './endpoint.js'
import { AdminError } from './errors.js'
import { makeHandler } from './handler.js'
import { CONNECTIONS_MAX, HEADER_BYTES_MAX, HEADERS_TIME_MS, IDLE_TIME_MS, REQUEST_TIME_MS } from './limits.js'
import { routes } from './routes/index.js'

export interface AdminServerOptions {
  readonly control: Control
  /** Of the program. */
  readonly version: string
  readonly log: Logger
}

/** Only the user who runs the server may connect. */
const SOCKET_UMASK = 0o177

/**
 * The control channel of a running server: the routes over a socket in each of its state directories, so that whoever
 * knows one of its images finds it. The file system says who may: mode 0600, in a directory of mode 0700.
 */
export class AdminServer {
  private readonly servers = new Map<string, Server>()

  constructor(private readonly options: AdminServerOptions) {}

  /**
   * The caller holds the lock of the state directory, so a socket that lies there and answers nobody is left from a
   * server that was killed.
   * @throws AdminError ERR_ADMIN_TAKEN when somebody answers all the same, or what listen gives
   */
  async listen(stateDirectory: string): Promise<void> {
    const server = createServer(
      {
        maxHeaderSize: HEADER_BYTES_MAX,
        headersTimeout: HEADERS_TIME_MS,
        requestTimeout: REQUEST_TIME_MS,
        keepAliveTimeout: IDLE_TIME_MS,
        connectionsCheckingInterval: HEADERS_TIME_MS
      },
      makeHandler(routes, this.options, this.options.log)
    )
    server.maxConnections = CONNECTIONS_MAX
    server.setTimeout(IDLE_TIME_MS)
    await withEndpoint(stateDirectory, async (path) => {
      await clearStale(path)
      await listenPrivately(server, path)
    })
    // A control channel must not keep the process alive, nor end it.
    server.unref()
    server.on('error', (error) => this.options.log.warn(`control channel: ${error.message}`))
    this.servers.set(stateDirectory, server)
  }

  /** Ends what is under way, and takes the sockets away. */
  async close(): Promise<void> {
    for (const [stateDirectory, server] of this.servers) {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
      if (process.platform !== 'win32') await unlink(endpointOf(stateDirectory)).catch(() => undefined)
    }
    this.servers.clear()
  }
}

/** The socket has its mode from the moment it is there: the address is bound within the call of listen. */
async function listenPrivately(server: Server, path: string): Promise<void> {
  const listening = once(server, 'listening')
  const before = process.umask(SOCKET_UMASK)
  try {
    server.listen(path)
  } finally {
    process.umask(before)
  }
  await listening
}

async function clearStale(path: string): Promise<void> {
  if (process.platform === 'win32') return
  const found = await lstat(path).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  })
  if (!found) return
  if (!found.isSocket()) throw new AdminError('ERR_ADMIN_TAKEN', `${path} is in the way and no socket; remove it`)
  if (await answers(path)) throw new AdminError('ERR_ADMIN_TAKEN', `${path} belongs to a server that runs`)
  await unlink(path)
}

/** Somebody has the socket open. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', (error) => {
      if (codeOf(error) === 'ECONNREFUSED' || codeOf(error) === 'ENOENT') resolve(false)
      // A full backlog belongs to somebody.
      else if (codeOf(error) === 'EAGAIN') resolve(true)
      else reject(error)
    })
  })
}
