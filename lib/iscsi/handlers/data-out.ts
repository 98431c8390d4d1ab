import { dataOut } from '../../pdu/initiator.js'
import { Opcode } from '../../pdu/opcodes.js'
import { TaskState } from '../../scsi/task.js'
import type { Connection } from '../connection.js'
import { takeDataOut } from '../data-out.js'
import { copyOf, type PduHandler, type PduInPlace } from '../full-feature.js'
import type { Session } from '../session.js'

const view = dataOut.view()

/**
 * SCSI Data-Out, RFC 7143 §11.7. Matched by tag alone: Windows does not fill in the LUN reliably. Data for a task that
 * has ended, or never was, is dropped: it may have been under way when the task failed.
 */
export const dataOutHandler: PduHandler = {
  opcode: Opcode.DataOut,
  carriesCmdSn: false,
  handle(connection: Connection, session: Session, pdu: PduInPlace): void {
    view.at(pdu.ring, pdu.bhs)
    const tag = view.initiatorTaskTag
    const task = session.tasks.get(tag)
    if (!task) {
      if (session.held.size > 0) session.held.holdData(tag, () => copyOf(pdu))
      return
    }
    const { state, aborted } = task.scsi
    if (aborted || (state !== TaskState.DataOut && state !== TaskState.Blocked)) return
    takeDataOut(connection, session, task, view, pdu.ring, pdu.dataOffset, pdu.dataLength)
  }
}
