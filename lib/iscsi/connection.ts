import type { Socket } from 'node:net'
import { BHS_LENGTH, RESERVED_TAG } from '../pdu/bhs.js'
import { RejectReason } from '../pdu/codes.js'
import type { PduError } from '../pdu/errors.js'
import { Opcode, OPCODE_MASK, opcodeName } from '../pdu/opcodes.js'
import { PduReader, pduLengthMax, type PduSink } from '../pdu/reader.js'
import { asyncMessage, nopIn, reject as rejectPdu } from '../pdu/target.js'
import { PduWriter } from '../pdu/writer.js'
import type { DeviceServer } from '../scsi/device-server.js'
import type { Staging } from '../scsi/staging.js'
import { TaskState } from '../scsi/task.js'
import type { BufferPool } from '../util/buffer-pool.js'
import { AssertionError } from '../util/assert.js'
import { messageOf } from '../util/errors.js'
import { pumpDataIn } from './data-in.js'
import { checkDataOutTimes, goOnWithData } from './data-out.js'
import type { Directory, SessionEnd } from './directory.js'
import { handlePdu, passOver } from './full-feature.js'
import type { IscsiTask } from './iscsi-task.js'
import {
  CLOSE_TIME_MS,
  CONTROL_QUEUE_MAX,
  CROWDED_TURN_OUTPUT,
  LOGIN_DATA_MAX,
  LOGIN_TIME_MS,
  type ProtocolLimits,
  PING_AFTER_MS,
  PING_TIME_MS,
  RING_BYTES,
  STALLED_OUTPUT_MS,
  TURN_OUTPUT_MAX,
  TURN_PDUS_MAX
} from './limits.js'
import type { AdmittedLogin, LoginPhase } from './login-phase.js'
import type { OfferedParameters } from './parameters.js'
import { respond } from './response.js'
import { serialAdd } from './serial.js'
import type { Session } from './session.js'
import { IscsiSocket, type ByteConsumer, type DetachedSocket } from './socket.js'

/** What all connections of a process share. */
export interface ConnectionHost {
  readonly buffers: BufferPool
  readonly staging: Staging
  readonly deviceServer: DeviceServer
  readonly directory: Directory
  readonly offer: OfferedParameters
  readonly limits: ProtocolLimits
  readonly positionedReads: boolean
  makeLogin(connection: Connection): LoginPhase
  /** The TCP connection is gone. `end` says why, if somebody gave a reason before. */
  connectionClosed(connection: Connection, end: SessionEnd): void
  /** A logout request that is to be obeyed. */
  loggedOut(connection: Connection, end: SessionEnd): Promise<void>
  /** TARGET COLD RESET (RFC 7143 §11.5.1): the sessions of this initiator end. */
  coldReset(session: Session): void
  /** A mistake of ours: for the log. */
  failed(connection: Connection, error: unknown): void
}

/** Reasons why nothing is parsed for now; bits. */
export const Stop = { Cap: 1, Output: 2, Admission: 4, Staging: 8 } as const

/**
 * One TCP connection: framing, StatSN, timers, and the turns. A turn is what one read of the socket brings: all whole
 * PDUs are handled, the writes among them are committed once, and all answers leave in one `socket.write`.
 */
export class Connection implements ByteConsumer, PduSink {
  readonly socket: IscsiSocket
  readonly reader: PduReader
  readonly writer: PduWriter
  /** Set when full feature phase is reached. */
  session: Session | undefined
  /** StatSN of the next status. Any start will do (RFC 7143 §11.4.8). */
  statSn = 1
  /** We asked for a logout by an Async Message. */
  logoutRequested = false
  /** A Logout Request is being obeyed, or the connection is to be closed: what still arrives is ignored. */
  leaving = false
  /** Another process has it. */
  handedOver = false
  since = performance.now()
  pdusReceived = 0
  dataInBytes = 0
  dataOutBytes = 0

  private login: LoginPhase | undefined
  private stops = 0
  private resumeScheduled = false
  /** Tasks whose data waits for memory. */
  private starving = 0
  private turnPdus = 0
  private turnSentBefore = 0
  private turnScheduled = false
  private drainScheduled = false
  private end: SessionEnd | undefined
  private closedFlag = false
  /** The connection is to be closed in an orderly way, once what waits is written; when that was decided. */
  private finishing = false
  private finishingSince = 0
  /** FIN is on its way: nothing can be written any more. */
  private finished = false
  private takenBytes = 0
  private takenAt = performance.now()
  private pingSentAt = 0
  private pingTag = RESERVED_TAG
  private receivedBeforePing = 0
  private answersPings = false
  /** Tasks that wait for room in the output, in order. */
  private readonly outQueue: IscsiTask[] = []
  private readonly controlQueue: (() => boolean)[] = []
  /** Writes that are done but whose journal record is not written: answered at the end of the turn. */
  private readonly uncommitted: IscsiTask[] = []
  private readonly nopInView = nopIn.view()
  private readonly endTurnLater = () => this.lateTurn()
  private readonly drainNow = () => {
    this.drainScheduled = false
    this.drained()
  }
  private readonly resumeLater = () => {
    this.resumeScheduled = false
    if (this.stops === 0 && !this.closedFlag) this.socket.resume()
  }
  private readonly capOver = () => {
    this.stops &= ~Stop.Cap
    if (this.stops === 0 && !this.closedFlag) this.socket.resume()
  }

  constructor(
    accepted: Socket,
    readonly host: ConnectionHost,
    received?: Buffer
  ) {
    const maxDataSegmentLength = LOGIN_DATA_MAX
    this.reader = new PduReader({ maxDataSegmentLength, headerDigest: false, dataDigest: false })
    const send = (buffer: Buffer, start: number, end: number, release: () => void) =>
      this.socket.write(buffer.subarray(start, end), release)
    this.writer = new PduWriter(host.buffers, send, () => this.drained())
    this.socket = new IscsiSocket(accepted, this, {
      positionedReads: host.positionedReads,
      ringBytesMax: Math.max(
        RING_BYTES,
        2 * pduLengthMax(Math.max(host.offer.maxRecvDataSegmentLength, LOGIN_DATA_MAX))
      ),
      ...(received && { received })
    })
    this.login = host.makeLogin(this)
  }

  /** It waits for our memory, so the silence is ours. */
  get deaf(): boolean {
    return (this.stops & Stop.Staging) !== 0
  }

  /** Cut, by whichever side: nothing is read or written any more. */
  get closed(): boolean {
    return this.closedFlag
  }

  // ——— bytes and PDUs in ———

  get neededBytes(): number {
    return this.reader.needed
  }

  get unitBytes(): number {
    return this.reader.lastLength
  }

  get stopped(): boolean {
    return this.stops !== 0
  }

  /** Bytes that a turn may send before the others have theirs. */
  get turnOutputMax(): number {
    return this.socket.crowded ? CROWDED_TURN_OUTPUT : TURN_OUTPUT_MAX
  }

  consume(ring: Buffer, start: number, end: number): number {
    if (this.stops !== 0 || this.closedFlag) return start
    this.turnPdus = 0
    this.turnSentBefore = this.socket.sentBytes
    try {
      const consumed = this.reader.parse(ring, start, end, this)
      this.endTurn()
      return consumed
    } catch (error) {
      this.fail(error)
      return end
    }
  }

  pdu(ring: Buffer, bhsOffset: number, ahsLength: number, dataOffset: number, dataLength: number): boolean {
    if (this.leaving) return true
    if (this.capReached()) return this.reader.unread()
    this.pdusReceived++
    if (this.session) handlePdu(this, this.session, ring, bhsOffset, ahsLength, dataOffset, dataLength)
    else this.handleLogin(ring, bhsOffset, dataOffset, dataLength)
    return this.stops === 0 && !this.closedFlag
  }

  reject(error: PduError, ring: Buffer, bhsOffset: number): boolean {
    if (this.leaving) return true
    if (this.capReached()) return this.reader.unread()
    this.pdusReceived++
    if (!this.session) this.close({ kind: 'lost', cause: error.message })
    else {
      this.rejectPdu(error.reason, ring, bhsOffset)
      if (error.reason !== RejectReason.DataDigestError) passOver(this, this.session, ring, bhsOffset)
    }
    return this.stops === 0 && !this.closedFlag
  }

  error(error: PduError): void {
    this.close({ kind: 'lost', cause: error.message })
  }

  /** Full feature phase begins with the next PDU. */
  enterFullFeature(session: Session): void {
    this.session = session
    this.login = undefined
    const { parameters } = session
    this.reader.maxDataSegmentLength = parameters.maxRecvDataSegmentLength
    this.reader.headerDigest = this.writer.headerDigest = parameters.headerDigest
    this.reader.dataDigest = this.writer.dataDigest = parameters.dataDigest
    this.unstop(Stop.Admission)
  }

  /** Leaves this process in the middle of its login; undefined when it is gone already. */
  async detach(): Promise<DetachedSocket | undefined> {
    const detached = await this.socket.detach()
    // From here on nobody but the other process ends it.
    if (this.closedFlag || !detached) return undefined
    this.handedOver = this.leaving = this.closedFlag = true
    return detached
  }

  /** Goes on with a login that another process has brought so far. */
  goOn(login: AdmittedLogin, statSn: number): void {
    this.statSn = statSn
    this.login!.goOn(login)
  }

  stop(reason: number): void {
    if (this.stops === 0) this.socket.pause()
    this.stops |= reason
  }

  /** Parsing goes on in a turn of its own: whoever clears the reason may be in the middle of a PDU or a task. */
  unstop(reason: number): void {
    if ((this.stops & reason) === 0) return
    this.stops &= ~reason
    if (this.stops !== 0 || this.resumeScheduled) return
    this.resumeScheduled = true
    setImmediate(this.resumeLater)
  }

  /** Data of this task found no memory to wait in: no more is read until it, and all like it, have. */
  starve(task: IscsiTask): void {
    if (task.starved) return
    task.starved = true
    this.starving++
    this.stop(Stop.Staging)
  }

  /** Takes {@link starve} back; harmless for a task that was not. */
  feed(task: IscsiTask): void {
    if (!task.starved) return
    task.starved = false
    this.starving--
    if (this.starving === 0) this.unstop(Stop.Staging)
  }

  // ——— answers out ———

  /** A task's state has changed outside the turn that started it, or output has room again. */
  taskReady(task: IscsiTask): void {
    try {
      if (task.scsi.aborted) this.discard(task)
      else this.progress(task)
    } catch (error) {
      this.fail(error)
    }
    this.scheduleTurn()
  }

  /** Takes the task as far as it goes now. */
  progress(task: IscsiTask): void {
    // The session's end will look for it there.
    if (this.closedFlag || this.finished) return this.session!.open(task)
    if (task.queued) return
    switch (task.scsi.state) {
      case TaskState.DataIn:
        if (!pumpDataIn(this, this.session!, task)) this.queue(task)
        return
      case TaskState.DataOut:
        return goOnWithData(this, this.session!, task)
      case TaskState.Done:
        return this.finishTask(task)
      default:
        this.session!.open(task)
    }
  }

  /** The status of a task whose work has ended; a write waits for the commit at the end of the turn. */
  private finishTask(task: IscsiTask): void {
    if (task.scsi.uncommitted) {
      this.session!.open(task)
      this.uncommitted.push(task)
    } else this.answer(task)
  }

  private answer(task: IscsiTask): void {
    const { unit, command } = task.scsi
    // A commit that failed meanwhile, for whichever turn or session of this initiator, has undone what was written.
    if (unit && unit.failedCommits !== task.failedCommits && command?.access === 'write') {
      task.scsi.checkVolume(unit.commitFailure)
    }
    if (respond(this, this.session!, task)) this.release(task)
    else this.queue(task)
  }

  /** The task is over: back to its pool. */
  release(task: IscsiTask): void {
    this.feed(task)
    this.host.deviceServer.release(task.scsi)
    this.session!.giveTask(task)
  }

  /** An aborted task goes back to its pool as soon as nothing works on it any more. */
  discard(task: IscsiTask): void {
    if (task.scsi.busy) return
    const at = this.outQueue.indexOf(task)
    if (at >= 0) this.outQueue.splice(at, 1)
    const uncommitted = this.uncommitted.indexOf(task)
    if (uncommitted >= 0) this.uncommitted.splice(uncommitted, 1)
    this.release(task)
  }

  /** Writes a control PDU now, or when there is room. `write` answers false when there was none. */
  send(write: () => boolean): void {
    if (this.closedFlag || this.finished) return
    if (this.controlQueue.length === 0 && write()) return this.scheduleTurn()
    if (this.controlQueue.length === CONTROL_QUEUE_MAX) {
      return this.close({ kind: 'lost', cause: 'too many answers wait for an initiator that does not read' })
    }
    this.stop(Stop.Output)
    this.controlQueue.push(write)
  }

  /** Takes the next StatSN: for every PDU that carries a status. */
  takeStatSn(): number {
    const statSn = this.statSn
    this.statSn = serialAdd(statSn, 1)
    return statSn
  }

  /** RFC 7143 §11.17: the answer to a PDU that we do not execute, with its header as data. */
  rejectPdu(reason: RejectReason, ring: Buffer, bhsOffset: number): void {
    const header = Buffer.from(ring.subarray(bhsOffset, bhsOffset + BHS_LENGTH))
    this.send(() => {
      const offset = this.writer.begin(BHS_LENGTH)
      if (offset < 0) return false
      const view = rejectPdu.view().at(this.writer.buffer, offset)
      view.opcode = Opcode.Reject
      view.flags = 0x80
      view.reason = reason
      view.initiatorTaskTag = RESERVED_TAG
      view.statSn = this.takeStatSn()
      view.expCmdSn = this.session!.expCmdSn
      view.maxCmdSn = this.session!.maxCmdSn
      header.copy(this.writer.buffer, this.writer.dataOffset)
      this.writer.end(BHS_LENGTH)
      return true
    })
  }

  /** RFC 7143 §11.19: asks whether the initiator is there; an answer, or any other byte, says yes. */
  ping(): void {
    this.pingTag = this.session!.transferTag()
    this.pingSentAt = performance.now()
    this.receivedBeforePing = this.socket.receivedBytes
    this.send(() => this.writeNopIn(RESERVED_TAG, this.pingTag))
  }

  /** @returns whether this TargetTransferTag was a ping of ours */
  pingAnswered(tag: number): boolean {
    if (tag !== this.pingTag) return false
    this.pingTag = RESERVED_TAG
    this.answersPings = true
    return true
  }

  /** A NOP-In without data. StatSN moves on only when it answers something (RFC 7143 §11.19.2). */
  writeNopIn(initiatorTaskTag: number, targetTransferTag: number): boolean {
    const offset = this.writer.begin(0)
    if (offset < 0) return false
    const view = this.nopInView.at(this.writer.buffer, offset)
    view.opcode = Opcode.NopIn
    view.flags = 0x80
    view.initiatorTaskTag = initiatorTaskTag
    view.targetTransferTag = targetTransferTag
    view.statSn = initiatorTaskTag === RESERVED_TAG ? this.statSn : this.takeStatSn()
    view.expCmdSn = this.session!.expCmdSn
    view.maxCmdSn = this.session!.maxCmdSn
    this.writer.end(0)
    return true
  }

  /** RFC 7143 §11.9. `parameter3` is the time in seconds that the initiator has to react. */
  sendAsync(event: number, parameter3: number): void {
    this.send(() => {
      const offset = this.writer.begin(0)
      if (offset < 0) return false
      const view = asyncMessage.view().at(this.writer.buffer, offset)
      view.opcode = Opcode.AsyncMessage
      view.flags = 0x80
      view.initiatorTaskTag = RESERVED_TAG
      view.statSn = this.takeStatSn()
      view.expCmdSn = this.session!.expCmdSn
      view.maxCmdSn = this.session!.maxCmdSn
      view.asyncEvent = event
      view.parameter3 = parameter3
      this.writer.end(0)
      return true
    })
  }

  // ——— the end ———

  /** Cuts the connection; `end` is what the session's end will be called. */
  close(end: SessionEnd): void {
    if (this.closedFlag) return
    this.closedFlag = true
    this.end ??= end
    this.leaving = true
    this.socket.destroy()
  }

  /** Sends what waits to be sent, then closes in an orderly way; a peer that does not close its side is cut. */
  finish(end: SessionEnd): void {
    if (this.closedFlag || this.finishing) return
    this.end ??= end
    this.leaving = this.finishing = true
    this.finishingSince = performance.now()
    this.finishWhenWritten()
  }

  /** A mistake of ours ends this initiator's session alone. */
  fail(error: unknown): void {
    if (this.closedFlag) return
    this.host.failed(this, error)
    const kind = error instanceof AssertionError ? 'assertion' : 'error'
    this.close({ kind: 'lost', cause: `${kind} in the server: ${messageOf(error)}` })
  }

  /** For the timer: what has gone on too long? `now` as {@link performance.now}. */
  tick(now: number): void {
    if (this.closedFlag) return
    try {
      this.checkTimes(now)
      if (this.session) checkDataOutTimes(this, this.session, now)
      this.endTurn()
    } catch (error) {
      this.fail(error)
    }
  }

  private checkTimes(now: number): void {
    const silence = now - this.socket.lastReceivedAt
    if (this.finishing) {
      if (now - this.finishingSince > CLOSE_TIME_MS) this.close(this.end!)
      return
    }
    if (!this.session) {
      if (now - this.since > LOGIN_TIME_MS) this.close({ kind: 'lost', cause: 'login took too long' })
      return
    }
    const { waitingBytes, takenBytes } = this.socket
    if (takenBytes !== this.takenBytes) {
      // A slow reader that says nothing is not dead as long as it takes something.
      this.takenBytes = takenBytes
      this.takenAt = now
    }
    if (waitingBytes > 0 && silence > STALLED_OUTPUT_MS && now - this.takenAt > STALLED_OUTPUT_MS) {
      return this.close({ kind: 'lost', cause: 'nothing read and nothing sent for a minute' })
    }
    if (this.pingTag === RESERVED_TAG) {
      if (silence > PING_AFTER_MS) this.ping()
    } else if (this.socket.receivedBytes !== this.receivedBeforePing) {
      // It is there, even if it never answers pings, as iPXE.
      this.pingTag = RESERVED_TAG
    } else if (this.stops !== 0 || waitingBytes > 0) {
      // The ping is stuck behind output, or nobody here listens for the answer: its time does not run.
      this.pingSentAt = now
    } else if (this.answersPings && now - this.pingSentAt > PING_TIME_MS) {
      this.close({ kind: 'lost', cause: 'no answer to NOP-In' })
    }
  }

  // ——— inside ———

  private handleLogin(ring: Buffer, bhsOffset: number, dataOffset: number, dataLength: number): void {
    const opcode = ring[bhsOffset]! & OPCODE_MASK
    if (opcode !== Opcode.LoginRequest) {
      return this.close({ kind: 'lost', cause: `${opcodeName(opcode)} before login` })
    }
    this.login!.request(ring, bhsOffset, dataOffset, dataLength)
  }

  private capReached(): boolean {
    const output = this.socket.sentBytes - this.turnSentBefore + this.writer.pending
    if (++this.turnPdus <= TURN_PDUS_MAX && output <= this.turnOutputMax) return false
    this.stop(Stop.Cap)
    setImmediate(this.capOver)
    return true
  }

  /** Commits the writes of the turn and answers them, and sends all answers. */
  endTurn(): void {
    if (this.closedFlag || this.finished) return
    if (this.uncommitted.length > 0) this.commit()
    this.writer.flush()
  }

  private commit(): void {
    // Its errors are kept by the units.
    this.session!.nexus?.commit()
    for (const task of this.uncommitted.splice(0)) this.answer(task)
  }

  private finishWhenWritten(): void {
    if (this.controlQueue.length > 0) return
    this.endTurn()
    this.finished = true
    this.socket.finish()
  }

  /** The task waits for room in the output. */
  queue(task: IscsiTask): void {
    this.session!.open(task)
    task.queued = true
    this.outQueue.push(task)
    this.stop(Stop.Output)
  }

  /** What is queued goes on when the others have had their turn. */
  drainLater(): void {
    if (this.drainScheduled) return
    this.drainScheduled = true
    setImmediate(this.drainNow)
  }

  /** There is room for output again. */
  private drained(): void {
    if (this.closedFlag || this.finished) return
    try {
      while (this.controlQueue.length > 0) {
        if (!this.controlQueue[0]!()) return
        this.controlQueue.shift()
      }
      if (this.finishing) return this.finishWhenWritten()
      // Each waiting task has one go: a long read does not keep the others out.
      for (let turn = this.outQueue.length; turn > 0 && this.outQueue.length > 0; turn--) {
        const task = this.outQueue.shift()!
        task.queued = false
        this.progress(task)
        if (task.queued) break
      }
      this.endTurn()
    } catch (error) {
      return this.fail(error)
    }
    if (this.outQueue.length === 0 && this.controlQueue.length === 0) this.unstop(Stop.Output)
  }

  private scheduleTurn(): void {
    if (this.turnScheduled || this.closedFlag) return
    this.turnScheduled = true
    setImmediate(this.endTurnLater)
  }

  private lateTurn(): void {
    this.turnScheduled = false
    if (this.closedFlag) return
    try {
      this.endTurn()
    } catch (error) {
      this.fail(error)
    }
  }

  /** For the socket. */
  disconnected(ended: boolean, error: Error | undefined): void {
    this.closedFlag = true
    this.leaving = true
    this.writer.destroy()
    this.controlQueue.length = this.outQueue.length = this.uncommitted.length = 0
    const cause = error ? messageOf(error) : 'connection cut'
    this.host.connectionClosed(this, this.end ?? (ended ? { kind: 'closed' } : { kind: 'lost', cause }))
  }
}
