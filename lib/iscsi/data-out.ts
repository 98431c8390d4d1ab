import { FLAG_FINAL, RESERVED_TAG } from '../pdu/bhs.js'
import { Opcode } from '../pdu/opcodes.js'
import { r2t } from '../pdu/target.js'
import {
  DATA_PHASE_ERROR,
  INSUFFICIENT_RESOURCES,
  NOT_ENOUGH_UNSOLICITED_DATA,
  UNEXPECTED_UNSOLICITED_DATA,
  type SenseCondition
} from '../scsi/sense.js'
import { TaskState } from '../scsi/task.js'
import type { Connection } from './connection.js'
import type { IscsiTask } from './iscsi-task.js'
import { DATA_OUT_TIME_MS } from './limits.js'
import type { Session } from './session.js'

/**
 * Everything about data that comes from an initiator: immediate data, unsolicited Data-Out, R2T and the Data-Out that
 * answers it (RFC 7143 §4.2.5, §11.7, §11.8). DataPDUInOrder and DataSequenceInOrder are Yes, so data is taken only
 * at the next expected offset, and no byte of an older buffer can ever reach a unit.
 */

/** The data that came with the command, and whether more will come unasked. Called right after the command started. */
export function takeImmediate(
  connection: Connection,
  session: Session,
  task: IscsiTask,
  ring: Buffer,
  start: number,
  length: number,
  final: boolean
): void {
  task.unsolicited = task.writes && !final
  task.since = performance.now()
  if (!isWaiting(task)) return
  if (task.scsi.state === TaskState.DataOut) expectData(task)
  if (length > 0) takeData(connection, session, task, ring, start, length)
  else advance(connection, session, task)
}

/** A Data-Out PDU for this task; `sequenceOffset` and the rest are its fields. */
export function takeDataOut(
  connection: Connection,
  session: Session,
  task: IscsiTask,
  pdu: { targetTransferTag: number; dataSn: number; bufferOffset: number; flags: number },
  ring: Buffer,
  start: number,
  length: number
): void {
  const final = (pdu.flags & FLAG_FINAL) !== 0
  const fault = faultOf(session, task, pdu.targetTransferTag, pdu.dataSn, pdu.bufferOffset, length, final)
  if (fault) return failData(connection, task, fault)
  task.expectedDataSn++
  if (final) {
    task.expectedDataSn = 0
    if (task.unsolicited) task.unsolicited = false
    else task.r2ts.shift()
  }
  takeData(connection, session, task, ring, start, length)
}

/**
 * Goes on with a task in DataOut that was not ready before: feeds the data that had to wait, asks for more.
 */
export function goOnWithData(connection: Connection, session: Session, task: IscsiTask): void {
  if (task.wanted === 0) expectData(task)
  if (!task.early || feedEarly(connection, task)) advance(connection, session, task)
}

function isWaiting(task: IscsiTask): boolean {
  return task.scsi.state === TaskState.DataOut || task.scsi.state === TaskState.Blocked
}

function expectData(task: IscsiTask): void {
  task.wanted = Math.min(task.scsi.dataOutLength, task.scsi.expectedDataOut)
}

function takeData(
  connection: Connection,
  session: Session,
  task: IscsiTask,
  ring: Buffer,
  start: number,
  length: number
): void {
  task.since = performance.now()
  task.arrived += length
  connection.dataOutBytes += length
  const { scsi } = task
  if (scsi.state === TaskState.DataOut && !task.early) {
    // What the command does not want (EDTL above its transfer length) is let go.
    const useful = Math.min(length, task.wanted - scsi.received)
    if (useful > 0 && !scsi.receive(ring, start, useful)) {
      keepEarly(task, ring, start, useful)
      connection.starve(task)
    }
  } else if (!isHeldBack(task, length)) {
    keepEarly(task, ring, start, length)
  } else {
    return failData(connection, task, INSUFFICIENT_RESOURCES)
  }
  if (!task.early) advance(connection, session, task)
  else session.open(task)
}

/** Data of a task that cannot start: does it go beyond what its session may have waiting? If not, it counts from now. */
function isHeldBack(task: IscsiTask, length: number): boolean {
  if (task.scsi.state !== TaskState.Blocked) return false
  if (!task.waiting.take(length)) return true
  task.earlyWaiting += length
  return false
}

/** Copies data that cannot be taken now. Bounded: by FirstBurstLength for a blocked task, by one PDU for a slow disk. */
function keepEarly(task: IscsiTask, ring: Buffer, start: number, length: number): void {
  const needed = task.earlyLength + length
  if (!task.early || task.early.length < needed) {
    const larger = Buffer.allocUnsafe(Math.max(needed, 2 * task.earlyLength))
    task.early?.copy(larger, 0, 0, task.earlyLength)
    task.early = larger
  }
  ring.copy(task.early, task.earlyLength, start, start + length)
  task.earlyLength = needed
}

function feedEarly(connection: Connection, task: IscsiTask): boolean {
  const useful = Math.min(task.earlyLength, task.wanted - task.scsi.received)
  if (useful > 0 && !task.scsi.receive(task.early!, 0, useful)) return false
  task.dropEarly()
  connection.feed(task)
  return true
}

/** All wanted data here: the command goes on. Otherwise asks for what has not been asked for. */
function advance(connection: Connection, session: Session, task: IscsiTask): void {
  const { scsi } = task
  if (scsi.state === TaskState.DataOut && scsi.received >= task.wanted) {
    scsi.finish()
    return connection.progress(task)
  }
  session.open(task)
  if (scsi.state !== TaskState.DataOut || task.unsolicited || task.queued) return
  if (!solicit(connection, session, task)) connection.queue(task)
}

const view = r2t.view()

/**
 * RFC 7143 §11.8: R2Ts of at most MaxBurstLength, at most MaxOutstandingR2T open at once.
 * @returns false when the output has no room for one
 */
function solicit(connection: Connection, session: Session, task: IscsiTask): boolean {
  const { maxBurstLength, maxOutstandingR2T } = session.parameters
  if (task.solicitedTo === 0) task.solicitedTo = task.arrived
  while (task.r2ts.length < maxOutstandingR2T && task.solicitedTo < task.wanted) {
    const offset = connection.writer.begin(0)
    if (offset < 0) return false
    const length = Math.min(maxBurstLength, task.wanted - task.solicitedTo)
    const tag = session.transferTag()
    view.at(connection.writer.buffer, offset)
    view.opcode = Opcode.R2t
    // RFC 7143 §11.8: byte 1 is 80h; Windows drops the connection otherwise.
    view.flags = FLAG_FINAL
    view.lun = task.lun
    view.initiatorTaskTag = task.initiatorTaskTag
    view.targetTransferTag = tag
    // RFC 7143 §11.8.4: the next StatSN, which an R2T does not use up.
    view.statSn = connection.statSn
    view.expCmdSn = session.expCmdSn
    view.maxCmdSn = session.maxCmdSn
    view.r2tSn = task.r2tSn++
    view.bufferOffset = task.solicitedTo
    view.desiredDataTransferLength = length
    connection.writer.end(0)
    task.solicitedTo += length
    task.r2ts.push({ tag, end: task.solicitedTo })
    task.since = performance.now()
  }
  return true
}

/** What is wrong with a Data-Out, as the sense that its command ends with (RFC 7143 §11.4.7.2); undefined when nothing. */
function faultOf(
  session: Session,
  task: IscsiTask,
  tag: number,
  dataSn: number,
  bufferOffset: number,
  length: number,
  final: boolean
): SenseCondition | undefined {
  const end = bufferOffset + length
  if (tag === RESERVED_TAG) {
    if (!task.unsolicited) return UNEXPECTED_UNSOLICITED_DATA
    const { firstBurstLength } = session.parameters
    if (end > Math.min(firstBurstLength, task.expectedLength)) return UNEXPECTED_UNSOLICITED_DATA
  } else {
    const open = task.r2ts[0]
    if (!open || tag !== open.tag || end > open.end) return DATA_PHASE_ERROR
    // A sequence that ends early would leave a hole that nobody fills.
    if (final !== (end === open.end)) return final ? NOT_ENOUGH_UNSOLICITED_DATA : DATA_PHASE_ERROR
  }
  if (dataSn !== task.expectedDataSn || bufferOffset !== task.arrived) return DATA_PHASE_ERROR
  return undefined
}

/** The command ends now; whatever of its data still comes finds no task and is dropped. */
export function failData(connection: Connection, task: IscsiTask, fault: SenseCondition): void {
  task.dropEarly()
  connection.feed(task)
  task.scsi.failData(fault)
  connection.progress(task)
}

/** Data that an R2T asked for and that never comes: the task fails and frees what it holds. */
export function checkDataOutTimes(connection: Connection, session: Session, now: number): void {
  for (const task of session.tasks.values()) {
    const waits = task.scsi.state === TaskState.DataOut && !task.early && !task.queued
    if (waits && now - task.since > DATA_OUT_TIME_MS) failData(connection, task, DATA_PHASE_ERROR)
  }
}
