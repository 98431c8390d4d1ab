import { IscsiError } from '../../util/errors.js'

/** Why a delta cannot be attached. Each means a lost delta to its owner; none is ever answered with the bare base. */
export type DeltaErrorCode =
  /** The base is not the one that the delta was written over. */
  | 'ERR_ISCSI_DELTA_FINGERPRINT'
  /** Another target, initiator, unit or CHAP user made it. */
  | 'ERR_ISCSI_DELTA_OWNER'
  /** Damaged: a header or record that fails its checksum, a slot that two chunks claim, a file that is too short. */
  | 'ERR_ISCSI_DELTA_UNREADABLE'
  /** Written by a later version of the format. */
  | 'ERR_ISCSI_DELTA_VERSION'

export class DeltaError extends IscsiError {
  declare readonly code: DeltaErrorCode

  constructor(code: DeltaErrorCode, message: string, options?: ErrorOptions) {
    super(code, message, options)
  }
}
