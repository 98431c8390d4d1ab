import { createHash } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { WINDOWS, type LoginPreset, type Pairs } from './login-presets.js'

/**
 * A small iSCSI initiator on a real socket for specs: well-behaved by default, and able to send any bytes at all. It
 * uses no code of the product: every offset below is taken from RFC 7143 §11.
 *
 * It watches the target while it talks: StatSN without a gap, digests, DataSN and offsets of Data-In, R2TSN. A breach
 * of the protocol rejects whatever waits with the reason.
 */
const BHS_LENGTH = 48
const RESERVED_TAG = 0xffffffff
/** Bytes of a data segment before anything is declared. */
const LOGIN_LENGTH_MAX = 8192
/** A PDU that never comes fails the spec with a clear message instead of a time-out of the runner. */
const RECEIVE_LIMIT_MS = 50_000
const CLOSE_LIMIT_MS = 10_000

const OPCODE = {
  nopOut: 0x00,
  scsiCommand: 0x01,
  taskManagement: 0x02,
  login: 0x03,
  text: 0x04,
  dataOut: 0x05,
  logout: 0x06,
  nopIn: 0x20,
  scsiResponse: 0x21,
  taskManagementResponse: 0x22,
  loginResponse: 0x23,
  textResponse: 0x24,
  dataIn: 0x25,
  logoutResponse: 0x26,
  r2t: 0x31,
  asyncMessage: 0x32,
  reject: 0x3f
} as const

export interface Pdu {
  /** Without the I bit. */
  readonly opcode: number
  readonly bhs: Buffer
  /** Without padding. */
  readonly data: Buffer
}

export interface ChapOptions {
  readonly name: string
  readonly secret: string
  /** The list for CHAP_A; `5` (MD5) when left out. */
  readonly algorithms?: string
  readonly encoding?: 'hex' | 'base64'
  /** What the target must prove to know. */
  readonly mutual?: { readonly secret: string; readonly name?: string }
}

export interface LoginOptions {
  readonly preset?: LoginPreset
  /** Left out: a discovery session. */
  readonly targetName?: string
  readonly initiatorName?: string
  /** 12 hexadecimal digits. */
  readonly isid?: string
  readonly tsih?: number
  readonly cid?: number
  readonly cmdSn?: number
  /** Take the place of the preset's operational keys. */
  readonly keys?: Pairs
  /** Come instead of, or in addition to, the preset's operational keys of the same name. */
  readonly override?: Record<string, string>
  readonly chap?: ChapOptions
  /** For {@link ScriptedInitiator.login}: the address that it comes from. */
  readonly localAddress?: string
}

export interface LoginOutcome {
  /** Status-Class << 8 | Status-Detail. */
  readonly status: number
  readonly tsih: number
  readonly answers: Pairs
  readonly pdus: readonly Pdu[]
}

export interface CommandOptions {
  /** EDTL of a read, in bytes. */
  readonly read?: number
  /** The data of a write. */
  readonly write?: Buffer
  /** Number or 8 bytes. */
  readonly lun?: number | Buffer
  /** EDTL when it shall differ from the data. */
  readonly expectedLength?: number
  /** Task attribute, 1 (SIMPLE) when left out. */
  readonly attribute?: number
  readonly immediate?: boolean
}

export interface CommandOutcome {
  readonly status: number
  /** The iSCSI response, 0 when the command completed at the target. */
  readonly response: number
  /** Sense data without its length field; empty when there is none. */
  readonly sense: Buffer
  /** `key/asc/ascq` in hexadecimal, such as `05/20/00`; empty without sense data. */
  readonly senseText: string
  /** Data-In put together. */
  readonly data: Buffer
  readonly residualCount: number
  readonly underflow: boolean
  readonly overflow: boolean
  readonly pdus: readonly Pdu[]
}

/** Sees every PDU of a connection, both ways; what it throws on one that it received ends the connection. */
export interface WireObserver {
  sent(bhs: Buffer, data: Buffer): void
  received(pdu: Pdu): void
}

interface Waiter {
  readonly wants: (pdu: Pdu) => boolean
  readonly resolve: (pdu: Pdu) => void
  readonly reject: (error: Error) => void
  readonly timer: NodeJS.Timeout
}

export class ScriptedInitiator {
  readonly answers: (readonly [string, string])[] = []
  initiatorName: string = WINDOWS.initiatorName
  isid = Buffer.from(WINDOWS.isid, 'hex')
  tsih = 0
  cid = 0
  cmdSn = 1
  expStatSn = 0
  /** As the target last said. */
  expCmdSn = 0
  maxCmdSn = 0
  headerDigest = false
  dataDigest = false
  /** Watches StatSN; a spec that loses PDUs on purpose turns it off. */
  checksStatSn = true
  /** Learns of PDUs that are sent as such, not of bytes that are sent as they are. */
  observer: WireObserver | undefined

  private nextTag = 0x1000
  private statSnKnown = false
  private received = Buffer.alloc(0)
  private answerText = Buffer.alloc(0)
  private readonly inbox: Pdu[] = []
  private readonly waiters = new Set<Waiter>()
  private failure: Error | undefined
  private end = false
  private readonly whenClosed: Promise<void>
  private readonly roomWaiters: (() => void)[] = []

  private constructor(readonly socket: Socket) {
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => this.take(chunk))
    socket.on('error', () => undefined)
    this.whenClosed = new Promise((resolve) => {
      socket.on('close', () => {
        this.end = true
        this.fail(new Error('the target closed the connection'))
        resolve()
      })
    })
  }

  /** @param localAddress - where it comes from; all of 127.0.0.0/8 is this computer */
  static async connect(port: number, host = '127.0.0.1', localAddress?: string): Promise<ScriptedInitiator> {
    const socket = connect({ port, host, ...(localAddress !== undefined && { localAddress }) })
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    return new ScriptedInitiator(socket)
  }

  /** Connects and logs in. */
  static async login(port: number, options: LoginOptions = {}): Promise<ScriptedInitiator> {
    const initiator = await ScriptedInitiator.connect(port, undefined, options.localAddress)
    await initiator.login(options)
    return initiator
  }

  // ---- bytes

  /** Sends bytes as they are. */
  send(bytes: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      this.socket.write(bytes, (error) => (error ? reject(error) : resolve()))
    })
  }

  /** Sends a PDU: fills DataSegmentLength, adds padding and, when negotiated, digests. */
  sendPdu(bhs: Buffer, data: Buffer = Buffer.alloc(0)): Promise<void> {
    this.observer?.sent(bhs, data)
    return this.send(this.frame(bhs, data))
  }

  /** The bytes of a PDU as this connection would send it now. */
  frame(bhs: Buffer, data: Buffer = Buffer.alloc(0)): Buffer {
    return framePdu(bhs, data, this.headerDigest, this.dataDigest)
  }

  /** The next PDU, or the next that `wants` accepts; others stay for those who want them. */
  receive(wants: (pdu: Pdu) => boolean = () => true): Promise<Pdu> {
    const index = this.inbox.findIndex(wants)
    if (index >= 0) return Promise.resolve(this.inbox.splice(index, 1)[0]!)
    if (this.failure) return Promise.reject(this.failure)
    return new Promise((resolve, reject) => {
      const expire = (): void => {
        this.waiters.delete(waiter)
        reject(new Error('the target did not answer in time'))
      }
      const waiter: Waiter = { wants, resolve, reject, timer: setTimeout(expire, RECEIVE_LIMIT_MS) }
      this.waiters.add(waiter)
    })
  }

  /** The next PDU with this opcode. */
  receiveOpcode(opcode: number): Promise<Pdu> {
    return this.receive((pdu) => pdu.opcode === opcode)
  }

  /** Resolves when the connection is closed by either side. */
  closed(): Promise<void> {
    return this.whenClosed
  }

  get isClosed(): boolean {
    return this.end
  }

  /** Ends the connection with FIN, without a logout, and waits until it is closed. */
  async close(): Promise<void> {
    this.socket.end()
    this.socket.resume()
    const timer = setTimeout(() => this.socket.destroy(), CLOSE_LIMIT_MS)
    await this.whenClosed
    clearTimeout(timer)
  }

  /** Ends the connection with RST. */
  async reset(): Promise<void> {
    this.socket.resetAndDestroy()
    await this.whenClosed
  }

  // ---- login

  /** Logs in; throws when the target refuses. */
  async login(options: LoginOptions = {}): Promise<LoginOutcome> {
    const outcome = await this.tryLogin(options)
    if (outcome.status !== 0) throw new Error(`login refused with status ${hex(outcome.status, 4)}`)
    return outcome
  }

  /** Logs in or is refused; the status tells. */
  async tryLogin(options: LoginOptions = {}): Promise<LoginOutcome> {
    const preset = options.preset ?? WINDOWS
    this.adopt(preset, options)
    const authMethod = options.chap ? 'CHAP' : 'None'
    const first = preset.first({ initiatorName: this.initiatorName, targetName: options.targetName, authMethod })
    const keys = overridden(options.keys ?? (options.targetName ? preset.normal : preset.discovery), options.override)
    const pdus: Pdu[] = []
    const step = async (stage: number, next: number | undefined, pairs: Pairs): Promise<Map<string, string>> => {
      const answer = await this.loginStep(preset, options, stage, next, pairs)
      pdus.push(...answer.pdus)
      return answer.pairs
    }
    try {
      if (preset.skipsSecurity) {
        await step(1, 3, [...first, ...keys])
      } else {
        await this.security(step, first, options.chap)
        await step(1, 3, keys)
      }
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      return { status: error.status, tsih: 0, answers: this.answers, pdus: [...pdus, error.pdu] }
    }
    return { status: 0, tsih: this.tsih, answers: this.answers, pdus }
  }

  private async security(step: Step, first: Pairs, chap: ChapOptions | undefined): Promise<void> {
    if (!chap) return void (await step(0, 1, first))
    await step(0, undefined, first)
    const challenge = await step(0, undefined, [['CHAP_A', chap.algorithms ?? '5']])
    const algorithm = challenge.get('CHAP_A') ?? ''
    const mutual = chap.mutual && { identifier: 0x5a, challenge: Buffer.from('0123456789abcdef0123456789ABCDEF') }
    const response = chapResponse(
      algorithm,
      Number(challenge.get('CHAP_I')),
      chap.secret,
      decode(challenge.get('CHAP_C')!)
    )
    const keys: [string, string][] = [
      ['CHAP_N', chap.name],
      ['CHAP_R', encode(response, chap.encoding)]
    ]
    if (mutual) {
      keys.push(['CHAP_I', String(mutual.identifier)], ['CHAP_C', encode(mutual.challenge, chap.encoding)])
    }
    const proof = await step(0, 1, keys)
    if (!mutual) return
    const expected = chapResponse(algorithm, mutual.identifier, chap.mutual.secret, mutual.challenge)
    if (!decode(proof.get('CHAP_R') ?? '0x').equals(expected)) throw new Error('the target did not prove itself')
    const name = chap.mutual.name
    if (name !== undefined && proof.get('CHAP_N') !== name) throw new Error(`the target is ${proof.get('CHAP_N')}`)
  }

  private adopt(preset: LoginPreset, options: LoginOptions): void {
    this.initiatorName = options.initiatorName ?? preset.initiatorName
    this.isid = Buffer.from(options.isid ?? preset.isid, 'hex')
    this.tsih = options.tsih ?? 0
    this.cid = options.cid ?? preset.cid
    this.cmdSn = options.cmdSn ?? preset.cmdSn
    this.answers.length = 0
  }

  /** Sends one login text and gives the whole answer, over as many PDUs as either takes. */
  private async loginStep(
    preset: LoginPreset,
    options: LoginOptions,
    stage: number,
    next: number | undefined,
    pairs: Pairs
  ): Promise<{ pairs: Map<string, string>; pdus: Pdu[] }> {
    const flags = (next === undefined ? 0 : 0x80 | next) | (stage << 2)
    const pdus: Pdu[] = []
    let unsent = textOf(pairs)
    let text = Buffer.alloc(0)
    for (;;) {
      const data = unsent.subarray(0, LOGIN_LENGTH_MAX)
      unsent = unsent.subarray(data.length)
      const bhs = loginHeader({
        flags: unsent.length > 0 ? 0x40 | (stage << 2) : flags,
        isid: this.isid,
        tsih: options.tsih ?? 0,
        initiatorTaskTag: preset.initiatorTaskTag,
        cid: this.cid,
        cmdSn: this.cmdSn,
        expStatSn: this.statSnKnown ? this.expStatSn : preset.expStatSn
      })
      const bytes = this.frame(bhs, data)
      this.observer?.sent(bhs, data)
      if (preset.twoSegments) {
        await this.send(bytes.subarray(0, BHS_LENGTH))
        await new Promise((resolve) => setImmediate(resolve))
        await this.send(bytes.subarray(BHS_LENGTH))
      } else {
        await this.send(bytes)
      }
      const answer = await this.receiveOpcode(OPCODE.loginResponse)
      pdus.push(answer)
      const status = answer.bhs.readUInt16BE(36)
      if (status !== 0) throw new Refused(status, answer)
      text = Buffer.concat([text, answer.data])
      if (unsent.length === 0 && (answer.bhs[1]! & 0x40) === 0) break
    }
    return { pairs: new Map(pairsOf(text)), pdus }
  }

  // ---- full feature phase

  /** How many non-immediate commands the target takes now. */
  get window(): number {
    return ((this.maxCmdSn - this.cmdSn + 1) | 0) > 0 ? (this.maxCmdSn - this.cmdSn + 1) | 0 : 0
  }

  /** Runs a SCSI command to its end as a well-behaved initiator does; several may run at a time. */
  async command(cdb: Buffer | readonly number[], options: CommandOptions = {}): Promise<CommandOutcome> {
    const write = options.write
    const tag = this.takeTag()
    const lun = lunBytes(options.lun ?? 0)
    const length = options.expectedLength ?? write?.length ?? options.read ?? 0
    // Asked anew behind each wait, and nothing between it and the stamp: many that begin at once would all find the window
    // open, and a target drops what is beyond it.
    while (!options.immediate && this.window === 0) await this.windowMoves()
    const immediate = write ? write.subarray(0, Math.min(write.length, this.immediateLength())) : Buffer.alloc(0)
    const firstBurst = write && !this.isYes('InitialR2T', true) ? Math.min(write.length, this.firstBurst()) : 0
    const unsolicited = firstBurst > immediate.length
    const bhs = Buffer.alloc(BHS_LENGTH)
    bhs[0] = OPCODE.scsiCommand | (options.immediate ? 0x40 : 0)
    bhs[1] = (unsolicited ? 0 : 0x80) | (options.read ? 0x40 : 0) | (write ? 0x20 : 0) | (options.attribute ?? 1)
    lun.copy(bhs, 8)
    bhs.writeUInt32BE(tag, 16)
    bhs.writeUInt32BE(length, 20)
    this.stamp(bhs, !options.immediate)
    Buffer.from(cdb).copy(bhs, 32)
    await this.sendPdu(bhs, immediate)
    if (unsolicited) await this.dataOut(tag, RESERVED_TAG, lun, write!, immediate.length, firstBurst)
    return this.finish(tag, lun, write)
  }

  /** Sends Data-Out PDUs for `data[from, to)`, cut as the target declared; the last has the F bit. */
  async dataOut(tag: number, transferTag: number, lun: Buffer, data: Buffer, from: number, to: number): Promise<void> {
    const cut = this.number('MaxRecvDataSegmentLength', 8192)
    for (let offset = from, dataSn = 0; offset < to; dataSn++) {
      const end = Math.min(to, offset + cut)
      const bhs = dataOutHeader({ tag, transferTag, lun, dataSn, offset, final: end === to })
      bhs.writeUInt32BE(this.expStatSn, 28)
      await this.sendPdu(bhs, data.subarray(offset, end))
      offset = end
    }
  }

  /** Waits for the end of a command that was sent by hand, answers its R2Ts with `write`. */
  async finish(tag: number, lun: Buffer, write?: Buffer): Promise<CommandOutcome> {
    const pdus: Pdu[] = []
    const pieces: Buffer[] = []
    let dataSn = 0
    let r2tSn = 0
    let offset = 0
    for (;;) {
      const pdu = await this.receive((candidate) => belongsTo(candidate, tag))
      pdus.push(pdu)
      if (pdu.opcode === OPCODE.reject) {
        throw new Error(`rejected with reason ${hex(pdu.bhs[2]!, 2)}`)
      } else if (pdu.opcode === OPCODE.r2t) {
        expectEqual('R2TSN', pdu.bhs.readUInt32BE(36), r2tSn++)
        const from = pdu.bhs.readUInt32BE(40)
        const wanted = pdu.bhs.readUInt32BE(44)
        if (!write || from + wanted > write.length) throw new Error(`R2T for ${from}+${wanted} of ${write?.length}`)
        await this.dataOut(tag, pdu.bhs.readUInt32BE(20), lun, write, from, from + wanted)
      } else if (pdu.opcode === OPCODE.dataIn) {
        expectEqual('DataSN', pdu.bhs.readUInt32BE(36), dataSn++)
        expectEqual('Buffer Offset', pdu.bhs.readUInt32BE(40), offset)
        offset += pdu.data.length
        pieces.push(pdu.data)
        if (pdu.bhs[1]! & 0x01) return outcome(pdus, pieces, true)
      } else if (pdu.opcode === OPCODE.scsiResponse) {
        return outcome(pdus, pieces, false)
      } else {
        throw new Error(`opcode ${hex(pdu.opcode, 2)} answers a command`)
      }
    }
  }

  /** NOP-Out ping; gives the NOP-In. */
  async nop(data: Buffer = Buffer.alloc(0)): Promise<Pdu> {
    const tag = this.takeTag()
    const bhs = Buffer.alloc(BHS_LENGTH)
    bhs[0] = OPCODE.nopOut | 0x40
    bhs[1] = 0x80
    bhs.writeUInt32BE(tag, 16)
    bhs.writeUInt32BE(RESERVED_TAG, 20)
    this.stamp(bhs, false)
    await this.sendPdu(bhs, data)
    return this.receive((pdu) => pdu.opcode === OPCODE.nopIn && tagOf(pdu) === tag)
  }

  /** Answers a NOP-In ping of the target. */
  async answerPing(ping: Pdu): Promise<void> {
    const bhs = Buffer.alloc(BHS_LENGTH)
    bhs[0] = OPCODE.nopOut | 0x40
    bhs[1] = 0x80
    ping.bhs.copy(bhs, 8, 8, 16)
    bhs.writeUInt32BE(RESERVED_TAG, 16)
    ping.bhs.copy(bhs, 20, 20, 24)
    this.stamp(bhs, false)
    await this.sendPdu(bhs)
  }

  /** Task management; gives the response code. */
  async taskManagement(
    fn: number,
    options: { lun?: number | Buffer; referencedTag?: number; refCmdSn?: number; immediate?: boolean } = {}
  ): Promise<number> {
    const tag = this.takeTag()
    const immediate = options.immediate ?? true
    const bhs = Buffer.alloc(BHS_LENGTH)
    bhs[0] = OPCODE.taskManagement | (immediate ? 0x40 : 0)
    bhs[1] = 0x80 | fn
    lunBytes(options.lun ?? 0).copy(bhs, 8)
    bhs.writeUInt32BE(tag, 16)
    bhs.writeUInt32BE(options.referencedTag ?? RESERVED_TAG, 20)
    this.stamp(bhs, !immediate)
    bhs.writeUInt32BE((options.refCmdSn ?? 0) >>> 0, 32)
    await this.sendPdu(bhs)
    const answer = await this.receive((pdu) => pdu.opcode === OPCODE.taskManagementResponse && tagOf(pdu) === tag)
    return answer.bhs[2]!
  }

  /** Text negotiation; follows a target transfer tag until the answer is whole. */
  async text(pairs: Pairs): Promise<Pairs> {
    const tag = this.takeTag()
    let transferTag = RESERVED_TAG
    let data = textOf(pairs)
    let whole = Buffer.alloc(0)
    for (;;) {
      const bhs = Buffer.alloc(BHS_LENGTH)
      bhs[0] = OPCODE.text | 0x40
      bhs[1] = 0x80
      bhs.writeUInt32BE(tag, 16)
      bhs.writeUInt32BE(transferTag, 20)
      this.stamp(bhs, false)
      await this.sendPdu(bhs, data)
      const answer = await this.receive(
        (pdu) => tagOf(pdu) === tag && (pdu.opcode === OPCODE.textResponse || pdu.opcode === OPCODE.reject)
      )
      if (answer.opcode === OPCODE.reject) throw new Error(`rejected with reason ${hex(answer.bhs[2]!, 2)}`)
      whole = Buffer.concat([whole, answer.data])
      transferTag = answer.bhs.readUInt32BE(20)
      if (transferTag === RESERVED_TAG) return pairsOf(whole)
      data = Buffer.alloc(0)
    }
  }

  /** SendTargets; gives the pairs of the answer. */
  sendTargets(value = 'All'): Promise<Pairs> {
    return this.text([['SendTargets', value]])
  }

  /** Logs out; gives the response code. The target then closes the connection. */
  async logout(reason = 0): Promise<number> {
    const tag = this.takeTag()
    const bhs = Buffer.alloc(BHS_LENGTH)
    bhs[0] = OPCODE.logout | 0x40
    bhs[1] = 0x80 | reason
    bhs.writeUInt32BE(tag, 16)
    bhs.writeUInt16BE(this.cid, 20)
    this.stamp(bhs, false)
    await this.sendPdu(bhs)
    const answer = await this.receive((pdu) => pdu.opcode === OPCODE.logoutResponse && tagOf(pdu) === tag)
    return answer.bhs[2]!
  }

  /** Logs out and waits until the connection is closed. */
  async leave(): Promise<void> {
    const response = await this.logout()
    if (response !== 0) throw new Error(`logout answered with ${response}`)
    await this.close()
  }

  /** A tag that no other task of this connection has. */
  takeTag(): number {
    return this.nextTag++
  }

  /** Writes CmdSN and ExpStatSN into a header; a PDU that is not immediate takes its CmdSN. */
  stamp(bhs: Buffer, takesCmdSn: boolean): void {
    bhs.writeUInt32BE(this.cmdSn, 24)
    bhs.writeUInt32BE(this.expStatSn, 28)
    if (takesCmdSn) this.cmdSn = (this.cmdSn + 1) >>> 0
  }

  /** The target's answer to a key. */
  answer(key: string): string | undefined {
    return this.answers.find(([name]) => name === key)?.[1]
  }

  private isYes(key: string, otherwise: boolean): boolean {
    const value = this.answer(key)
    return value === undefined ? otherwise : value === 'Yes'
  }

  private number(key: string, otherwise: number): number {
    const value = Number(this.answer(key) ?? otherwise)
    return Number.isFinite(value) ? value : otherwise
  }

  private firstBurst(): number {
    return this.number('FirstBurstLength', 65536)
  }

  private immediateLength(): number {
    if (!this.isYes('ImmediateData', true)) return 0
    return Math.min(this.firstBurst(), this.number('MaxRecvDataSegmentLength', 8192))
  }

  private windowMoves(): Promise<void> {
    if (this.failure) return Promise.reject(this.failure)
    return new Promise((resolve) => this.roomWaiters.push(resolve))
  }

  // ---- receiving

  private take(chunk: Buffer): void {
    this.received = Buffer.concat([this.received, chunk])
    try {
      for (let pdu = this.cut(); pdu; pdu = this.cut()) {
        this.watch(pdu)
        this.observer?.received(pdu)
        this.hand(pdu)
      }
    } catch (error) {
      this.fail(error as Error)
      this.socket.destroy()
    }
  }

  private cut(): Pdu | undefined {
    const bytes = this.received
    if (bytes.length < BHS_LENGTH) return undefined
    const length = bytes.readUIntBE(5, 3)
    const headerEnd = BHS_LENGTH + bytes[4]! * 4 + (this.headerDigest ? 4 : 0)
    const padded = length + padLength(length)
    const end = headerEnd + padded + (this.dataDigest && length > 0 ? 4 : 0)
    if (bytes.length < end) return undefined
    if (this.headerDigest) checkDigest('header', bytes.subarray(0, headerEnd - 4), bytes.subarray(headerEnd - 4))
    if (this.dataDigest && length > 0) {
      checkDigest('data', bytes.subarray(headerEnd, headerEnd + padded), bytes.subarray(headerEnd + padded))
    }
    this.received = bytes.subarray(end)
    const data = bytes.subarray(headerEnd, headerEnd + length)
    return { opcode: bytes[0]! & 0x3f, bhs: bytes.subarray(0, BHS_LENGTH), data }
  }

  private watch(pdu: Pdu): void {
    this.watchStatSn(pdu)
    this.expCmdSn = pdu.bhs.readUInt32BE(28)
    this.maxCmdSn = pdu.bhs.readUInt32BE(32)
    if (pdu.opcode === OPCODE.loginResponse && pdu.bhs.readUInt16BE(36) === 0) this.watchLogin(pdu)
    for (const resolve of this.roomWaiters.splice(0)) resolve()
  }

  private watchStatSn(pdu: Pdu): void {
    const statSn = pdu.bhs.readUInt32BE(24)
    if (pdu.opcode === OPCODE.dataIn && (pdu.bhs[1]! & 0x01) === 0) return
    // An R2T and a ping of the target show the next StatSN without taking it.
    const takesNone = pdu.opcode === OPCODE.r2t || (pdu.opcode === OPCODE.nopIn && tagOf(pdu) === RESERVED_TAG)
    if (this.statSnKnown && this.checksStatSn) expectEqual('StatSN', statSn, this.expStatSn)
    if (takesNone) return
    this.statSnKnown = true
    this.expStatSn = (statSn + 1) >>> 0
  }

  /** Digests begin with the first PDU after the last Login Response, which may be in the same segment. */
  private watchLogin(pdu: Pdu): void {
    this.answerText = Buffer.concat([this.answerText, pdu.data])
    if (pdu.bhs[1]! & 0x40) return
    this.answers.push(...pairsOf(this.answerText))
    this.answerText = Buffer.alloc(0)
    if ((pdu.bhs[1]! & 0x83) !== 0x83) return
    this.tsih = pdu.bhs.readUInt16BE(14)
    this.headerDigest = this.answer('HeaderDigest') === 'CRC32C'
    this.dataDigest = this.answer('DataDigest') === 'CRC32C'
  }

  private hand(pdu: Pdu): void {
    for (const waiter of this.waiters) {
      if (!waiter.wants(pdu)) continue
      this.waiters.delete(waiter)
      clearTimeout(waiter.timer)
      return waiter.resolve(pdu)
    }
    this.inbox.push(pdu)
  }

  private fail(error: Error): void {
    this.failure ??= error
    for (const waiter of this.waiters) {
      clearTimeout(waiter.timer)
      waiter.reject(this.failure)
    }
    this.waiters.clear()
    for (const resolve of this.roomWaiters.splice(0)) resolve()
  }
}

type Step = (stage: number, next: number | undefined, pairs: Pairs) => Promise<Map<string, string>>

class Refused extends Error {
  constructor(
    readonly status: number,
    readonly pdu: Pdu
  ) {
    super(`status ${hex(status, 4)}`)
  }
}

// ---- bytes by hand, RFC 7143 §11

export interface LoginHeader {
  /** T, C, CSG, NSG. */
  readonly flags: number
  readonly isid: Buffer
  readonly tsih?: number
  readonly initiatorTaskTag?: number
  readonly cid?: number
  readonly cmdSn?: number
  readonly expStatSn?: number
  readonly versionMax?: number
  readonly versionMin?: number
}

/** The BHS of a Login Request, §11.12. */
export function loginHeader(fields: LoginHeader): Buffer {
  const bhs = Buffer.alloc(BHS_LENGTH)
  bhs[0] = 0x43
  bhs[1] = fields.flags
  bhs[2] = fields.versionMax ?? 0
  bhs[3] = fields.versionMin ?? 0
  fields.isid.copy(bhs, 8)
  bhs.writeUInt16BE(fields.tsih ?? 0, 14)
  bhs.writeUInt32BE(fields.initiatorTaskTag ?? 0, 16)
  bhs.writeUInt16BE(fields.cid ?? 0, 20)
  bhs.writeUInt32BE(fields.cmdSn ?? 0, 24)
  bhs.writeUInt32BE(fields.expStatSn ?? 0, 28)
  return bhs
}

/** The BHS of a Data-Out, §11.7, without its ExpStatSN. */
export function dataOutHeader(fields: {
  tag: number
  transferTag: number
  lun: Buffer
  dataSn: number
  offset: number
  final: boolean
}): Buffer {
  const bhs = Buffer.alloc(BHS_LENGTH)
  bhs[0] = OPCODE.dataOut
  bhs[1] = fields.final ? 0x80 : 0
  fields.lun.copy(bhs, 8)
  bhs.writeUInt32BE(fields.tag, 16)
  bhs.writeUInt32BE(fields.transferTag, 20)
  bhs.writeUInt32BE(fields.dataSn, 36)
  bhs.writeUInt32BE(fields.offset, 40)
  return bhs
}

/** A PDU as bytes: DataSegmentLength set, data padded with zeroes, digests as asked. */
export function framePdu(bhs: Buffer, data: Buffer, headerDigest = false, dataDigest = false): Buffer {
  const header = Buffer.from(bhs)
  header.writeUIntBE(data.length, 5, 3)
  const padded = Buffer.concat([data, Buffer.alloc(padLength(data.length))])
  return Buffer.concat([
    header,
    headerDigest ? digestOf(header) : Buffer.alloc(0),
    padded,
    dataDigest && data.length > 0 ? digestOf(padded) : Buffer.alloc(0)
  ])
}

/** key=value pairs as text, each with its NUL. */
export function textOf(pairs: Pairs): Buffer {
  return Buffer.from(pairs.map(([key, value]) => `${key}=${value}\0`).join(''))
}

/** The pairs of a text. */
export function pairsOf(text: Buffer): [string, string][] {
  const items = text.toString().split('\0')
  if (items.pop() !== '') throw new Error('the text of the target does not end with a NUL')
  return items.map((item) => {
    const equals = item.indexOf('=')
    if (equals < 1) throw new Error(`the target sent the pair ${JSON.stringify(item)}`)
    return [item.slice(0, equals), item.slice(equals + 1)]
  })
}

/** A LUN as 8 bytes: peripheral device addressing below 256, flat space from there, SAM-5 §4.7. */
export function lunBytes(lun: number | Buffer): Buffer {
  if (Buffer.isBuffer(lun)) return lun
  const bytes = Buffer.alloc(8)
  bytes.writeUInt16BE(lun < 256 ? lun : 0x4000 | lun, 0)
  return bytes
}

const CHAP_HASHES: Record<string, string> = { 5: 'md5', 6: 'sha1', 7: 'sha256', 8: 'sha3-256' }

function chapResponse(algorithm: string, identifier: number, secret: string, challenge: Buffer): Buffer {
  const hash = CHAP_HASHES[algorithm]
  if (!hash) throw new Error(`the target chose CHAP_A=${algorithm}`)
  return createHash(hash)
    .update(Buffer.from([identifier]))
    .update(secret)
    .update(challenge)
    .digest()
}

function encode(bytes: Buffer, encoding: 'hex' | 'base64' = 'hex'): string {
  return encoding === 'hex' ? `0x${bytes.toString('hex')}` : `0b${bytes.toString('base64')}`
}

function decode(text: string): Buffer {
  return Buffer.from(text.slice(2), text.startsWith('0b') ? 'base64' : 'hex')
}

function overridden(keys: Pairs, override: Record<string, string> = {}): Pairs {
  const kept = keys.filter(([key]) => override[key] === undefined)
  return [...kept, ...Object.entries(override)]
}

function outcome(pdus: Pdu[], pieces: Buffer[], inDataIn: boolean): CommandOutcome {
  const last = pdus.at(-1)!
  const sense = !inDataIn && last.data.length > 2 ? last.data.subarray(2, 2 + last.data.readUInt16BE(0)) : NO_BYTES
  return {
    status: last.bhs[3]!,
    response: inDataIn ? 0 : last.bhs[2]!,
    sense,
    senseText: senseText(sense),
    data: Buffer.concat(pieces),
    residualCount: last.bhs.readUInt32BE(44),
    underflow: (last.bhs[1]! & 0x02) !== 0,
    overflow: (last.bhs[1]! & 0x04) !== 0,
    pdus
  }
}

const NO_BYTES = Buffer.alloc(0)

/** Fixed (70h, 71h) and descriptor (72h, 73h) format, SPC-4 §4.5. */
function senseText(sense: Buffer): string {
  if (sense.length === 0) return ''
  const at = (sense[0]! & 0x7f) >= 0x72 ? [1, 2, 3] : [2, 12, 13]
  return [sense[at[0]!]! & 0x0f, sense[at[1]!]!, sense[at[2]!]!].map((byte) => hex(byte, 2).slice(2)).join('/')
}

/** A Reject has no tag of its own: it carries the header that it rejects (§11.17). */
function belongsTo(pdu: Pdu, tag: number): boolean {
  if (pdu.opcode !== OPCODE.reject) return tagOf(pdu) === tag
  return pdu.data.length >= BHS_LENGTH && pdu.data.readUInt32BE(16) === tag
}

function tagOf(pdu: Pdu): number {
  return pdu.bhs.readUInt32BE(16)
}

function padLength(length: number): number {
  return (4 - (length % 4)) % 4
}

function hex(value: number, digits: number): string {
  return `0x${value.toString(16).padStart(digits, '0')}`
}

function expectEqual(what: string, seen: number, expected: number): void {
  if (seen !== expected) throw new Error(`${what} is ${seen} and should be ${expected}`)
}

function checkDigest(what: string, bytes: Buffer, digest: Buffer): void {
  if (!digestOf(bytes).equals(digest.subarray(0, 4))) throw new Error(`the ${what} digest is wrong`)
}

/** CRC32C bit by bit, least significant byte first on the wire (RFC 7143 §13.1). */
function digestOf(bytes: Buffer): Buffer {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  }
  const digest = Buffer.alloc(4)
  digest.writeUInt32LE(~crc >>> 0)
  return digest
}
