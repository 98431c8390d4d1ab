import { FLAG_FINAL } from '../pdu/bhs.js'
import { ScsiResponseCode } from '../pdu/codes.js'
import { Opcode } from '../pdu/opcodes.js'
import { FLAG_OVERFLOW, FLAG_UNDERFLOW, scsiResponse } from '../pdu/target.js'
import { Status } from '../scsi/status.js'
import type { Connection } from './connection.js'
import type { IscsiTask } from './iscsi-task.js'
import type { Session } from './session.js'

const at = scsiResponse.offsets
/** One object for all, filled anew for each. */
const residue = { flag: 0, count: 0 }

/**
 * Sends the SCSI Response of a task whose work has ended (RFC 7143 §11.4). The caller releases the task.
 * @returns false when the output has no room
 */
export function respond(connection: Connection, session: Session, task: IscsiTask): boolean {
  const { writer } = connection
  const { sense } = task.scsi
  const dataLength = sense ? 2 + sense.length : 0
  const offset = writer.begin(dataLength)
  if (offset < 0) return false
  session.answered(task)
  const { flag, count } = residual(task)
  const { buffer, view } = writer
  buffer[offset + at.opcode] = Opcode.ScsiResponse
  buffer[offset + at.flags] = FLAG_FINAL | flag
  buffer[offset + at.response] = ScsiResponseCode.CompletedAtTarget
  buffer[offset + at.status] = task.scsi.status
  view.setUint32(offset + at.initiatorTaskTag, task.initiatorTaskTag)
  view.setUint32(offset + at.statSn, connection.takeStatSn())
  view.setUint32(offset + at.expCmdSn, session.expCmdSn)
  view.setUint32(offset + at.maxCmdSn, session.maxCmdSn)
  // RFC 7143 §11.4.8: the number of Data-In and R2T PDUs sent for this command.
  view.setUint32(offset + at.expDataSn, task.dataSn + task.r2tSn)
  view.setUint32(offset + at.residualCount, count)
  if (sense) {
    buffer.writeUInt16BE(sense.length, writer.dataOffset)
    sense.copy(buffer, writer.dataOffset + 2)
  }
  writer.end(dataLength)
  return true
}

/**
 * RFC 7143 §11.4.5: how what the device server transferred, or wanted to, differs from what the initiator expected.
 * The answer is one shared object, to be read at once.
 */
export function residual(task: IscsiTask): { readonly flag: number; readonly count: number } {
  const { scsi } = task
  const reads = scsi.dataInLength > 0
  const failed = scsi.status === Status.CheckCondition
  const writes = scsi.dataOutLength > 0
  // After CHECK CONDITION only what was really moved counts.
  const moved = failed ? task.sent + scsi.received : reads ? scsi.dataInLength : scsi.dataOutLength
  const expected = failed || reads === writes ? task.expectedLength : reads ? scsi.expectedDataIn : scsi.expectedDataOut
  residue.flag = moved > expected ? FLAG_OVERFLOW : moved < expected ? FLAG_UNDERFLOW : 0
  residue.count = Math.abs(moved - expected)
  return residue
}
