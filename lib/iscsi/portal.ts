import { createServer, type Server, type Socket, type AddressInfo } from 'node:net'
import { IscsiError, codeOf } from '../util/errors.js'

const BACKLOG = 512

/** A network portal (RFC 7143 §3.1): one listening address and port. */
export class Portal {
  private readonly server: Server

  constructor(
    readonly host: string,
    readonly port: number,
    accept: (socket: Socket) => void
  ) {
    // Paused, so that no byte is read before the connection has put its ring in place.
    this.server = createServer({ pauseOnConnect: true, noDelay: true }, accept)
  }

  /** @returns the address in use; the port is the real one when 0 was asked for */
  async listen(): Promise<{ address: string; port: number }> {
    await new Promise<void>((resolve, reject) => {
      const failed = (error: Error) => reject(this.explain(error))
      this.server.once('error', failed)
      this.server.listen({ host: this.host, port: this.port, backlog: BACKLOG }, () => {
        this.server.off('error', failed)
        this.server.on('error', () => {})
        resolve()
      })
    })
    const { address, port } = this.server.address() as AddressInfo
    return { address, port }
  }

  /** Accepts nobody any more. The connections that exist are not touched. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      if (!this.server.listening) return resolve()
      this.server.close(() => resolve())
    })
  }

  /** No new connections; does not wait for the old ones. */
  stopListening(): void {
    if (this.server.listening) this.server.close()
  }

  private explain(error: Error): IscsiError {
    const where = `${this.host}:${this.port}`
    const reasons: Record<string, string> = {
      EADDRINUSE: `Port ${this.port} on ${this.host} is taken by another program; choose another one with --port.`,
      EACCES: `No permission to listen on ${where}; ports below 1024 are reserved, choose another one with --port.`,
      EADDRNOTAVAIL: `${this.host} is not an address of this computer; see --host.`,
      ENOTFOUND: `The name ${this.host} is not known; see --host.`
    }
    const code = codeOf(error)
    return new IscsiError(code, reasons[code] ?? `Cannot listen on ${where}: ${error.message}`, { cause: error })
  }
}
