import type { SessionView } from '../iscsi/portal-group.js'
import type { BinnedDelta } from './bin.js'
import type { Discarded } from './epoch-ends.js'
import type { InitiatorView } from './initiator-view.js'
import type { Undone } from './restore-undo.js'

export type { BinnedDelta, Discarded, InitiatorView, SessionView, Undone }

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
  /** One unit for all initiators. */
  readonly shared: boolean
  readonly imageUuid: string
  /** The initiator that writes into the image now. */
  readonly author: string | undefined
}

/** Space of the deltas in one state directory. */
export interface SpaceView {
  readonly path: string
  readonly usedBytes: number
  /** Undefined while nothing limits it: no `--delta-total`, and a file system that does not say what is free. */
  readonly limitBytes: number | undefined
}

/** The server as a whole. */
export interface ServerView {
  /** Wall clock, ms since 1970. */
  readonly startedAt: number
  /** Where it listens; empty until it does. */
  readonly portals: readonly { readonly address: string; readonly port: number }[]
  readonly undoMs: number
}

/** A delta in the bin, with what an operator can do about it. */
export interface BinView extends BinnedDelta {
  /** Listening time until it is removed. */
  readonly leftMs: number
  /** It belongs to the last restore of its initiator, which can be undone. */
  readonly undoable: boolean
}

export interface UndoOrder {
  readonly initiator: string
  /** Needed when the initiator left something at several targets. */
  readonly target?: string | undefined
  /** Give up what the client wrote since, or may have mounted still. */
  readonly discard?: boolean | undefined
}

/**
 * What an operator can see and order: the one face of the server that command line and console know. All of it is
 * asynchronous and speaks in plain values, so that it can be asked over a socket as well.
 */
export interface Control {
  server(): Promise<ServerView>
  targets(): Promise<readonly TargetView[]>
  sessions(): Promise<readonly SessionView[]>
  /** Initiators with a session, a delta or a changed identity. */
  initiators(): Promise<readonly InitiatorView[]>
  bin(): Promise<readonly BinView[]>
  space(): Promise<readonly SpaceView[]>
  /** Asks sessions to log out, cuts those that do not; deltas are kept. Answers how many there were. */
  disconnect(filter: InitiatorFilter): Promise<number>
  /**
   * Drops deltas by order: sessions are ended first. Their clients have not let go of the disk, so they get a new disk
   * identity and are fenced until they have looked at it again.
   */
  restore(filter: InitiatorFilter): Promise<Discarded>
  /**
   * Gives an initiator back, at its next login, what its last logout dropped. Throws IscsiError `ERR_ISCSI_UNDO_…` with
   * the reason when that may not be.
   */
  undo(order: UndoOrder): Promise<Undone>
}
