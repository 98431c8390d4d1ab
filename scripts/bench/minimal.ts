import { fstatSync, openSync, readSync } from 'node:fs'
import { createServer, Socket } from 'node:net'
import { setU32 } from '../../lib/layout/layout.js'
import { BHS_LENGTH, FLAG_FINAL, getU32, RESERVED_TAG } from '../../lib/pdu/bhs.js'
import { CURRENT_STAGE_MASK, scsiCommand } from '../../lib/pdu/initiator.js'
import { FLAG_IMMEDIATE, Opcode, OPCODE_MASK } from '../../lib/pdu/opcodes.js'
import { dataIn, FLAG_STATUS } from '../../lib/pdu/target.js'

/**
 * What Node itself costs: a server that grants every login and answers READ(10), any other command with GOOD, and checks
 * nothing. One read of the socket and one write for a turn, one read of the file for a command, into the place from which
 * it leaves: nothing that a target needs, so a target in Node is hardly cheaper. `minimal.js IMAGE PORT`, for floor.ts alone.
 */
const [image, port] = process.argv.slice(2)
const fd = openSync(image!, 'r')
const size = fstatSync(fd).size
const command = scsiCommand.offsets
const answer = dataIn.offsets
const BUFFER_BYTES = 1 << 20
const WINDOW = 127
const LOGGED_IN = 0x83
const READ_10 = 0x28
const SECTOR = 512
const PARAMETERS = Buffer.from(
  [
    'HeaderDigest=None',
    'DataDigest=None',
    'MaxRecvDataSegmentLength=262144',
    'ImmediateData=Yes',
    'InitialR2T=No',
    ''
  ].join('\0')
)

class Minimal {
  private readonly received = Buffer.allocUnsafeSlow(BUFFER_BYTES)
  private readonly sent = Buffer.allocUnsafeSlow(BUFFER_BYTES)
  private start = 0
  private end = 0
  private position = 0
  private statSn = 1
  private readonly socket: Socket

  constructor(accepted: Socket) {
    const from = accepted as unknown as { _handle: unknown }
    const handle = from._handle
    from._handle = null
    const onread = {
      buffer: () => this.received.subarray(this.end),
      callback: (count: number) => this.arrived(count)
    }
    this.socket = new Socket({ handle, onread } as unknown as ConstructorParameters<typeof Socket>[0])
    this.socket.setNoDelay(true)
    this.socket.on('error', () => this.socket.destroy())
    this.socket.resume()
    this.socket.read(0)
  }

  private arrived(count: number): boolean {
    this.end += count
    this.position = 0
    while (this.end - this.start >= BHS_LENGTH) {
      const at = this.start
      const dataLength = getU32(this.received, at + 4) & 0xffffff
      const next = at + BHS_LENGTH + ((dataLength + 3) & ~3)
      if (next > this.end) break
      this.start = next
      this.handle(this.received[at]! & OPCODE_MASK, at)
    }
    if (this.start === this.end) this.start = this.end = 0
    if (this.position > 0) this.socket.write(this.sent.subarray(0, this.position))
    return true
  }

  private handle(opcode: number, at: number): void {
    if (opcode === Opcode.ScsiCommand) this.execute(at)
    else if (opcode === Opcode.LoginRequest) this.login(at)
    else {
      this.begin(Opcode.LogoutResponse, FLAG_FINAL, at, 0)
      this.socket.end(this.sent.subarray(0, this.position))
      this.position = 0
    }
  }

  private login(at: number): void {
    const stage = this.received[at + 1]! & CURRENT_STAGE_MASK
    const offset = this.begin(Opcode.LoginResponse, LOGGED_IN | stage, at, PARAMETERS.length)
    this.received.copy(this.sent, offset + 8, at + 8, at + 14)
    this.sent[offset + 15] = 1
    PARAMETERS.copy(this.sent, offset + BHS_LENGTH)
  }

  private execute(at: number): void {
    const { received } = this
    const cdb = at + command.cdb
    if (received[cdb] !== READ_10) return void this.begin(Opcode.ScsiResponse, FLAG_FINAL, at, 0)
    const length = ((received[cdb + 7]! << 8) | received[cdb + 8]!) * SECTOR
    const place = getU32(received, cdb + 2) * SECTOR
    const offset = this.begin(Opcode.DataIn, FLAG_FINAL | FLAG_STATUS, at, length)
    setU32(this.sent, offset + answer.targetTransferTag, RESERVED_TAG)
    if (place + length <= size) readSync(fd, this.sent, offset + BHS_LENGTH, length, place)
  }

  /** @returns where the header is that answers the request at `at` */
  private begin(opcode: number, flags: number, at: number, dataLength: number): number {
    const { sent, received } = this
    const offset = this.position
    for (let index = offset; index < offset + BHS_LENGTH; index++) sent[index] = 0
    const cmdSn = getU32(received, at + command.cmdSn)
    const expCmdSn = (received[at]! & FLAG_IMMEDIATE) !== 0 ? cmdSn : cmdSn + 1
    setU32(sent, offset + 4, dataLength)
    sent[offset] = opcode
    sent[offset + 1] = flags
    setU32(sent, offset + answer.initiatorTaskTag, getU32(received, at + command.initiatorTaskTag))
    setU32(sent, offset + answer.statSn, this.statSn++)
    setU32(sent, offset + answer.expCmdSn, expCmdSn)
    setU32(sent, offset + answer.maxCmdSn, expCmdSn + WINDOW)
    const end = offset + BHS_LENGTH + dataLength
    this.position = (end + 3) & ~3
    for (let pad = end; pad < this.position; pad++) sent[pad] = 0
    return offset
  }
}

createServer({ pauseOnConnect: true }, (accepted) => void new Minimal(accepted)).listen(Number(port), '127.0.0.1')
