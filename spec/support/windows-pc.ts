import { ClientRules, WINDOWS_LIMITS } from './client-rules.js'
import { WINDOWS } from './login-presets.js'
import { begin, r2tFields, sendDataOut, write10 } from './raw-commands.js'
import {
  ScriptedInitiator,
  type CommandOptions,
  type CommandOutcome,
  type LoginOptions,
  type Pdu
} from './scripted-initiator.js'
import { copyStatus, populateCdb, populateList, receiveCdb, writeCdb, writeList, type Range } from './token-list.js'

/**
 * A Windows PC as it is on the wire: the PDUs that it logs in with, the commands with which its class driver looks at a
 * new disk, how it moves data. Bytes and orders were seen on Windows Server 2003 to Windows 11 or read in the samples of
 * its drivers. It judges what it gets by {@link ClientRules}.
 */
export const WINDOWS_TARGET = 'iqn.2001-04.com.example:storage.disk2.sys1.lbd'

/** The login of a Windows Server 2003 to {@link WINDOWS_TARGET}, byte for byte; ExpStatSN of the second is to be filled in. */
export const WINDOWS_LOGIN = {
  security: Buffer.concat([
    Buffer.from(
      '43810000 0000008e 40000137 0000 0000 00000001 0001 0000 00000001 00000000'.replaceAll(' ', '') + '00'.repeat(16),
      'hex'
    ),
    Buffer.from(
      'InitiatorName=iqn.1991-05.com.microsoft:win2003s\0SessionType=Normal\0' +
        'TargetName=iqn.2001-04.com.example:storage.disk2.sys1.lbd\0AuthMethod=None\0\0\0',
      'latin1'
    )
  ]),
  operational: Buffer.concat([
    Buffer.from(
      '43870000 0000012c 40000137 0000 0000 00000001 0001 0000 00000001 00000000'.replaceAll(' ', '') + '00'.repeat(16),
      'hex'
    ),
    Buffer.from(
      'HeaderDigest=None,CRC32C\0DataDigest=None,CRC32C\0ErrorRecoveryLevel=2\0InitialR2T=No\0ImmediateData=Yes\0' +
        'MaxRecvDataSegmentLength=65536\0MaxBurstLength=262144\0FirstBurstLength=65536\0MaxConnections=32\0' +
        'DataPDUInOrder=Yes\0DataSequenceInOrder=Yes\0DefaultTime2Wait=0\0DefaultTime2Retain=60\0' +
        'MaxOutstandingR2T=16\0',
      'latin1'
    )
  ])
}
/** Bytes of the operational text of a discovery session. */
export const DISCOVERY_TEXT_LENGTH = 120

const REPORT_LUNS = [0xa0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0]
const TEST_UNIT_READY = [0, 0, 0, 0, 0, 0]
const READ_CAPACITY_10 = [0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0]
const READ_CAPACITY_16 = [0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0]
const SYNCHRONIZE_CACHE = [0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0]
const STOP_UNIT = [0x1b, 0, 0, 0, 0, 0]
const SEGMENT_LENGTH = 65536
const TRANSFER_BLOCKS = 512
/** What the class driver asks when it hears of a change: the capacity, the identity, the list of disks. */
const REACTIONS: Readonly<Record<string, readonly (readonly [cdb: readonly number[], length: number])[]>> = {
  '06/2a/09': [
    [READ_CAPACITY_10, 8],
    [READ_CAPACITY_16, 32]
  ],
  '06/3f/03': [
    [[0x12, 0, 0, 0, 36, 0], 36],
    [[0x12, 1, 0x80, 0, 255, 0], 255],
    [[0x12, 1, 0x83, 0, 255, 0], 255]
  ],
  '06/3f/0e': [[REPORT_LUNS, 4096]]
}
/** How often a unit attention is tried again. */
const RETRIES = 10

/** What the class driver has of a disk when it has looked at it. */
export interface DiskFacts {
  readonly standard: Buffer
  readonly pages: ReadonlyMap<number, Buffer>
  readonly modePages: ReadonlyMap<number, Buffer>
  readonly capacity10: Buffer
  readonly capacity16: Buffer
  /** In blocks. */
  readonly blocks: bigint
  readonly blockSize: number
}

export class WindowsPc {
  readonly rules = new ClientRules(WINDOWS_LIMITS)

  private constructor(
    readonly initiator: ScriptedInitiator,
    private readonly options: LoginOptions
  ) {
    initiator.observer = this.rules
  }

  static async connect(port: number, options: LoginOptions = {}): Promise<WindowsPc> {
    return new WindowsPc(await ScriptedInitiator.connect(port), { preset: WINDOWS, ...options })
  }

  /** A normal session with `targetName`, a discovery session without. */
  static async login(port: number, options: LoginOptions = {}): Promise<WindowsPc> {
    const pc = await WindowsPc.connect(port, options)
    await pc.initiator.login(pc.options)
    return pc
  }

  /** SendTargets over a session of its own, which may come while others live. */
  static async discover(port: number, options: LoginOptions = {}): Promise<Pdu> {
    const pc = await WindowsPc.login(port, options)
    const { initiator } = pc
    const bhs = Buffer.alloc(48)
    bhs[0] = 0x04
    bhs[1] = 0x80
    bhs.writeUInt32BE(initiator.takeTag(), 16)
    bhs.writeUInt32BE(0xffffffff, 20)
    initiator.stamp(bhs, true)
    await initiator.sendPdu(bhs, Buffer.from('SendTargets=All\0'))
    const answer = await initiator.receiveOpcode(0x24)
    await pc.leave()
    return answer
  }

  private nextListId = 0

  /** Unit attentions that were heard, each with what the class driver asked because of it. */
  readonly attentions: { readonly sense: string; readonly lun: number; readonly learnt: readonly Buffer[] }[] = []

  /** Runs a command; behind a unit attention it looks at what has changed and tries again, as the class driver does. */
  async command(cdb: readonly number[], options: CommandOptions = {}): Promise<CommandOutcome> {
    for (let tries = 0; ; tries++) {
      const outcome = await this.initiator.command(cdb, options)
      if (!outcome.senseText.startsWith('06/') || tries === RETRIES) return outcome
      await this.react(outcome.senseText, Number(options.lun ?? 0))
    }
  }

  private async react(sense: string, lun: number): Promise<void> {
    const learnt: Buffer[] = []
    for (const [cdb, length] of REACTIONS[sense] ?? []) learnt.push(await this.read(cdb, length, lun))
    this.attentions.push({ sense, lun, learnt })
  }

  /** Runs a command that must succeed, and gives what it read. */
  async read(cdb: readonly number[], length: number, lun = 0): Promise<Buffer> {
    const { status, senseText, data } = await this.command(cdb, { read: length, lun })
    if (status !== 0) throw new Error(`${Buffer.from(cdb).toString('hex')} ended with ${status} ${senseText}`)
    return data
  }

  inquiry(length: number, lun = 0): Promise<Buffer> {
    return this.read([0x12, 0, 0, 0, length, 0], length, lun)
  }

  /** A vital product data page. */
  page(code: number, length = 255, lun = 0): Promise<Buffer> {
    return this.read([0x12, 1, code, 0, length, 0], length, lun)
  }

  /** MODE SENSE(6) with block descriptors allowed; `code` with the page control bits. */
  modeSense(code: number, lun = 0): Promise<Buffer> {
    return this.read([0x1a, 0, code, 0, 192, 0], 192, lun)
  }

  /** LUNs as their 8 bytes in hex. */
  async reportLuns(): Promise<string[]> {
    const data = await this.read(REPORT_LUNS, 4096)
    const list = data.subarray(8, 8 + data.readUInt32BE(0)).toString('hex')
    return list.match(/.{16}/g) ?? []
  }

  /** What happens when a disk is found, in the order of the class driver. */
  async findDisk(lun = 0): Promise<DiskFacts> {
    await this.inquiry(36, lun)
    const standard = await this.inquiry(255, lun)
    const pages = new Map<number, Buffer>()
    for (const code of [0x00, 0x80, 0x83]) pages.set(code, await this.page(code, 255, lun))
    await this.untilReady(lun)
    for (const [code, length] of [
      [0xb0, 255],
      [0xb0, 255],
      [0xb1, 64],
      [0xb2, 255]
    ] as const) {
      pages.set(code, await this.page(code, length, lun))
    }
    const capacity10 = await this.read(READ_CAPACITY_10, 8, lun)
    const capacity16 = await this.read(READ_CAPACITY_16, 32, lun)
    const modePages = new Map<number, Buffer>()
    for (const code of [0x3f, 0x08, 0x48, 0x1c, 0x0a]) modePages.set(code, await this.modeSense(code, lun))
    const last10 = capacity10.readUInt32BE(0)
    const blocks = (last10 === 0xffffffff ? capacity16.readBigUInt64BE(0) : BigInt(last10)) + 1n
    return { standard, pages, modePages, capacity10, capacity16, blocks, blockSize: capacity10.readUInt32BE(4) }
  }

  /** MBR, GPT and its copy; the boot sector's neighbourhood is written when the volume is mounted. */
  async mount(disk: DiskFacts, lun = 0): Promise<void> {
    for (const lba of [0n, 1n, disk.blocks - 1n]) await this.readBlocks(lba, 1, disk, lun)
    const cdb = write10(0, 16)
    const first = await this.readBlocks(0n, 16, disk, lun)
    const written = await this.command(cdb, { write: first, lun })
    const flushed = await this.command(SYNCHRONIZE_CACHE, { lun })
    if (written.status !== 0 || flushed.status !== 0) throw new Error(`the volume is not dirty: ${written.senseText}`)
  }

  /** The 16-byte commands are for disks whose end READ CAPACITY(10) cannot tell, and for them alone. */
  readBlocks(lba: bigint, count: number, disk: DiskFacts, lun = 0): Promise<Buffer> {
    const cdb = disk.capacity10.readUInt32BE(0) === 0xffffffff ? long(0x88, lba, count) : short(0x28, lba, count)
    return this.read(cdb, count * disk.blockSize, lun)
  }

  async untilReady(lun = 0): Promise<void> {
    const { status, senseText } = await this.command(TEST_UNIT_READY, { lun })
    if (status !== 0) throw new Error(`the disk is not ready: ${senseText}`)
  }

  /**
   * WRITE(10) of 256 KiB as measured: 64 KiB go with the command, an R2T asks for the rest, which comes in three
   * Data-Out. Windows sets no LUN in them.
   */
  async writeTransfer(lba: number, data: Buffer): Promise<{ r2t: Pdu; outcome: CommandOutcome }> {
    const { initiator } = this
    const immediate = data.subarray(0, SEGMENT_LENGTH)
    const tag = await begin(initiator, write10(lba, TRANSFER_BLOCKS), {
      flags: 0xa1,
      edtl: data.length,
      data: immediate
    })
    const r2t = await initiator.receive((pdu) => pdu.opcode === 0x31 && pdu.bhs.readUInt32BE(16) === tag)
    await this.answerR2t(tag, r2t, data)
    return { r2t, outcome: await initiator.finish(tag, NO_LUN, data) }
  }

  /** Data-Out of 64 KiB each, without a LUN. */
  async answerR2t(tag: number, r2t: Pdu, data: Buffer): Promise<void> {
    const { transferTag, offset, length } = r2tFields(r2t)
    for (let at = offset, dataSn = 0; at < offset + length; at += SEGMENT_LENGTH, dataSn++) {
      const end = Math.min(at + SEGMENT_LENGTH, offset + length)
      const final = end === offset + length
      await sendDataOut(this.initiator, { tag, transferTag, dataSn, offset: at, final, data: data.subarray(at, end) })
    }
  }

  /** What page 8Fh says of tokens, read as the class driver does; undefined when it would not use them. */
  async tokenLimits(lun = 0): Promise<TokenLimits | undefined> {
    const list = await this.page(0x00, 255, lun)
    if (!list.includes(0x8f, 4)) return undefined
    const page = await this.page(0x8f, 255, lun)
    // VPD_THIRD_PARTY_COPY_PAGE: a page of 24h bytes or more that has the descriptor of type 0000h.
    if (page.readUInt16BE(2) < 0x24 || page.readUInt32BE(4) !== 0x00000020) return undefined
    return {
      ranges: page.readUInt16BE(14),
      maxBlocks: page.readBigUInt64BE(24),
      // At most 256 MiB, and 64 MiB where the disk does not say.
      optimalBlocks: page.readBigUInt64BE(32)
    }
  }

  /** An offload read: a token for the extents of a file, or why there is none. */
  async offloadRead(extents: readonly Range[], lun = 0): Promise<Buffer | string> {
    const listId = this.takeListId()
    const list = populateList(extents)
    const { status, senseText } = await this.command([...populateCdb(listId, list.length)], { write: list, lun })
    if (status !== 0) return senseText
    const answer = copyStatus(await this.read([...receiveCdb(listId, TOKEN_ANSWER_LENGTH)], TOKEN_ANSWER_LENGTH, lun))
    if (answer.serviceAction !== 0x10 || answer.status !== 0x01 || answer.units !== COUNT_IN_BLOCKS) return 'no token'
    return answer.token ?? 'no token'
  }

  /**
   * An offload write: as many commands as the optimal transfer length asks for, each with the next part of the token.
   * Returns the blocks that were written, and why it stopped before the end.
   */
  async offloadWrite(
    token: Buffer,
    extents: readonly Range[],
    limits: TokenLimits,
    lun = 0
  ): Promise<{ blocks: number; stopped: string }> {
    let blocks = 0
    for (const part of partsOf(extents, limits)) {
      const listId = this.takeListId()
      const list = writeList(token, part, { offset: blocks })
      const { status, senseText } = await this.command([...writeCdb(listId, list.length)], { write: list, lun })
      if (status !== 0) return { blocks, stopped: senseText }
      const answer = copyStatus(await this.read([...receiveCdb(listId, 512)], 512, lun))
      // The class driver takes the count of operations that ended with 1h or 3h, and of no others.
      if ((answer.status - 1) & 0xfd) return { blocks, stopped: `operation status ${answer.status}` }
      blocks += answer.transferCount
    }
    return { blocks, stopped: '' }
  }

  /** TokenOperationListIdentifier: one counter for all disks, from 0 on. */
  private takeListId(): number {
    return this.nextListId++
  }

  /** SYNCHRONIZE CACHE and STOP, the same at sleep and at shutdown. */
  async stopDisk(): Promise<readonly number[]> {
    const flushed = await this.command(SYNCHRONIZE_CACHE)
    const stopped = await this.command(STOP_UNIT)
    return [flushed.status, stopped.status]
  }

  leave(): Promise<void> {
    return this.initiator.leave()
  }
}

const NO_LUN = Buffer.alloc(8)
const TOKEN_ANSWER_LENGTH = 1024
const COUNT_IN_BLOCKS = 0xf1

export interface TokenLimits {
  /** Of one list. */
  readonly ranges: number
  readonly maxBlocks: bigint
  readonly optimalBlocks: bigint
}

/** Extents cut into lists of at most the optimal transfer length and the ranges of one list. */
function partsOf(extents: readonly Range[], { ranges, optimalBlocks }: TokenLimits): Range[][] {
  const parts: Range[][] = [[]]
  let left = Number(optimalBlocks)
  for (let [lba, blocks] of extents) {
    while (blocks > 0) {
      if (left === 0 || parts.at(-1)!.length === ranges) {
        parts.push([])
        left = Number(optimalBlocks)
      }
      const count = Math.min(blocks, left)
      parts.at(-1)!.push([lba, count])
      lba = Number(lba) + count
      blocks -= count
      left -= count
    }
  }
  return parts
}

function short(opcode: number, lba: bigint, count: number): number[] {
  const cdb = Buffer.alloc(10)
  cdb[0] = opcode
  cdb.writeUInt32BE(Number(lba), 2)
  cdb.writeUInt16BE(count, 7)
  return [...cdb]
}

function long(opcode: number, lba: bigint, count: number): number[] {
  const cdb = Buffer.alloc(16)
  cdb[0] = opcode
  cdb.writeBigUInt64BE(lba, 2)
  cdb.writeUInt32BE(count, 10)
  return [...cdb]
}
