import { IscsiError } from '../util/errors.js'

/** The body of every answer that is no success. */
export interface ErrorAnswer {
  readonly error: {
    /** Stable, for programs. */
    readonly code: string
    /** A sentence for people. */
    readonly message: string
  }
}

const STATUSES: Readonly<Record<string, number>> = {
  ERR_ADMIN_REQUEST: 400,
  ERR_ADMIN_PATH: 404,
  ERR_ADMIN_METHOD: 405,
  ERR_ADMIN_TOO_LARGE: 413,
  ERR_ADMIN_TYPE: 415,
  ERR_ISCSI_NAME: 400,
  ERR_ISCSI_TARGET_UNKNOWN: 404,
  ERR_ISCSI_DELTA_NOTHING: 404,
  ERR_ISCSI_FILE_NONE: 404,
  ERR_ISCSI_POLICY_NONE: 404,
  ERR_ISCSI_IMAGE_UNKNOWN: 404,
  ERR_ISCSI_GENERATION_UNKNOWN: 404,
  ERR_ISCSI_UNDO_NOTHING: 404
}
/** What the server understood and, as things stand, may not do. */
const CONFLICT = 409
const FAILURE = 500

/** The HTTP status and the body for whatever was thrown; of a mistake of ours no more than that there was one. */
export function errorAnswer(error: unknown): { readonly status: number; readonly body: ErrorAnswer } {
  if (!(error instanceof IscsiError)) {
    return {
      status: FAILURE,
      body: { error: { code: 'ERR_ADMIN_FAILED', message: 'the server could not do this; its log says why' } }
    }
  }
  const { code, message } = error
  const status = STATUSES[code] ?? (code.startsWith('ERR_ISCSI_') ? CONFLICT : FAILURE)
  return { status, body: { error: { code, message } } }
}
