import type { Nexus } from '../scsi/nexus.js'
import type { Staging } from '../scsi/staging.js'
import { ByteShare } from '../util/byte-budget.js'
import { Pool } from '../util/pool.js'
import type { Connection } from './connection.js'
import type { TextExchange } from './handlers/text.js'
import { HeldCommands } from './held-commands.js'
import { IscsiTask } from './iscsi-task.js'
import { COMMAND_WINDOW, IMMEDIATE_TASKS, SESSION_WAITING_BYTES } from './limits.js'
import type { SessionParameters } from './parameters.js'
import { serialAdd, serialDistance, serialLess } from './serial.js'

export interface SessionInit {
  readonly connection: Connection
  readonly type: 'Normal' | 'Discovery'
  readonly initiatorName: string
  /** Undefined in a discovery session. */
  readonly targetName: string | undefined
  /** 6 bytes in hex. */
  readonly isid: string
  readonly tsih: number
  readonly cid: number
  readonly cmdSn: number
  readonly parameters: SessionParameters
  readonly nexus: Nexus | undefined
  readonly staging: Staging
  /** Commands that may be open at a time; {@link COMMAND_WINDOW} when left out. */
  readonly commandWindow?: number
}

/** Where a CmdSN lies: the next one expected, inside the window behind a gap, or outside (then the PDU is ignored). */
export type CmdSnPlace = 'next' | 'ahead' | 'outside'

/**
 * An iSCSI session with its one connection: command window, task pool, open tasks. The pool *is* the window:
 * MaxCmdSN = ExpCmdSN + free tasks - 1, and it never falls (RFC 7143 §4.2.2.1), so no queue can outgrow its pool.
 */
export class Session {
  readonly connection: Connection
  readonly type: 'Normal' | 'Discovery'
  readonly initiatorName: string
  readonly targetName: string | undefined
  readonly isid: string
  readonly tsih: number
  readonly cid: number
  readonly parameters: SessionParameters
  readonly nexus: Nexus | undefined
  /** What it may have waiting for its own initiator: commands behind a gap, data of commands that cannot start. */
  readonly waiting: ByteShare
  readonly held: HeldCommands
  /** Tasks that outlived the turn that started them, by InitiatorTaskTag. */
  readonly tasks = new Map<number, IscsiTask>()
  /** A Text negotiation under way. */
  text: TextExchange | undefined
  expCmdSn: number
  commands = 0
  private readonly commandWindow: number
  private lastMaxCmdSn: number
  private openCommands = 0
  private nextTransferTag = 1
  private readonly pool: Pool<IscsiTask>
  private waiters: QuietWaiter[] = []

  constructor(init: SessionInit) {
    this.connection = init.connection
    this.type = init.type
    this.initiatorName = init.initiatorName
    this.targetName = init.targetName
    this.isid = init.isid
    this.tsih = init.tsih
    this.cid = init.cid
    this.parameters = init.parameters
    this.nexus = init.nexus
    this.waiting = new ByteShare(init.staging.waiting, SESSION_WAITING_BYTES)
    this.held = new HeldCommands(this.waiting)
    this.commandWindow = init.commandWindow ?? COMMAND_WINDOW
    // RFC 7143 §4.2.2.1: login requests are immediate, so the first command carries the CmdSN of the login.
    this.expCmdSn = init.cmdSn
    this.lastMaxCmdSn = serialAdd(init.cmdSn, this.commandWindow - 1)
    const makeTask = () => new IscsiTask(init.connection, init.staging, this.waiting)
    this.pool = new Pool(this.commandWindow + IMMEDIATE_TASKS, makeTask)
  }

  /** Tasks that are out of the pool; 0 in a session at rest. */
  get tasksInUse(): number {
    return this.pool.used
  }

  /** The last CmdSN that the initiator may use now; the next PDU tells it. */
  get maxCmdSn(): number {
    const now = serialAdd(this.expCmdSn, this.commandWindow - this.openCommands - 1)
    if (serialLess(this.lastMaxCmdSn, now)) this.lastMaxCmdSn = now
    return this.lastMaxCmdSn
  }

  place(cmdSn: number): CmdSnPlace {
    const ahead = serialDistance(this.expCmdSn, cmdSn)
    if (ahead < 0 || serialLess(this.maxCmdSn, cmdSn)) return 'outside'
    return ahead === 0 ? 'next' : 'ahead'
  }

  /** The command with ExpCmdSN has been taken in. */
  advance(): void {
    this.expCmdSn = serialAdd(this.expCmdSn, 1)
  }

  /** A task for a new command; undefined when the initiator has more open than it may. */
  takeTask(immediate: boolean): IscsiTask | undefined {
    if (immediate && this.pool.used - this.openCommands >= IMMEDIATE_TASKS) return undefined
    const task = this.pool.take()
    if (!task) return undefined
    task.taken = true
    task.immediate = immediate
    if (!immediate) this.openCommands++
    this.commands++
    return task
  }

  /** The task no longer counts against the window; called before its status is written, which tells MaxCmdSN. */
  answered(task: IscsiTask): void {
    if (task.answered) return
    task.answered = true
    if (!task.immediate) this.openCommands--
  }

  /** Back into the pool. The SCSI side has been released. */
  giveTask(task: IscsiTask): void {
    this.answered(task)
    if (task.open) this.tasks.delete(task.initiatorTaskTag)
    task.reset()
    task.taken = false
    this.pool.give(task)
    if (this.waiters.length > 0) this.tellWaiters(task)
  }

  open(task: IscsiTask): void {
    if (task.open) return
    task.open = true
    this.tasks.set(task.initiatorTaskTag, task)
  }

  /** A TargetTransferTag that is not in use: neither reserved nor among the last 2^32 - 1. */
  transferTag(): number {
    const tag = this.nextTransferTag
    this.nextTransferTag = tag === 0xfffffffe ? 1 : tag + 1
    return tag
  }

  /** Resolves when all of these tasks are back in the pool. */
  whenQuiet(tasks: Iterable<IscsiTask>): Promise<void> {
    const waitFor = new Set(tasks)
    if (waitFor.size === 0) return Promise.resolve()
    return new Promise((resolve) => this.waiters.push({ waitFor, resolve }))
  }

  private tellWaiters(task: IscsiTask): void {
    for (const waiter of this.waiters) waiter.waitFor.delete(task)
    const done = this.waiters.filter((waiter) => waiter.waitFor.size === 0)
    if (done.length === 0) return
    this.waiters = this.waiters.filter((waiter) => waiter.waitFor.size > 0)
    for (const waiter of done) waiter.resolve()
  }
}

interface QuietWaiter {
  readonly waitFor: Set<IscsiTask>
  readonly resolve: () => void
}
