import type { Socket } from 'node:net'
import { MemoryVolume } from '../../lib/volume/drivers/memory.js'
import { FaultPlan, FaultVolume } from '../../lib/volume/layers/fault.js'
import { OPEN_ISCSI } from '../../spec/support/login-presets.js'
import {
  dataOut,
  loginRequest,
  logoutRequest,
  nopOut,
  scsiCommand,
  snack,
  taskManagementRequest,
  textRequest
} from '../../spec/support/pdu-builder.js'
import type { Random } from '../../spec/support/random.js'
import { BLOCK, read10, write10 } from '../../spec/support/raw-commands.js'
import { ScriptedInitiator } from '../../spec/support/scripted-initiator.js'
import { NOTHING, TARGET_NAME, TestTarget } from '../../spec/support/test-target.js'
import { framed, type FramedPdu } from './framing.js'
import { demand, demandEqual, type Fuzzer, type FuzzerRun } from './fuzzer.js'
import { randomCdb, randomLun, randomParameterList } from './grammar.js'
import { Judge } from './judge.js'

const BURSTS = 12
const BURST_PDUS_MAX = 160
/** The other client works beside one burst in so many. */
const WITNESS_EVERY = 3
const LENGTH_MAX = 4096
const DISK_BYTES = 1 << 20
const NAMES = 4
const WITNESS = 'iqn.2010-04.org.example:witness'
const WITNESS_BLOCKS = 16
/** How long an answer, or the end of a hopeless connection, may take. */
const ANSWER_LIMIT_MS = 20_000
const NO_AHS = Buffer.alloc(0)

/**
 * Whole sessions: PDUs of every kind that make sense, most of them spoilt, in bursts cut anywhere, while another client
 * writes and reads. At the end of each the target must still answer, or have closed; and nothing may be left of it.
 */
export const session: Fuzzer = {
  name: 'session',
  about: 'whole sessions from a grammar with mutations, beside a client that compares what it reads',
  share: 4,
  open: () => SessionRun.open()
}

class SessionRun implements FuzzerRun {
  private static runs = 0
  private rounds = 0
  private readonly model = Buffer.alloc(DISK_BYTES)

  private constructor(
    private readonly target: TestTarget,
    private readonly witness: ScriptedInitiator,
    private readonly plan: { random: Random | undefined }
  ) {}

  static async open(): Promise<SessionRun> {
    const plan: { random: Random | undefined } = { random: undefined }
    const faults = new FaultPlan(() => plan.random?.next() ?? 1)
    for (const verb of ['read', 'write'] as const) faults.add({ verb, probability: 0.1, effect: { kind: 'block' } })
    const disk = () => new FaultVolume(new MemoryVolume(DISK_BYTES), faults)
    const target = await TestTarget.start({
      privateVolumes: () => [disk(), disk()],
      stagingBytes: 256 * 1024,
      // Both ways in which bytes arrive, in turn.
      positionedReads: SessionRun.runs++ % 2 === 0,
      offer: { maxRecvDataSegmentLength: LENGTH_MAX, firstBurstLength: 4096, maxBurstLength: 16384, initialR2T: false }
    })
    const options = { targetName: TARGET_NAME, preset: OPEN_ISCSI, initiatorName: WITNESS }
    return new SessionRun(target, await ScriptedInitiator.login(target.port, options), plan)
  }

  async round(random: Random): Promise<number> {
    this.plan.random = random
    const attacker = await Attacker.login(this.target.port, random, this.rounds++ % NAMES)
    try {
      for (let burst = 0; burst < BURSTS && !attacker.closed; burst++) {
        await Promise.all([attacker.burst(), burst % WITNESS_EVERY === 0 && this.witnessed(random)])
      }
      await attacker.end()
    } finally {
      attacker.socket.destroy()
    }
    await this.target.until(() => this.target.connections.length === 1 && this.target.group.sessions.length === 1)
    demandEqual('tasks that are left', this.target.tasksOut, 0)
    demandEqual('memory that is left', this.target.group.staging.used, 0)
    const waiting = this.target.sessions.slice(1).reduce((sum, { waiting: { used } }) => sum + used, 0)
    demandEqual('what a session still has waiting', waiting, 0)
    demandEqual('mistakes of the server', this.target.failures.map(trace).join('\n'), '')
    this.target.sessions.splice(1)
    this.target.ends.length = this.target.dropped.length = this.target.nexuses.length = 0
    return attacker.judge.pdusSent
  }

  async close(): Promise<void> {
    await this.witness.leave()
    demandEqual('what is left', JSON.stringify(await this.target.stop()), JSON.stringify(NOTHING))
  }

  /** The other client: each time it reads everything that it ever wrote around a place, and writes anew. */
  private async witnessed(random: Random): Promise<void> {
    const lba = random.int(DISK_BYTES / BLOCK - WITNESS_BLOCKS)
    const place = this.model.subarray(lba * BLOCK, (lba + WITNESS_BLOCKS) * BLOCK)
    const seen = await this.witness.command(read10(lba, WITNESS_BLOCKS), { read: place.length })
    demand(seen.data.equals(place), `the witness does not read at ${lba} what it has written`)
    random.bytes(place)
    const written = await this.witness.command(write10(lba, WITNESS_BLOCKS), { write: Buffer.from(place) })
    demandEqual('the status of a write of the witness', written.status, 0)
  }
}

class Attacker {
  closed = false
  private failure: Error | undefined
  private wake: () => void = () => {}
  private readonly answers: FramedPdu[] = []
  private cmdSn: number

  private constructor(
    readonly socket: Socket,
    readonly judge: Judge,
    private readonly random: Random,
    private readonly digests: { headerDigest: boolean; dataDigest: boolean },
    private expStatSn: number,
    cmdSn: number
  ) {
    this.cmdSn = cmdSn
    socket.removeAllListeners('data')
    socket.on('data', (bytes: Buffer) => this.receives(bytes))
    socket.on('close', () => {
      this.closed = true
      this.wake()
    })
  }

  static async login(port: number, random: Random, number: number): Promise<Attacker> {
    const digest = () => (random.chance(0.15) ? 'CRC32C' : 'None')
    const lengthMax = random.pick([512, 4096, 8192])
    const initiator = await ScriptedInitiator.login(port, {
      targetName: TARGET_NAME,
      preset: OPEN_ISCSI,
      initiatorName: `iqn.2010-04.org.example:attacker-${number}`,
      cmdSn: random.pick([0, 1, 0xfffffff0, random.int(2 ** 32)]),
      override: {
        HeaderDigest: digest(),
        DataDigest: digest(),
        MaxRecvDataSegmentLength: String(lengthMax),
        ImmediateData: random.pick(['Yes', 'No']),
        InitialR2T: random.pick(['Yes', 'No'])
      }
    })
    const { headerDigest, dataDigest, cmdSn, expStatSn } = initiator
    const digests = { headerDigest, dataDigest }
    const judge = new Judge({ lengthMax: LENGTH_MAX, ...digests }, lengthMax, cmdSn)
    return new Attacker(initiator.socket, judge, random, digests, expStatSn, cmdSn)
  }

  /** Sends some PDUs, in segments cut anywhere. */
  async burst(): Promise<void> {
    const { random, judge } = this
    const pdus = Array.from({ length: 1 + random.int(BURST_PDUS_MAX) }, () => this.spoilt(this.sensible()))
    // The window is what the target says; who ignored it always would test only that.
    if (((judge.maxCmdSn - this.cmdSn) | 0) < 0 && random.chance(0.8)) this.cmdSn = judge.expCmdSn
    await this.send(Buffer.concat(pdus), random.chance(0.2))
    this.expect()
  }

  /** It must still answer, or have closed; all tasks must end when they are told to. */
  async end(): Promise<void> {
    if (this.judge.missing > 0) await this.send(Buffer.alloc(this.judge.missing), false)
    while (this.judge.missing > 0 && !this.judge.lost) await this.send(Buffer.alloc(this.judge.missing), false)
    if (this.judge.lost) return this.until('the end of a connection whose bytes mean nothing', () => this.closed)
    if (this.random.chance(0.2)) return
    const tag = 0xfff00000
    const common = { immediate: true, cmdSn: this.cmdSn, expStatSn: this.expStatSn }
    const resets = [0, 1].map((lun) => taskManagementRequest({ ...common, function: 5, lun, itt: tag + lun }))
    const ping = nopOut({ ...common, itt: tag + 2 })
    await this.send(Buffer.concat([...resets, ping].map((pdu) => this.framed(pdu))), false)
    const answered = (number: number) => this.answers.some(({ bhs }) => bhs.readUInt32BE(16) === tag + number)
    await this.until('the answers to two resets and a ping', () => this.closed || [0, 1, 2].every(answered))
    const { judge } = this
    await this.until(
      () => `answers to ${judge.unanswered.join(', ')}`,
      () => this.closed || judge.unanswered.length === 0
    )
  }

  private async send(bytes: Buffer, cut: boolean): Promise<void> {
    this.judge.sends(bytes)
    for (let at = 0; at < bytes.length && !this.closed;) {
      const end = cut ? Math.min(bytes.length, at + 1 + this.random.int(2000)) : bytes.length
      this.socket.write(bytes.subarray(at, end))
      at = end
      await new Promise((resolve) => setImmediate(resolve))
    }
    this.throwFailure()
  }

  private receives(bytes: Buffer): void {
    try {
      const pdus = this.judge.receives(bytes)
      this.answers.push(...pdus.filter(({ bhs }) => bhs.readUInt32BE(16) >= 0xfff00000))
      if (this.answers.length > 64) this.answers.splice(0, this.answers.length - 64)
    } catch (error) {
      this.failure ??= error as Error
    }
    this.wake()
  }

  private async until(what: string | (() => string), condition: () => boolean): Promise<void> {
    const deadline = performance.now() + ANSWER_LIMIT_MS
    while (!condition()) {
      this.throwFailure()
      demand(performance.now() < deadline, () => `the target owes ${typeof what === 'string' ? what : what()}`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 100)
        this.wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    this.throwFailure()
  }

  private throwFailure(): void {
    if (this.failure) throw this.failure
  }

  private expect(): void {
    if (this.judge.statSn !== undefined) this.expStatSn = this.judge.statSn
  }

  // ---- what it says

  /** A PDU that makes sense as things stand. */
  private sensible(): Buffer {
    const { random, judge } = this
    const immediate = random.chance(0.15)
    const ahead = random.chance(0.03) ? random.int(20) : 0
    const cmdSn = immediate ? this.cmdSn : (this.cmdSn = (this.cmdSn + 1) >>> 0) - 1 + ahead
    const itt = random.chance(0.8) ? random.int(200) : random.int(0x100000000)
    const common = { itt, cmdSn: cmdSn >>> 0, expStatSn: this.expStatSn, immediate }
    const lun = randomLun(random)
    switch (random.int(16)) {
      case 0:
      case 1:
      case 2:
        return this.readOrWrite(common, lun)
      case 3:
      case 4:
      case 5: {
        const data = randomParameterList(random)
        return scsiCommand({
          ...common,
          lun,
          flags: 0x80 | random.pick([0x40, 0x20, 0x60, 0]) | random.int(5),
          edtl: random.pick([0, 1, data.length, 255, 4096, 0xffffffff]),
          cdb: randomCdb(random),
          data: random.chance(0.5) ? data : ''
        })
      }
      case 6:
      case 7:
      case 8:
        return this.dataForR2t() ?? this.strayData()
      case 9:
        return nopOut({ ...common, data: randomParameterList(random), ...(random.chance(0.1) && { itt: 0xffffffff }) })
      case 10:
        return textRequest({
          ...common,
          flags: random.pick([0x80, 0x40, 0, 0xc0]),
          ttt: random.chance(0.7) ? 0xffffffff : random.int(50),
          data: random.pick([
            'SendTargets=\0',
            'SendTargets=All\0',
            'MaxRecvDataSegmentLength=8192\0',
            'X=1\0',
            'X=1',
            ''
          ])
        })
      case 11:
        return taskManagementRequest({
          ...common,
          lun,
          function: random.pick([1, 1, 1, 2, 3, 4, 5, 6, 8, 9, 15]),
          referencedTaskTag: random.int(200),
          refCmdSn: (cmdSn - random.int(5)) >>> 0
        })
      case 12:
        return snack({ itt, type: random.int(4), ttt: random.int(50), begRun: random.int(4), runLength: random.int(4) })
      case 13:
        if (random.chance(0.05)) return logoutRequest({ ...common, reason: random.int(8), cid: random.int(3) })
        if (random.chance(0.05)) return taskManagementRequest({ ...common, function: 7 })
        return loginRequest({ itt, cmdSn: cmdSn >>> 0, expStatSn: judge.expCmdSn, data: 'InitiatorName=x\0' })
      default:
        return this.readOrWrite(common, Buffer.alloc(8))
    }
  }

  private readOrWrite(
    common: { itt: number; cmdSn: number; expStatSn: number; immediate: boolean },
    lun: Buffer
  ): Buffer {
    const { random } = this
    const blocks = random.chance(0.8) ? random.int(6) : random.int(40)
    const lba = random.chance(0.97) ? random.int(DISK_BYTES / BLOCK) : 0xffffffff
    const edtl = random.chance(0.8) ? blocks * BLOCK : random.pick([0, 1, 100, 0xffffffff])
    if (random.chance(0.5)) return scsiCommand({ ...common, lun, flags: 0xc1, edtl, cdb: read10(lba, blocks) })
    const attribute = random.pick([0, 1, 1, 1, 1, 2, 3])
    return scsiCommand({
      ...common,
      lun,
      flags: random.pick([0x20, 0xa0]) | attribute,
      edtl,
      cdb: write10(lba, blocks),
      data: random.chance(0.5) ? Buffer.alloc(Math.min(blocks * BLOCK, LENGTH_MAX), blocks) : ''
    })
  }

  /** The right answer to an R2T, or one with a slip in it. */
  private dataForR2t(): Buffer | undefined {
    const { random, judge } = this
    const r2t = judge.r2ts.shift()
    if (!r2t) return undefined
    const pdus: Buffer[] = []
    for (let sent = 0, dataSn = 0; sent < r2t.length; dataSn++) {
      const length = Math.min(r2t.length - sent, LENGTH_MAX)
      const slip = random.chance(0.05)
      pdus.push(
        dataOut({
          itt: r2t.tag,
          ttt: slip && random.chance(0.3) ? random.int(300) : r2t.ttt,
          lun: r2t.lun,
          flags: sent + length === r2t.length ? 0x80 : 0,
          dataSn: slip ? random.int(4) : dataSn,
          bufferOffset: (r2t.offset + sent + (slip ? random.pick([0, 512, -512, 2 ** 20]) : 0)) >>> 0,
          data: Buffer.alloc(slip ? random.int(length) : length, 0x77)
        })
      )
      sent += length
      if (random.chance(0.02)) break
    }
    return Buffer.concat(pdus)
  }

  private strayData(): Buffer {
    const { random } = this
    const data = randomParameterList(random)
    return dataOut({
      itt: random.int(200),
      ttt: random.chance(0.5) ? random.int(300) : 0xffffffff,
      flags: random.pick([0, 0x80]),
      bufferOffset: random.int(8) * BLOCK,
      dataSn: random.int(3),
      data
    })
  }

  /** As it goes on the wire: with the digests of this connection, and often with a few bytes changed. */
  private spoilt(pdus: Buffer): Buffer {
    const { random } = this
    const plain = random.chance(0.4)
    const bytes = plain ? pdus : changed(random, pdus, false)
    // Changed before the digests: the PDU gets past them; after: it does not.
    const wire = this.framed(bytes)
    if (plain || !random.chance(0.05)) return wire
    const spoilt = changed(random, wire, random.chance(0.1))
    return random.chance(0.01) ? spoilt.subarray(0, random.int(spoilt.length)) : spoilt
  }

  /** Each PDU of these bytes with its digests; bytes that are none stay as they are. */
  private framed(pdus: Buffer): Buffer {
    const { headerDigest, dataDigest } = this.digests
    if (!headerDigest && !dataDigest) return pdus
    const parts: Buffer[] = []
    for (let at = 0; at < pdus.length;) {
      const length = pdus.readUIntBE(at + 5, 3)
      const ahsLength = pdus[at + 4]! * 4
      const bhs = pdus.subarray(at, at + 48)
      parts.push(
        framed(
          bhs,
          ahsLength > 0 ? pdus.subarray(at + 48, at + 48 + ahsLength) : NO_AHS,
          pdus.subarray(at + 48 + ahsLength, at + 48 + ahsLength + length),
          this.digests
        )
      )
      at += 48 + ahsLength + ((length + 3) & ~3)
    }
    return Buffer.concat(parts)
  }
}

/** A few bytes of the first header; its lengths, which desynchronise everything behind, only when told to. */
function changed(random: Random, pdu: Buffer, lengths: boolean): Buffer {
  const bytes = Buffer.from(pdu)
  for (let count = 1 + random.int(3); count > 0; count--) {
    const at = random.int(48)
    if (at >= 4 && at < 8 && !lengths) continue
    bytes[at] = random.chance(0.5) ? bytes[at]! ^ (1 << random.int(8)) : random.int(256)
  }
  return bytes
}

function trace(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
