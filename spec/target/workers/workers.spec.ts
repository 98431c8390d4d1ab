import type { Socket } from 'node:net'
import { afterEach, describe, expect, it } from '@jest/globals'
import type { HandedLogin } from '../../../lib/iscsi/portal-group.js'
import type { ServerOptions } from '../../../lib/target/options.js'
import { Calls } from '../../../lib/target/workers/calls.js'
import { Shards } from '../../../lib/target/workers/shards.js'
import { Workers, type WorkerProcess } from '../../../lib/target/workers/workers.js'
import { codeOf } from '../../../lib/util/errors.js'
import { channelPair } from '../../support/channel-pair.js'
import { FakeClock } from '../../support/fake-clock.js'
import { LogRecorder } from '../../support/log-recorder.js'

const TARGET = 'iqn.2026-01.org.example:disk'
const targets = [{ name: TARGET, units: [], authors: [], initiators: [] }]
const options = { workers: 2, targets, deltaTotalBytes: undefined } as unknown as ServerOptions
const shards = new Shards(options.targets, 2)
const ownerOf = (initiatorName: string) => shards.ownerOf({ targetName: TARGET, initiatorName })
/** Names of initiators of each worker. */
const NAMES = [0, 1].map((worker) =>
  Array.from({ length: 50 }, (_, index) => `iqn.x:pc-${index}`).filter((name) => ownerOf(name) === worker)
)

/** What a worker process does here: it notes what it is asked, and answers as the spec says. */
class FakeProcess implements WorkerProcess {
  readonly pid = 1
  readonly asked: [string, ...unknown[]][] = []
  readonly calls: Calls
  readonly channel
  released = false
  killed = false
  private endedListener: (how: string) => void = () => undefined

  constructor(refusal: Error | undefined) {
    const [front, own] = channelPair()
    this.channel = front
    const note =
      (name: string) =>
      (...args: unknown[]) => {
        this.asked.push([name, ...args])
        if (name === 'open' && refusal) throw refusal
      }
    const names = ['open', 'listen', 'login', 'close', 'sessions']
    this.calls = new Calls(own, Object.fromEntries(names.map((name) => [name, note(name)])))
  }

  get names(): string[] {
    return this.asked.map(([name]) => name)
  }

  release(): void {
    this.released = true
    this.die('exit code 0')
  }

  kill(): void {
    this.killed = true
    this.die('SIGKILL')
  }

  die(how: string): void {
    const listener = this.endedListener
    this.endedListener = () => undefined
    setImmediate(() => listener(how))
  }

  whenEnded(ended: (how: string) => void): void {
    this.endedListener = ended
  }
}

const clock = new FakeClock()
let log: LogRecorder
let processes: FakeProcess[]
let refusals: Error[]
let workers: Workers
const told: string[] = []

function make(): Workers {
  log = new LogRecorder()
  processes = []
  refusals = []
  told.length = 0
  workers = new Workers(options, {
    log,
    clock,
    start: () => {
      const process = new FakeProcess(refusals.shift())
      processes.push(process)
      return process
    }
  })
  return workers
}

const front = {
  roots: [],
  events: {
    login: (session: { initiatorName: string }) => void told.push(`login ${session.initiatorName}`),
    ended: (session: { initiatorName: string }) => void told.push(`ended ${session.initiatorName}`)
  }
}

async function open(): Promise<void> {
  await make().open(front)
  await workers.listen()
}

afterEach(() => workers.close())

/** A connection as the portal group sees it. */
class Handed {
  readonly seen: string[] = []
  destroyed = false
  readonly socket = { destroy: () => (this.destroyed = true) } as unknown as Socket

  constructor(
    readonly initiatorName: string,
    fields = {}
  ) {
    const login = { result: { initiatorName, targetName: TARGET }, ...fields } as unknown as HandedLogin
    workers.handOver(login, this.socket, {
      began: () => this.seen.push('began'),
      ended: () => this.seen.push('ended')
    })
  }
}

/** Logins and questions that wait for a worker: whoever gave up must not be held for the rest of its life. */
function waitersOf(worker: number): number {
  return (workers as unknown as { slots: { waiting: Set<unknown> }[] }).slots[worker]!.waiting.size
}

async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; !condition(); turn++) {
    if (turn > 1000) throw new Error(`never came true: ${condition.toString()}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

describe('worker processes', () => {
  it('are opened, told that the server listens, closed and let go', async () => {
    await open()
    await workers.close()
    expect(processes.map(({ names }) => names)).toEqual([
      ['open', 'listen', 'close'],
      ['open', 'listen', 'close']
    ])
    expect(processes.map(({ released, killed }) => [released, killed])).toEqual([
      [true, false],
      [true, false]
    ])
    expect(log.lines).toEqual([])
  })

  it('that cannot open keep the server from starting, with their reason', async () => {
    make()
    refusals = [Object.assign(new Error('the image is locked'), { code: 'ERR_ISCSI_LOCKED' })]
    const error = await workers.open(front).catch((reason: unknown) => reason)
    expect([codeOf(error), (error as Error).message]).toEqual(['ERR_ISCSI_LOCKED', 'the image is locked'])
    expect(processes[0]!.killed).toBe(true)
  })

  it('get the logins of their initiators, and hear how many sessions the others have', async () => {
    await open()
    const first = new Handed(NAMES[0]![0]!)
    await until(() => processes[0]!.names.includes('login'))
    const second = new Handed(NAMES[1]![0]!)
    await until(() => processes[1]!.names.includes('login'))
    const login = (process: FakeProcess) => process.asked.find(([name]) => name === 'login')!
    expect([login(processes[0]!)[3], login(processes[1]!)[3]]).toEqual([0, 1])
    // They are the workers' as soon as those have said so.
    await until(() => first.destroyed && second.destroyed)
  })

  it('tell of sessions that begin and connections that end', async () => {
    await open()
    const handed = new Handed(NAMES[1]![0]!)
    await until(() => processes[1]!.names.includes('login'))
    processes[1]!.calls.tell('began', 1, { initiatorName: 'pc' })
    await until(() => told.length > 0)
    processes[1]!.calls.tell('sessionEnded', { initiatorName: 'pc' }, { kind: 'logout', reason: 0 })
    processes[1]!.calls.tell('gone', 1)
    processes[1]!.calls.tell('gone', 1)
    await until(() => handed.seen.length === 2)
    expect([handed.seen, told]).toEqual([
      ['began', 'ended'],
      ['login pc', 'ended pc']
    ])
  })

  it('write into the one log', async () => {
    await open()
    processes[0]!.calls.tell('log', 'warn', 'space runs short', { path: '/s' })
    await until(() => log.lines.length > 0)
    expect(log.lines).toEqual(['warn: space runs short'])
  })

  it('that die take their own connections with them, and are started again', async () => {
    await open()
    const [mine, other] = [new Handed(NAMES[0]![0]!), new Handed(NAMES[1]![0]!)]
    await until(() => processes.every(({ names }) => names.includes('login')))
    processes[0]!.die('SIGSEGV')
    await until(() => mine.seen.length > 0)
    expect([mine.seen, other.seen]).toEqual([['ended'], []])
    clock.advance(0)
    await until(() => processes.length === 3 && processes[2]!.names.includes('listen'))
    new Handed(NAMES[0]![1]!)
    await until(() => processes[2]!.names.includes('login'))
    expect(log.lines).toEqual([
      'error: Worker 1 ended (SIGSEGV): its 1 connections are cut, its deltas are kept.',
      'info: Worker 1 runs again.'
    ])
  })

  it('that are not there yet get the logins that wait for them', async () => {
    await open()
    processes[0]!.die('SIGKILL')
    await until(() => log.lines.length === 1)
    const waiting = new Handed(NAMES[0]![0]!)
    expect(waiting.seen).toEqual([])
    clock.advance(0)
    await until(() => processes[2]?.names.includes('login') ?? false)
    expect(waiting.seen).toEqual([])
  })

  it('lose a login that cannot cross the channel, and nothing else', async () => {
    await open()
    const uncloneable = { reply: () => undefined }
    const handed = new Handed(NAMES[0]![0]!, uncloneable)
    await until(() => handed.seen.length > 0)
    expect([handed.seen, handed.destroyed]).toEqual([['ended'], true])
    expect(log.lines).toEqual([expect.stringMatching(/^error: a login does not reach worker 1: .*could not be cloned/)])
    new Handed(NAMES[1]![0]!)
    await until(() => processes[1]!.names.includes('login'))
    expect(processes[1]!.asked.find(([name]) => name === 'login')![3]).toBe(0)
  })

  it('that fail to start again once keep a login waiting, and count its connection when they are back', async () => {
    await open()
    refusals = [new Error('the image is still locked')]
    processes[0]!.die('SIGKILL')
    await until(() => log.lines.length === 1)
    const waiting = new Handed(NAMES[0]![0]!)
    clock.advance(0)
    await until(() => log.lines.length === 2)
    expect([waiting.seen, waiting.destroyed]).toEqual([[], false])
    clock.advance(1000)
    await until(() => processes[3]?.names.includes('login') ?? false)
    const [, id] = processes[3]!.asked.find(([name]) => name === 'login')!
    processes[3]!.calls.tell('began', id, { initiatorName: 'pc' })
    await until(() => told.length > 0)
    // The other worker is told of it.
    new Handed(NAMES[1]![0]!)
    await until(() => processes[1]!.names.includes('login'))
    expect(processes[1]!.asked.find(([name]) => name === 'login')![3]).toBe(1)
    processes[3]!.calls.tell('gone', id)
    await until(() => waiting.seen.length === 2)
    expect(waiting.seen).toEqual(['began', 'ended'])
  })

  it('that do not come back in the time of a login let those go who wait', async () => {
    await open()
    refusals = Array.from({ length: 20 }, () => new Error('the image is gone'))
    processes[0]!.die('SIGKILL')
    await until(() => log.lines.length === 1)
    const waiting = new Handed(NAMES[0]![0]!)
    clock.advance(30_000)
    await until(() => waiting.seen.length > 0)
    expect([waiting.seen, waiting.destroyed]).toEqual([['ended'], true])
    expect(waitersOf(0)).toBe(0)
  })

  it('that cannot start again are tried less and less often', async () => {
    await open()
    refusals = Array.from({ length: 20 }, () => new Error('the image is gone'))
    processes[0]!.die('SIGKILL')
    await until(() => log.lines.length === 1)
    const counts: number[] = []
    for (const delay of [0, 1000, 2000, 5000]) {
      clock.advance(delay)
      const before = log.lines.length
      await until(() => log.lines.length > before)
      counts.push(processes.length)
    }
    expect(counts).toEqual([3, 4, 5, 6])
    expect(log.lines.at(-1)).toBe('error: Worker 1 cannot start again: the image is gone')
  })

  it('that are asked when they end answer with an error', async () => {
    await open()
    processes[0]!.calls.end(new Error('silent from here on'))
    const control = workers.control({
      sessions: () => Promise.resolve([])
    } as unknown as Parameters<Workers['control']>[0])
    const asked = control.sessions().catch((reason: unknown) => reason)
    await until(() => processes[1]!.names.includes('sessions'))
    processes[0]!.die('SIGKILL')
    expect(codeOf(await asked)).toBe('ERR_ISCSI_WORKER')
  })
})
