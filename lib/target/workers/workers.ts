import type { Socket } from 'node:net'
import type { SessionEnd } from '../../iscsi/directory.js'
import type { HandedConnection, HandedLogin, SessionView } from '../../iscsi/portal-group.js'
import { LOGIN_TIME_MS } from '../../iscsi/limits.js'
import { systemClock, type Clock, type Timer } from '../../util/clock.js'
import { codeOf, messageOf } from '../../util/errors.js'
import type { LogFields, Logger, LogLevel } from '../../util/log.js'
import type { AuditEntry } from '../audit-log.js'
import type { Control } from '../control.js'
import { TargetError } from '../errors.js'
import type { ServerOptions } from '../options.js'
import type { StateRoot } from '../state-root.js'
import { Calls, type Channel, type Handlers } from './calls.js'
import { ImageTurns, type ImageNews } from './image-turns.js'
import { Rooms, type Tenant } from './rooms.js'
import { Shards } from './shards.js'
import { WorkersControl } from './workers-control.js'

/** A process that runs a {@link Worker}. */
export interface WorkerProcess {
  readonly channel: Channel
  readonly pid: number | undefined
  /** Lets it end: it has closed everything. */
  release(): void
  /** Ends it at once. */
  kill(): void
  /** Called once when it has ended, with how: a signal or an exit code. */
  whenEnded(ended: (how: string) => void): void
}

export interface WorkersParts {
  readonly log: Logger
  readonly clock?: Clock | undefined
  readonly start: () => WorkerProcess
}

export interface WorkerEvents {
  login(session: SessionView): void
  ended(session: SessionView, end: SessionEnd): void
}

/** What the workers need of the front. */
export interface WorkersFront {
  readonly roots: readonly StateRoot[]
  readonly events: WorkerEvents
}

/** What a worker is opened with. */
export interface WorkerSettings {
  readonly options: ServerOptions
  readonly index: number
  /** State directories, each with the time that a server has listened over it. */
  readonly roots: readonly { readonly path: string; readonly listenedMs: number }[]
}

/** How long a worker that is asked to end may take beyond the time that its clients have. */
const END_TIME_MS = 30_000
/** Waiting times before a worker that ended by itself is started again, the last one again and again. */
const RESTART_DELAYS_MS = [0, 1000, 2000, 5000, 10_000, 30_000]
/** A worker that ran so long ends for another reason than the one before it. */
const STEADY_MS = 60_000
const DIVIDE_INTERVAL_MS = 5000

/**
 * The worker processes of a server, seen from the front: the process that listens, lets clients log in, and keeps the
 * state directories. Each worker has the initiators that {@link Shards} gives it, with their sessions and deltas.
 *
 * A login is handed over just before its last response, when the initiator waits and sends nothing. What the operator
 * asks is put together from all workers. One that ends takes the connections of its clients with it and nothing
 * else: it is started again, finds their deltas as after a crash of a whole server, and they log in again.
 */
export class Workers {
  private readonly shards: Shards
  private readonly slots: readonly Slot[]
  private front: WorkersFront | undefined
  private listening = false
  private closing: Promise<void> | undefined
  /** By state directory, where a total limits all deltas in it. */
  private readonly rooms = new Map<string, Rooms>()
  private dividing: Timer | undefined
  private lastProcess = 0
  private readonly turns = new ImageTurns((process, uuid, news) => this.tellOthers(process, uuid, news))
  private readonly clock: Clock

  constructor(
    private readonly options: ServerOptions,
    private readonly parts: WorkersParts
  ) {
    this.clock = parts.clock ?? systemClock
    this.shards = new Shards(options.targets, options.workers)
    this.slots = Array.from({ length: options.workers }, (_, index) => new Slot(index))
  }

  get isOpen(): boolean {
    return this.front !== undefined
  }

  /** Starts them; throws what keeps one of them from opening its images and deltas. */
  async open(front: WorkersFront): Promise<void> {
    this.front = front
    for (const { directory } of front.roots) this.addRoom(directory.path)
    await Promise.all(this.slots.map((slot) => this.start(slot)))
    await this.divideRooms()
  }

  private addRoom(path: string): void {
    const { deltaTotalBytes } = this.options
    if (deltaTotalBytes === undefined) return
    this.rooms.set(path, new Rooms(deltaTotalBytes, () => this.slots.map((slot) => tenantOf(slot, path))))
  }

  /** Now and then, so that each knows what the others use. */
  private async divideRooms(): Promise<void> {
    for (const rooms of this.rooms.values()) await rooms.divide()
    if (this.closing || this.rooms.size === 0) return
    this.dividing = this.clock.setTimer(DIVIDE_INTERVAL_MS, () => void this.divideRooms())
  }

  /** From now on time counts, and clients can come. */
  async listen(): Promise<void> {
    this.listening = true
    await Promise.all(this.slots.flatMap((slot) => slot.calls?.call('listen') ?? []))
  }

  /** Takes a login to the worker that has its initiator. */
  handOver(login: HandedLogin, socket: Socket, connection: HandedConnection): void {
    const { initiatorName, targetName } = login.result
    const slot = this.slots[this.shards.ownerOf({ initiatorName, targetName: targetName! })]!
    const elsewhere = () => this.slots.reduce((sum, one) => sum + (one === slot ? 0 : one.connections.size), 0)
    const give = (calls: Calls) => {
      // No sooner: a process that fails to start again ends whatever its slot has, and this login may wait for the next.
      const id = slot.take(connection)
      try {
        calls.give('login', [id, login, elsewhere()], socket)
      } catch (error) {
        this.parts.log.error(`a login does not reach worker ${slot.number}: ${messageOf(error)}`)
        socket.destroy()
        slot.end(id)
      }
    }
    this.whenReady(slot).then(give, () => {
      socket.destroy()
      connection.ended()
    })
  }

  control(local: Control): Control {
    return new WorkersControl(local, this.shards, (worker, name, ...args) => this.ask(worker, name, ...args))
  }

  /** Asks the clients to log out and keeps all deltas; resolves when all processes have ended. */
  close(): Promise<void> {
    this.closing ??= this.closeAll()
    return this.closing
  }

  private async closeAll(): Promise<void> {
    this.dividing?.cancel()
    for (const { waiting } of this.slots) for (const { reject } of waiting) reject(notRunning)
    await Promise.all(this.slots.map((slot) => this.closeOne(slot)))
  }

  private async closeOne(slot: Slot): Promise<void> {
    slot.restart?.cancel()
    await slot.starting?.catch(() => undefined)
    const { process, calls } = slot
    if (!process) return
    const timer = this.clock.setTimer(END_TIME_MS, () => process.kill())
    // One that ends meanwhile answers nothing.
    await calls?.call('close').catch((error: unknown) => this.parts.log.error(`while closing: ${messageOf(error)}`))
    process.release()
    await slot.ended
    timer.cancel()
  }

  // --- Images that several have open ---

  private othersThan(process: number): Calls[] {
    return this.slots.flatMap(({ processNumber, talk }) => (processNumber !== process && talk ? [talk] : []))
  }

  private async tellOthers(process: number, uuid: string, news: ImageNews): Promise<void> {
    await Promise.all(
      this.othersThan(process).map((calls) =>
        calls.call('imageNews', uuid, news).catch((error: unknown) => {
          // One that has ended reads everything anew when it is back.
          if (codeOf(error) === 'ERR_ISCSI_WORKER') return
          this.parts.log.error(`a worker cannot follow a change of an image: ${messageOf(error)}`)
        })
      )
    )
  }

  private async isReadElsewhere(process: number, uuid: string): Promise<boolean> {
    const answers = this.othersThan(process).map((calls) => calls.call('readsMerged', uuid).catch(() => false))
    return (await Promise.all(answers)).includes(true)
  }

  private async ask(worker: number, name: string, ...args: readonly unknown[]): Promise<unknown> {
    const calls = await this.whenReady(this.slots[worker]!)
    return calls.call(name, ...args)
  }

  // --- One worker ---

  private start(slot: Slot): Promise<void> {
    slot.starting = this.startNow(slot).finally(() => (slot.starting = undefined))
    return slot.starting
  }

  private async startNow(slot: Slot): Promise<void> {
    const process = this.parts.start()
    const number = ++this.lastProcess
    const calls = new Calls(process.channel, this.handlersOf(slot, number))
    slot.began(process, number, calls, this.clock.monotonic())
    slot.ended = new Promise((resolve) => {
      process.whenEnded((how) => {
        calls.end(new TargetError('ERR_ISCSI_WORKER', `worker ${slot.number} has ended (${how})`))
        this.ended(slot, how)
        resolve()
      })
    })
    try {
      await calls.call('open', this.settingsOf(slot))
      if (this.listening) await calls.call('listen')
    } catch (error) {
      process.kill()
      await slot.ended
      throw error
    }
    slot.ready(calls)
  }

  private settingsOf({ index }: Slot): WorkerSettings {
    const roots = this.front!.roots.map(({ directory, listening }) => ({
      path: directory.path,
      listenedMs: listening.now()
    }))
    return { options: this.options, index, roots }
  }

  private handlersOf(slot: Slot, process: number): Handlers {
    const { log } = this.parts
    return {
      log: (level: LogLevel, message: string, fields: LogFields | undefined) => log[level](message, fields),
      began: (id: number, session: SessionView) => {
        slot.connections.get(id)?.began(session)
        this.front!.events.login(session)
      },
      gone: (id: number) => slot.end(id),
      sessionEnded: (session: SessionView, end: SessionEnd) => this.front!.events.ended(session, end),
      raiseIncarnationFloor: (path: string, incarnation: number) =>
        this.rootOf(path).raiseIncarnationFloor(incarnation),
      noteAudit: (path: string, entry: AuditEntry) => this.rootOf(path).audit.note(entry),
      beginImageChange: (uuid: string) => this.turns.take(process, uuid),
      endImageChange: (uuid: string) => this.turns.end(process, uuid),
      tellOfImage: (uuid: string, news: ImageNews) => this.turns.tell(process, slot.index, uuid, news),
      isImageMerging: (uuid: string) => this.turns.isMerging(slot.index, uuid),
      isImageRead: (uuid: string) => this.isReadElsewhere(process, uuid),
      room: (path: string, bytes: number) => this.rooms.get(path)?.divide({ index: slot.index, bytes })
    }
  }

  private rootOf(path: string): StateRoot {
    const root = this.front!.roots.find(({ directory }) => directory.path === path)
    if (!root) throw new TargetError('ERR_ISCSI_STATE', `${path} is no state directory of this server`)
    return root
  }

  private ended(slot: Slot, how: string): void {
    const { clock } = this
    const { log } = this.parts
    const count = slot.connections.size
    const wasReady = slot.calls !== undefined
    slot.lost()
    void this.turns.ended(slot.processNumber)
    // One that never opened has told its start why; while we close nobody wonders.
    if (this.closing || !wasReady) return
    log.error(`Worker ${slot.number} ended (${how}): its ${count} connections are cut, its deltas are kept.`)
    if (clock.monotonic() - slot.startedAt > STEADY_MS) slot.failures = 0
    this.startLater(slot)
  }

  private startLater(slot: Slot): void {
    const { clock } = this
    const { log } = this.parts
    const delay = RESTART_DELAYS_MS[Math.min(slot.failures++, RESTART_DELAYS_MS.length - 1)]!
    slot.restart = clock.setTimer(delay, () => {
      this.start(slot).then(
        () => log.info(`Worker ${slot.number} runs again.`),
        (error: unknown) => {
          if (this.closing) return
          log.error(`Worker ${slot.number} cannot start again: ${messageOf(error)}`)
          this.startLater(slot)
        }
      )
    })
  }

  /** Waits for a worker that is being started again, no longer than a login may take. */
  private whenReady(slot: Slot): Promise<Calls> {
    if (slot.calls) return Promise.resolve(slot.calls)
    if (this.closing) return Promise.reject(notRunning)
    return new Promise<Calls>((resolve, reject) => {
      const over = () => {
        timer.cancel()
        slot.waiting.delete(waiter)
      }
      const waiter: Waiter = {
        resolve: (calls) => {
          over()
          resolve(calls)
        },
        reject: (error) => {
          over()
          reject(error)
        }
      }
      const timer = this.clock.setTimer(LOGIN_TIME_MS, () => waiter.reject(notRunning))
      slot.waiting.add(waiter)
    })
  }
}

function tenantOf({ calls }: Slot, path: string): Tenant | undefined {
  if (!calls) return undefined
  return {
    yieldRoom: () => calls.call('yieldRoom', path) as Promise<number>,
    lease: async (...lease) => {
      await calls.call('lease', path, ...lease)
    }
  }
}

const notRunning = new TargetError('ERR_ISCSI_WORKER', 'a worker of this server does not run')

interface Waiter {
  resolve(calls: Calls): void
  reject(error: Error): void
}

/** One worker and the processes that have been it. */
class Slot {
  /** Set while it can be asked. */
  calls: Calls | undefined
  /** The same from the start of its process on, when it may have opened some of its images. */
  talk: Calls | undefined
  process: WorkerProcess | undefined
  /** Of all processes of the server, in the order in which they were started. */
  processNumber = 0
  starting: Promise<void> | undefined
  ended: Promise<void> = Promise.resolve()
  restart: Timer | undefined
  failures = 0
  startedAt = 0
  /** Connections that it has, by the number under which they were handed over. */
  readonly connections = new Map<number, HandedConnection>()
  readonly waiting = new Set<Waiter>()
  private lastId = 0

  constructor(readonly index: number) {}

  /** For people. */
  get number(): number {
    return this.index + 1
  }

  began(process: WorkerProcess, processNumber: number, talk: Calls, now: number): void {
    this.process = process
    this.processNumber = processNumber
    this.talk = talk
    this.startedAt = now
  }

  ready(calls: Calls): void {
    this.calls = calls
    for (const { resolve } of this.waiting) resolve(calls)
  }

  take(connection: HandedConnection): number {
    this.connections.set(++this.lastId, connection)
    return this.lastId
  }

  end(id: number): void {
    const connection = this.connections.get(id)
    this.connections.delete(id)
    connection?.ended()
  }

  lost(): void {
    this.calls = this.talk = this.process = undefined
    for (const id of [...this.connections.keys()]) this.end(id)
  }
}
