import { FLAG_FINAL, RESERVED_TAG } from '../pdu/bhs.js'
import { Opcode } from '../pdu/opcodes.js'
import { dataIn, FLAG_STATUS } from '../pdu/target.js'
import { SENT_DATA_LENGTH_MAX } from '../pdu/writer.js'
import { Status } from '../scsi/status.js'
import { TaskState } from '../scsi/task.js'
import type { Connection } from './connection.js'
import type { IscsiTask } from './iscsi-task.js'
import { residual } from './response.js'
import type { Session } from './session.js'

/**
 * Sends what a command has for its initiator, as Data-In PDUs (RFC 7143 §11.7). The bytes are read from the medium
 * straight to the place in the batch from which they leave; the last PDU carries the status too (phase collapse).
 *
 * @returns false when the output has no room, or the others come first: the caller queues the task and calls again
 */
export function pumpDataIn(connection: Connection, session: Session, task: IscsiTask): boolean {
  const { scsi } = task
  const total = Math.min(scsi.dataInLength, scsi.expectedDataIn)
  if (total === 0) {
    // The initiator wants none of it (EDTL 0): the status alone.
    scsi.good()
    connection.progress(task)
    return true
  }
  const { maxSendDataSegmentLength, maxBurstLength } = session.parameters
  const segment = Math.min(maxSendDataSegmentLength, SENT_DATA_LENGTH_MAX)
  // A socket that takes everything at once never lacks room, so a long read ends its turn by itself.
  const turnEnd = task.sent + connection.turnOutputMax
  while (task.sent < total) {
    if (task.sent >= turnEnd) {
      connection.drainLater()
      return false
    }
    const toBurstEnd = maxBurstLength - (task.sent % maxBurstLength)
    // A Text Request may have changed the length of a segment since the disk was asked.
    const end = task.filledTo > task.sent ? task.filledTo : total
    const length = Math.min(segment, toBurstEnd, end - task.sent)
    const offset = connection.writer.begin(length)
    if (offset < 0) return false
    if (!scsi.fill(connection.writer.buffer, connection.writer.dataOffset, length, task.sent)) {
      connection.writer.cancel()
      task.filledTo = Math.max(task.filledTo, task.sent + length)
      session.open(task)
      // Either the disk failed at once, then the status is due; or taskReady will call when it has answered.
      if (scsi.state === TaskState.Done) connection.progress(task)
      return true
    }
    writeHeader(connection, session, task, offset, length, total, length === toBurstEnd)
  }
  connection.release(task)
  return true
}

const at = dataIn.offsets

/** By offsets, not by a view: of all PDUs this is the one that is written most. */
function writeHeader(
  connection: Connection,
  session: Session,
  task: IscsiTask,
  offset: number,
  length: number,
  total: number,
  burstEnds: boolean
): void {
  const { writer } = connection
  const { buffer, view } = writer
  const last = task.sent + length === total
  buffer[offset + at.opcode] = Opcode.DataIn
  view.setUint32(offset + at.initiatorTaskTag, task.initiatorTaskTag)
  view.setUint32(offset + at.targetTransferTag, RESERVED_TAG)
  view.setUint32(offset + at.dataSn, task.dataSn)
  view.setUint32(offset + at.bufferOffset, task.sent)
  task.dataSn++
  task.sent += length
  connection.dataInBytes += length
  if (last) {
    session.answered(task)
    const { flag, count } = residual(task)
    buffer[offset + at.flags] = FLAG_FINAL | FLAG_STATUS | flag
    buffer[offset + at.status] = Status.Good
    view.setUint32(offset + at.residualCount, count)
    view.setUint32(offset + at.statSn, connection.takeStatSn())
  } else if (burstEnds) {
    // RFC 7143 §11.7.1: F ends a sequence, which is at most MaxBurstLength long.
    buffer[offset + at.flags] = FLAG_FINAL
  }
  view.setUint32(offset + at.expCmdSn, session.expCmdSn)
  view.setUint32(offset + at.maxCmdSn, session.maxCmdSn)
  writer.end(length)
}
