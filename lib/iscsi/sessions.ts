import { LoginStatus } from '../pdu/codes.js'
import type { Staging } from '../scsi/staging.js'
import type { Connection } from './connection.js'
import type { Directory, SessionEnd } from './directory.js'
import { LoginError } from './errors.js'
import { isIpxe } from './ipxe.js'
import type { LoginResult } from './login/login.js'
import { Session } from './session.js'

export interface SessionsOptions {
  readonly directory: Directory
  readonly staging: Staging
  readonly maxSessions: number
  /** Sessions of the same server that are in other processes; none when left out. */
  readonly sessionsElsewhere?: () => number
  /** All TSIHs when left out. */
  readonly tsihs?: TsihRange | undefined
  /** Commands that a session may have open. */
  readonly commandWindow: number
  /** One initiator may be at several addresses at once. */
  readonly multipath: boolean
  /** How long the initiator of a session has for a sign of life when somebody else comes with its name. */
  readonly probeTimeMs: number
  readonly began: (session: Session) => void
  readonly ended: (session: Session, end: SessionEnd, tookMs: number) => void
}

/** TSIHs that one process gives out: `first`, `first` + `step` and so on. Each has its own, so none is given out twice. */
export interface TsihRange {
  readonly first: number
  readonly step: number
}

const TSIH_MAX = 0xffff
const ALL_TSIHS: TsihRange = { first: 1, step: 1 }

/**
 * All sessions of a portal group: who may begin one, whom it replaces, and how one ends (RFC 7143 §6.3.5). Admission
 * of one initiator to one target goes one after the other, so that a storm of logins leaves exactly one survivor.
 */
export class Sessions {
  readonly all = new Set<Session>()
  private readonly gates = new Map<string, Promise<unknown>>()
  private readonly ending = new Map<Session, Promise<void>>()
  private lastTsih = 0

  constructor(private readonly options: SessionsOptions) {}

  has(tsih: number, initiatorName: string, isid: string): boolean {
    for (const session of this.all) {
      if (session.tsih === tsih && session.initiatorName === initiatorName && session.isid === isid) return true
    }
    return false
  }

  admit(connection: Connection, result: LoginResult): Promise<Session> {
    if (result.sessionType === 'Discovery') return Promise.resolve(this.begin(connection, result, undefined))
    return this.inTurn(`${result.targetName} ${result.initiatorName}`, () => this.admitNormal(connection, result))
  }

  /** Ends a session: its tasks come to rest, the target hears of it. The same promise for all who ask. */
  end(session: Session, end: SessionEnd): Promise<void> {
    let ending = this.ending.get(session)
    if (!ending) {
      ending = this.endNow(session, end)
      this.ending.set(session, ending)
      const forget = () => this.ending.delete(session)
      ending.then(forget, forget)
    }
    return ending
  }

  /** Resolves when no admission and no end of a session is under way. */
  async settled(): Promise<void> {
    while (this.gates.size + this.ending.size > 0) {
      await Promise.allSettled([...this.gates.values(), ...this.ending.values()])
    }
  }

  private async admitNormal(connection: Connection, result: LoginResult): Promise<Session> {
    const { directory, multipath } = this.options
    const siblings = [...this.all].filter(
      (session) => session.initiatorName === result.initiatorName && session.targetName === result.targetName
    )
    const old = siblings.filter((session) => session.isid === result.isid)
    // Whoever is gone but has file operations under way: they must not land after what the new session writes.
    const dying = siblings.filter((session) => session.connection.closed)
    const elsewhere = siblings.filter(
      (session) =>
        session.connection.socket.remoteAddress !== connection.socket.remoteAddress &&
        (session.isid === result.isid || !multipath)
    )
    // A cloned PC has the name and often the ISID of its original: whoever still answers keeps its place.
    await Promise.all(elsewhere.map((session) => this.refuseIfAlive(session)))
    await Promise.all(old.map((session) => this.cut(session, { kind: 'reinstated' })))
    await Promise.all(dying.map((session) => this.end(session, { kind: 'lost', cause: 'connection cut' })))
    const silent = elsewhere.filter((session) => session.isid !== result.isid)
    const cause = 'silent, and its initiator logged in from another address'
    await Promise.all(silent.map((session) => this.cut(session, { kind: 'lost', cause })))
    if (connection.closed) throw new LoginError(LoginStatus.InitiatorError, 'the connection was cut during login')
    const nexus = await directory.openNexus({
      initiatorName: result.initiatorName,
      targetName: result.targetName!,
      remoteAddress: connection.socket.remoteAddress,
      localAddress: connection.socket.localAddress,
      isid: result.isid,
      initiatorAlias: result.initiatorAlias,
      chapName: result.chapName
    })
    let session: Session
    try {
      if (connection.closed) throw new LoginError(LoginStatus.InitiatorError, 'the connection was cut during login')
      session = this.begin(connection, result, nexus)
    } catch (error) {
      await directory.closeNexus(nexus, { kind: 'lost', cause: 'the login did not end well' })
      throw error
    }
    if (!isIpxe(result.isid)) this.endBootSessions(siblings)
    return session
  }

  private begin(connection: Connection, result: LoginResult, nexus: Session['nexus']): Session {
    if (this.all.size + (this.options.sessionsElsewhere?.() ?? 0) >= this.options.maxSessions) {
      throw new LoginError(
        LoginStatus.OutOfResources,
        `${this.options.maxSessions} sessions are open, no more are allowed`
      )
    }
    const session = new Session({
      connection,
      type: result.sessionType,
      initiatorName: result.initiatorName,
      targetName: result.targetName,
      isid: result.isid,
      tsih: this.freeTsih(),
      cid: result.cid,
      cmdSn: result.cmdSn,
      parameters: result.parameters,
      nexus,
      staging: this.options.staging,
      commandWindow: this.options.commandWindow
    })
    this.all.add(session)
    this.options.began(session)
    return session
  }

  private async refuseIfAlive(session: Session): Promise<void> {
    if (!(await answers(session.connection, this.options.probeTimeMs))) return
    const where = session.connection.socket.remoteAddress
    throw new LoginError(
      LoginStatus.ServiceUnavailable,
      `${session.initiatorName} is logged in from ${where} and answers there: is this a cloned PC? Give it a name of its own`
    )
  }

  /** iPXE never logs out: its session is over as soon as the system that it booted has its own. */
  private endBootSessions(siblings: readonly Session[]): void {
    for (const session of siblings) {
      if (isIpxe(session.isid)) session.connection.close({ kind: 'lost', cause: 'the booted system took over' })
    }
  }

  private async cut(session: Session, end: SessionEnd): Promise<void> {
    session.connection.close(end)
    await this.end(session, end)
  }

  private async endNow(session: Session, end: SessionEnd): Promise<void> {
    const began = performance.now()
    session.connection.leaving = true
    const { tasks } = session
    const open = [...tasks.values()]
    const quiet = session.whenQuiet(open)
    // Their responses are never sent. All are marked, and the blocked ones taken out, before the first one's end could
    // start another.
    for (const { scsi } of open) scsi.aborted = true
    for (const { scsi } of open) scsi.unit?.taskSet.remove(scsi)
    for (const task of open) session.connection.discard(task)
    session.held.clear()
    await quiet
    try {
      if (session.nexus) await this.options.directory.closeNexus(session.nexus, end)
    } finally {
      this.all.delete(session)
      this.options.ended(session, end, performance.now() - began)
    }
  }

  private async inTurn<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.gates.get(key) ?? Promise.resolve()
    const mine = before.then(work, work)
    const settled = mine.then(nothing, nothing)
    this.gates.set(key, settled)
    try {
      return await mine
    } finally {
      if (this.gates.get(key) === settled) this.gates.delete(key)
    }
  }

  private freeTsih(): number {
    const used = new Set([...this.all].map((session) => session.tsih))
    const { first, step } = this.options.tsihs ?? ALL_TSIHS
    for (let tries = 0; tries < TSIH_MAX / step; tries++) {
      const next = this.lastTsih === 0 ? first : this.lastTsih + step
      this.lastTsih = next > TSIH_MAX ? first : next
      if (!used.has(this.lastTsih)) return this.lastTsih
    }
    throw new LoginError(LoginStatus.OutOfResources, 'no TSIH is free')
  }
}

/**
 * Does the initiator of this connection show any sign of life in that time? A byte is one, and so is output that it
 * takes after it had to wait. While we do not listen we cannot know, and whoever may be alive is.
 */
async function answers(connection: Connection, probeTimeMs: number): Promise<boolean> {
  if (connection.closed) return false
  const { socket } = connection
  const { receivedBytes } = socket
  const takenBytes = socket.waitingBytes > 0 ? socket.takenBytes : Infinity
  connection.ping()
  const step = probeTimeMs / 30
  for (let waited = 0; waited < probeTimeMs; waited += step) {
    await new Promise((resolve) => setTimeout(resolve, step))
    if (connection.closed) return false
    if (socket.receivedBytes !== receivedBytes || socket.takenBytes > takenBytes) return true
  }
  return connection.deaf
}

function nothing(): void {}
