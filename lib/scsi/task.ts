import { assert, AssertionError } from '../util/assert.js'
import { ByteShare } from '../util/byte-budget.js'
import { messageOf } from '../util/errors.js'
import { BlockIo } from '../volume/block-io.js'
import type { Command } from './command.js'
import type { LogicalUnit } from './logical-unit.js'
import type { Nexus } from './nexus.js'
import { encodeSense, type SenseCondition, type SenseDetail } from './sense.js'
import type { Staging } from './staging.js'
import { Status } from './status.js'
import { conditionOf } from './volume-errors.js'

/**
 * A SCSI command in flight (SAM-5 §4.5.1), pooled by the transport.
 *
 *            start                    all data received
 *   Idle ───────────▶ DataOut ───────────────────────────▶ Pending ─▶ Done
 *     │                                                       ▲
 *     ├─────────────▶ DataIn   (the transport calls fill())   │
 *     ├─────────────▶ Pending  (work goes on elsewhere) ──────┘ ──▶ DataIn or Done
 *     ├─────────────▶ Blocked  (waits for its turn in the task set) ──▶ any of these
 *     └─────────────▶ Done
 *
 * Every change that happens outside a call of the transport is told by `owner.taskReady(task)`, once.
 */
export const TaskState = { Idle: 0, Blocked: 1, DataOut: 2, DataIn: 3, Pending: 4, Done: 5 } as const
export type TaskState = (typeof TaskState)[keyof typeof TaskState]

/** SAM-5 §8.6, with the values that RFC 7143 §11.3.1 gives them on the wire. */
export const TaskAttribute = { Untagged: 0, Simple: 1, Ordered: 2, HeadOfQueue: 3, Aca: 4 } as const

/** The transport's side of a task. */
export interface TaskOwner {
  /** The task left Pending or Blocked, or a `fill` or `receive` that was refused is worth trying again. */
  taskReady(task: Task): void
  /**
   * Task management has aborted the task, maybe on another nexus: no response is sent any more, no more data moves.
   * The owner gives it to `DeviceServer.release` as soon as it is not `busy`: now, or at its next `taskReady`.
   */
  taskAborted?(task: Task): void
  /** A volume has failed an assertion: a mistake of ours. The task ends as with any other error of the volume. */
  assertionFailed?(error: AssertionError): void
}

export const CDB_LENGTH = 16
/** Longest parameter list or other gathered Data-Out, in bytes. */
export const MAX_GATHERED_BYTES = 1024 * 1024

export class Task {
  /** The first 16 bytes of the CDB; a longer one has no command here. */
  readonly cdb = Buffer.alloc(CDB_LENGTH)
  nexus!: Nexus
  attribute: number = TaskAttribute.Simple
  /** -1 when the LUN field names no unit that could exist. */
  lun = 0
  /** Bytes that the initiator is ready to take (EDTL of a read), known before start. */
  expectedDataIn = 0
  /** Bytes that the initiator is going to send (EDTL of a write), known before start. */
  expectedDataOut = 0

  state: TaskState = TaskState.Idle
  command: Command | undefined
  unit: LogicalUnit | undefined
  status: number = Status.Good
  /** Sense data; undefined unless status is CHECK CONDITION. */
  sense: Buffer | undefined
  /** Bytes that the device server has for the initiator (before the initiator's own limit). */
  dataInLength = 0
  /** Bytes that the device server wants from the initiator. */
  dataOutLength = 0
  /** Data-Out bytes taken so far. */
  received = 0
  /** Gathered Data-Out, or the Data-In of a command that does not read the medium. */
  parameters: Buffer | undefined
  /** First byte on the medium of READ and WRITE. */
  mediumOffset = 0
  /** Set by task management: the response is never sent, but the work must end first. */
  aborted = false
  /** For commands with more than one step: theirs to use. */
  scratch: unknown = undefined
  /** Its place in the task set of its unit, which alone writes it; -1 outside. */
  taskSetIndex = -1

  private piecesInFlight = 0
  /** Bytes of {@link parameters} that count as waiting for the initiator. */
  private gathered = 0
  private fault: SenseCondition | undefined
  private failure: Error | undefined
  private finishing = false
  private staged: Buffer | undefined
  private stagedOffset = -1
  private readonly io = new BlockIo((_io, error) => this.ioDone(error))
  private readonly fillIo = new BlockIo((_io, error) => this.fillDone(error))
  private waitsForStaging = false
  private readonly retry = () => {
    // The task may have been aborted, and even used again, while it stood in line.
    if (!this.waitsForStaging) return false
    this.waitsForStaging = false
    this.owner.taskReady(this)
    return true
  }

  /**
   * @param waiting - what its session may hold of data that waits for the initiator
   */
  constructor(
    readonly owner: TaskOwner,
    private readonly staging: Staging,
    private readonly waiting = new ByteShare(staging.waiting, 0)
  ) {}

  /** Makes the task fit for its next command. Everything it had out must have ended. */
  reset(): void {
    assert(this.piecesInFlight === 0 && this.state !== TaskState.Pending, 'a task with work under way was reset')
    if (this.staged) this.releaseStaged()
    this.waiting.give(this.gathered)
    this.gathered = 0
    this.state = TaskState.Idle
    this.command = this.unit = this.sense = this.parameters = this.failure = this.fault = this.scratch = undefined
    this.status = Status.Good
    this.dataInLength = this.dataOutLength = this.received = this.mediumOffset = 0
    this.aborted = this.finishing = this.waitsForStaging = false
    this.attribute = TaskAttribute.Simple
  }

  /** True while something outside still works on this task, so that it can be neither reset nor reported as ended. */
  get busy(): boolean {
    return this.state === TaskState.Pending || this.piecesInFlight > 0 || this.stagedOffset === FILLING
  }

  // ——— how a command ends or goes on; called by commands ———

  good(): void {
    this.end(Status.Good)
  }

  end(status: number): void {
    this.status = status
    this.state = TaskState.Done
  }

  /** CHECK CONDITION with the given sense. */
  check(condition: SenseCondition, detail?: SenseDetail): void {
    this.sense = encodeSense(condition, detail, this.unit?.descriptorSense ?? false)
    this.dataInLength = 0
    this.end(Status.CheckCondition)
  }

  /** CHECK CONDITION for what a volume threw or completed with. */
  checkVolume(error: unknown): void {
    if (error instanceof AssertionError) this.owner.assertionFailed?.(error)
    this.unit?.volumeFailed(error, this)
    this.check(conditionOf(error, this.command?.access ?? 'none'))
  }

  /** Data-In from memory; `allocationLength` is the CDB's limit. GOOD follows the data. */
  reply(data: Buffer, allocationLength: number): void {
    this.parameters = data
    this.dataInLength = Math.min(data.length, allocationLength)
    this.state = this.dataInLength > 0 ? TaskState.DataIn : TaskState.Done
  }

  /** Data-In straight from the medium. */
  readMedium(offset: number, length: number): void {
    this.mediumOffset = offset
    this.dataInLength = length
    this.state = length > 0 ? TaskState.DataIn : TaskState.Done
  }

  /** Data-Out straight to the medium, as it arrives. */
  writeMedium(offset: number, length: number): void {
    this.mediumOffset = offset
    this.wantData(length)
  }

  /**
   * Data-Out that the command wants as a whole, at most {@link MAX_GATHERED_BYTES}; then its `finish` is called. TASK SET
   * FULL, so that the initiator tries again, when its session holds as much as it may.
   */
  gather(length: number): void {
    assert(length <= MAX_GATHERED_BYTES, `${length} bytes to gather`)
    if (!this.waiting.take(length)) return this.end(Status.TaskSetFull)
    this.gathered += length
    // Zeroed, so that bytes the initiator did not send cannot be an older command's.
    this.parameters = Buffer.alloc(length)
    this.wantData(length)
  }

  /** Data-Out that goes to the command's own `receive`, piece by piece. */
  wantData(length: number): void {
    this.dataOutLength = length
    if (this.fault) this.check(this.fault)
    else if (length > 0) this.state = TaskState.DataOut
    else this.finish()
  }

  /** Starts a request of the volume whose end is the command's end (SYNCHRONIZE CACHE). */
  volumeIo(start: (io: BlockIo) => void): void {
    this.state = TaskState.Pending
    start(this.io)
  }

  /** Work written as a promise, for rare commands. It sets the outcome itself, or GOOD is taken; a throw is a check. */
  run(work: () => Promise<void>): void {
    // First the state: what runs before the work's first await may end the task already.
    this.state = TaskState.Pending
    work().then(
      () => this.settle(),
      (error: unknown) => {
        this.failed(error instanceof Error ? error : new Error(messageOf(error)))
        this.settle()
      }
    )
  }

  // ——— the data phases; called by the transport ———

  /**
   * Puts Data-In bytes [offset, offset + length) at `start` of `buffer`. False when the disk has to be asked first
   * (`taskReady` follows) or when that failed (then the state is Done with the sense set). What the disk was asked for
   * may be taken in smaller parts, in order, but nothing beyond it before.
   */
  fill(buffer: Buffer, start: number, length: number, offset: number): boolean {
    if (this.parameters) {
      this.parameters.copy(buffer, start, offset, offset + length)
      return true
    }
    if (this.staged) return this.fillFromStaged(buffer, start, length, offset)
    try {
      if (this.unit!.volume.tryRead(buffer, start, length, this.mediumOffset + offset)) return true
    } catch (error) {
      this.checkVolume(error)
      return false
    }
    this.fillLater(length, offset)
    return false
  }

  /**
   * Takes the next Data-Out bytes, in order. False when there is no memory to hold them while the disk is busy:
   * nothing was taken then, and `taskReady` tells when to try again. Errors show at {@link finish}.
   */
  receive(buffer: Buffer, start: number, length: number): boolean {
    const at = this.received
    if (this.failure) this.received += length
    else if (this.parameters) this.received += buffer.copy(this.parameters, at, start, start + length)
    else if (!this.receiveForCommand(buffer, start, length, at)) return false
    return true
  }

  /** All the data that will come has come. The state afterwards is Done, DataIn or Pending. */
  finish(): void {
    this.finishing = true
    if (this.piecesInFlight > 0) this.state = TaskState.Pending
    else this.finishNow()
  }

  /** The data phase broke a rule of the transport: the command ends with this sense, without waiting for the rest. */
  failData(condition: SenseCondition): void {
    this.fault = condition
    if (this.state === TaskState.Blocked) return
    this.finish()
  }

  /** Before a write is acknowledged: is it findable after a crash? See {@link Volume.uncommitted}. */
  get uncommitted(): boolean {
    return this.unit !== undefined && this.command?.access === 'write' && this.unit.volume.uncommitted
  }

  // ——— inside ———

  private receiveForCommand(buffer: Buffer, start: number, length: number, at: number): boolean {
    const own = this.command!.receive
    try {
      const taken = own
        ? own(this, this.unit!, buffer, start, length, at)
        : this.unit!.volume.tryWrite(buffer, start, length, this.mediumOffset + at)
      if (taken) {
        this.received += length
        return true
      }
    } catch (error) {
      // The rest of the data is taken and forgotten; the status tells at the end of the data phase.
      this.failed(error as Error)
      this.received += length
      return true
    }
    return this.receiveLater(buffer, start, length, at)
  }

  private receiveLater(buffer: Buffer, start: number, length: number, at: number): boolean {
    const copy = this.staging.take(length)
    if (!copy) {
      this.waitForStaging()
      return false
    }
    buffer.copy(copy, 0, start, start + length)
    this.received += length
    this.piecesInFlight++
    const io = new BlockIo((_io, error) => {
      this.staging.give(copy)
      this.piecesInFlight--
      if (error) this.failed(error)
      if (this.finishing && this.piecesInFlight === 0) this.settlePieces()
      else if (this.aborted && this.piecesInFlight === 0) this.owner.taskReady(this)
    })
    io.set(copy, 0, length, this.mediumOffset + at)
    const later = this.command!.receiveLater
    if (later) later(this, this.unit!, io)
    else this.unit!.volume.write(io)
    return true
  }

  private settlePieces(): void {
    this.finishNow()
    this.tell()
  }

  private finishNow(): void {
    if (this.fault) return this.check(this.fault)
    if (this.failure) return this.checkVolume(this.failure)
    if (this.command?.finish) this.command.finish(this, this.unit!)
    else this.good()
  }

  private fillLater(length: number, offset: number): void {
    const place = this.staging.take(length)
    if (!place) return this.waitForStaging()
    this.staged = place
    this.stagedOffset = FILLING
    this.unit!.volume.read(this.fillIo.set(place, 0, length, this.mediumOffset + offset))
  }

  private waitForStaging(): void {
    if (this.waitsForStaging) return
    this.waitsForStaging = true
    this.staging.wait(this.retry)
  }

  private fillDone(error: Error | undefined): void {
    if (error) {
      this.releaseStaged()
      this.checkVolume(error)
    } else {
      this.stagedOffset = this.fillIo.offset - this.mediumOffset
    }
    this.owner.taskReady(this)
  }

  private fillFromStaged(buffer: Buffer, start: number, length: number, offset: number): boolean {
    if (this.stagedOffset === FILLING) return false
    const staged = this.staged!
    const at = offset - this.stagedOffset
    assert(at >= 0 && at + length <= staged.length, 'a fill was retried with another range')
    staged.copy(buffer, start, at, at + length)
    if (at + length === staged.length) this.releaseStaged()
    return true
  }

  private releaseStaged(): void {
    this.staging.give(this.staged!)
    this.staged = undefined
    this.stagedOffset = -1
  }

  private ioDone(error: Error | undefined): void {
    if (error) this.failed(error)
    this.settle()
  }

  private settle(): void {
    if (this.failure) this.checkVolume(this.failure)
    else if (this.state === TaskState.Pending) this.good()
    this.tell()
  }

  /** A command's `finish` may have started more work; then its end tells. */
  private tell(): void {
    if (this.state !== TaskState.Pending) this.owner.taskReady(this)
  }

  private failed(error: Error): void {
    this.failure ??= error
  }
}

const FILLING = -2
