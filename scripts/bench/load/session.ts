import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { BHS_LENGTH, RESERVED_TAG } from '../../../lib/pdu/bhs.js'
import { crc32c, DIGEST_LENGTH, writeDigest } from '../../../lib/pdu/digest.js'
import { dataOut, loginRequest, logoutRequest, nopOut, scsiCommand } from '../../../lib/pdu/initiator.js'
import { Opcode, OPCODE_MASK } from '../../../lib/pdu/opcodes.js'
import { dataIn, loginResponse, nopIn, r2t, scsiResponse } from '../../../lib/pdu/target.js'
import { Histogram } from './histogram.js'
import type { LoadGroup, LoadTarget } from './job.js'

/**
 * One session of the load generator: it keeps `depth` commands open, and what one read of the socket completes is
 * replaced by one write. It looks at tags, status and window, and no further: data that comes is thrown away unseen,
 * data that goes is prepared once. So it costs a third of what a real initiator does, and measures the target.
 */
export class LoadSession {
  readonly times = new Histogram()
  longestMs = 0
  private readonly socket: Socket
  private readonly ring = Buffer.allocUnsafeSlow(RING_BYTES)
  private start = 0
  private end = 0
  private digests = 0
  private parameters = new Map<string, string>()
  private expectDigests = false
  private cmdSn = 1
  private maxCmdSn = 1
  private expStatSn = 0
  private onLogin: ((error?: Error) => void) | undefined
  private onQuiet: ((error?: Error) => void) | undefined
  private onClosed: (() => void) | undefined
  private failure: Error | undefined

  // The commands of the current run.
  private group: LoadGroup | undefined
  private places: Places | undefined
  private limit = Infinity
  private issued = 0
  private open = 0
  private firstImmediate = 0
  private unsolicited = 0
  private readonly startedAt: Float64Array
  private readonly freeTags: number[] = []
  /** The commands of one turn lie behind each other in here: two times the depth, see {@link issue}. */
  private batch = Buffer.alloc(0)
  private commandLength = 0
  private commandPlaces = 0
  private nextPlace = 0
  private payload = Buffer.alloc(0)
  private segmentDigests = new Map<string, number>()

  constructor(
    private readonly unit: LoadTarget,
    private readonly depth: number,
    private readonly initiatorName: string,
    private readonly number: number
  ) {
    this.startedAt = new Float64Array(depth)
    this.socket = connect({
      host: unit.host,
      port: unit.port,
      noDelay: true,
      onread: {
        buffer: () => this.ring.subarray(this.end),
        callback: (count) => this.received(count)
      }
    })
    this.socket.on('error', (error) => this.fail(error))
    this.socket.on('close', () => {
      this.fail(new Error('the target closed the connection'))
      this.onClosed?.()
    })
  }

  /** Resolves when there is a TCP connection. */
  async connected(): Promise<void> {
    if (this.socket.connecting) await once(this.socket, 'connect')
  }

  /** Leads the login from its first byte to full feature phase. */
  login(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.onLogin = (error) => (error ? reject(error) : resolve())
      const begin = () => this.sendLogin(this.loginText())
      if (this.socket.connecting) this.socket.once('connect', begin)
      else begin()
    })
  }

  /** Takes unit attentions away. */
  async ready(): Promise<void> {
    for (let tries = 0; tries < 8; tries++) if ((await this.testUnitReady()) === 0) return
    throw new Error('TEST UNIT READY fails')
  }

  /** Keeps `group.depth` commands open until {@link stop} or until `limit` of them are done. */
  run(group: LoadGroup, limit = Infinity): Promise<void> {
    this.group = group
    this.places = new Places(group, this.number)
    this.limit = limit
    this.issued = 0
    this.prepare(group)
    this.freeTags.length = 0
    for (let tag = Math.min(group.depth, this.depth) - 1; tag >= 0; tag--) this.freeTags.push(tag)
    const quiet = this.quiet()
    this.issue(performance.now())
    return quiet
  }

  /** No further commands: {@link run} resolves when the open ones are answered. */
  stop(): void {
    this.limit = 0
    if (this.open === 0) this.onQuiet?.()
  }

  logout(): Promise<void> {
    const bytes = logoutRequest.make({ opcode: Opcode.LogoutRequest | IMMEDIATE, reason: FINAL, initiatorTaskTag: 1 })
    bytes.writeUInt32BE(this.cmdSn, 24)
    bytes.writeUInt32BE(this.expStatSn, 28)
    this.failure ??= new Error('logged out')
    const closed = new Promise<void>((resolve) => (this.onClosed = resolve))
    this.socket.write(this.withHeaderDigest(bytes))
    return closed
  }

  /** Cuts the connection, without logout. */
  cut(): void {
    this.failure ??= new Error('cut')
    this.socket.destroy()
  }

  // ——— login and control ———

  private loginText(): string {
    const digest = this.unit.digests ? 'CRC32C' : 'None'
    return [
      `InitiatorName=${this.initiatorName}`,
      `TargetName=${this.unit.target}`,
      'SessionType=Normal',
      `HeaderDigest=${digest}`,
      `DataDigest=${digest}`,
      'MaxRecvDataSegmentLength=262144',
      'ImmediateData=Yes',
      'InitialR2T=No',
      'FirstBurstLength=262144',
      'MaxBurstLength=1048576',
      'MaxOutstandingR2T=16',
      'MaxConnections=1',
      'DefaultTime2Wait=2',
      'DefaultTime2Retain=0',
      'ErrorRecoveryLevel=0',
      ''
    ].join('\0')
  }

  private sendLogin(text: string): void {
    const data = Buffer.from(text)
    const header = loginRequest.make({
      opcode: Opcode.LoginRequest | IMMEDIATE,
      flags: LOGIN_OPERATIONAL_TO_FULL_FEATURE,
      dataSegmentLength: data.length,
      isid: Buffer.from([0x80, 0, 0, 0, this.number >>> 8, this.number & 0xff]),
      cmdSn: this.cmdSn,
      expStatSn: this.expStatSn
    })
    this.socket.write(Buffer.concat([header, data, Buffer.alloc(-data.length & 3)]))
  }

  private loginAnswered(bhs: number, dataOffset: number, dataLength: number): void {
    const view = loginResponse.view().at(this.ring, bhs)
    if (view.statusClass !== 0) {
      return this.fail(new Error(`login refused: status ${view.statusClass} ${view.statusDetail}`))
    }
    this.expStatSn = view.statSn + 1
    this.maxCmdSn = view.maxCmdSn
    for (const pair of this.ring.toString('latin1', dataOffset, dataOffset + dataLength).split('\0')) {
      const [key, value] = pair.split('=')
      if (key && value !== undefined) this.parameters.set(key, value)
    }
    if ((view.flags & FINAL) === 0) return this.sendLogin('')
    this.expectDigests = this.parameters.get('HeaderDigest') === 'CRC32C'
    this.digests = this.expectDigests ? DIGEST_LENGTH : 0
    if (this.expectDigests !== this.unit.digests) return this.fail(new Error('the target wants other digests'))
    this.onLogin?.()
    this.onLogin = undefined
  }

  private async testUnitReady(): Promise<number> {
    const bytes = scsiCommand.make({ opcode: Opcode.ScsiCommand, flags: FINAL | SIMPLE, initiatorTaskTag: CONTROL_TAG })
    this.putLun(bytes, 8)
    bytes.writeUInt32BE(this.cmdSn++, 24)
    bytes.writeUInt32BE(this.expStatSn, 28)
    const quiet = this.quiet()
    this.open = 1
    this.socket.write(this.withHeaderDigest(bytes))
    await quiet
    return this.controlStatus
  }

  private controlStatus = 0

  private quiet(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.failure) return reject(this.failure)
      this.onQuiet = (error) => {
        this.onQuiet = undefined
        if (error) reject(error)
        else resolve()
      }
    })
  }

  private fail(error: Error): void {
    if (this.failure) return
    this.failure = error
    this.onLogin?.(error)
    this.onQuiet?.(error)
    this.socket.destroy()
  }

  // ——— commands out ———

  /** Everything of a command that never changes is put in place once. */
  private prepare(group: LoadGroup): void {
    const { blockLength } = group
    const write = group.operation === 'write'
    const burst = Number(this.parameters.get('FirstBurstLength') ?? 65536)
    const segment = this.segmentLength()
    this.firstImmediate =
      write && this.parameters.get('ImmediateData') !== 'No' ? Math.min(blockLength, burst, segment) : 0
    this.unsolicited = write && this.parameters.get('InitialR2T') === 'No' ? Math.min(blockLength, burst) : 0
    this.payload = Buffer.allocUnsafeSlow(blockLength)
    for (let i = 0; i < blockLength; i++) this.payload[i] = i * 7 + (i >>> 8)
    this.segmentDigests.clear()
    const data = this.firstImmediate
    this.commandLength = BHS_LENGTH + this.digests + (data > 0 ? data + this.digests : 0)
    this.commandPlaces = 2 * group.depth
    this.batch = Buffer.alloc(this.commandLength * this.commandPlaces)
    for (let place = 0; place < this.commandPlaces; place++) {
      const at = place * this.commandLength
      const more = write && this.unsolicited > data
      scsiCommand
        .make({
          opcode: Opcode.ScsiCommand,
          flags: (more ? 0 : FINAL) | (write ? WRITE : READ) | SIMPLE,
          dataSegmentLength: data,
          expectedDataTransferLength: blockLength
        })
        .copy(this.batch, at)
      this.putLun(this.batch, at + 8)
      this.batch[at + CDB] = write ? 0x2a : 0x28
      this.batch.writeUInt16BE(blockLength / SECTOR, at + CDB + 7)
      if (data === 0) continue
      const dataAt = at + BHS_LENGTH + this.digests
      this.payload.copy(this.batch, dataAt, 0, data)
      if (this.digests > 0) writeDigest(this.batch, dataAt + data, this.digestOf(0, data))
    }
    this.nextPlace = 0
  }

  /**
   * Fills every free tag. At most `depth` commands are open and TCP keeps their order, so whatever lies a whole depth
   * of places back has left the buffer: its answer, or that of a later one, has come.
   */
  private issue(now: number): void {
    let first = this.nextPlace
    let count = 0
    while (this.freeTags.length > 0 && this.issued < this.limit && this.windowOpen()) {
      if (this.nextPlace === this.commandPlaces) {
        this.sendPlaces(first, count)
        this.nextPlace = first = count = 0
      }
      this.putCommand(this.freeTags.pop()!, now)
      count++
      // Data that goes unasked follows its command at once.
      if (this.unsolicited > this.firstImmediate) {
        this.sendPlaces(first, count)
        first = this.nextPlace
        count = 0
        this.sendData(this.lastTag, RESERVED_TAG, this.firstImmediate, this.unsolicited)
      }
    }
    this.sendPlaces(first, count)
    if (this.open === 0 && this.issued >= this.limit) this.onQuiet?.()
  }

  private lastTag = 0

  private windowOpen(): boolean {
    return ((this.maxCmdSn - this.cmdSn) | 0) >= 0
  }

  private putCommand(tag: number, now: number): void {
    const { batch } = this
    const at = this.nextPlace++ * this.commandLength
    const lba = this.places!.next()
    batch.writeUInt32BE(tag, at + 16)
    batch.writeUInt32BE(this.cmdSn >>> 0, at + 24)
    batch.writeUInt32BE(this.expStatSn >>> 0, at + 28)
    batch.writeUInt32BE(lba, at + CDB + 2)
    if (this.digests > 0) writeDigest(batch, at + BHS_LENGTH, crc32c(batch, at, at + BHS_LENGTH))
    this.cmdSn = (this.cmdSn + 1) >>> 0
    this.startedAt[tag] = now
    this.lastTag = tag
    this.issued++
    this.open++
  }

  private sendPlaces(first: number, count: number): void {
    if (count === 0) return
    this.socket.write(this.batch.subarray(first * this.commandLength, (first + count) * this.commandLength))
  }

  /** Data-Out PDUs for [offset, end) of a command. */
  private sendData(tag: number, transferTag: number, offset: number, end: number): void {
    const segment = this.segmentLength()
    this.socket.cork()
    let dataSn = 0
    for (let at = offset; at < end; at += segment) {
      const length = Math.min(segment, end - at)
      const header = dataOut.make({
        opcode: Opcode.DataOut,
        flags: at + length === end ? FINAL : 0,
        dataSegmentLength: length,
        initiatorTaskTag: tag,
        targetTransferTag: transferTag,
        expStatSn: this.expStatSn >>> 0,
        dataSn: dataSn++,
        bufferOffset: at
      })
      this.putLun(header, 8)
      this.socket.write(this.withHeaderDigest(header))
      this.socket.write(this.payload.subarray(at, at + length))
      if (this.digests === 0) continue
      const digest = Buffer.alloc(DIGEST_LENGTH)
      writeDigest(digest, 0, this.digestOf(at, length))
      this.socket.write(digest)
    }
    this.socket.uncork()
  }

  private segmentLength(): number {
    return Math.min(Number(this.parameters.get('MaxRecvDataSegmentLength') ?? 8192), SEGMENT_MAX)
  }

  private digestOf(offset: number, length: number): number {
    const key = `${offset} ${length}`
    let digest = this.segmentDigests.get(key)
    if (digest === undefined) {
      digest = crc32c(this.payload, offset, offset + length)
      this.segmentDigests.set(key, digest)
    }
    return digest
  }

  private withHeaderDigest(header: Buffer): Buffer {
    if (this.digests === 0) return header
    const digest = Buffer.alloc(DIGEST_LENGTH)
    writeDigest(digest, 0, crc32c(header, 0, header.length))
    return Buffer.concat([header, digest])
  }

  private putLun(buffer: Buffer, offset: number): void {
    buffer.writeUInt16BE(this.unit.lun, offset)
  }

  // ——— answers in ———

  private received(count: number): boolean {
    this.end += count
    const now = performance.now()
    try {
      while (this.takePdu(now));
    } catch (error) {
      this.fail(error as Error)
    }
    if (this.group && this.freeTags.length > 0) this.issue(now)
    if (this.start === this.end) this.start = this.end = 0
    else if (this.end > RING_BYTES / 2) {
      this.ring.copyWithin(0, this.start, this.end)
      this.end -= this.start
      this.start = 0
    }
    return true
  }

  /** One PDU; false when there is no whole one. */
  private takePdu(now: number): boolean {
    const { ring, start } = this
    const here = this.end - start
    if (here < BHS_LENGTH) return false
    const length = (ring[start + 5]! << 16) | (ring[start + 6]! << 8) | ring[start + 7]!
    const dataOffset = start + BHS_LENGTH + this.digests
    const next = dataOffset + length + (-length & 3) + (length > 0 ? this.digests : 0)
    if (next > this.end) return false
    this.start = next
    this.answer(start, dataOffset, length, now)
    return true
  }

  private answer(bhs: number, dataOffset: number, length: number, now: number): void {
    const { ring } = this
    const opcode = ring[bhs]! & OPCODE_MASK
    if (opcode === Opcode.DataIn) {
      this.window(bhs)
      if ((ring[bhs + 1]! & STATUS) !== 0) this.done(bhs, ring[bhs + dataIn.offsets.status]!, now)
    } else if (opcode === Opcode.ScsiResponse) {
      this.window(bhs)
      this.done(bhs, ring[bhs + scsiResponse.offsets.status]!, now)
    } else if (opcode === Opcode.R2t) {
      const view = r2t.view().at(ring, bhs)
      this.window(bhs)
      const { bufferOffset, desiredDataTransferLength } = view
      this.sendData(
        view.initiatorTaskTag,
        view.targetTransferTag,
        bufferOffset,
        bufferOffset + desiredDataTransferLength
      )
    } else if (opcode === Opcode.LoginResponse) this.loginAnswered(bhs, dataOffset, length)
    else if (opcode === Opcode.NopIn) this.answerNop(bhs)
    else if (opcode === Opcode.LogoutResponse) this.socket.end()
    else throw new Error(`an answer of opcode ${opcode}`)
  }

  private window(bhs: number): void {
    this.maxCmdSn = this.ring.readUInt32BE(bhs + 32)
  }

  private done(bhs: number, status: number, now: number): void {
    const { ring } = this
    this.expStatSn = (ring.readUInt32BE(bhs + 24) + 1) >>> 0
    const tag = ring.readUInt32BE(bhs + 16)
    this.open--
    if (tag === CONTROL_TAG) {
      this.controlStatus = status
      return this.onQuiet?.()
    }
    if (status !== 0) throw new Error(`a command ended with status ${status}`)
    const ms = now - this.startedAt[tag]!
    this.times.add(ms)
    if (ms > this.longestMs) this.longestMs = ms
    this.freeTags.push(tag)
  }

  private answerNop(bhs: number): void {
    const view = nopIn.view().at(this.ring, bhs)
    if (view.targetTransferTag === RESERVED_TAG) return
    const bytes = nopOut.make({
      opcode: Opcode.NopOut | IMMEDIATE,
      flags: FINAL,
      initiatorTaskTag: RESERVED_TAG,
      targetTransferTag: view.targetTransferTag,
      cmdSn: this.cmdSn,
      expStatSn: this.expStatSn
    })
    this.socket.write(this.withHeaderDigest(bytes))
  }
}

/** Which blocks are touched, as LBAs. */
class Places {
  private readonly count: number
  private readonly perBlock: number
  private readonly first: number
  private state: number

  constructor(
    private readonly group: LoadGroup,
    seed: number
  ) {
    this.perBlock = group.blockLength / SECTOR
    this.first = group.start / SECTOR
    this.count = Math.floor((group.end - group.start) / group.blockLength)
    this.state = group.order === 'sequential' ? -1 : seed * 7919 + 1
    const shuffles = group.order === 'shuffled'
    if (shuffles && (this.count & (this.count - 1)) !== 0) throw new Error(`${this.count} blocks cannot be shuffled`)
  }

  next(): number {
    return this.first + this.block() * this.perBlock
  }

  private block(): number {
    switch (this.group.order) {
      case 'sequential':
        this.state = (this.state + 1) % this.count
        return this.state
      case 'shuffled':
        // A linear congruence of full period over a power of two: each block once before any again. Its low bits run
        // in small circles, so they become the high ones.
        this.state = (Math.imul(this.state, 1664525) + 1013904223) & (this.count - 1)
        return reversed(this.state, this.count)
      default:
        this.state ^= this.state << 13
        this.state ^= this.state >>> 17
        this.state ^= this.state << 5
        return (this.state >>> 0) % this.count
    }
  }
}

/** The bits of `value` in reverse order, as many as `count`, a power of two, has below its own. */
function reversed(value: number, count: number): number {
  let from = value
  let to = 0
  for (let bit = 1; bit < count; bit <<= 1) {
    to = (to << 1) | (from & 1)
    from >>>= 1
  }
  return to
}

const SECTOR = 512
const RING_BYTES = 4 << 20
const SEGMENT_MAX = 256 * 1024
const CONTROL_TAG = 0xfffffff0
const IMMEDIATE = 0x40
const FINAL = 0x80
const READ = 0x40
const WRITE = 0x20
const STATUS = 0x01
const SIMPLE = 0x01
const CDB = 32
/** T bit, current stage 1, next stage 3. */
const LOGIN_OPERATIONAL_TO_FULL_FEATURE = 0x87
