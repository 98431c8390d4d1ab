import type { Socket } from 'node:net'
import { AsyncEvent, LoginStatus } from '../pdu/codes.js'
import { BATCH_LENGTH, LONG_BATCH_LENGTH } from '../pdu/writer.js'
import { DeviceServer } from '../scsi/device-server.js'
import { Staging } from '../scsi/staging.js'
import type { Nexus } from '../scsi/nexus.js'
import { systemClock, type Clock } from '../util/clock.js'
import { BufferPool } from '../util/buffer-pool.js'
import { Connection, type ConnectionHost } from './connection.js'
import type { Directory, SessionEnd } from './directory.js'
import { DEFAULT_LIMITS, PROBE_TIME_MS, TICK_MS, type ProtocolLimits } from './limits.js'
import { LoginPhase, type AdmittedLogin, type Admission, type LoginParties } from './login-phase.js'
import { IssuedChallenges } from './login/chap.js'
import { LoginMachine } from './login/login.js'
import { LoginThrottle } from './login/throttle.js'
import type { OfferedParameters } from './parameters.js'
import { Portal } from './portal.js'
import type { Session } from './session.js'
import { Sessions, type TsihRange } from './sessions.js'
import { plainAddress } from './socket.js'

export interface PortalGroupOptions {
  readonly directory: Directory
  readonly portals: readonly { readonly host: string; readonly port: number }[]
  readonly offer: OfferedParameters
  readonly maxSessions: number
  readonly multipath: boolean
  readonly events: SessionEvents
  /** False forces the receive path without positioned reads. */
  readonly positionedReads?: boolean
  readonly clock?: Clock
  /** In place of PROBE_TIME_MS, for specs of those who never answer. */
  readonly probeTimeMs?: number
  /** In place of {@link DEFAULT_LIMITS}. */
  readonly limits?: Partial<ProtocolLimits>
  /** Takes complete logins to the process where their initiators live; they stay here when left out. */
  readonly handOver?: HandOver | undefined
  /** Sessions in other processes that count against `maxSessions`. */
  readonly sessionsElsewhere?: (() => number) | undefined
  readonly tsihs?: TsihRange | undefined
}

/** A login on its way to another process, with what that one needs to know. */
export interface HandedLogin extends AdmittedLogin {
  /** StatSN of the last response. */
  readonly statSn: number
  /** What came behind the last request. */
  readonly received: Buffer
}

/** Sends a login away. The socket is destroyed here once the other process has it, or cannot have it. */
export type HandOver = (login: HandedLogin, socket: Socket, connection: HandedConnection) => void

/** What the process that accepted a connection wants to know of it when another one has it. */
export interface HandedConnection {
  /** Full feature phase is reached. */
  began(session: SessionView): void
  /** It is gone; called once. */
  ended(): void
}

/** What happened, for the log and the console. Nothing of it is called for each command. */
export interface SessionEvents {
  login(session: SessionView, nexus: Nexus | undefined): void
  /** `tookMs`: from the wish to end until all was at rest. */
  ended(session: SessionView, end: SessionEnd, tookMs: number): void
  refused(refusal: Refusal): void
  /** A connection that never logged in. */
  dropped(remoteAddress: string, cause: string): void
  /** A mistake of ours. */
  failed(error: unknown, session: SessionView | undefined): void
}

export interface Refusal {
  readonly remoteAddress: string
  readonly initiatorName: string | undefined
  readonly targetName: string | undefined
  readonly status: number
  readonly message: string
}

/** One session as others see it. */
export interface SessionView {
  readonly type: 'Normal' | 'Discovery'
  readonly initiatorName: string
  readonly targetName: string | undefined
  readonly isid: string
  readonly tsih: number
  readonly remoteAddress: string
  readonly localAddress: string
  /** Milliseconds that the connection has existed. */
  readonly ageMs: number
  readonly commands: number
  readonly dataInBytes: number
  readonly dataOutBytes: number
}

/** Buffers for output: one for each connection that wants to say something, and as many to share. */
const SPARE_BUFFERS = 64
/** Connections that take what they ask for give theirs back within their turn; those that do not may hold these. */
const LONG_BUFFERS = 8

/**
 * Our portal group: listening portals, connections, sessions, and the one clock that looks after their time limits.
 */
export class PortalGroup implements ConnectionHost, Admission {
  readonly buffers: BufferPool
  readonly staging: Staging
  readonly deviceServer = new DeviceServer()
  readonly directory: Directory
  readonly offer: OfferedParameters
  readonly limits: ProtocolLimits
  readonly positionedReads: boolean
  private readonly registry: Sessions
  private readonly challenges = new IssuedChallenges()
  /** Failures by address, and by CHAP name. */
  private readonly throttle: LoginThrottle
  private readonly userThrottle: LoginThrottle
  private readonly portals: readonly Portal[]
  private readonly connections = new Set<Connection>()
  /** Those of them that another process has, with their sessions. */
  private readonly away = new Map<Connection, SessionView | undefined>()
  /** Those of them that another process has accepted. */
  private readonly handed = new Map<Connection, HandedConnection>()
  /** How many of them come from each address. */
  private readonly byAddress = new Map<string, number>()
  private readonly events: SessionEvents
  private readonly connectionsMax: number
  private readonly handOverTo: HandOver | undefined
  private ticker: NodeJS.Timeout | undefined
  private allClosed: (() => void) | undefined

  constructor(options: PortalGroupOptions) {
    this.directory = options.directory
    this.offer = options.offer
    this.events = options.events
    this.positionedReads = options.positionedReads ?? true
    this.limits = { ...DEFAULT_LIMITS, ...options.limits }
    this.staging = new Staging(this.limits.waitingBytes)
    const clock = options.clock ?? systemClock
    this.throttle = new LoginThrottle(clock, this.limits.authenticationFailures)
    this.userThrottle = new LoginThrottle(clock, this.limits.authenticationFailuresPerUser)
    this.connectionsMax = this.limits.connections ?? options.maxSessions + this.limits.pendingLogins
    const capacity = this.connectionsMax + SPARE_BUFFERS
    this.buffers = new BufferPool({
      capacity,
      lengthBytes: BATCH_LENGTH,
      reserve: this.connectionsMax,
      long: { count: LONG_BUFFERS, lengthBytes: LONG_BATCH_LENGTH }
    })
    this.registry = new Sessions({
      directory: options.directory,
      staging: this.staging,
      maxSessions: options.maxSessions,
      commandWindow: this.limits.commands,
      multipath: options.multipath,
      probeTimeMs: options.probeTimeMs ?? PROBE_TIME_MS,
      sessionsElsewhere: options.sessionsElsewhere ?? (() => this.away.size),
      tsihs: options.tsihs,
      began: (session) => this.began(session),
      ended: (session, end, tookMs) => this.events.ended(viewOf(session), end, tookMs)
    })
    this.handOverTo = options.handOver
    this.portals = options.portals.map(({ host, port }) => new Portal(host, port, (socket) => this.accept(socket)))
  }

  get sessions(): SessionView[] {
    return [...this.registry.all].map(viewOf)
  }

  /** @returns the addresses in use, in the order of the portals */
  async listen(): Promise<{ address: string; port: number }[]> {
    const addresses = []
    try {
      for (const portal of this.portals) addresses.push(await portal.listen())
    } catch (error) {
      for (const portal of this.portals) portal.stopListening()
      throw error
    }
    this.ticker = setInterval(() => this.tick(), TICK_MS)
    this.ticker.unref()
    return addresses
  }

  /** Asks initiators to log out, gives them `timeoutMs`, then cuts who is left. Resolves when all are gone. */
  async requestLogout(filter: (session: SessionView) => boolean, timeoutMs: number): Promise<void> {
    const asked = this.select(filter)
    for (const { connection } of asked) {
      connection.logoutRequested = true
      connection.sendAsync(AsyncEvent.LogoutRequest, Math.ceil(timeoutMs / 1000))
    }
    await this.gone(asked, timeoutMs)
    await this.disconnect((session) => asked.some((one) => one.tsih === session.tsih))
  }

  /** Cuts sessions; their deltas are kept by the policy for a stop. */
  async disconnect(filter: (session: SessionView) => boolean): Promise<void> {
    const chosen = this.select(filter)
    await Promise.all(
      chosen.map(async (session) => {
        session.connection.close({ kind: 'stopped' })
        await this.registry
          .end(session, { kind: 'stopped' })
          .catch((error: unknown) => this.events.failed(error, viewOf(session)))
      })
    )
  }

  /** Stops listening and cuts everybody. */
  async close(): Promise<void> {
    clearInterval(this.ticker)
    for (const portal of this.portals) portal.stopListening()
    await this.disconnect(() => true)
    const done = new Promise<void>((resolve) => (this.allClosed = resolve))
    for (const connection of this.connections) connection.close({ kind: 'stopped' })
    if (this.connections.size > 0) await done
    await this.registry.settled()
  }

  /** No new connections from now on. */
  stopListening(): void {
    for (const portal of this.portals) portal.stopListening()
  }

  /** Goes on with a login that another process has accepted and brought so far; here its session begins. */
  take(login: HandedLogin, socket: Socket, handed: HandedConnection): void {
    const connection = new Connection(socket, this, login.received)
    this.connections.add(connection)
    this.handed.set(connection, handed)
    connection.goOn(login, login.statSn)
  }

  /** Connections of this process and, of those that it has accepted, in others. */
  get connectionCount(): number {
    return this.connections.size
  }

  // ——— for connections ———

  makeLogin(connection: Connection): LoginPhase {
    const { remoteAddress } = connection.socket
    const machine = new LoginMachine({
      directory: this.directory,
      offer: this.offer,
      remoteAddress,
      challenges: this.challenges,
      textLengthMax: this.limits.textBytes,
      mayProve: (chapName) => this.userThrottle.allows(chapName),
      hasSession: (tsih, initiatorName, isid) =>
        this.registry.has(tsih, initiatorName, isid) || this.isAway(tsih, initiatorName, isid)
    })
    return new LoginPhase(connection, machine, this)
  }

  admit(...request: Parameters<Admission['admit']>): ReturnType<Admission['admit']> {
    return this.registry.admit(...request)
  }

  handOver(connection: Connection, login: AdmittedLogin): boolean {
    const { handOverTo } = this
    if (!handOverTo || login.result.sessionType === 'Discovery') return false
    this.sendAway(connection, login, handOverTo).catch((error: unknown) => connection.fail(error))
    return true
  }

  refused(connection: Connection, machine: LoginParties, status: number, message: string): void {
    const { initiatorName, targetName } = machine
    const { remoteAddress } = connection.socket
    if (status === LoginStatus.AuthenticationFailure) {
      this.throttle.fail(remoteAddress)
      if (machine.triedChapName !== undefined) this.userThrottle.fail(machine.triedChapName)
    }
    this.events.refused({ remoteAddress, initiatorName, targetName, status, message })
  }

  connectionClosed(connection: Connection, end: SessionEnd): void {
    // Its socket here is only the shell of the one that the other process has.
    if (connection.handedOver) return
    this.forget(connection)
    if (this.connections.size === 0) this.allClosed?.()
    const { session } = connection
    if (!session) {
      if (end.kind === 'lost') this.events.dropped(connection.socket.remoteAddress, end.cause)
    } else if (this.registry.all.has(session)) {
      this.registry.end(session, end).catch((error: unknown) => this.failed(connection, error))
    }
  }

  loggedOut(connection: Connection, end: SessionEnd): Promise<void> {
    return this.registry.end(connection.session!, end)
  }

  coldReset({ initiatorName, targetName }: Session): void {
    const end: SessionEnd = { kind: 'lost', cause: 'TARGET COLD RESET' }
    for (const session of this.registry.all) {
      const same = session.initiatorName === initiatorName && session.targetName === targetName
      if (same) session.connection.finish(end)
    }
  }

  failed(connection: Connection, error: unknown): void {
    this.events.failed(error, connection.session && viewOf(connection.session))
  }

  // ——— inside ———

  private accept(socket: Socket): void {
    const address = plainAddress(socket.remoteAddress)
    if (!this.throttle.allows(address)) return void socket.destroy()
    const here = this.connectionsOf(address) >= this.limits.connectionsPerAddress
    if (here || this.connections.size >= this.connectionsMax || this.pendingLogins() >= this.limits.pendingLogins) {
      // Whoever has been dawdling at the door longest makes room: a crowd that says nothing locks nobody out.
      const oldest = this.oldestWithoutSession(here ? address : undefined)
      if (!oldest) return void socket.destroy()
      oldest.close({ kind: 'lost', cause: 'too many connections that do not log in' })
    }
    this.connections.add(new Connection(socket, this))
    this.byAddress.set(address, this.connectionsOf(address) + 1)
  }

  private async sendAway(connection: Connection, login: AdmittedLogin, handOverTo: HandOver): Promise<void> {
    const detached = await connection.detach()
    if (!detached) return connection.close({ kind: 'lost', cause: 'cut during login' })
    const { socket, received } = detached
    this.away.set(connection, undefined)
    const ended = () => {
      this.away.delete(connection)
      this.forget(connection)
      if (this.connections.size === 0) this.allClosed?.()
    }
    try {
      handOverTo({ ...login, statSn: connection.takeStatSn(), received }, socket, {
        began: (session) => this.away.set(connection, session),
        ended
      })
    } catch (error) {
      // Detached, it is closed to itself, and no other process has it to end it.
      socket.destroy()
      ended()
      this.failed(connection, error)
    }
  }

  private isAway(tsih: number, initiatorName: string, isid: string): boolean {
    for (const session of this.away.values()) {
      if (session?.tsih === tsih && session.initiatorName === initiatorName && session.isid === isid) return true
    }
    return false
  }

  private began(session: Session): void {
    this.handed.get(session.connection)?.began(viewOf(session))
    this.events.login(viewOf(session), session.nexus)
  }

  private forget(connection: Connection): void {
    const { remoteAddress } = connection.socket
    // A login that is cut while it is admitted is told twice.
    if (!this.connections.delete(connection)) return
    const handed = this.handed.get(connection)
    this.handed.delete(connection)
    if (handed) return handed.ended()
    const others = this.connectionsOf(remoteAddress) - 1
    if (others > 0) this.byAddress.set(remoteAddress, others)
    else this.byAddress.delete(remoteAddress)
  }

  private connectionsOf(address: string): number {
    return this.byAddress.get(address) ?? 0
  }

  /** Those on their way out count as well: they hold as much. */
  private pendingLogins(): number {
    const away = [...this.away.values()].filter((session) => session !== undefined).length
    return this.connections.size - this.registry.all.size - away
  }

  /** @param address - of the one to find; undefined = anywhere */
  private oldestWithoutSession(address: string | undefined): Connection | undefined {
    for (const connection of this.connections) {
      const { session } = connection
      if (address !== undefined && connection.socket.remoteAddress !== address) continue
      if (!connection.closed && (!session || !this.registry.all.has(session))) return connection
    }
    return undefined
  }

  private select(filter: (session: SessionView) => boolean): Session[] {
    return [...this.registry.all].filter((session) => filter(viewOf(session)))
  }

  private async gone(sessions: readonly Session[], timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs
    while (performance.now() < deadline && sessions.some((session) => this.registry.all.has(session))) {
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  private tick(): void {
    const now = performance.now()
    for (const connection of this.connections) connection.tick(now)
  }
}

function viewOf(session: Session): SessionView {
  const { connection } = session
  return {
    type: session.type,
    initiatorName: session.initiatorName,
    targetName: session.targetName,
    isid: session.isid,
    tsih: session.tsih,
    remoteAddress: connection.socket.remoteAddress,
    localAddress: connection.socket.localAddress,
    ageMs: performance.now() - connection.since,
    commands: session.commands,
    dataInBytes: connection.dataInBytes,
    dataOutBytes: connection.dataOutBytes
  }
}
