import { AhsType, parseAhs } from '../../pdu/ahs.js'
import { BHS_LENGTH, FLAG_FINAL, RESERVED_TAG, getU32 } from '../../pdu/bhs.js'
import { RejectReason } from '../../pdu/codes.js'
import { ATTRIBUTE_MASK, FLAG_READ, FLAG_WRITE, scsiCommand } from '../../pdu/initiator.js'
import { FLAG_IMMEDIATE, Opcode } from '../../pdu/opcodes.js'
import { lunNumber } from '../../scsi/lun.js'
import { INVALID_OPCODE, UNEXPECTED_UNSOLICITED_DATA } from '../../scsi/sense.js'
import { Status } from '../../scsi/status.js'
import { TaskState } from '../../scsi/task.js'
import type { Connection } from '../connection.js'
import { takeImmediate } from '../data-out.js'
import type { PduHandler, PduInPlace } from '../full-feature.js'
import type { IscsiTask } from '../iscsi-task.js'
import type { Session } from '../session.js'

const at = scsiCommand.offsets

/** SCSI Command, RFC 7143 §11.3. */
export const scsiCommandHandler: PduHandler = {
  opcode: Opcode.ScsiCommand,
  carriesCmdSn: true,
  handle(connection: Connection, session: Session, pdu: PduInPlace): void {
    const { ring, bhs } = pdu
    const tag = getU32(ring, bhs + at.initiatorTaskTag)
    if (tag === RESERVED_TAG) return connection.rejectPdu(RejectReason.InvalidPduField, ring, bhs)
    if (!session.nexus) return connection.rejectPdu(RejectReason.ProtocolError, ring, bhs)
    if (session.tasks.has(tag)) return connection.rejectPdu(RejectReason.TaskInProgress, ring, bhs)
    const task = session.takeTask((ring[bhs]! & FLAG_IMMEDIATE) !== 0)
    if (!task) return connection.rejectPdu(RejectReason.ImmediateCommandReject, ring, bhs)

    fill(task, session, ring, bhs)
    try {
      begin(connection, session, task, pdu, (ring[bhs + at.flags]! & FLAG_FINAL) !== 0)
    } catch (error) {
      // A mistake of ours ends the session, and the session's end must find the task to give it back.
      if (task.taken) session.open(task)
      throw error
    }
  }
}

function begin(connection: Connection, session: Session, task: IscsiTask, pdu: PduInPlace, final: boolean): void {
  const { ring, dataOffset, dataLength } = pdu
  const { scsi } = task
  if (!dataAllowed(session, task, dataLength, final)) scsi.check(UNEXPECTED_UNSOLICITED_DATA)
  else if (pdu.ahsLength > 0 && hasLongCdb(pdu)) scsi.check(INVALID_OPCODE)
  else connection.host.deviceServer.start(scsi)

  if (scsi.unit) task.failedCommits = scsi.unit.failedCommits
  if (scsi.state === TaskState.DataOut || scsi.state === TaskState.Blocked) {
    takeImmediate(connection, session, task, ring, dataOffset, dataLength, final)
  } else {
    connection.progress(task)
  }
}

function fill(task: IscsiTask, session: Session, ring: Buffer, bhs: number): void {
  const flags = ring[bhs + at.flags]!
  task.initiatorTaskTag = getU32(ring, bhs + at.initiatorTaskTag)
  task.cmdSn = getU32(ring, bhs + at.cmdSn)
  task.expectedLength = getU32(ring, bhs + at.expectedDataTransferLength)
  task.reads = (flags & FLAG_READ) !== 0
  task.writes = (flags & FLAG_WRITE) !== 0
  copyTo(task.lun, ring, bhs + at.lun)
  const { scsi } = task
  copyTo(scsi.cdb, ring, bhs + at.cdb)
  scsi.nexus = session.nexus!
  scsi.lun = lunNumber(ring, bhs + at.lun)
  scsi.attribute = flags & ATTRIBUTE_MASK
  scsi.status = Status.Good
  scsi.expectedDataIn = task.reads ? task.expectedLength : 0
  scsi.expectedDataOut = task.writes ? task.expectedLength : 0
}

/** Buffer.copy makes a view of its source first, which costs ten times as much as these few bytes. */
function copyTo(to: Buffer, from: Buffer, start: number): void {
  for (let index = 0; index < to.length; index++) to[index] = from[start + index]!
}

/** RFC 7143 §4.2.5.2, §13.10, §13.11, §13.14: may this much data come with the command, and may more come unasked? */
function dataAllowed(session: Session, task: IscsiTask, dataLength: number, final: boolean): boolean {
  const { immediateData, initialR2T, firstBurstLength } = session.parameters
  if (!final && initialR2T) return false
  if (dataLength === 0) return true
  if (!task.writes || !immediateData) return false
  return dataLength <= Math.min(firstBurstLength, task.expectedLength)
}

/** A CDB beyond 16 bytes has no command here; an expected bidirectional read length is of no interest. */
function hasLongCdb(pdu: PduInPlace): boolean {
  const list = parseAhs(pdu.ring, pdu.bhs + BHS_LENGTH, pdu.ahsLength)
  return list.some((header) => header.type === AhsType.ExtendedCdb)
}
