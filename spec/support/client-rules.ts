import { pairsOf, type Pdu, type WireObserver } from './scripted-initiator.js'

/**
 * What real initiators check on each PDU of a target before they use it. Put into a scripted initiator, it ends the
 * connection on a breach, as they do. A breach is named by the event that the Windows port driver (iScsiPrt) writes into
 * the system log for it; the offsets are those of RFC 7143 §11.
 */
export interface ClientLimits {
  /** Longest data segment that the client takes. */
  readonly segmentLengthMax: number
  readonly burstLengthMax: number
  readonly outstandingR2tMax: number
  /** Values with which no key may be answered. */
  readonly badAnswers: readonly string[]
}

export const WINDOWS_LIMITS: ClientLimits = {
  segmentLengthMax: 65536,
  burstLengthMax: 262144,
  outstandingR2tMax: 16,
  badAnswers: ['Irrelevant', 'NotUnderstood', 'Reject']
}

/** What a target may say without being asked. */
const DECLARATIONS = ['TargetAlias', 'TargetPortalGroupTag', 'MaxRecvDataSegmentLength']
/** GOOD, CHECK CONDITION, RESERVATION CONFLICT, TASK SET FULL, TASK ABORTED. On BUSY (08h) disk.sys resets the bus. */
const STATUSES = [0x00, 0x02, 0x18, 0x28, 0x40]
const CHECK_CONDITION = 0x02
const RESERVED_TAG = 0xffffffff
const FLAG_FINAL = 0x80
const FLAG_UNDERFLOW = 0x02
const FLAG_OVERFLOW = 0x04
const FLAG_STATUS = 0x01

interface Task {
  readonly lun: Buffer
  readonly expectedLength: number
  readonly reads: boolean
  readonly writes: boolean
  /** Bytes of Data-In so far, and of them in this sequence. */
  received: number
  inSequence: number
  dataInCount: number
  /** Up to where data was sent or asked for. */
  asked: number
  r2tCount: number
  /** Bytes that were asked for and not yet sent. */
  owed: number
}

export class ClientRules implements WireObserver {
  /** Opcodes of the target that were seen and found right. */
  readonly seen = new Map<number, number>()
  private readonly tasks = new Map<number, Task>()
  /** Tags of requests that are not commands. */
  private readonly requests = new Set<number>()
  private readonly offered = new Set<string>()
  private login: Buffer | undefined
  private loginAnswers = 0

  private readonly checks: Readonly<Record<number, (pdu: Pdu) => void>> = {
    0x20: (pdu) => this.checkNopIn(pdu),
    0x21: (pdu) => this.checkResponse(pdu),
    0x22: (pdu) => this.checkRequest(pdu, 49),
    0x23: (pdu) => this.checkLogin(pdu),
    0x24: (pdu) => this.checkText(pdu),
    0x25: (pdu) => this.checkDataIn(pdu),
    0x26: (pdu) => this.checkRequest(pdu, 44),
    0x31: (pdu) => this.checkR2t(pdu),
    0x32: () => {}
  }

  constructor(private readonly limits: ClientLimits = WINDOWS_LIMITS) {}

  /** Commands that have no response yet. */
  get open(): number {
    return this.tasks.size
  }

  /** Waits for nothing more of a command that was aborted. */
  forget(tag: number): void {
    this.tasks.delete(tag)
  }

  sent(bhs: Buffer, data: Buffer): void {
    const opcode = bhs[0]! & 0x3f
    if (opcode === 0x01) this.command(bhs, data)
    else if (opcode === 0x05) this.dataOut(bhs, data)
    else if (opcode === 0x03) this.request(bhs, data)
    else this.requests.add(bhs.readUInt32BE(16))
  }

  received(pdu: Pdu): void {
    const check = this.checks[pdu.opcode]
    if (pdu.opcode === 0x3f) breach(29, `a PDU was rejected with reason ${pdu.bhs[2]}`)
    if (!check) return breach(24, `opcode ${pdu.opcode}`)
    demand(23, pdu.bhs[4] === 0, 'an additional header segment')
    const window = (pdu.bhs.readUInt32BE(32) - pdu.bhs.readUInt32BE(28)) | 0
    demand(3, window >= (pdu.opcode === 0x23 ? 0 : -1), `MaxCmdSN lies ${window} from ExpCmdSN`)
    check(pdu)
    this.seen.set(pdu.opcode, (this.seen.get(pdu.opcode) ?? 0) + 1)
  }

  private request(bhs: Buffer, data: Buffer): void {
    this.login = Buffer.from(bhs)
    for (const [key] of pairsOf(data)) this.offered.add(key)
  }

  private command(bhs: Buffer, data: Buffer): void {
    this.tasks.set(bhs.readUInt32BE(16), {
      lun: Buffer.from(bhs.subarray(8, 16)),
      expectedLength: bhs.readUInt32BE(20),
      reads: (bhs[1]! & 0x40) !== 0,
      writes: (bhs[1]! & 0x20) !== 0,
      received: 0,
      inSequence: 0,
      dataInCount: 0,
      asked: data.length,
      r2tCount: 0,
      owed: 0
    })
  }

  private dataOut(bhs: Buffer, data: Buffer): void {
    const task = this.tasks.get(bhs.readUInt32BE(16))
    if (!task) return
    if (bhs.readUInt32BE(20) === RESERVED_TAG) task.asked += data.length
    else task.owed -= data.length
  }

  private taskOf(pdu: Pdu): Task {
    const task = this.tasks.get(pdu.bhs.readUInt32BE(16))
    return task ?? breach(27, `no command has the tag ${pdu.bhs.readUInt32BE(16)}`)
  }

  private checkLogin({ bhs, data }: Pdu): void {
    const { login } = this
    if (!login) return breach(11, 'nobody has asked')
    demand(11, bhs[2] === 0 && bhs[3] === 0, 'a version other than 0')
    demand(11, bhs.subarray(8, 14).equals(login.subarray(8, 14)), 'another ISID')
    demand(11, bhs.readUInt32BE(16) === login.readUInt32BE(16), 'another tag')
    demand(12, bhs[36] !== 1, 'a redirection')
    if (bhs.readUInt16BE(36) !== 0) return
    demand(11, ((bhs[1]! ^ login[1]!) & 0x0c) === 0, 'another stage than the one that was asked for')
    const isLast = (bhs[1]! & 0x83) === 0x83
    demand(11, (bhs.readUInt16BE(14) !== 0) === isLast, `TSIH ${bhs.readUInt16BE(14)}, last: ${isLast}`)
    // Padding that is counted reads as an empty key; pairsOf refuses one.
    const pairs = pairsOf(data)
    for (const [key, value] of pairs) {
      demand(61, this.offered.has(key) || this.mayDeclare(key), `${key} was not offered`)
      demand(61, !this.limits.badAnswers.includes(value), `${key} is answered with ${value}`)
    }
    if (this.loginAnswers++ > 0) return
    const keys = pairs.map(([key]) => key)
    demand(41, !this.offered.has('AuthMethod') || keys.includes('AuthMethod'), 'AuthMethod was not answered')
    const isNormal = this.offered.has('TargetName')
    demand(11, !isNormal || keys.includes('TargetPortalGroupTag'), 'the first answer has no TargetPortalGroupTag')
  }

  /** Challenge and proof come from the target when the initiator has named its algorithms (§12.1.3). */
  private mayDeclare(key: string): boolean {
    return DECLARATIONS.includes(key) || (key.startsWith('CHAP_') && this.offered.has('CHAP_A'))
  }

  private checkRequest(pdu: Pdu, event: number): void {
    demand(event, this.requests.delete(pdu.bhs.readUInt32BE(16)), 'an answer that nobody waits for')
  }

  private checkText(pdu: Pdu): void {
    demand(46, (pdu.bhs[1]! & 0x3f) === 0, 'reserved bits of a Text Response')
    if (pdu.bhs.readUInt32BE(20) === RESERVED_TAG) this.checkRequest(pdu, 46)
    pairsOf(pdu.data)
  }

  private checkNopIn(pdu: Pdu): void {
    if (pdu.bhs.readUInt32BE(16) !== RESERVED_TAG) this.checkRequest(pdu, 48)
    else demand(48, pdu.bhs.readUInt32BE(20) !== RESERVED_TAG, 'a ping that nobody can answer')
  }

  private checkR2t(pdu: Pdu): void {
    const { bhs } = pdu
    const task = this.taskOf(pdu)
    const [offset, length] = [bhs.readUInt32BE(40), bhs.readUInt32BE(44)]
    demand(23, bhs.readUInt32BE(0) === 0x31800000, `R2T begins with ${bhs.toString('hex', 0, 4)}`)
    demand(23, pdu.data.length === 0, 'an R2T with data')
    demand(28, task.writes, 'an R2T for a command that writes nothing')
    demand(28, bhs.subarray(8, 16).equals(task.lun), `an R2T for LUN ${bhs.toString('hex', 8, 16)}`)
    demand(28, bhs.readUInt32BE(20) !== RESERVED_TAG, 'an R2T without a target transfer tag')
    demand(28, bhs.readUInt32BE(36) === task.r2tCount, `R2TSN ${bhs.readUInt32BE(36)}`)
    demand(28, length > 0 && length <= this.limits.burstLengthMax, `an R2T for ${length} bytes`)
    demand(28, offset === task.asked, `an R2T for ${offset} where ${task.asked} is next`)
    demand(28, offset + length <= task.expectedLength, `an R2T for ${offset}+${length}`)
    task.r2tCount++
    task.asked += length
    task.owed += length
    demand(28, task.owed <= this.limits.outstandingR2tMax * this.limits.burstLengthMax, 'too many R2Ts at a time')
  }

  private checkDataIn(pdu: Pdu): void {
    const { bhs, data } = pdu
    const task = this.taskOf(pdu)
    const [final, status] = [(bhs[1]! & FLAG_FINAL) !== 0, (bhs[1]! & FLAG_STATUS) !== 0]
    demand(26, task.reads, 'Data-In of a command that reads nothing')
    demand(21, data.length <= this.limits.segmentLengthMax, `a segment of ${data.length} bytes`)
    demand(23, bhs.readUInt32BE(36) === task.dataInCount, `DataSN ${bhs.readUInt32BE(36)}`)
    demand(23, bhs.readUInt32BE(40) === task.received, `Buffer Offset ${bhs.readUInt32BE(40)}`)
    demand(23, bhs.readUInt32BE(20) === RESERVED_TAG, 'a Data-In that asks for a SNACK')
    task.dataInCount++
    task.received += data.length
    task.inSequence += data.length
    demand(26, task.received <= task.expectedLength, `${task.received} bytes where ${task.expectedLength} were asked`)
    demand(23, task.inSequence <= this.limits.burstLengthMax, `a sequence of ${task.inSequence} bytes`)
    if (final) task.inSequence = 0
    demand(23, final || !status, 'a status before the end')
    if (!status) return demand(23, (bhs[1]! & 0x7f) === 0 && bhs[3] === 0, `flags ${bhs[1]} without a status`)
    demand(23, bhs[3] === 0, 'a status other than GOOD in a Data-In')
    this.end(pdu, task)
  }

  private checkResponse(pdu: Pdu): void {
    const { bhs, data } = pdu
    const task = this.taskOf(pdu)
    demand(23, (bhs[1]! & ~(FLAG_UNDERFLOW | FLAG_OVERFLOW)) === FLAG_FINAL, `flags ${bhs[1]}`)
    demand(23, bhs[2] === 0, `iSCSI response ${bhs[2]}`)
    demand(23, STATUSES.includes(bhs[3]!), `status ${bhs[3]}`)
    demand(23, bhs.readUInt32BE(36) === task.dataInCount + task.r2tCount, `ExpDataSN ${bhs.readUInt32BE(36)}`)
    demand(60, data.length > 0 === (bhs[3] === CHECK_CONDITION), `${data.length} bytes with status ${bhs[3]}`)
    if (data.length > 0) {
      demand(60, data.readUInt16BE(0) === data.length - 2, 'the length of the sense data is wrong')
      // VALID, bit 7, goes with an INFORMATION field.
      demand(60, data.length >= 20 && (data[2]! & 0x7f) === 0x70, 'sense data that is not in the fixed format')
    }
    this.end(pdu, task)
  }

  private end({ bhs }: Pdu, task: Task): void {
    const [under, over] = [(bhs[1]! & FLAG_UNDERFLOW) !== 0, (bhs[1]! & FLAG_OVERFLOW) !== 0]
    const residual = bhs.readUInt32BE(44)
    demand(23, !(under && over), 'underflow and overflow')
    demand(23, residual > 0 === (under || over), `a residual count of ${residual}`)
    const moved = task.expectedLength - (under ? residual : 0)
    if (task.reads && bhs[3] === 0) demand(26, task.received === moved, `${task.received} bytes came, not ${moved}`)
    if (bhs[3] === 0) demand(28, task.owed === 0, 'the end came before the data that was asked for')
    this.tasks.delete(bhs.readUInt32BE(16))
  }
}

function demand(event: number, right: boolean, what: string): void {
  if (!right) breach(event, what)
}

function breach(event: number, what: string): never {
  throw new Error(`event ${event}: ${what}`)
}
