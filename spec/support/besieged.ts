import { readdirSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterAll, afterEach, beforeEach, expect } from '@jest/globals'
import { MemoryVolume } from '../../lib/volume/drivers/memory.js'
import { FaultVolume, type FaultPlan } from '../../lib/volume/layers/fault.js'
import { OPEN_ISCSI } from './login-presets.js'
import { loginRequest, textOf } from './pdu-builder.js'
import { Random } from './random.js'
import { BLOCK, read10, write10 } from './raw-commands.js'
import { ScriptedInitiator, type ChapOptions, type LoginOptions, type Pdu } from './scripted-initiator.js'
import { NOTHING, TARGET_NAME, TestTarget, type TestTargetOptions } from './test-target.js'

export const ATTACKER = 'iqn.2010-04.org.example:attacker'
const WITNESS = 'iqn.2010-04.org.example:witness'
const DISK_BYTES = 1 << 20
const WITNESS_BLOCKS = 16
/** What a file of specs may leave in memory: compiled code and maps of the runner, receive rings kept for the next. */
const MEMORY_LEFT_MAX = 48 * 1024 * 1024

export interface LoginPdu {
  /** T, C, CSG, NSG. */
  readonly flags: number
  /** `key=value` each. */
  readonly keys?: readonly string[]
  /** In place of `keys`. */
  readonly data?: Buffer
  readonly fields?: Parameters<typeof loginRequest>[0]
}

export interface SiegeOptions extends TestTargetOptions {
  /** Misbehaviour of the attacker's disks. */
  readonly plan?: FaultPlan
  /** How the other client proves itself, where that is asked for. */
  readonly witnessChap?: ChapOptions
}

/**
 * A target under attack, and another client that is busy all the time. After each spec that client must have lost
 * nothing, and tasks, buffers, sockets, timers, file handles and memory must be back to where they were.
 */
export class Besieged {
  target!: TestTarget
  private witness!: ScriptedInitiator
  private readonly attackers: ScriptedInitiator[] = []
  private readonly model = Buffer.alloc(DISK_BYTES)
  private commands = 0
  private over = false
  private work: Promise<void> = Promise.resolve()

  async start({ plan: faults, witnessChap, ...options }: SiegeOptions): Promise<void> {
    this.target = await TestTarget.start({
      privateVolumes: (name) => {
        const disks = [new MemoryVolume(DISK_BYTES), new MemoryVolume(DISK_BYTES)]
        return faults && name === ATTACKER ? disks.map((disk) => new FaultVolume(disk, faults)) : disks
      },
      ...options
    })
    this.model.fill(0)
    this.commands = 0
    this.over = false
    this.witness = await this.login({
      initiatorName: WITNESS,
      localAddress: '127.0.0.99',
      ...(witnessChap && { chap: witnessChap })
    })
    this.attackers.length = 0
    this.work = this.watch()
    // Told when the spec ends.
    this.work.catch(() => undefined)
  }

  /** A connection that says nothing yet. */
  async connect(): Promise<ScriptedInitiator> {
    const initiator = await ScriptedInitiator.connect(this.target.port)
    this.attackers.push(initiator)
    return initiator
  }

  /** A connection in full feature phase, by the name that attacks. */
  async login(options: LoginOptions = {}): Promise<ScriptedInitiator> {
    const initiator = await ScriptedInitiator.login(this.target.port, {
      targetName: TARGET_NAME,
      preset: OPEN_ISCSI,
      initiatorName: ATTACKER,
      ...options
    })
    this.attackers.push(initiator)
    return initiator
  }

  /**
   * Sends Login Requests one after the other.
   * @returns the status of the last answer in hexadecimal, or `closed`
   */
  async tryLogin(...pdus: readonly LoginPdu[]): Promise<string> {
    const initiator = await this.connect()
    let answer: Pdu | undefined
    for (const pdu of pdus) {
      answer = await this.sendLogin(initiator, pdu)
      if (!answer) return 'closed'
      if (answer.bhs.readUInt16BE(36) !== 0) break
    }
    return answer!.bhs.readUInt16BE(36).toString(16).padStart(4, '0')
  }

  async sendLogin(
    initiator: ScriptedInitiator,
    { flags, keys = [], data, fields }: LoginPdu
  ): Promise<Pdu | undefined> {
    await initiator.send(loginRequest({ flags, data: data ?? textOf(...keys), ...fields }))
    return initiator.receiveOpcode(0x23).catch(() => undefined)
  }

  /** What a spec has to be after its end. */
  async end(): Promise<void> {
    for (const attacker of this.attackers) attacker.socket.destroy()
    const { target } = this
    await target.until(() => target.connections.length === 1 && target.group.sessions.length === 1)
    const before = this.commands
    await target.until(() => this.commands > before || this.over)
    this.over = true
    await this.work
    expect(this.commands).toBeGreaterThan(before)
    expect(target.tasksOut).toBe(0)
    await this.witness.leave()
    expect(await target.stop()).toEqual(NOTHING)
  }

  /** The last target with its buffers, so that what is left can be told from it. */
  forget(): void {
    this.target = undefined as unknown as TestTarget
    this.witness = undefined as unknown as ScriptedInitiator
    this.attackers.length = 0
  }

  /** The other client: what it reads is always what it wrote last. */
  private async watch(): Promise<void> {
    const random = new Random(1)
    try {
      while (!this.over) {
        const lba = random.int(DISK_BYTES / BLOCK - WITNESS_BLOCKS)
        const place = this.model.subarray(lba * BLOCK, (lba + WITNESS_BLOCKS) * BLOCK)
        const seen = await this.witness.command(read10(lba, WITNESS_BLOCKS), { read: place.length })
        if (seen.status !== 0 || !seen.data.equals(place)) throw new Error(`the witness reads other bytes at ${lba}`)
        random.bytes(place)
        const { status } = await this.witness.command(write10(lba, WITNESS_BLOCKS), { write: Buffer.from(place) })
        if (status !== 0) throw new Error(`a write of the witness ends with status ${status}`)
        this.commands++
        await new Promise((resolve) => setImmediate(resolve))
      }
    } finally {
      this.over = true
    }
  }
}

/**
 * Puts a target under siege for each spec of a file.
 * @param options - made anew for each spec
 */
export function besiege(options: () => SiegeOptions = () => ({})): Besieged {
  const siege = new Besieged()
  let resources: Record<string, number> = {}
  let memory: number | undefined
  beforeEach(async () => {
    resources = openResources()
    await siege.start(options())
    memory ??= usedMemory()
  })
  afterEach(async () => {
    await siege.end()
    await siege.target.until(() => !isMore(openResources(), resources))
  })
  afterAll(() => {
    siege.forget()
    expect(usedMemory() - (memory ?? 0)).toBeLessThan(MEMORY_LEFT_MAX)
  })
  return siege
}

/** Sockets, timers and other handles by kind, and file handles where they can be counted. */
function openResources(): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const name of process.getActiveResourcesInfo()) {
    // Work of a moment, and not ours alone.
    if (!/Immediate|Request|ReqWrap|Pipe|TTY|MessagePort/.test(name)) counts[name] = (counts[name] ?? 0) + 1
  }
  if (process.platform === 'linux') counts.files = readdirSync('/proc/self/fd').length
  return counts
}

function isMore(now: Record<string, number>, before: Record<string, number>): boolean {
  return Object.entries(now).some(([name, count]) => count > (before[name] ?? 0))
}

function usedMemory(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  // Array buffers that one collection finds dead are freed beside the program; the next one waits for that first.
  collect()
  collect()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}
