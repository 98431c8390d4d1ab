import { IscsiError } from '../util/errors.js'
import type { RejectReason } from './codes.js'

/** Something on the wire that RFC 7143 does not allow; `reason` is what a Reject PDU says of it (§11.17.1). */
export class PduError extends IscsiError {
  readonly reason: RejectReason

  /** @param code - stable, `ERR_ISCSI_…` */
  constructor(code: string, reason: RejectReason, message: string) {
    super(code, message)
    this.reason = reason
  }
}
