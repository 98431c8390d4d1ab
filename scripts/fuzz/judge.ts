import { frameAt, type FramedPdu, type Framing } from './framing.js'
import { demand, demandEqual } from './fuzzer.js'

const RESERVED_TAG = 0xffffffff
/** A Text Request of the grammar may declare this much (§13.12). */
const DECLARED_LATER_MAX = 8192
/** The window of a session is no longer than this. */
const WINDOW_MAX = 128

/** Operation codes of answers, and of the requests that they answer (RFC 7143 §11.2.1.2). */
const ANSWERS_TO: Readonly<Record<number, number>> = { 0x20: 0x00, 0x21: 0x01, 0x22: 0x02, 0x24: 0x04, 0x26: 0x06 }
const NOP_IN = 0x20
const DATA_IN = 0x25
const R2T = 0x31
const ASYNC_MESSAGE = 0x32
const REJECT = 0x3f
/** R2Ts that are remembered. */
const R2TS_MAX = 64
const REJECT_REASONS: readonly number[] = [0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x09, 0x0c]
/** PDUs of the initiator that get no answer of their own. */
const DATA_OUT = 0x05
const NOP_OUT = 0x00
/** Those that carry a CmdSN, and are dropped in silence when it lies outside the window. */
const SEQUENCED: readonly number[] = [0x00, 0x01, 0x02, 0x04, 0x06]
const SCSI_COMMAND = 0x01

/**
 * Watches both directions of one connection in full feature phase and knows from RFC 7143 alone what the target may
 * say: every PDU is well-formed, StatSN counts without a gap, ExpCmdSN and MaxCmdSN never fall, nothing is answered that
 * was not asked, and nothing twice.
 */
export class Judge {
  /** As the target last said. */
  expCmdSn: number
  maxCmdSn: number
  statSn: number | undefined
  /** PDUs that the target has got to see. */
  pdusSent = 0
  /** What was sent cannot be framed: the target has to close. */
  lost = false
  /** Of the PDU at the end of what was sent, bytes that are still to come. */
  missing = 0
  readonly r2ts: { tag: number; ttt: number; offset: number; length: number; lun: Buffer }[] = []

  /** Requests that have had no answer, counted by operation code and tag. */
  private readonly asked = new Map<string, number>()
  /** Immediate requests, which no window drops, and what can only be rejected: each gets one answer, or a Reject. */
  private readonly owed = new Map<string, number>()
  /** Headers that were sent, for the Rejects that carry them. */
  private readonly headers = new Map<string, number>()
  private readonly dataSns = new Map<number, { dataSn: number; offset: number }>()
  private readonly r2tSns = new Map<number, number>()
  private unframed: Buffer = Buffer.alloc(0)
  private unread: Buffer = Buffer.alloc(0)
  private readonly answers: Framing

  constructor(
    private readonly requests: Framing,
    /** Longest data segment that this initiator takes. */
    lengthMax: number,
    private readonly firstCmdSn: number
  ) {
    this.answers = { ...requests, lengthMax: Math.max(lengthMax, DECLARED_LATER_MAX) }
    this.expCmdSn = firstCmdSn
    this.maxCmdSn = firstCmdSn - 1
  }

  /** Bytes that are about to be sent. */
  sends(bytes: Buffer): void {
    if (this.lost) return
    const stream = this.unframed.length > 0 ? Buffer.concat([this.unframed, bytes]) : bytes
    for (let at = 0; ;) {
      const next = frameAt(stream, at, this.requests)
      if (next.kind === 'pdu') {
        this.sendsPdu(next.pdu)
        at += next.pdu.length
        continue
      }
      this.lost = next.kind === 'lost'
      this.unframed = Buffer.from(stream.subarray(at))
      this.missing = next.kind === 'missing' && this.unframed.length > 0 ? next.bytes : 0
      return
    }
  }

  /** Bytes of the target. Answers its PDUs. */
  receives(bytes: Buffer): FramedPdu[] {
    const stream = this.unread.length > 0 ? Buffer.concat([this.unread, bytes]) : bytes
    const pdus: FramedPdu[] = []
    for (let at = 0; ;) {
      const next = frameAt(stream, at, this.answers)
      demand(next.kind !== 'lost', 'the target sends a segment that is too long, or a wrong header digest')
      if (next.kind === 'missing') {
        this.unread = Buffer.from(stream.subarray(at))
        return pdus
      }
      demandEqual('the reason to reject what the target sent', next.pdu.fault, 0)
      this.check(next.pdu)
      pdus.push(next.pdu)
      at += next.pdu.length
    }
  }

  /** Requests that must have had an answer by the time that everything before a ping is done. */
  get unanswered(): string[] {
    return [...this.owed].filter(([, open]) => open > 0).map(([key]) => key)
  }

  private sendsPdu({ bhs, fault }: FramedPdu): void {
    this.pdusSent++
    const opcode = bhs[0]! & 0x3f
    const sequenced = SEQUENCED.includes(opcode) && (bhs[0]! & 0x40) === 0
    if (fault === 0 && sequenced && this.isOutside(bhs.readUInt32BE(24))) return
    count(this.headers, bhs.toString('latin1'))
    if (opcode === DATA_OUT) return
    const tag = bhs.readUInt32BE(16)
    if (fault === 0) count(this.asked, `${opcode} ${tag}`)
    const immediate = (bhs[0]! & 0x40) !== 0
    // An aborted command has no answer, and a NOP-Out without a tag wants none.
    const silent = opcode === SCSI_COMMAND || (opcode === NOP_OUT && tag === RESERVED_TAG)
    if (fault !== 0 || (immediate && !silent) || !SEQUENCED.includes(opcode)) count(this.owed, `${opcode} ${tag}`)
  }

  /**
   * Surely outside the command window, so that it must be ignored: ExpCmdSN has passed it, or not even all that was sent
   * so far could have moved the window up to it.
   */
  private isOutside(cmdSn: number): boolean {
    return ((cmdSn - this.expCmdSn) | 0) < 0 || ((cmdSn - this.firstCmdSn - this.pdusSent - WINDOW_MAX) | 0) > 0
  }

  private check({ bhs, ahs, data }: FramedPdu): void {
    const opcode = bhs[0]!
    demandEqual('TotalAHSLength of a PDU of the target', ahs.length, 0)
    demandEqual('the bits above the operation code', opcode & 0xc0, 0)
    this.checkNumbers(bhs, opcode)
    const tag = bhs.readUInt32BE(16)
    if (opcode === REJECT) return this.checkReject(bhs, data)
    if (opcode === DATA_IN) return this.checkDataIn(bhs, tag, data)
    if (opcode === R2T) return this.checkR2t(bhs, tag, data)
    if (opcode === ASYNC_MESSAGE || (opcode === NOP_IN && tag === RESERVED_TAG)) return
    const request = ANSWERS_TO[opcode]
    demand(request !== undefined, () => `the target sends operation code ${opcode}`)
    demand((bhs[1]! & 0x80) !== 0 || opcode === 0x24, `the F bit is off in operation code ${opcode}`)
    this.answered(request, tag)
    if (opcode === 0x21) this.checkResponse(bhs, tag, data)
  }

  /** RFC 7143 §4.2.2. */
  private checkNumbers(bhs: Buffer, opcode: number): void {
    const statSn = bhs.readUInt32BE(24)
    const [expCmdSn, maxCmdSn] = [bhs.readUInt32BE(28), bhs.readUInt32BE(32)]
    const bare = opcode === DATA_IN && (bhs[1]! & 1) === 0
    if (!bare) {
      if (this.statSn !== undefined) demandEqual(`StatSN of operation code ${opcode}`, statSn, this.statSn)
      const shows = opcode === R2T || (opcode === NOP_IN && bhs.readUInt32BE(16) === RESERVED_TAG)
      this.statSn = shows ? statSn : (statSn + 1) >>> 0
    }
    demand(((expCmdSn - this.expCmdSn) | 0) >= 0, `ExpCmdSN falls from ${this.expCmdSn} to ${expCmdSn}`)
    demand(((maxCmdSn - this.maxCmdSn) | 0) >= 0, `MaxCmdSN falls from ${this.maxCmdSn} to ${maxCmdSn}`)
    const window = (maxCmdSn - expCmdSn + 1) | 0
    demand(window >= 0 && window <= WINDOW_MAX, `a window of ${window}`)
    this.expCmdSn = expCmdSn
    this.maxCmdSn = maxCmdSn
  }

  private answered(request: number, tag: number): void {
    const key = `${request} ${tag}`
    const open = this.asked.get(key) ?? 0
    demand(open > 0, `an answer to nothing, or a second one: to operation code ${request}, tag ${tag}`)
    this.asked.set(key, open - 1)
    this.settle(key)
  }

  private settle(key: string): void {
    const owed = this.owed.get(key) ?? 0
    if (owed > 1) this.owed.set(key, owed - 1)
    else this.owed.delete(key)
  }

  private checkReject(bhs: Buffer, data: Buffer): void {
    demand(REJECT_REASONS.includes(bhs[2]!), `a Reject with reason ${bhs[2]}`)
    demandEqual('the tag of a Reject', bhs.readUInt32BE(16), RESERVED_TAG)
    demandEqual('the data of a Reject', data.length, 48)
    const header = data.toString('latin1')
    const open = this.headers.get(header) ?? 0
    demand(open > 0, `a Reject of what was not sent: ${data.toString('hex')}`)
    this.headers.set(header, open - 1)
    this.settle(`${data[0]! & 0x3f} ${data.readUInt32BE(16)}`)
  }

  private checkDataIn(bhs: Buffer, tag: number, data: Buffer): void {
    demand((this.asked.get(`${SCSI_COMMAND} ${tag}`) ?? 0) > 0, `Data-In for tag ${tag}, which asked for none`)
    const [dataSn, offset] = [bhs.readUInt32BE(36), bhs.readUInt32BE(40)]
    const known = this.dataSns.get(tag)
    // A tag may have been taken by the next command: then everything begins anew.
    if (known && dataSn !== 0) {
      demandEqual('DataSN', dataSn, known.dataSn)
      demandEqual('Buffer Offset', offset, known.offset)
    } else demandEqual('the first DataSN and offset', `${dataSn} ${offset}`, '0 0')
    this.dataSns.set(tag, { dataSn: dataSn + 1, offset: offset + data.length })
    if ((bhs[1]! & 1) === 0) return
    demand((bhs[1]! & 0x80) !== 0, 'a status without the F bit')
    demand((bhs[1]! & 0x06) !== 0x06, 'both residuals')
    this.dataSns.delete(tag)
    this.answered(SCSI_COMMAND, tag)
  }

  private checkR2t(bhs: Buffer, tag: number, data: Buffer): void {
    demand((this.asked.get(`${SCSI_COMMAND} ${tag}`) ?? 0) > 0, `an R2T for tag ${tag}, which asked for nothing`)
    demandEqual('byte 1 of an R2T', bhs[1], 0x80)
    demandEqual('the data of an R2T', data.length, 0)
    const ttt = bhs.readUInt32BE(20)
    demand(ttt !== RESERVED_TAG, 'an R2T with the reserved tag')
    const [r2tSn, offset, length] = [bhs.readUInt32BE(36), bhs.readUInt32BE(40), bhs.readUInt32BE(44)]
    demand(r2tSn === 0 || r2tSn === this.r2tSns.get(tag), `R2TSN ${r2tSn}`)
    demand(length > 0, 'an R2T for nothing')
    this.r2tSns.set(tag, r2tSn + 1)
    this.r2ts.push({ tag, ttt, offset, length, lun: Buffer.from(bhs.subarray(8, 16)) })
    if (this.r2ts.length > R2TS_MAX) this.r2ts.shift()
  }

  private checkResponse(bhs: Buffer, tag: number, data: Buffer): void {
    this.dataSns.delete(tag)
    this.r2tSns.delete(tag)
    const sense = data.length > 2 ? data.readUInt16BE(0) : 0
    if (data.length > 0) demandEqual('the length of sense data', sense + 2, data.length)
    demandEqual(`sense data with status ${bhs[3]}`, sense > 0, bhs[3] === 0x02)
    demand((bhs[1]! & 0x06) !== 0x06, 'both residuals')
    demand((bhs[1]! & 0x06) !== 0 || bhs.readUInt32BE(44) === 0, 'a residual without its bit')
  }
}

function count<K>(counts: Map<K, number>, key: K): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}
