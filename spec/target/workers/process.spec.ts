import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import { describe, expect, it } from '@jest/globals'
import type { Message } from '../../../lib/target/workers/calls.js'
import { channelOf } from '../../../lib/target/workers/process.js'

/** The end of Node's channel, as far as it is used. */
class FakeEnd extends EventEmitter {
  connected = true
  readonly sent: unknown[][] = []

  send(...args: unknown[]): boolean {
    this.sent.push(args)
    return true
  }
}

const CALL: Message = { kind: 'call', id: 1, name: 'open', args: [] }

describe('the channel to a child process', () => {
  it('sends messages, with a socket that whoever sends it destroys', () => {
    const end = new FakeEnd()
    const socket = {} as Socket
    channelOf(end as never).send(CALL, socket)
    expect(end.sent).toEqual([[CALL, socket, { keepOpen: true }]])
  })

  it('gives what comes, with the socket or none', () => {
    const end = new FakeEnd()
    const taken: unknown[][] = []
    channelOf(end as never).receive((...args) => taken.push(args))
    const socket = {} as Socket
    end.emit('message', CALL, undefined)
    end.emit('message', CALL, socket)
    expect(taken).toEqual([
      [CALL, undefined],
      [CALL, socket]
    ])
  })

  it('sends nothing when nobody is there any more', () => {
    const end = new FakeEnd()
    end.connected = false
    channelOf(end as never).send(CALL)
    expect(end.sent).toEqual([])
  })
})
