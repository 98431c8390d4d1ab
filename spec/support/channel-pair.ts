import { Socket } from 'node:net'
import type { Channel, Message } from '../../lib/target/workers/calls.js'

type Take = (message: Message, socket: Socket | undefined) => void

/**
 * Two ends of one channel, as between processes: messages arrive as copies, in order, in a turn of their own, and a
 * socket that is sent is another object over the same connection.
 */
export function channelPair(): [Channel, Channel] {
  const takers: Take[] = []
  const end = (own: number): Channel => ({
    send: (message, socket) => {
      const copy = structuredClone(message)
      const moved = socket && moveHandle(socket)
      setImmediate(() => {
        takers[1 - own]!(copy, moved)
      })
    },
    receive: (take) => (takers[own] = take)
  })
  return [end(0), end(1)]
}

/** What Node does between processes: the handle goes, the object that had it stays empty. */
function moveHandle(socket: Socket): Socket {
  const from = socket as unknown as { _handle: object | null }
  const handle = from._handle
  from._handle = null
  return new Socket({ handle, readable: true, writable: true } as unknown as ConstructorParameters<typeof Socket>[0])
}
