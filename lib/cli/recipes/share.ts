/** What a person on another PC needs to know of a target. */
export interface Share {
  readonly targetName: string
  /** An address, or a host name. */
  readonly host: string
  readonly port: number
  /** undefined = nobody is asked for a secret. */
  readonly chapUser: string | undefined
  /** The target proves itself too. */
  readonly mutual: boolean
}

/**
 * Stands where the secret has to be typed: a console that shows secrets also shows them to whoever looks over a
 * shoulder, and keeps them in its history.
 */
export const SECRET = 'SECRET'
/** The same for the secret that the target proves to know. */
export const OTHER_SECRET = 'OTHER-SECRET'
/** QEMU reads the secret from this file. */
export const SECRET_FILE = 'share.secret'
