import type { SessionView } from '../iscsi/portal-group.js'
import type { BinnedDelta } from './bin.js'
import type { Discarded } from './epoch-ends.js'
import type { InitiatorView } from './initiator-view.js'

export type { BinnedDelta, Discarded, InitiatorView, SessionView }

/** Which initiators an order is for; what is left out stands for all. */
export interface InitiatorFilter {
  readonly initiator?: string | undefined
  readonly target?: string | undefined
}

export interface TargetView {
  readonly name: string
  readonly alias: string | undefined
  readonly units: readonly TargetUnitView[]
}

export interface TargetUnitView {
  readonly lun: number
  readonly path: string
  readonly partition: number | undefined
  /** Bytes. */
  readonly size: number
  readonly blockSize: number
  readonly readOnly: boolean
  readonly imageUuid: string
  /** The initiator that writes into the image now. */
  readonly author: string | undefined
}

/** Space of the deltas in one state directory. */
export interface SpaceView {
  readonly path: string
  readonly usedBytes: number
  readonly limitBytes: number
}

/**
 * What an operator can see and order: the one face of the server that command line and console know. All of it is
 * asynchronous and speaks in plain values, so that it can be asked over a socket as well.
 */
export interface Control {
  targets(): Promise<readonly TargetView[]>
  sessions(): Promise<readonly SessionView[]>
  /** Initiators with a session, a delta or a changed identity. */
  initiators(): Promise<readonly InitiatorView[]>
  bin(): Promise<readonly BinnedDelta[]>
  space(): Promise<readonly SpaceView[]>
  /** Asks sessions to log out, cuts those that do not; deltas are kept. Answers how many there were. */
  disconnect(filter: InitiatorFilter): Promise<number>
  /**
   * Drops deltas by order: sessions are ended first. Their clients have not let go of the disk, so they get a new disk
   * identity and are fenced until they have looked at it again.
   */
  restore(filter: InitiatorFilter): Promise<Discarded>
}
