import { randomBytes } from 'node:crypto'
import { LoginStage, LoginStatus } from '../../pdu/codes.js'
import { PduError } from '../../pdu/errors.js'
import {
  CURRENT_STAGE_MASK,
  CURRENT_STAGE_SHIFT,
  FLAG_CONTINUE,
  FLAG_TRANSIT,
  loginRequest,
  NEXT_STAGE_MASK
} from '../../pdu/initiator.js'
import { Opcode, OPCODE_MASK } from '../../pdu/opcodes.js'
import {
  formatText,
  PAIRS_MAX,
  parseText,
  VALUE_LENGTH_MAX,
  type TextPair,
  type TextParameters
} from '../../pdu/text.js'
import { assert } from '../../util/assert.js'
import type { AccessRequest, Directory } from '../directory.js'
import { LoginError } from '../errors.js'
import { TEXT_BYTES_MAX } from '../limits.js'
import { defaultParameters, type OfferedParameters, type SessionParameters } from '../parameters.js'
import { IssuedChallenges } from './chap.js'
import { keys } from './keys.js'
import { normalizeIscsiName } from './names.js'
import { isAnswerOnly, negotiate, type Negotiation } from './negotiate.js'
import { quote } from './quote.js'
import { SecurityStage } from './security.js'

/**
 * The target's side of a login, RFC 7143 §6.3: Login Requests in, Login Responses out. It has no socket, no timer and
 * waits for nothing, so it runs wherever the bytes are.
 *
 *     first request ──▶ SecurityNegotiation ──▶ LoginOperationalNegotiation ──▶ FullFeaturePhase
 *              └──────────────────┼────────────────────▲                              ▲
 *                                 └───────────────────────────────────────────────────┘
 *
 * Inside a stage a text of the initiator may span requests (C bit) and ours may span responses; the step from one stage
 * to the next is made when the initiator asks for it (T bit), its text and ours are whole, and the stage has all that
 * it needs. The end is an `admit` step: the connection opens the nexus and then sends the reply, or {@link refuse}.
 */

/** Login Requests of one login. */
const REQUESTS_MAX = 100
/** Bytes of one response: the MaxRecvDataSegmentLength of both sides until full feature phase, §13.12. */
const RESPONSE_LENGTH_MAX = 8192
/** Bytes of InitiatorAlias: a simple value, §6.1. */
const ALIAS_LENGTH_MAX = 255
/** Stage 2 is reserved, §11.12.3. */
const STAGE_RESERVED = 2

/** Names that may come again in a later text with the same value. */
const REPEATABLE: readonly string[] = ['InitiatorName', 'TargetName', 'SessionType', 'InitiatorAlias']

/** Duplicates are ours to find, over all texts of the login. */
const TEXT_LIMITS = { valueLengthMax: VALUE_LENGTH_MAX, pairsMax: PAIRS_MAX, repeats: true }

export interface LoginOptions {
  readonly directory: Directory
  readonly offer: OfferedParameters
  /** Without IPv4-mapped prefix and without port. */
  readonly remoteAddress: string
  /** Whether this initiator port (name, ISID) has a session with this TSIH. */
  readonly hasSession: (tsih: number, initiatorName: string, isid: string) => boolean
  /** Shared by all logins of a server, so that a challenge of one connection is not answered on another. */
  readonly challenges?: IssuedChallenges
  readonly randomBytes?: (length: number) => Buffer
  /** Bytes of text that the login may send in all; {@link TEXT_BYTES_MAX} when left out. */
  readonly textLengthMax?: number
  /** May somebody try to prove this CHAP name now? */
  readonly mayProve?: (chapName: string) => boolean
}

/** A Login Response but for StatSN, ExpCmdSN, MaxCmdSN and the version bytes, which are the connection's. */
export interface LoginReply {
  /** T, C, CSG, NSG. */
  readonly flags: number
  /** Status-Class << 8 | Status-Detail. */
  readonly status: number
  /** 6 bytes. */
  readonly isid: Buffer
  /** The request's, 0 for a new session: the connection puts the new session's in before it sends the last reply. */
  readonly tsih: number
  readonly initiatorTaskTag: number
  readonly data: Buffer
}

export interface LoginResult {
  readonly sessionType: SessionType
  /** Normalised. */
  readonly initiatorName: string
  readonly initiatorAlias: string | undefined
  /** Normalised; always there in a normal session. */
  readonly targetName: string | undefined
  /** 6 bytes in hex. */
  readonly isid: string
  /** As the initiator sent it: always 0, since only a new session is admitted. */
  readonly tsih: number
  readonly cid: number
  /** CmdSN of the last request, which the first command carries too: Login Requests take none. */
  readonly cmdSn: number
  /** The CHAP name that was proved, or undefined without CHAP. */
  readonly chapName: string | undefined
  readonly parameters: SessionParameters
}

export type SessionType = 'Normal' | 'Discovery'

export type LoginStep =
  /** Send it and wait for the next request. */
  | { readonly kind: 'reply'; readonly reply: LoginReply }
  /** Open the session, then send the reply with its TSIH, or what {@link LoginMachine.refuse} gives. */
  | { readonly kind: 'admit'; readonly reply: LoginReply; readonly result: LoginResult }
  /** Send the reply, log the message, close. */
  | { readonly kind: 'fail'; readonly reply: LoginReply; readonly message: string }
  /** Close without a word. */
  | { readonly kind: 'close'; readonly message: string }

/** The header of one request, taken out of the receive buffer. */
interface Request {
  readonly transit: boolean
  readonly continues: boolean
  readonly stage: number
  readonly nextStage: number
  readonly versionMin: number
  /** 6 bytes in hex. */
  readonly isid: string
  readonly tsih: number
  readonly initiatorTaskTag: number
  readonly cid: number
  readonly cmdSn: number
}

/** Who logs in to what, known from the first whole text on. */
interface Parties {
  readonly sessionType: SessionType
  readonly access: AccessRequest
  readonly security: SecurityStage
  readonly negotiation: Negotiation
}

export class LoginMachine {
  /** Normalised, for logs: known as soon as it was read, also when the login fails for another reason. */
  initiatorName: string | undefined
  targetName: string | undefined

  private readonly header = loginRequest.view()
  private request: Request | undefined
  private first: Request | undefined
  private parties: Parties | undefined
  private alias: string | undefined
  private stage = 0
  private isOver = false

  private requestCount = 0
  private textLength = 0
  /** Pieces of a text that goes on in the next request. */
  private pieces: Buffer[] = []
  /** All keys of the login so far, with their values. */
  private readonly seen = new Map<string, string>()
  private hasDeclared = false
  /** What is still to be sent of our answer; undefined while it is the initiator's turn to speak. */
  private unsent: Buffer | undefined

  constructor(private readonly options: LoginOptions) {}

  /** The CHAP name that the initiator tried to prove, whether it could or not. */
  get triedChapName(): string | undefined {
    return this.parties?.security.triedChapName
  }

  /** 12 hexadecimal digits. */
  get isid(): string | undefined {
    return this.first?.isid
  }

  /**
   * Takes one complete Login Request: its header at `bhsOffset` of `bhs`, and its data segment without padding. Both
   * may be windows on a receive buffer; nothing of them is kept.
   */
  step(bhs: Buffer, bhsOffset: number, data: Buffer): LoginStep {
    const header = this.header.at(bhs, bhsOffset)
    if ((header.opcode & OPCODE_MASK) !== Opcode.LoginRequest) return close('the first PDU is no Login Request')
    if (this.isOver) return close('a Login Request came after the login had ended')
    const request = (this.request = this.read())
    this.first ??= this.start(request)
    try {
      return this.advance(request, this.first, data)
    } catch (error) {
      return this.fail(asLoginError(error))
    }
  }

  /** The answer to the last request when admission was refused after `admit`, or when the login took too long. */
  refuse(status: number): LoginReply {
    this.isOver = true
    return this.reply(0, status, NO_BYTES)
  }

  private read(): Request {
    const { flags, versionMin, isid, tsih, initiatorTaskTag, cid, cmdSn } = this.header
    return {
      transit: (flags & FLAG_TRANSIT) !== 0,
      continues: (flags & FLAG_CONTINUE) !== 0,
      stage: (flags & CURRENT_STAGE_MASK) >>> CURRENT_STAGE_SHIFT,
      nextStage: flags & NEXT_STAGE_MASK,
      versionMin,
      isid: isid.toString('hex'),
      tsih,
      initiatorTaskTag,
      cid,
      cmdSn
    }
  }

  /** The initiator chooses the stage that it starts with, §6.3.1. */
  private start(request: Request): Request {
    this.stage = request.stage
    return request
  }

  private advance(request: Request, first: Request, data: Buffer): LoginStep {
    checkHeader(request)
    checkUnchanged(request, first)
    this.countText(data)
    if (request.stage !== this.stage) throw initiatorError(`stage ${request.stage} in place of ${this.stage}`)
    if (this.unsent) return this.goOn(request, data)
    if (request.continues) return this.collect(data)
    const text = this.pieces.length === 0 ? data : Buffer.concat([...this.pieces, data])
    this.pieces = []
    return this.answer(request, parseText(text, 0, text.length, TEXT_LIMITS))
  }

  private countText(data: Buffer): void {
    this.requestCount++
    this.textLength += data.length
    if (this.requestCount > REQUESTS_MAX) throw initiatorError(`more than ${REQUESTS_MAX} Login Requests`)
    const { textLengthMax = TEXT_BYTES_MAX } = this.options
    if (this.textLength > textLengthMax) throw initiatorError(`more than ${textLengthMax} bytes of text`)
  }

  // §6.2: a text goes on in the next request; until it is whole we have nothing to say.
  private collect(data: Buffer): LoginStep {
    this.pieces.push(Buffer.from(data))
    return this.send(0, NO_BYTES)
  }

  // §6.2: our own text goes on in the next response, which an empty request asks for.
  private goOn(request: Request, data: Buffer): LoginStep {
    if (data.length > 0 || request.continues) throw initiatorError('text came before our answer was whole')
    return this.speak(request)
  }

  private answer(request: Request, pairs: TextParameters): LoginStep {
    const news = this.withoutRepeats(pairs)
    const isFirst = this.parties === undefined
    const parties = (this.parties ??= this.begin(request, news))
    const rest = this.takeNames(news, isFirst)
    const answers =
      this.stage === LoginStage.SecurityNegotiation ? this.secure(parties, rest) : this.operate(parties, rest)
    if (isFirst && parties.sessionType === 'Normal') answers.push(...this.introduction(parties))
    if (this.stage === LoginStage.LoginOperationalNegotiation) answers.push(...this.declaration(parties))
    if (request.transit && this.stage === LoginStage.SecurityNegotiation && parties.security.waitsForMethod) {
      throw new LoginError(LoginStatus.AuthenticationFailure, 'CHAP is required and AuthMethod was not proposed')
    }
    this.unsent = formatText(answers)
    return this.speak(request)
  }

  // RFC 7143 §6.2: no key may be negotiated or declared twice in a login. libiscsi with a secret names itself and its
  // target once more when the security stage ended without CHAP: a name that says the same again is let pass.
  private withoutRepeats(pairs: TextParameters): TextParameters {
    const before = new Map(this.seen)
    return pairs.filter(([name, value]) => {
      if (REPEATABLE.includes(name) && before.get(name) === value && before.delete(name)) return false
      if (this.seen.has(name)) throw new LoginError(repeatStatus(name), `${name} comes twice`)
      this.seen.set(name, value)
      return true
    })
  }

  private begin(request: Request, pairs: TextParameters): Parties {
    const { directory, offer } = this.options
    const given = new Map(pairs)
    const sessionType = sessionTypeOf(given.get('SessionType'))
    const initiatorName = (this.initiatorName = initiatorNameOf(given.get('InitiatorName')))
    const targetName = (this.targetName = this.targetNameOf(given.get('TargetName'), sessionType))
    const access = { initiatorName, targetName, remoteAddress: this.options.remoteAddress }
    if (!directory.mayAccess(access)) throw new LoginError(LoginStatus.AuthorizationFailure, directory.refusal(access))
    this.checkSession(request, initiatorName)
    const policy = directory.chap(access)
    if (policy.required && request.stage !== LoginStage.SecurityNegotiation) {
      throw new LoginError(LoginStatus.AuthenticationFailure, 'CHAP is required and the security stage was left out')
    }
    const issued = this.options.challenges ?? new IssuedChallenges()
    return {
      sessionType,
      access,
      security: new SecurityStage({
        policy,
        randomBytes: this.options.randomBytes ?? randomBytes,
        issued,
        ...(this.options.mayProve && { mayProve: this.options.mayProve })
      }),
      negotiation: {
        offer,
        discovery: sessionType === 'Discovery',
        parameters: defaultParameters(),
        proposed: new Map()
      }
    }
  }

  private targetNameOf(text: string | undefined, sessionType: SessionType): string | undefined {
    if (!text) {
      if (sessionType === 'Discovery') return undefined
      throw new LoginError(LoginStatus.MissingParameter, 'TargetName is missing')
    }
    const name = normalizeIscsiName(text)
    if (name === undefined || !this.options.directory.hasTarget(name)) {
      throw new LoginError(LoginStatus.NotFound, `no target has the name ${quote(text)}`)
    }
    return name
  }

  // One connection is all that a session has, so a login with a TSIH can only be refused; §11.13.5 has a status for
  // each way of it. A session is reinstated with TSIH 0 (§6.3.5).
  private checkSession({ tsih, isid }: Request, initiatorName: string): void {
    if (tsih === 0) return
    if (this.options.hasSession(tsih, initiatorName, isid)) {
      throw new LoginError(LoginStatus.TooManyConnections, `a second connection for the session ${tsih}`)
    }
    throw new LoginError(LoginStatus.SessionDoesNotExist, `no session ${tsih} of this initiator`)
  }

  /** Reads the declarations that both stages know, and leaves what wants an answer. */
  private takeNames(pairs: TextParameters, isFirst: boolean): TextParameters {
    return pairs.filter(([name, value]) => {
      const key = keys.get(name)
      if (key?.sender === 'target') return refuseUnlessAnswer(name, value)
      if (name === 'InitiatorAlias') this.alias = aliasOf(value)
      if (key?.stage !== 'any' || key.use === 'FFPO') return true
      if (!isFirst && name !== 'InitiatorAlias') throw initiatorError(`${name} comes after the first request`)
      return false
    })
  }

  private secure(parties: Parties, pairs: TextParameters): TextPair[] {
    const given = new Map(pairs.filter(([name]) => keys.get(name)?.stage === 'security'))
    const answers = parties.security.negotiate(given)
    for (const [name, value] of pairs) {
      if (given.has(name)) continue
      const answer = outOfStage(name, value)
      if (answer !== undefined) answers.push([name, answer])
    }
    return answers
  }

  private operate(parties: Parties, pairs: TextParameters): TextPair[] {
    const isSecurity = ([name]: TextPair): boolean => keys.get(name)?.stage === 'security'
    const answers = pairs.filter(isSecurity).map(([name, value]): TextPair => [name, lateSecurity(name, value)])
    const rest = pairs.filter((pair) => !isSecurity(pair))
    return [...answers, ...negotiate(rest, parties.negotiation)]
  }

  // §13.9: the tag goes with the first response of a normal session; Windows waits for it.
  private introduction(parties: Parties): TextPair[] {
    const { directory } = this.options
    const targetAlias = directory.targetAlias(parties.access.targetName!)
    const pairs: TextPair[] = [['TargetPortalGroupTag', String(directory.targetPortalGroupTag)]]
    if (targetAlias) pairs.push(['TargetAlias', targetAlias])
    return pairs
  }

  /** Our MaxRecvDataSegmentLength, once: an initiator that hears nothing sends at most 8192 bytes in a PDU. */
  private declaration(parties: Parties): TextPair[] {
    if (this.hasDeclared) return []
    this.hasDeclared = true
    const length = this.options.offer.maxRecvDataSegmentLength
    parties.negotiation.parameters.maxRecvDataSegmentLength = length
    return [['MaxRecvDataSegmentLength', String(length)]]
  }

  /** Sends the answer, or as much of it as the initiator takes at a time. */
  private speak(request: Request): LoginStep {
    const { parameters } = this.parties!.negotiation
    const lengthMax = Math.min(RESPONSE_LENGTH_MAX, parameters.maxSendDataSegmentLength)
    const text = this.unsent!
    if (text.length > lengthMax) {
      this.unsent = text.subarray(lengthMax)
      return this.send(FLAG_CONTINUE, text.subarray(0, lengthMax))
    }
    this.unsent = undefined
    return request.transit && this.mayLeave() ? this.leave(request, text) : this.send(0, text)
  }

  private mayLeave(): boolean {
    return this.stage !== LoginStage.SecurityNegotiation || this.parties!.security.isComplete
  }

  private leave(request: Request, text: Buffer): LoginStep {
    const flags = FLAG_TRANSIT | request.nextStage
    const reply = this.reply(flags | (this.stage << CURRENT_STAGE_SHIFT), LoginStatus.Success, text)
    this.stage = request.nextStage
    if (request.nextStage !== LoginStage.FullFeaturePhase) return { kind: 'reply', reply }
    this.isOver = true
    return { kind: 'admit', reply, result: this.result(request, this.parties!) }
  }

  private result(request: Request, { sessionType, access, security, negotiation }: Parties): LoginResult {
    const { isid, tsih, cid, cmdSn } = request
    return {
      sessionType,
      initiatorName: access.initiatorName,
      initiatorAlias: this.alias,
      targetName: access.targetName,
      isid,
      tsih,
      cid,
      cmdSn,
      chapName: security.chapName,
      parameters: negotiation.parameters
    }
  }

  private send(flags: number, data: Buffer): LoginStep {
    return {
      kind: 'reply',
      reply: this.reply(flags | (this.stage << CURRENT_STAGE_SHIFT), LoginStatus.Success, data)
    }
  }

  private fail(error: LoginError): LoginStep {
    return { kind: 'fail', reply: this.refuse(error.status), message: error.message }
  }

  private reply(flags: number, status: number, data: Buffer): LoginReply {
    assert(this.request, 'a login has nothing to answer before its first request')
    const { isid, tsih, initiatorTaskTag } = this.request
    return { flags, status, isid: Buffer.from(isid, 'hex'), tsih, initiatorTaskTag, data }
  }
}

const NO_BYTES = Buffer.alloc(0)

function checkHeader({ versionMin, transit, continues, stage, nextStage }: Request): void {
  if (versionMin > 0)
    throw new LoginError(LoginStatus.UnsupportedVersion, `version ${versionMin} is the lowest offered`)
  if (transit && continues) throw initiatorError('T and C are both set')
  if (stage > LoginStage.LoginOperationalNegotiation) throw initiatorError(`stage ${stage} is no stage of a login`)
  if (transit && (nextStage === STAGE_RESERVED || nextStage <= stage)) {
    throw initiatorError(`no way leads from stage ${stage} to stage ${nextStage}`)
  }
}

// §6.3.1: the identity of the session and of the task is the same in all requests of a login.
function checkUnchanged(request: Request, first: Request): void {
  for (const field of ['isid', 'tsih', 'initiatorTaskTag', 'cid'] as const) {
    if (request[field] !== first[field]) throw initiatorError(`${field} is not that of the first request`)
  }
}

function sessionTypeOf(text = 'Normal'): SessionType {
  if (text === 'Normal' || text === 'Discovery') return text
  throw new LoginError(LoginStatus.SessionTypeNotSupported, `SessionType=${quote(text)} is not supported`)
}

function initiatorNameOf(text: string | undefined): string {
  if (!text) throw new LoginError(LoginStatus.MissingParameter, 'InitiatorName is missing')
  const name = normalizeIscsiName(text)
  if (name === undefined) throw initiatorError(`InitiatorName=${quote(text)} is no iSCSI name`)
  return name
}

/** Control characters and the like never reach a log or a page. */
function aliasOf(text: string): string {
  if (Buffer.byteLength(text) > ALIAS_LENGTH_MAX) throw initiatorError('InitiatorAlias is too long')
  return text.replace(/\p{C}/gu, '?')
}

/** Windows answers a key that it does not like to see with NotUnderstood; that must not be answered again. */
function refuseUnlessAnswer(name: string, value: string): false {
  if (!isAnswerOnly(value)) throw initiatorError(`${name} is not the initiator's to send`)
  return false
}

/** Answers a key that does not belong to the security stage. */
function outOfStage(name: string, value: string): string | undefined {
  const key = keys.get(name)
  if (key?.kind === 'declared-number') throw initiatorError(`${name} does not belong to the security stage`)
  if (isAnswerOnly(value)) return undefined
  return key === undefined ? 'NotUnderstood' : 'Reject'
}

/** AuthMethod=None says nothing new when the security stage is past or was left out, and costs nothing to grant. */
function lateSecurity(name: string, value: string): string {
  return name === 'AuthMethod' && value.split(',').includes('None') ? 'None' : 'Reject'
}

function repeatStatus(name: string): number {
  return name.startsWith('CHAP_') ? LoginStatus.AuthenticationFailure : LoginStatus.InitiatorError
}

function initiatorError(message: string): LoginError {
  return new LoginError(LoginStatus.InitiatorError, message)
}

/** What the peer did wrong becomes a status; a mistake of ours goes on to whoever ends the session for it. */
function asLoginError(error: unknown): LoginError {
  if (error instanceof LoginError) return error
  if (error instanceof PduError) return initiatorError(error.message)
  throw error
}

function close(message: string): LoginStep {
  return { kind: 'close', message }
}
