import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

/**
 * The way between an initiator and the server, which breaks as planned. Each connection that has carried so many bytes
 * meets the next fault of the plan; when the plan is used up, everything gets through.
 */
export type Fault =
  /** Both ends see an orderly end (FIN). */
  | 'cut'
  /** Both ends see a reset (RST). */
  | 'reset'
  /** Nothing comes through any more, and nobody is told; the server keeps its end until the proxy closes. */
  | 'stall'

export class FaultyProxy {
  /** Faults that have happened, in order. */
  readonly happened: Fault[] = []
  connectionCount = 0
  private readonly server: Server
  private readonly sockets = new Set<Socket>()
  private readonly plan: Fault[]

  private constructor(
    private readonly targetPort: number,
    plan: readonly Fault[],
    private readonly faultAfterBytes: number
  ) {
    this.plan = [...plan]
    this.server = createServer((client) => this.join(client))
  }

  /** @param faultAfterBytes - what a connection carries, both ways together, before its fault */
  static async listen(targetPort: number, plan: readonly Fault[], faultAfterBytes: number): Promise<FaultyProxy> {
    const proxy = new FaultyProxy(targetPort, plan, faultAfterBytes)
    proxy.server.listen(0, '127.0.0.1')
    await once(proxy.server, 'listening')
    return proxy
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    this.server.close()
    await once(this.server, 'close')
  }

  private join(client: Socket): void {
    this.connectionCount++
    const server = connect(this.targetPort, '127.0.0.1')
    let carried = 0
    let isBroken = false
    const carry = (from: Socket, to: Socket) => {
      this.sockets.add(from)
      from.setNoDelay(true)
      from.on('data', (chunk: Buffer) => {
        if (isBroken) return
        carried += chunk.length
        if (carried > this.faultAfterBytes && this.plan.length > 0) {
          isBroken = true
          return this.fail(this.plan.shift()!, from, to)
        }
        if (!to.write(chunk)) from.pause()
      })
      to.on('drain', () => from.resume())
      from.on('error', () => {})
      from.on('close', () => {
        this.sockets.delete(from)
        // After a stall the server is not told that the client has given up.
        if (!isBroken) to.destroy()
      })
    }
    carry(client, server)
    carry(server, client)
  }

  private fail(fault: Fault, one: Socket, other: Socket): void {
    this.happened.push(fault)
    for (const socket of [one, other]) {
      if (fault === 'cut') socket.end()
      else if (fault === 'reset') socket.resetAndDestroy()
    }
  }
}
