import { LUN_LENGTH } from '../scsi/lun.js'
import { Task, type TaskOwner } from '../scsi/task.js'
import type { Staging } from '../scsi/staging.js'
import type { AssertionError } from '../util/assert.js'
import type { ByteShare } from '../util/byte-budget.js'
import type { Connection } from './connection.js'

/**
 * One SCSI command on the wire: the tags, and how far its data is. Pooled by the session; the pool is the command
 * window. The SCSI side of it is {@link IscsiTask.scsi}.
 */
export class IscsiTask implements TaskOwner {
  readonly scsi: Task
  readonly lun = Buffer.alloc(LUN_LENGTH)
  /** Takes part of the reserve for immediate commands rather than of the command window. */
  immediate = false
  initiatorTaskTag = 0
  cmdSn = 0
  /** ExpectedDataTransferLength, in bytes. */
  expectedLength = 0
  reads = false
  writes = false

  // ——— Data-In ———
  /** Bytes that are on their way. */
  sent = 0
  /** End of the bytes that the disk has been asked for: they go out before any others are read. */
  filledTo = 0
  /** Of the next Data-In or R2T. */
  dataSn = 0

  // ——— Data-Out ———
  /** Bytes of it that the command takes: the smaller of what it wants and what the initiator has. */
  wanted = 0
  /** Bytes of it that have come, whether the device server has taken them or not. */
  arrived = 0
  /** The initiator may still send data that nobody asked for. */
  unsolicited = false
  /** DataSN that the next Data-Out of the current sequence must have. */
  expectedDataSn = 0
  /** Next byte that no R2T has asked for. */
  solicitedTo = 0
  r2tSn = 0
  /** R2Ts that are open, oldest first: tag and end of each. At most MaxOutstandingR2T. */
  readonly r2ts: { tag: number; end: number }[] = []
  /** Unsolicited data of a command that cannot start yet. */
  early: Buffer | undefined
  earlyLength = 0
  /** Bytes of it that count as waiting for the initiator: those of a task that is blocked. */
  earlyWaiting = 0
  /** Data of it waits for memory, and its connection reads nothing until it has some. */
  starved = false
  /** When the last data came or was asked for: for the time limit. */
  since = 0
  /** Commits of its unit that had failed when it began: one more undoes what it has written. */
  failedCommits = 0

  /** Stands in the connection's queue for output already. */
  queued = false
  /** Out of the pool. */
  taken = false
  /** In the session's table of open tasks. */
  open = false
  /** The status has been given to the connection. */
  answered = false
  private readonly connection: Connection

  constructor(
    connection: Connection,
    staging: Staging,
    /** Of its session. */
    readonly waiting: ByteShare
  ) {
    this.connection = connection
    this.scsi = new Task(this, staging, waiting)
  }

  /** Its early data has been taken, or is given up. */
  dropEarly(): void {
    this.early = undefined
    this.waiting.give(this.earlyWaiting)
    this.earlyLength = this.earlyWaiting = 0
  }

  reset(): void {
    this.dropEarly()
    this.immediate = this.reads = this.writes = this.unsolicited = false
    this.queued = this.open = this.answered = this.starved = false
    this.sent =
      this.filledTo =
      this.dataSn =
      this.wanted =
      this.arrived =
      this.expectedDataSn =
      this.solicitedTo =
      this.r2tSn =
        0
    this.expectedLength = this.failedCommits = 0
    // To set a length costs more than all of the above.
    if (this.r2ts.length > 0) this.r2ts.length = 0
  }

  taskReady(): void {
    this.connection.taskReady(this)
  }

  taskAborted(): void {
    this.connection.discard(this)
  }

  assertionFailed(error: AssertionError): void {
    this.connection.fail(error)
  }
}
