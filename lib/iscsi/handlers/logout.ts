import { codeName, LogoutReason, LogoutResponseCode, RejectReason } from '../../pdu/codes.js'
import { logoutRequest, REASON_MASK } from '../../pdu/initiator.js'
import { Opcode } from '../../pdu/opcodes.js'
import { logoutResponse } from '../../pdu/target.js'
import { messageOf } from '../../util/errors.js'
import type { Connection } from '../connection.js'
import type { SessionEnd } from '../directory.js'
import type { PduHandler, PduInPlace } from '../full-feature.js'
import type { Session } from '../session.js'

const view = logoutRequest.view()

/**
 * Logout, RFC 7143 §11.14. Sessions have one connection, so "close the connection" ends the session as well. The
 * response goes out when no task touches a file any more and the target has done what its policy says.
 */
export const logoutHandler: PduHandler = {
  opcode: Opcode.LogoutRequest,
  carriesCmdSn: true,
  handle(connection: Connection, session: Session, pdu: PduInPlace): void {
    view.at(pdu.ring, pdu.bhs)
    const reason = view.reason & REASON_MASK
    const tag = view.initiatorTaskTag
    if (reason === LogoutReason.RemoveConnectionForRecovery) {
      return answer(connection, session, tag, LogoutResponseCode.RecoveryNotSupported)
    }
    if (reason > LogoutReason.RemoveConnectionForRecovery) {
      return connection.rejectPdu(RejectReason.InvalidPduField, pdu.ring, pdu.bhs)
    }
    if (reason === LogoutReason.CloseConnection && view.cid !== session.cid) {
      return answer(connection, session, tag, LogoutResponseCode.CidNotFound)
    }
    leave(connection, session, tag, reason).catch((error: unknown) => connection.fail(error))
  }
}

async function leave(connection: Connection, session: Session, tag: number, reason: number): Promise<void> {
  const kind = connection.logoutRequested ? 'logout-on-request' : 'logout'
  const end: SessionEnd = { kind, reason }
  // What was done before the logout is answered before it.
  connection.endTurn()
  connection.leaving = true
  let response: number = LogoutResponseCode.Closed
  try {
    await connection.host.loggedOut(connection, end)
  } catch (error) {
    response = LogoutResponseCode.CleanupFailed
    connection.host.failed(
      connection,
      new Error(`${codeName(LogoutReason, reason)}: ${messageOf(error)}`, { cause: error })
    )
  }
  answer(connection, session, tag, response)
  connection.finish(end)
}

function answer(connection: Connection, session: Session, tag: number, response: number): void {
  connection.send(() => {
    const { writer } = connection
    const offset = writer.begin(0)
    if (offset < 0) return false
    const reply = logoutResponse.view().at(writer.buffer, offset)
    reply.opcode = Opcode.LogoutResponse
    reply.flags = 0x80
    reply.response = response
    reply.initiatorTaskTag = tag
    reply.statSn = connection.takeStatSn()
    reply.expCmdSn = session.expCmdSn
    reply.maxCmdSn = session.maxCmdSn
    reply.time2Wait = session.parameters.defaultTime2Wait
    reply.time2Retain = session.parameters.defaultTime2Retain
    writer.end(0)
    return true
  })
}
