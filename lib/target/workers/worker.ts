import type { Socket } from 'node:net'
import { PortalGroup, type HandedLogin } from '../../iscsi/portal-group.js'
import type { Logger, LogFields, LogLevel } from '../../util/log.js'
import type { Control, CopyPart, FlattenOrder, GrowOrder, ImageOrder } from '../control.js'
import { TargetError } from '../errors.js'
import type { UserOf } from '../generations/image-control.js'
import type { ChapCredentials, ServerOptions } from '../options.js'
import { IscsiServer, type ServerParts } from '../server.js'
import type { EnlargeRequest } from '../units.js'
import type { LeasedBudget } from '../../volume/delta/budget.js'
import { Calls, type Channel } from './calls.js'
import type { ImageNews, ImageTogether } from './image-turns.js'
import type { Share } from './share.js'
import { Shards } from './shards.js'
import type { ExportVerb } from './workers-control.js'
import type { WorkerSettings } from './workers.js'

/** The parts of {@link Control} that concern initiators; the others the front answers itself. */
const CONTROL_VERBS = [
  'targets',
  'sessions',
  'initiators',
  'bin',
  'space',
  'disconnect',
  'restore',
  'undo',
  'show',
  'drop',
  'policies',
  'images',
  'publish',
  'push',
  'cancelPush',
  'rollback',
  'test',
  'verify',
  'jobs'
] as const

/**
 * One worker: a server for some of the initiators that listens nowhere. Logins come over the channel, each with its
 * socket, and everything goes on here as if they had been accepted here.
 */
export class Worker {
  private readonly calls: Calls
  private server: IscsiServer | undefined
  private group: PortalGroup | undefined
  /** Sessions of the other workers, when the last login came. */
  private sessionsElsewhere = 0
  private readonly exports = new Exports()
  /** By state directory. */
  private readonly leased = new Map<string, LeasedBudget>()

  /** @param parts - for specs */
  constructor(
    channel: Channel,
    private readonly parts: Partial<ServerParts> = {}
  ) {
    const verbs = CONTROL_VERBS.map((verb) => [verb, (...args: never[]) => this.control(verb, args)] as const)
    this.calls = new Calls(channel, {
      ...Object.fromEntries(verbs),
      open: (settings: WorkerSettings) => this.open(settings),
      listen: () => this.opened.listen(),
      login: (id: number, login: HandedLogin, elsewhere: number, socket: Socket | undefined) =>
        this.login(id, login, elsewhere, socket),
      yieldRoom: (path: string) => this.leased.get(path)?.yield() ?? 0,
      lease: (path: string, bytes: number, usedElsewhereBytes: number) => this.lease(path, bytes, usedElsewhereBytes),
      reconsider: () => this.opened.reconsider(),
      flattenOver: (order: FlattenOrder, elsewhere: readonly UserOf[]) =>
        this.opened.imageControl.flatten(order, elsewhere),
      growHere: (order: GrowOrder) => this.opened.imageControl.growHere(order),
      enlarge: (request: EnlargeRequest) => this.opened.imageControl.enlarge(request),
      hashNewest: (order: ImageOrder) => this.opened.imageControl.hashNewest(order),
      imageNews: (uuid: string, news: ImageNews) => this.server?.hearOfImage(uuid, news),
      readsMerged: (uuid: string) => this.server?.readsMerged(uuid) ?? false,
      exportBegin: (verb: ExportVerb, order: never) => this.exports.begin(this.opened.control[verb](order)),
      exportNext: (id: number) => this.exports.next(id),
      exportEnd: (id: number) => this.exports.end(id),
      close: () => this.server?.close()
    })
  }

  /** Says something where the log is. */
  log(level: LogLevel, message: string, fields?: LogFields): void {
    this.calls.tell('log', level, message, plainFields(fields))
  }

  private async open({ options, index, roots }: WorkerSettings): Promise<void> {
    const shards = new Shards(options.targets, options.workers)
    const targets = options.targets.filter(({ name }) => shards.serves(index, name))
    const share: Share = {
      workerCount: options.workers,
      index,
      owns: (key) => shards.ownerOf(key) === index,
      listenedMs: (path) => roots.find((root) => root.path === path)?.listenedMs ?? 0,
      raiseIncarnationFloor: async (path, incarnation) => {
        await this.calls.call('raiseIncarnationFloor', path, incarnation)
      },
      noteAudit: async (path, entry) => {
        await this.calls.call('noteAudit', path, entry)
      },
      leased: this.leased,
      together: this.together,
      keeps: (targetName) => shards.keeperOf(targetName) === index,
      askForRoom: async (path, bytes) => {
        await this.calls.call('room', path, bytes)
      }
    }
    // One memory for all of them, so each has its part of it.
    const cacheBytes = options.cacheBytes && Math.floor(options.cacheBytes / options.workers)
    this.server = new IscsiServer(revived({ ...options, cacheBytes, portals: [], targets }), {
      ...this.parts,
      log: this.logger,
      share,
      makePortalGroup: (groupOptions) => {
        this.group = new PortalGroup({
          ...groupOptions,
          sessionsElsewhere: () => this.sessionsElsewhere,
          // The front gives out what is left: discovery sessions have one too.
          tsihs: { first: index + 2, step: options.workers + 1 }
        })
        return this.group
      }
    })
    this.server.on('logout', (session, end) => this.calls.tell('sessionEnded', session, end))
    await this.server.open()
  }

  private login(id: number, login: HandedLogin, elsewhere: number, socket: Socket | undefined): void {
    // A connection that was reset on its way arrives as none.
    if (!socket) return this.calls.tell('gone', id)
    this.sessionsElsewhere = elsewhere
    this.group!.take(revivedLogin(login), socket, {
      began: (session) => this.calls.tell('began', id, session),
      ended: () => this.calls.tell('gone', id)
    })
  }

  private readonly together: ImageTogether = {
    change: async (uuid, change) => {
      await this.calls.call('beginImageChange', uuid)
      try {
        return await change()
      } finally {
        await this.calls.call('endImageChange', uuid)
      }
    },
    tell: async (uuid, news) => {
      await this.calls.call('tellOfImage', uuid, news)
    },
    isMerging: async (uuid) => (await this.calls.call('isImageMerging', uuid)) === true,
    isRead: async (uuid) => (await this.calls.call('isImageRead', uuid)) === true
  }

  private lease(path: string, bytes: number, usedElsewhereBytes: number): void {
    const budget = this.leased.get(path)
    if (budget) Object.assign(budget, { leaseBytes: bytes, usedElsewhereBytes })
  }

  private get opened(): IscsiServer {
    if (this.server) return this.server
    throw new TargetError('ERR_ISCSI_WORKER', 'the worker has not been opened')
  }

  private control(verb: (typeof CONTROL_VERBS)[number], args: readonly never[]): unknown {
    const control = this.opened.control as Record<keyof Control, (...args: readonly never[]) => unknown>
    return control[verb](...args)
  }

  private readonly logger: Logger = {
    error: (message, fields) => this.log('error', message, fields),
    warn: (message, fields) => this.log('warn', message, fields),
    info: (message, fields) => this.log('info', message, fields),
    debug: (message, fields) => this.log('debug', message, fields)
  }
}

/** Copies under way: the front asks for one part after the other, and none is read before it is asked for. */
class Exports {
  private readonly running = new Map<number, AsyncGenerator<CopyPart>>()
  private lastId = 0

  begin(parts: AsyncGenerator<CopyPart>): number {
    this.running.set(++this.lastId, parts)
    return this.lastId
  }

  /** Undefined behind the last part. */
  async next(id: number): Promise<CopyPart | undefined> {
    const step = await this.running.get(id)?.next()
    return step && !step.done ? step.value : undefined
  }

  async end(id: number): Promise<void> {
    await this.running.get(id)?.return(undefined)
    this.running.delete(id)
  }
}

/** Fields of the log may hold errors and the like, which do not cross a channel as they are. */
function plainFields(fields: LogFields | undefined): LogFields | undefined {
  const text = JSON.stringify(fields, (_key, value: unknown) => (typeof value === 'bigint' ? value.toString() : value))
  return text === undefined ? undefined : (JSON.parse(text) as LogFields)
}

/** What was a Buffer is only bytes behind the channel. */
function revived(options: ServerOptions): ServerOptions {
  const credentials = (one: ChapCredentials | undefined) => one && { ...one, secret: bufferOf(one.secret) }
  const targets = options.targets.map((target) => ({
    ...target,
    access: {
      ...target.access,
      chap: credentials(target.access.chap),
      mutual: credentials(target.access.mutual)
    }
  }))
  return { ...options, targets }
}

function revivedLogin(login: HandedLogin): HandedLogin {
  const reply = { ...login.reply, isid: bufferOf(login.reply.isid), data: bufferOf(login.reply.data) }
  return { ...login, reply, received: bufferOf(login.received) }
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}
