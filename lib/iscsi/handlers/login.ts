import { RejectReason } from '../../pdu/codes.js'
import { Opcode } from '../../pdu/opcodes.js'
import type { PduHandler } from '../full-feature.js'

/** A Login Request on a connection that is logged in is a protocol error (RFC 7143 §6.3); the session goes on. */
export const loginHandler: PduHandler = {
  opcode: Opcode.LoginRequest,
  carriesCmdSn: false,
  handle(connection, _session, pdu): void {
    connection.rejectPdu(RejectReason.ProtocolError, pdu.ring, pdu.bhs)
  }
}
