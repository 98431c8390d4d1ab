import { EventEmitter } from 'node:events'
import { describe, expect, it } from '@jest/globals'
import { ECHO_MS, STOP_SIGNALS, watchSignals } from '../../lib/cli/signals.js'

function watched() {
  const source = new EventEmitter()
  const hurried: string[] = []
  let now = 1000
  const watch = watchSignals(
    (signal) => hurried.push(signal),
    source,
    () => now
  )
  const send = (signal: string) => source.emit(signal, signal)
  return { source, hurried, watch, send, pass: (ms: number) => (now += ms) }
}

describe('watchSignals', () => {
  it.each(['SIGINT', 'SIGTERM', 'SIGHUP'])('takes %s for a wish to stop', async (signal) => {
    const { watch, send, hurried } = watched()
    send(signal)
    expect(await watch.stopped).toBe(signal)
    expect(hurried).toEqual([])
  })

  it('hurries at a second signal, also of another kind, and at each one after it', () => {
    const { send, hurried, pass } = watched()
    send('SIGTERM')
    pass(ECHO_MS)
    send('SIGINT')
    pass(1)
    send('SIGINT')
    expect(hurried).toEqual(['SIGINT', 'SIGINT'])
  })

  it('takes the echo that npm makes of a Ctrl+C for the same wish', () => {
    const { send, hurried, pass } = watched()
    send('SIGINT')
    pass(ECHO_MS - 1)
    send('SIGINT')
    expect(hurried).toEqual([])
  })

  it('leaves no listener behind', () => {
    const { source, watch } = watched()
    expect(STOP_SIGNALS.every((signal) => source.listenerCount(signal) === 1)).toBe(true)
    watch.end()
    expect(source.eventNames()).toEqual([])
  })
})
