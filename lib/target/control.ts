import type { SessionView } from '../iscsi/portal-group.js'
import type { BinnedDelta } from './bin.js'
import type { CopyPart } from './delta-copy.js'
import type { UnitDetail } from './delta-inspection.js'
import type { Discarded } from './epoch-ends.js'
import type { ImageOrders } from './generations/image-orders.js'
import type { InitiatorView } from './initiator-view.js'
import type { InitiatorRule, Keeping, Policy, RestoreOn } from './policy.js'
import type { Undone } from './restore-undo.js'

export type * from './generations/image-orders.js'
export { POLICIES, RESTORE_ON } from './policy.js'
export type {
  BinnedDelta,
  CopyPart,
  Discarded,
  InitiatorRule,
  InitiatorView,
  Keeping,
  Policy,
  RestoreOn,
  SessionView,
  Undone,
  UnitDetail
}

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
  /** How long what a client dropped at its logout can be had back; 0 = not at all. */
  readonly undoMs: number
  /** How long what a client lost is kept for the operator; 0 = not at all. */
  readonly lostMs: number
  /** Deltas are encrypted, and their keys destroyed when they are dropped. */
  readonly shred: boolean
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
  /** Who gives it, for the audit log. */
  readonly by?: string | undefined
}

/** Whom an order is about. */
interface InitiatorOrder {
  readonly initiator: string
  /** Needed when the initiator has something at several targets. */
  readonly target?: string | undefined
  /** Who gives it, for the audit log. */
  readonly by?: string | undefined
}

export interface ShowOrder extends InitiatorOrder {
  /** Also the names of the files that lie in changed areas. */
  readonly names?: boolean | undefined
}

/** What an initiator has written. */
export interface DeltaDetail {
  readonly targetName: string
  readonly initiatorName: string
  readonly sessions: number
  readonly units: readonly UnitDetail[]
}

export interface DropOrder extends InitiatorOrder {
  /** This one, whatever its policy; undefined = all that the policy does not keep. */
  readonly lun?: number | undefined
  /** End its sessions first; its client has the disk mounted and gets another one. */
  readonly disconnect?: boolean | undefined
  /** Not now, but when it logs in after a logout, or after a boot by iPXE. */
  readonly atNextLogin?: boolean | undefined
}

export interface Dropped extends Discarded {
  readonly targetName: string
  readonly initiatorName: string
  /** Nothing has gone yet. */
  readonly atNextLogin: boolean
}

export interface ExportOrder extends InitiatorOrder {
  readonly lun?: number | undefined
  /** What the last restore dropped, from the bin. */
  readonly bin?: boolean | undefined
  /** Also while a session may be writing to it. */
  readonly live?: boolean | undefined
}

export interface RescueOrder extends ExportOrder {
  /** From the root of its file system; `\\` is taken for `/`. */
  readonly path: string
  /** When several have one. */
  readonly partition?: number | undefined
}

export interface PolicyOrder {
  /** A name, or the beginning of names with `*` behind it. */
  readonly match: string
  /** Undefined = all targets. */
  readonly target?: string | undefined
  readonly lun?: number | undefined
  readonly policy?: Policy | undefined
  readonly restoreOn?: RestoreOn | undefined
  /** Takes the rule back. */
  readonly remove?: boolean | undefined
  readonly by?: string | undefined
}

/** What holds for one target: rules in the order in which they count. */
export interface PolicyView {
  readonly targetName: string
  /** Given by command; they count before those of the configuration. */
  readonly ordered: readonly InitiatorRule[]
  readonly configured: readonly InitiatorRule[]
  readonly units: readonly { readonly lun: number; readonly personal: boolean; readonly restoreOn: RestoreOn }[]
}

/**
 * What an operator can see and order: the one face of the server that command line and console know. All of it is
 * asynchronous and speaks in plain values, so that it can be asked over a socket as well.
 */
export interface Control extends ImageOrders {
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
  /** What an initiator has written, and where. Throws IscsiError `ERR_ISCSI_DELTA_…`. */
  show(order: ShowOrder): Promise<DeltaDetail>
  /** Drops deltas of one initiator, now or when it logs in. Throws IscsiError `ERR_ISCSI_DELTA_…`. */
  drop(order: DropOrder): Promise<Dropped>
  /** A disk as its client sees it, part by part. Throws IscsiError `ERR_ISCSI_DELTA_…`, also in the middle. */
  exportDelta(order: ExportOrder): AsyncGenerator<CopyPart>
  /** A file as its client sees it, like {@link exportDelta}. Throws also IscsiError `ERR_ISCSI_FILE_…`. */
  rescue(order: RescueOrder): AsyncGenerator<CopyPart>
  policies(): Promise<readonly PolicyView[]>
  /** Sets a rule, or takes one back; it outlives a restart. Answers what holds then. */
  setPolicy(order: PolicyOrder): Promise<readonly PolicyView[]>
}
