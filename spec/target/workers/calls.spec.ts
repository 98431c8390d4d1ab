import { Socket } from 'node:net'
import { describe, expect, it } from '@jest/globals'
import { Calls, type Channel, type Handlers, type Message } from '../../../lib/target/workers/calls.js'
import { TargetError } from '../../../lib/target/errors.js'
import { codeOf } from '../../../lib/util/errors.js'

/** Two ends of one channel; messages cross it as copies, in a turn of their own. */
function pair(left: Handlers, right: Handlers): [Calls, Calls] {
  const takers: ((message: Message, socket: undefined) => void)[] = []
  const end = (own: number): Channel => ({
    send: (message) => {
      const copy = structuredClone(message)
      setImmediate(() => takers[1 - own]!(copy, undefined))
    },
    receive: (take) => (takers[own] = take)
  })
  return [new Calls(end(0), left), new Calls(end(1), right)]
}

describe('calls between processes', () => {
  it('give what the other side answers, each its own', async () => {
    const [left] = pair({}, { double: async (value: number) => Promise.resolve(value * 2), name: () => 'right' })
    expect(await Promise.all([left.call('double', 4), left.call('name'), left.call('double', 5)])).toEqual([
      8,
      'right',
      10
    ])
  })

  it('go both ways', async () => {
    const [left, right] = pair({ who: () => 'left' }, { who: () => 'right' })
    expect([await left.call('who'), await right.call('who')]).toEqual(['right', 'left'])
  })

  it('carry bytes', async () => {
    const [left] = pair({}, { reverse: (bytes: Uint8Array) => Buffer.from(bytes).reverse() })
    expect(Buffer.from((await left.call('reverse', Buffer.from('abc'))) as Uint8Array).toString()).toBe('cba')
  })

  it('throw what the other side threw, with its code and sentence', async () => {
    const fail = () => {
      throw new TargetError('ERR_ISCSI_UNDO_NOTHING', 'there is nothing')
    }
    const [left] = pair({}, { fail })
    const error = await left.call('fail').catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(TargetError)
    expect([codeOf(error), (error as Error).message]).toEqual(['ERR_ISCSI_UNDO_NOTHING', 'there is nothing'])
  })

  it('refuse a name that the other side does not have', async () => {
    const [left] = pair({}, {})
    expect(codeOf(await left.call('toString').catch((reason: unknown) => reason))).toBe('ERR_ISCSI_WORKER')
  })

  it('fail when the other side ends, those under way and those to come', async () => {
    const [left] = pair({}, { never: () => new Promise(() => undefined) })
    const waiting = left.call('never').catch((reason: unknown) => reason)
    left.end(new TargetError('ERR_ISCSI_WORKER', 'it is gone'))
    expect([codeOf(await waiting), codeOf(await left.call('never').catch((reason: unknown) => reason))]).toEqual([
      'ERR_ISCSI_WORKER',
      'ERR_ISCSI_WORKER'
    ])
  })

  it('destroy a socket when the other side has it, and when it has ended', () => {
    let answer = (_message: Message): void => undefined
    const sent: Message[] = []
    const channel: Channel = {
      send: (message) => void sent.push(message),
      receive: (take) => (answer = (message) => take(message, undefined))
    }
    const left = new Calls(channel, {})
    const sockets = [new Socket(), new Socket(), new Socket()]
    for (const socket of sockets) left.give('login', [], socket)
    expect(sockets.map(({ destroyed }) => destroyed)).toEqual([false, false, false])
    answer({ kind: 'answer', id: (sent[1] as { id: number }).id, value: undefined })
    expect(sockets.map(({ destroyed }) => destroyed)).toEqual([false, true, false])
    left.end(new TargetError('ERR_ISCSI_WORKER', 'it is gone'))
    expect(sockets.map(({ destroyed }) => destroyed)).toEqual([true, true, true])
    const late = new Socket()
    left.give('login', [], late)
    expect(late.destroyed).toBe(true)
  })

  it('tell without an answer', async () => {
    const told: number[] = []
    const [left] = pair({}, { note: (value: number) => told.push(value), done: () => told.length })
    left.tell('note', 1)
    left.tell('note', 2)
    expect(await left.call('done')).toBe(2)
  })
})
