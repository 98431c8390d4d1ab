import { types } from 'node:util'

/**
 * The root of every error that Cloud-x itself raises: a stable `code` for programs, a sentence for people, and the
 * original error as `cause` for the log. Folders derive their own (PduError, LoginError, TargetError …) and add what
 * their peer on the wire needs.
 */
export class IscsiError extends Error {
  /** Stable, `ERR_ISCSI_…` or an errno name such as `ENOSPC`. */
  readonly code: string

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
    this.code = code
  }
}

/** The `code` of any thrown value, or `'EUNKNOWN'`; for tables that translate codes. */
export function codeOf(error: unknown): string {
  return isError(error) && 'code' in error && typeof error.code === 'string' ? error.code : 'EUNKNOWN'
}

/** The sentence of any thrown value, without its stack. */
export function messageOf(error: unknown): string {
  return isError(error) ? error.message : String(error)
}

/** Not `instanceof`, because an error of Node itself is none of ours where code runs in a context of its own. */
function isError(error: unknown): error is Error {
  return types.isNativeError(error)
}

/** The file system has no room, or this user may not use more of it. */
export function isFull(error: unknown): boolean {
  return codeOf(error) === 'ENOSPC' || codeOf(error) === 'EDQUOT'
}
