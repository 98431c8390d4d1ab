import type { Socket } from 'node:net'
import { codeOf, messageOf } from '../../util/errors.js'
import { TargetError } from '../errors.js'

/** One end of the channel between two processes. Messages arrive whole and in order; a socket may come with one. */
export interface Channel {
  /** A socket stays open here until somebody destroys it. */
  send(message: Message, socket?: Socket): void
  /** Called once, before the first message can come. */
  receive(take: (message: Message, socket: Socket | undefined) => void): void
}

/** What crosses the channel: plain values and buffers, as the structured clone algorithm takes them. */
export type Message =
  | { readonly kind: 'call'; readonly id: number | undefined; readonly name: string; readonly args: readonly unknown[] }
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'failure'; readonly id: number; readonly code: string; readonly message: string }

/** What the other side may call. */
export type Handlers = Readonly<Record<string, (...args: never[]) => unknown>>

/**
 * Calls between two processes, both ways. A call is a name and plain values; what it throws arrives at the caller as
 * a TargetError of the same code and sentence.
 */
export class Calls {
  private readonly waiting = new Map<number, Waiting>()
  private lastId = 0
  private cause: Error | undefined

  /** @param handlers - called with the values, and the socket behind them when one came */
  constructor(
    private readonly channel: Channel,
    private readonly handlers: Handlers
  ) {
    channel.receive((message, socket) => this.received(message, socket))
  }

  /** @throws TargetError what the other side threw, or `ERR_ISCSI_WORKER` when it ended */
  call(name: string, ...args: readonly unknown[]): Promise<unknown> {
    if (this.cause) return Promise.reject(this.cause)
    const id = ++this.lastId
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject })
      this.channel.send({ kind: 'call', id, name, args })
    })
  }

  /** A call that is not answered. */
  tell(name: string, ...args: readonly unknown[]): void {
    if (!this.cause) this.channel.send({ kind: 'call', id: undefined, name, args })
  }

  /**
   * A call with a socket, which is the other side's from then on. Here it is closed as soon as the other side has it,
   * or has ended.
   */
  give(name: string, args: readonly unknown[], socket: Socket): void {
    const left = () => void socket.destroy()
    if (this.cause) return left()
    const id = ++this.lastId
    this.waiting.set(id, { resolve: left, reject: left })
    this.channel.send({ kind: 'call', id, name, args }, socket)
  }

  /** The other side has ended; whoever waits for an answer gets none. */
  end(cause: Error): void {
    this.cause ??= cause
    for (const { reject } of this.waiting.values()) reject(cause)
    this.waiting.clear()
  }

  private received(message: Message, socket: Socket | undefined): void {
    if (message.kind === 'call') return void this.answer(message, socket)
    const waiting = this.waiting.get(message.id)
    this.waiting.delete(message.id)
    if (message.kind === 'answer') waiting?.resolve(message.value)
    else waiting?.reject(new TargetError(message.code, message.message))
  }

  private async answer({ id, name, args }: Message & { kind: 'call' }, socket: Socket | undefined): Promise<void> {
    try {
      const handler = (Object.hasOwn(this.handlers, name) ? this.handlers[name] : undefined) as
        | ((...args: unknown[]) => unknown)
        | undefined
      if (!handler) throw new TargetError('ERR_ISCSI_WORKER', `there is no call ${name}`)
      const value = await handler(...args, ...(socket ? [socket] : []))
      if (id !== undefined && !this.cause) this.channel.send({ kind: 'answer', id, value })
    } catch (error) {
      if (id === undefined) throw error
      if (!this.cause) this.channel.send({ kind: 'failure', id, code: codeOf(error), message: messageOf(error) })
    }
  }
}

interface Waiting {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}
