import { LoginStatus } from '../pdu/codes.js'
import { loginResponse } from '../pdu/target.js'
import { loginRequest } from '../pdu/initiator.js'
import { Opcode } from '../pdu/opcodes.js'
import { BHS_LENGTH } from '../pdu/bhs.js'
import { messageOf } from '../util/errors.js'
import { Stop, type Connection } from './connection.js'
import { LoginError } from './errors.js'
import type { LoginMachine, LoginReply, LoginResult, LoginStep } from './login/login.js'
import { serialAdd } from './serial.js'
import type { Session } from './session.js'

const request = loginRequest.view()

/** What the login of one connection asks of those who keep the sessions. */
export interface Admission {
  /** Whether another process takes it from here: its initiator lives there. */
  handOver(connection: Connection, login: AdmittedLogin): boolean
  /** Makes the session of a complete, authenticated login, or throws LoginError. */
  admit(connection: Connection, result: LoginResult): Promise<Session>
  /** A login was refused: for the log. */
  refused(connection: Connection, parties: LoginParties, status: number, message: string): void
}

/** A login that is complete, but for its session and the last response. */
export interface AdmittedLogin {
  readonly reply: LoginReply
  readonly result: LoginResult
  /** Of the last request. */
  readonly cmdSn: number
}

/** Who tried to log in, as far as it is known. */
export type LoginParties = Pick<LoginMachine, 'initiatorName' | 'targetName' | 'triedChapName'>

/** What the state machine is to a login: one that was completed in another process has none. */
type Machine = LoginParties & Pick<LoginMachine, 'step' | 'refuse'>

/** Carries the Login Requests of one connection to the state machine and its answers back. */
export class LoginPhase {
  private cmdSn = 0

  constructor(
    private readonly connection: Connection,
    private machine: Machine,
    private readonly admission: Admission
  ) {}

  request(ring: Buffer, bhsOffset: number, dataOffset: number, dataLength: number): void {
    request.at(ring, bhsOffset)
    this.cmdSn = request.cmdSn
    const bhs = ring.subarray(bhsOffset, bhsOffset + BHS_LENGTH)
    const step = this.machine.step(bhs, 0, ring.subarray(dataOffset, dataOffset + dataLength))
    switch (step.kind) {
      case 'reply':
        return this.write(step.reply)
      case 'admit':
        return this.complete({ ...step, cmdSn: this.cmdSn })
      case 'fail':
        return this.refuse(step.reply, step.message)
      case 'close':
        return this.connection.close({ kind: 'lost', cause: step.message })
    }
  }

  /** Goes on with a login that another process has brought so far. */
  goOn(login: AdmittedLogin): void {
    this.cmdSn = login.cmdSn
    this.machine = new CompletedLogin(login)
    this.complete(login)
  }

  private complete(login: AdmittedLogin): void {
    this.connection.stop(Stop.Admission)
    if (this.admission.handOver(this.connection, login)) return
    this.admit(login.reply, login.result).catch((error: unknown) => this.connection.fail(error))
  }

  /** The last Login Response goes out only when the session stands (and whom it replaces is at rest). */
  private async admit(reply: LoginReply, result: LoginResult): Promise<void> {
    let session: Session
    try {
      session = await this.admission.admit(this.connection, result)
    } catch (error) {
      const status = error instanceof LoginError ? error.status : LoginStatus.TargetError
      if (!(error instanceof LoginError)) this.connection.host.failed(this.connection, error)
      return this.refuse(this.machine.refuse(status), messageOf(error))
    }
    if (this.connection.closed) {
      this.connection.session = session
      return this.connection.host.connectionClosed(this.connection, { kind: 'lost', cause: 'cut during login' })
    }
    this.write({ ...reply, tsih: session.tsih })
    this.connection.writer.flush()
    this.connection.enterFullFeature(session)
  }

  private refuse(reply: LoginReply, message: string): void {
    this.admission.refused(this.connection, this.machine, reply.status, message)
    if (this.connection.closed) return
    this.write(reply)
    this.connection.finish({ kind: 'lost', cause: message })
  }

  private write(reply: LoginReply): void {
    const { writer } = this.connection
    const offset = writer.begin(reply.data.length)
    if (offset < 0) return this.connection.close({ kind: 'lost', cause: 'no memory for a login' })
    const view = loginResponse.view().at(writer.buffer, offset)
    view.opcode = Opcode.LoginResponse
    view.flags = reply.flags
    view.isid = reply.isid
    view.tsih = reply.tsih
    view.initiatorTaskTag = reply.initiatorTaskTag
    view.statSn = this.connection.takeStatSn()
    view.expCmdSn = this.cmdSn
    view.maxCmdSn = serialAdd(this.cmdSn, this.connection.host.limits.commands - 1)
    view.statusClass = reply.status >>> 8
    view.statusDetail = reply.status & 0xff
    reply.data.copy(writer.buffer, writer.dataOffset)
    writer.end(reply.data.length)
  }
}

class CompletedLogin implements Machine {
  readonly initiatorName: string
  readonly targetName: string | undefined
  readonly triedChapName: string | undefined

  constructor(private readonly login: AdmittedLogin) {
    const { initiatorName, targetName, chapName } = login.result
    this.initiatorName = initiatorName
    this.targetName = targetName
    this.triedChapName = chapName
  }

  step(): LoginStep {
    return { kind: 'close', message: 'a Login Request came after the login had ended' }
  }

  refuse(status: number): LoginReply {
    return { ...this.login.reply, flags: 0, status, data: Buffer.alloc(0) }
  }
}
