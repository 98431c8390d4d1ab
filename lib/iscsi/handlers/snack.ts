import { RejectReason } from '../../pdu/codes.js'
import { Opcode } from '../../pdu/opcodes.js'
import type { PduHandler } from '../full-feature.js'

/** SNACK, RFC 7143 §11.16: with ErrorRecoveryLevel 0 there is nothing to send again. */
export const snackHandler: PduHandler = {
  opcode: Opcode.Snack,
  carriesCmdSn: false,
  handle(connection, _session, pdu): void {
    connection.rejectPdu(RejectReason.SnackReject, pdu.ring, pdu.bhs)
  }
}
