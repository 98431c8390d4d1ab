import { IscsiError } from '../util/errors.js'

/** For whoever refuses a login and knows no PDUs. */
export { LoginStatus } from '../pdu/codes.js'

/** Ends a login with a status of RFC 7143 §11.13.5; `message` is for the log, never for the wire. */
export class LoginError extends IscsiError {
  /** @param status - class × 256 + detail, see {@link LoginStatus} */
  constructor(
    readonly status: number,
    message: string,
    options?: ErrorOptions
  ) {
    super('ERR_ISCSI_LOGIN', message, options)
  }
}
