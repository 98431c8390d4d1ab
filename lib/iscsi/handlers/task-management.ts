import { RESERVED_TAG } from '../../pdu/bhs.js'
import { RejectReason, TaskManagementFunction, TaskManagementResponseCode } from '../../pdu/codes.js'
import { FUNCTION_MASK, taskManagementRequest } from '../../pdu/initiator.js'
import { Opcode } from '../../pdu/opcodes.js'
import { taskManagementResponse } from '../../pdu/target.js'
import { lunNumber } from '../../scsi/lun.js'
import { TaskManager } from '../../scsi/task-manager.js'
import type { Connection } from '../connection.js'
import { replayHeld, type PduHandler, type PduInPlace } from '../full-feature.js'
import { serialLess } from '../serial.js'
import type { Session } from '../session.js'

const view = taskManagementRequest.view()
const { lun: LUN_OFFSET } = taskManagementRequest.offsets
const manager = new TaskManager()

/**
 * Task Management Function Request, RFC 7143 §11.5. The response goes out when no aborted task touches a file any
 * more, so that a stalled write can never land after newer data.
 */
export const taskManagementHandler: PduHandler = {
  opcode: Opcode.TaskManagementRequest,
  carriesCmdSn: true,
  handle(connection: Connection, session: Session, pdu: PduInPlace): void {
    view.at(pdu.ring, pdu.bhs)
    const tag = view.initiatorTaskTag
    const { nexus } = session
    if (!nexus || tag === RESERVED_TAG) return connection.rejectPdu(RejectReason.InvalidPduField, pdu.ring, pdu.bhs)
    const fn = view.function & FUNCTION_MASK
    const lun = lunNumber(pdu.ring, pdu.bhs + LUN_OFFSET)
    const task = fn === TaskManagementFunction.AbortTask ? session.tasks.get(view.referencedTaskTag) : undefined
    if (fn === TaskManagementFunction.AbortTask && !task && mayStillCome(session, view.refCmdSn, view.cmdSn)) {
      // RFC 7143 §11.6.1 b): the command is not here yet; its CmdSN counts as received, so it will be ignored.
      session.held.skip(view.refCmdSn)
      replayHeld(connection, session)
      return answer(connection, session, tag, TaskManagementResponseCode.FunctionComplete)
    }
    if (COVERS_UNIT.has(fn)) session.held.skipCommands(lun, view.cmdSn)
    else if (COVERS_TARGET.has(fn)) session.held.skipCommands(undefined, view.cmdSn)
    manager.execute({ function: fn, nexus, lun, task: task?.scsi }, (response) => {
      answer(connection, session, tag, response)
      if (fn === TaskManagementFunction.TargetColdReset) connection.host.coldReset(session)
    })
  }
}

/**
 * Functions that end all tasks of a unit, and of the target. RFC 7143 §4.2.3.3: commands that were sent before count,
 * also those that wait for a gap in the CmdSNs; an immediate request overtakes them. Waiting for the gap to close would
 * leave the initiator without an answer for as long as nothing closes it.
 */
const COVERS_UNIT: ReadonlySet<number> = new Set([
  TaskManagementFunction.AbortTaskSet,
  TaskManagementFunction.ClearTaskSet,
  TaskManagementFunction.LogicalUnitReset
])
const COVERS_TARGET: ReadonlySet<number> = new Set([
  TaskManagementFunction.TargetWarmReset,
  TaskManagementFunction.TargetColdReset
])

/** Is there a gap in the CmdSNs where the referenced command belongs? */
function mayStillCome(session: Session, refCmdSn: number, cmdSn: number): boolean {
  return session.place(refCmdSn) !== 'outside' && serialLess(refCmdSn, cmdSn)
}

function answer(connection: Connection, session: Session, tag: number, response: number): void {
  connection.send(() => {
    const { writer } = connection
    const offset = writer.begin(0)
    if (offset < 0) return false
    const reply = taskManagementResponse.view().at(writer.buffer, offset)
    reply.opcode = Opcode.TaskManagementResponse
    reply.flags = 0x80
    reply.response = response
    reply.initiatorTaskTag = tag
    reply.statSn = connection.takeStatSn()
    reply.expCmdSn = session.expCmdSn
    reply.maxCmdSn = session.maxCmdSn
    writer.end(0)
    return true
  })
}
