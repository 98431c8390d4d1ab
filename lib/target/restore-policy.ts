import { isKept, type Policy } from './policy.js'

/**
 * When a delta is dropped: the whole policy as one table.
 *
 * A lost connection is not a logout. Windows keeps the volume mounted and its cache dirty when the cable is pulled, when
 * the PC sleeps and (on the wire the same) when it is shut down, and comes back for exactly the blocks it left. Only
 * a client that logs out by itself has let go of the disk; everything else either waits or is a loss, which its client
 * is told about (new incarnation, unit attention, fence).
 */
export type DeltaEvent =
  /** Logout "close session" (or "close connection" on the only connection) that the initiator wanted itself. */
  | 'logout'
  /** Logout that answers our own Async logout request: the client logs in again with its volume still mounted. */
  | 'logout-on-request'
  /** Logout "remove the connection for recovery": the client means to come back. */
  | 'logout-for-recovery'
  /** FIN without logout. */
  | 'closed'
  /** Silence, reset, time-out, protocol error. */
  | 'lost'
  /** Another session of the same name and ISID took the place of this one. */
  | 'reinstated'
  /** We ended the session: stop of the server, or the operator disconnected it. */
  | 'stopped'
  /** START STOP UNIT with START=0: Windows sends it at sleep as well as at shutdown. */
  | 'unit-stopped'
  /** The server came up and found the delta intact. */
  | 'server-started'
  /** The grace time has run out. */
  | 'grace-over'
  /** The operator orders it; the client has not logged out, so for it the delta is lost. */
  | 'operator'
  /** An author needs the image, and the options allow to discard for that. */
  | 'author-discards'
  /** Its base is not the one that it was written over. */
  | 'base-changed'
  /** The format cannot be read back. */
  | 'unreadable'
  /** The files are gone. */
  | 'removed'

/**
 * keep: nothing changes. drop: restore, a new epoch under the same identity. lost: restore under a new incarnation, and
 * fence whoever may still hold a cache of it.
 */
export type Action = 'keep' | 'drop' | 'lost'

/** Which time a kept delta waits for its client, when no session is left. */
export type Grace = 'none' | 'grace' | 'grace-closed' | 'unlimited'

export interface Verdict {
  readonly action: Action
  readonly grace: Grace
}

const KEEP: Verdict = { action: 'keep', grace: 'none' }
const KEEP_FOR_GRACE: Verdict = { action: 'keep', grace: 'grace' }
const KEEP_FOR_GRACE_CLOSED: Verdict = { action: 'keep', grace: 'grace-closed' }
const KEEP_WITHOUT_END: Verdict = { action: 'keep', grace: 'unlimited' }
const DROP: Verdict = { action: 'drop', grace: 'none' }
const LOST: Verdict = { action: 'lost', grace: 'none' }

/** Event → verdict while the initiator has another normal session, and when it has none. */
const TABLE: Readonly<Record<DeltaEvent, readonly [others: Verdict, none: Verdict]>> = {
  logout: [KEEP, DROP],
  'logout-on-request': [KEEP, KEEP_FOR_GRACE],
  'logout-for-recovery': [KEEP, KEEP_FOR_GRACE],
  closed: [KEEP, KEEP_FOR_GRACE_CLOSED],
  lost: [KEEP, KEEP_FOR_GRACE],
  reinstated: [KEEP, KEEP_FOR_GRACE],
  stopped: [KEEP, KEEP_FOR_GRACE],
  'unit-stopped': [KEEP, KEEP],
  'server-started': [KEEP, KEEP_FOR_GRACE],
  'grace-over': [KEEP, LOST],
  operator: [LOST, LOST],
  'author-discards': [LOST, LOST],
  'base-changed': [LOST, LOST],
  unreadable: [LOST, LOST],
  removed: [LOST, LOST]
}

/** @param sessionsLeft - normal sessions of the initiator at this target after the event; discovery never counts */
export function restorePolicy(event: DeltaEvent, sessionsLeft: number, policy: Policy = 'restore'): Verdict {
  const verdict = TABLE[event][sessionsLeft > 0 ? 0 : 1]
  return isKept(policy) && NEVER_DROPPED.has(event) && sessionsLeft === 0 ? KEEP_WITHOUT_END : verdict
}

/** What ends or limits no delta that is kept until somebody decides about it. */
const NEVER_DROPPED: ReadonlySet<DeltaEvent> = new Set([
  'logout',
  'logout-on-request',
  'logout-for-recovery',
  'closed',
  'lost',
  'reinstated',
  'stopped',
  'server-started',
  'grace-over'
])
