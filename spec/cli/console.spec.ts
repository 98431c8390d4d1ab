import { describe, expect, it } from '@jest/globals'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import { openConsole } from '../../lib/cli/console.js'

const terminal = () => Object.assign(new PassThrough(), { isTTY: true })

/** `cat` of both inputs to pipes that a spec can read, or a program that reads nothing. */
const start = (program: string) => (): ChildProcess =>
  spawn('sh', ['-c', program], { stdio: ['pipe', 'pipe', 'pipe', 'pipe'] })
const COPIES = 'cat <&3 & cat >&2; wait'

describe('openConsole', () => {
  it('puts a process in front of a terminal, for each stream that is one', async () => {
    let pump: ChildProcess | undefined
    const [stdout, stderr] = [terminal(), terminal()]
    const console = openConsole(stdout, stderr, 'linux', () => (pump = start(COPIES)()))
    let [out, err] = ['', '']
    pump!.stdout!.on('data', (chunk: Buffer) => (out += chunk.toString()))
    pump!.stderr!.on('data', (chunk: Buffer) => (err += chunk.toString()))
    console.stdout.write('answer')
    console.stderr.write('log')
    const closed = once(pump!, 'close')
    await console.close()
    await closed
    expect({ out, err }).toEqual({ out: 'answer', err: 'log' })
    expect([stdout.read(), stderr.read()]).toEqual([null, null])
  })

  it.each<[string, NodeJS.Platform, NodeJS.WritableStream, boolean]>([
    ['a file', 'linux', new PassThrough(), false],
    ['a pipe of POSIX', 'linux', new Socket(), false],
    ['a pipe of Windows', 'win32', new Socket(), true],
    ['a file of Windows', 'win32', new PassThrough(), false]
  ])('needs one for %s on %s, or does not', async (_what, platform, stream, needed) => {
    let started = false
    const console = openConsole(stream, stream, platform, () => {
      started = true
      return start(COPIES)()
    })
    expect(started).toBe(needed)
    expect(console.stderr === stream).toBe(!needed)
    await console.close()
  })

  it('ends a process that does not end by itself', async () => {
    let pump: ChildProcess | undefined
    const console = openConsole(terminal(), terminal(), 'linux', () => (pump = start('exec sleep 1000')()))
    await console.close()
    expect(pump!.signalCode).toBe('SIGKILL')
  })

  it('outlives a process that is gone', async () => {
    let pump: ChildProcess | undefined
    const console = openConsole(terminal(), terminal(), 'linux', () => (pump = start('exit 0')()))
    await once(pump!, 'close')
    expect(() => console.stderr.write('x')).not.toThrow()
    await console.close()
    const missing = openConsole(terminal(), terminal(), 'linux', () =>
      spawn('/nonexistent/program', { stdio: ['pipe', 'pipe', 'pipe', 'pipe'] })
    )
    expect(() => missing.stderr.write('x')).not.toThrow()
    await missing.close()
  })
})
