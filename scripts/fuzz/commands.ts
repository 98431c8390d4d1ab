import { MemoryVolume } from '../../lib/volume/drivers/memory.js'
import { FaultPlan, FaultVolume } from '../../lib/volume/layers/fault.js'
import { OPEN_ISCSI } from '../../spec/support/login-presets.js'
import type { Random } from '../../spec/support/random.js'
import { begin, BLOCK, r2tFields } from '../../spec/support/raw-commands.js'
import {
  dataOutHeader,
  ScriptedInitiator,
  type CommandOutcome,
  type Pdu
} from '../../spec/support/scripted-initiator.js'
import { NOTHING, TARGET_NAME, TestTarget } from '../../spec/support/test-target.js'
import {
  copyStatus,
  populateCdb,
  populateList,
  receiveCdb,
  writeCdb,
  writeList
} from '../../spec/support/token-list.js'
import { demand, demandEqual, type Fuzzer, type FuzzerRun } from './fuzzer.js'
import { randomCdb, randomParameterList, randomTokenCommand } from './grammar.js'

/** Commands under way at a time; each has a range of the disk to itself. */
const LANES = 6
const LANE_BLOCKS = 96
/** What the target takes in one PDU. */
const DATA_OUT_MAX = 8192
const COMMANDS_EACH_LANE = 24
/** List identifiers of the lanes, which no other command hits by chance. */
const LANE_LIST_IDS = 0x5a5a5a5a
const TOKEN_ANSWER_BYTES = 4096
/** An answer with one token and no sense data. */
const TOKEN_ANSWER_LENGTH = 550
const TOKENS_KEPT = 16
/** Disks are kept for so many names, so that memory stays what it is. */
const NAMES = 4
const DISK_BYTES = 1 << 20
/** What a lane does next; those that stand there more than once more often. */
const STEPS = [
  ...(['read', 'read', 'read', 'read', 'read', 'write', 'write', 'write'] as const),
  ...(['breakOff', 'copy', 'zero'] as const)
]
const STATUSES: readonly number[] = [0x00, 0x02, 0x04, 0x08, 0x18, 0x28, 0x40]

/**
 * Commands by an initiator that keeps to RFC 7143 and breaks SCSI alone: any CDB with any parameter list on LUN 1,
 * while reads and writes in every length and burst on LUN 0 are compared with a plain array.
 */
export const commands: Fuzzer = {
  name: 'commands',
  about: 'CDBs and parameter lists of all sorts, and Data-Out sequences against a model of the disk',
  share: 2,
  open: () => CommandRun.open()
}

class CommandRun implements FuzzerRun {
  private rounds = 0

  private constructor(
    private readonly target: TestTarget,
    private readonly plan: { random: Random | undefined }
  ) {}

  static async open(): Promise<CommandRun> {
    const plan: { random: Random | undefined } = { random: undefined }
    const faults = new FaultPlan(() => plan.random?.next() ?? 1)
    for (const verb of ['read', 'write'] as const) faults.add({ verb, probability: 0.2, effect: { kind: 'block' } })
    const disk = () => new FaultVolume(new MemoryVolume(DISK_BYTES), faults)
    const target = await TestTarget.start({
      privateVolumes: () => [disk(), disk()],
      stagingBytes: 512 * 1024,
      offer: { maxRecvDataSegmentLength: 8192, firstBurstLength: 16384, maxBurstLength: 32768 }
    })
    return new CommandRun(target, plan)
  }

  async round(random: Random): Promise<number> {
    this.plan.random = random
    const yesNo = () => random.pick(['Yes', 'No'])
    const initiator = await ScriptedInitiator.login(this.target.port, {
      targetName: TARGET_NAME,
      preset: OPEN_ISCSI,
      initiatorName: `iqn.2010-04.org.example:fuzz-${this.rounds++ % NAMES}`,
      override: {
        InitialR2T: yesNo(),
        ImmediateData: yesNo(),
        FirstBurstLength: random.pick(['512', '4096', '16384']),
        MaxBurstLength: random.pick(['16384', '32768']),
        MaxRecvDataSegmentLength: random.pick(['512', '4096', '65536']),
        HeaderDigest: random.pick(['None', 'CRC32C']),
        DataDigest: random.pick(['None', 'CRC32C'])
      }
    })
    let pdus = 0
    const send = initiator.send.bind(initiator)
    initiator.send = (bytes) => {
      pdus++
      return send(bytes)
    }
    const lanes = Array.from({ length: LANES }, (_unused, lane) => new Lane(initiator, random, lane))
    await Promise.all([...lanes.map((lane) => lane.run()), ...lanes.map(() => anyCommands(initiator, random))])
    await initiator.nop()
    const { inbox } = initiator as unknown as { inbox: unknown[] }
    demandEqual('PDUs that nobody waits for', inbox.length, 0)
    await initiator.leave()
    await this.target.until(() => this.target.tasksOut === 0)
    this.target.sessions.length = 0
    demandEqual('mistakes of the server', this.target.failures.map(String).join('\n'), '')
    return pdus
  }

  async close(): Promise<void> {
    demandEqual('what is left', JSON.stringify(await this.target.stop()), JSON.stringify(NOTHING))
  }
}

/** Reads and writes in a range of its own, one after the other, so that a plain array says what must be there. */
class Lane {
  private readonly model = Buffer.alloc(LANE_BLOCKS * BLOCK)

  constructor(
    private readonly initiator: ScriptedInitiator,
    private readonly random: Random,
    private readonly lane: number
  ) {}

  async run(): Promise<void> {
    await this.write(0, LANE_BLOCKS)
    for (let count = 0; count < COMMANDS_EACH_LANE; count++) {
      const first = this.random.int(LANE_BLOCKS)
      const blocks = this.random.int(LANE_BLOCKS - first + 1)
      await this[this.random.pick(STEPS)](first, blocks)
    }
    await this.read(0, LANE_BLOCKS)
  }

  private async read(first: number, blocks: number): Promise<void> {
    const expected = this.model.subarray(first * BLOCK, (first + blocks) * BLOCK)
    const cdb = this.cdb(this.random.pick([0x28, 0x88, 0xa8]), first, blocks)
    const outcome = await this.initiator.command(cdb, { read: expected.length })
    demandEqual(`the status of a read, ${outcome.senseText},`, outcome.status, 0)
    demand(outcome.data.equals(expected), () => `block ${this.lba(first)}+${blocks} is not what was written last`)
  }

  private async write(first: number, blocks: number): Promise<void> {
    const place = this.model.subarray(first * BLOCK, (first + blocks) * BLOCK)
    this.random.bytes(place)
    const cdb = this.cdb(this.random.pick([0x2a, 0x8a, 0xaa, 0x2e, 0x8e]), first, blocks)
    const options = place.length > 0 ? { write: Buffer.from(place) } : {}
    demandEqual('the status of a write', (await this.initiator.command(cdb, options)).status, 0)
  }

  /** WRITE SAME(16) with a block of zeroes, UNMAP asked for or not: both must read as zeroes. */
  private async zero(first: number, blocks: number): Promise<void> {
    if (blocks === 0) return
    const cdb = this.cdb(0x93, first, blocks)
    cdb[1] = this.random.pick([0, 0x08])
    demandEqual('the status', (await this.initiator.command(cdb, { write: Buffer.alloc(BLOCK) })).status, 0)
    this.model.fill(0, first * BLOCK, (first + blocks) * BLOCK)
  }

  /**
   * By a token, to a place in the lane that may overlap its source. A write to the source between the two makes the token
   * worthless; one beside it does not.
   */
  private async copy(first: number, blocks: number): Promise<void> {
    const { initiator, random } = this
    if (blocks === 0) return
    const id = LANE_LIST_IDS + this.lane * COMMANDS_EACH_LANE
    const list = populateList([[this.lba(first), blocks]])
    const made = await initiator.command(populateCdb(id, list.length), { write: list })
    demandEqual(`the status of a token, ${made.senseText},`, made.status, 0)
    const { token } = copyStatus((await initiator.command(receiveCdb(id), { read: 4096 })).data)
    const written = random.int(LANE_BLOCKS)
    const between = random.chance(0.3)
    if (between) await this.write(written, 1)
    const spoiled = between && written >= first && written < first + blocks
    const to = random.int(LANE_BLOCKS - blocks + 1)
    const order = writeList(token!, [[this.lba(to), blocks]])
    const { status, senseText } = await initiator.command(writeCdb(id + 1, order.length), { write: order })
    demandEqual('the end of a write with a token', `${status} ${senseText}`.trim(), spoiled ? '2 05/23/08' : '0')
    if (!spoiled) this.model.copy(this.model, to * BLOCK, first * BLOCK, (first + blocks) * BLOCK)
  }

  /**
   * A write whose data breaks a rule of RFC 7143 §11.7. It must fail, and may leave old or new blocks in its own range;
   * what is around it is compared by the reads that follow.
   */
  private async breakOff(first: number, blocks: number): Promise<void> {
    if (blocks < 2) return
    const { initiator, random } = this
    const lun = Buffer.alloc(8)
    const place = this.model.subarray(first * BLOCK, (first + blocks) * BLOCK)
    const before = Buffer.from(place)
    const data = random.bytes(Buffer.alloc(place.length))
    const tag = await begin(initiator, [...this.cdb(0x2a, first, blocks).subarray(0, 10)], {
      flags: 0xa1,
      edtl: data.length
    })
    const answers = (pdu: Pdu) => pdu.bhs.readUInt32BE(16) === tag
    const { transferTag, length } = r2tFields(await initiator.receive(answers))
    const slip = random.pick([
      { offset: BLOCK, dataSn: 0, final: false, end: 2 * BLOCK },
      { offset: 0, dataSn: 1 + random.int(3), final: false, end: BLOCK },
      { offset: 0, dataSn: 0, final: true, end: length - BLOCK },
      { offset: 0, dataSn: 0, final: true, end: length, transferTag: transferTag + 1000 }
    ])
    const end = Math.min(slip.end, slip.offset + DATA_OUT_MAX)
    await initiator.sendPdu(dataOutHeader({ tag, transferTag, lun, ...slip }), data.subarray(slip.offset, end))
    let answer = await initiator.receive(answers)
    while (answer.opcode === 0x31) answer = await initiator.receive(answers)
    demandEqual('the status of a write whose data breaks a rule', `${answer.opcode} ${answer.bhs[3]}`, '33 2')
    const seen = await initiator.command(this.cdb(0x28, first, blocks), { read: place.length })
    for (let at = 0; at < place.length; at += BLOCK) {
      const block = seen.data.subarray(at, at + BLOCK)
      const known = block.equals(before.subarray(at, at + BLOCK)) || block.equals(data.subarray(at, at + BLOCK))
      demand(known, `block ${this.lba(first) + at / BLOCK} is neither old nor new`)
    }
    seen.data.copy(place)
  }

  private cdb(code: number, first: number, blocks: number): Buffer {
    const cdb = Buffer.alloc(16)
    cdb[0] = code
    const lba = this.lba(first)
    if (code >= 0x80 && code < 0xa0) {
      cdb.writeUInt32BE(lba, 6)
      cdb.writeUInt32BE(blocks, 10)
    } else {
      cdb.writeUInt32BE(lba, 2)
      if (code < 0x80) cdb.writeUInt16BE(blocks, 7)
      else cdb.writeUInt32BE(blocks, 6)
    }
    return cdb
  }

  private lba(first: number): number {
    return this.lane * LANE_BLOCKS + first
  }
}

async function anyCommands(initiator: ScriptedInitiator, random: Random): Promise<void> {
  const tokens: Buffer[] = []
  for (let count = 0; count < COMMANDS_EACH_LANE; count++) {
    const cdb = randomCdb(random)
    const write = random.chance(0.5) ? randomParameterList(random) : undefined
    const read = random.chance(0.5) ? random.pick([1, 4, 36, 255, 512, 4096, 65536]) : 0
    // Never the disk of the lanes: an UNMAP that is sound by chance would take what they wrote.
    const lun = random.chance(0.95) ? 1 : 1 + random.int(299)
    const options = { lun, read, ...(write && write.length > 0 && { write }) }
    const length = options.write?.length ?? read
    judge(cdb, length, read > 0, await initiator.command(cdb, options))
    if (random.chance(0.3)) await anyTokenCommand(initiator, random, tokens)
  }
}

async function anyTokenCommand(initiator: ScriptedInitiator, random: Random, tokens: Buffer[]): Promise<void> {
  const { cdb, list } = randomTokenCommand(random, tokens)
  const read = list.length === 0 ? TOKEN_ANSWER_BYTES : 0
  const outcome = await initiator.command(cdb, { lun: 1, read, ...(list.length > 0 && { write: list }) })
  judge(cdb, list.length || read, read > 0, outcome)
  const token = outcome.data.length === TOKEN_ANSWER_LENGTH ? copyStatus(outcome.data).token : undefined
  if (token && tokens.length < TOKENS_KEPT) tokens.push(token)
}

function judge(cdb: Buffer, expectedLength: number, reads: boolean, outcome: CommandOutcome): void {
  const { status, sense, data, underflow, overflow, residualCount, response } = outcome
  const what = `${cdb.toString('hex')} with EDTL ${expectedLength}`
  demandEqual(`the response to ${what}`, response, 0)
  demand(STATUSES.includes(status), `status ${status} for ${what}`)
  demandEqual(`sense data with status ${status} for ${what}`, sense.length > 0, status === 0x02)
  if (sense.length > 0) demand([0x70, 0x71, 0x72, 0x73].includes(sense[0]! & 0x7f), `sense ${sense.toString('hex')}`)
  demand(!(underflow && overflow), `both residuals for ${what}`)
  demand(underflow || overflow || residualCount === 0, `a residual without its bit for ${what}`)
  demand(data.length <= (reads ? expectedLength : 0), `${data.length} bytes for ${what}`)
  if (underflow) demand(residualCount <= expectedLength, `a residual of ${residualCount} for ${what}`)
}
