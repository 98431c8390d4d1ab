import type { InitiatorRole } from './initiator-context.js'
import type { Keeping, Policy } from './policy.js'

/** What the operator sees of an initiator. */
export interface InitiatorView {
  readonly targetName: string
  readonly initiatorName: string
  readonly sessions: number
  /** Wall clock, ms since 1970. */
  readonly lastSeen: number
  readonly lastAddress: string
  readonly end: string | undefined
  /** Listening time left until the delta is given up; undefined while a session is live. */
  readonly graceLeftMs: number | undefined
  readonly chapUser: string | undefined
  readonly role: InitiatorRole
  readonly policy: Policy
  /** It is restored at the next login that allows it. */
  readonly marked: boolean
  readonly units: readonly UnitView[]
}

export interface UnitView {
  readonly lun: number
  readonly incarnation: number
  readonly epoch: number
  readonly stored: boolean
  /** What ends this delta without an accident. */
  readonly keeping: Keeping
  /** The delta is in use or rests with its files open. */
  readonly open: boolean
  /** Stored bytes; those of a delta that has not been opened since the start are what its files take on the disk. */
  readonly bytes: number | undefined
  /** Memory that finds them; undefined for one that is not open. */
  readonly mapBytes?: number | undefined
}
