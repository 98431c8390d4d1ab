import { isIpxe } from '../iscsi/ipxe.js'
import type { Keeping } from './policy.js'

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
  /** A login of iPXE: the PC has booted, so nothing on it remembers the disk. */
  | 'booted'
  /** A login of a client that has let go of the disk (or booted), and the operator had marked it to be restored. */
  | 'marked'
  /** Any other login: a reconnect is one too, and so is that of the system that iPXE booted. */
  | 'login'
  /** The server came up and found the delta intact. */
  | 'server-started'
  /** The grace time has run out, and its client may have the disk mounted still. */
  | 'grace-over'
  /** The grace time has run out of a delta that its client had logged out of. */
  | 'expired'
  /** The operator orders it; the client has not logged out, so for it the delta is lost. */
  | 'operator'
  /** The operator orders it of a client that has logged out. */
  | 'reset'
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
const GRACE: Verdict = { action: 'keep', grace: 'grace' }
const GRACE_CLOSED: Verdict = { action: 'keep', grace: 'grace-closed' }
const ENDLESS: Verdict = { action: 'keep', grace: 'unlimited' }
const DROP: Verdict = { action: 'drop', grace: 'none' }
const LOST: Verdict = { action: 'lost', grace: 'none' }

/** While the initiator has another normal session, and when it has none, by what ends the delta. */
type Row = readonly [others: Verdict, ...none: Verdict[]]
const COLUMN: Readonly<Record<Keeping, number>> = { logout: 1, boot: 2, manual: 3, kept: 4, author: 5 }

// oxfmt-ignore
const TABLE: Readonly<Record<DeltaEvent, Row>> = {
  //                      others  logout        boot          manual   kept     author
  logout:                [KEEP,   DROP,         GRACE,        ENDLESS, ENDLESS, ENDLESS],
  'logout-on-request':   [KEEP,   GRACE,        GRACE,        ENDLESS, ENDLESS, ENDLESS],
  'logout-for-recovery': [KEEP,   GRACE,        GRACE,        ENDLESS, ENDLESS, ENDLESS],
  closed:                [KEEP,   GRACE_CLOSED, GRACE_CLOSED, ENDLESS, ENDLESS, ENDLESS],
  lost:                  [KEEP,   GRACE,        GRACE,        ENDLESS, ENDLESS, ENDLESS],
  reinstated:            [KEEP,   GRACE,        GRACE,        ENDLESS, ENDLESS, ENDLESS],
  stopped:               [KEEP,   GRACE,        GRACE,        ENDLESS, ENDLESS, ENDLESS],
  'unit-stopped':        [KEEP,   KEEP,         KEEP,         KEEP,    KEEP,    KEEP],
  booted:                [KEEP,   KEEP,         DROP,         KEEP,    KEEP,    KEEP],
  marked:                [KEEP,   DROP,         DROP,         DROP,    KEEP,    KEEP],
  login:                 [KEEP,   KEEP,         KEEP,         KEEP,    KEEP,    KEEP],
  'server-started':      [KEEP,   GRACE,        GRACE,        ENDLESS, ENDLESS, ENDLESS],
  'grace-over':          [KEEP,   LOST,         LOST,         ENDLESS, ENDLESS, ENDLESS],
  expired:               [KEEP,   DROP,         DROP,         ENDLESS, ENDLESS, ENDLESS],
  operator:              [LOST,   LOST,         LOST,         LOST,    KEEP,    KEEP],
  reset:                 [KEEP,   DROP,         DROP,         DROP,    KEEP,    KEEP],
  'author-discards':     [LOST,   LOST,         LOST,         LOST,    KEEP,    KEEP],
  'base-changed':        [LOST,   LOST,         LOST,         LOST,    LOST,    LOST],
  unreadable:            [LOST,   LOST,         LOST,         LOST,    LOST,    LOST],
  removed:               [LOST,   LOST,         LOST,         LOST,    LOST,    LOST]
}

/**
 * @param sessionsLeft - normal sessions of the initiator at this target after the event, or before a login; discovery
 *   never counts
 */
export function restorePolicy(event: DeltaEvent, sessionsLeft: number, keeping: Keeping = 'logout'): Verdict {
  return TABLE[event][sessionsLeft > 0 ? 0 : COLUMN[keeping]]!
}

/** The client has let go of what went so, or had booted since: it can have it back without a new identity. */
export function isUndoable(event: DeltaEvent): boolean {
  return event !== 'expired' && TABLE[event].some(({ action }) => action === 'drop')
}

/** What is known at a login. */
export interface LoginCase {
  readonly isid: string
  /** Of the session before; undefined when there was none. */
  readonly lastIsid: string | undefined
  /** Since the last login of iPXE that was taken for a boot; undefined when there was none. */
  readonly sinceBootMs: number | undefined
  /** The last session ended by the client's own logout. */
  readonly letGo: boolean
  /** The operator wants the disk restored at the next login that allows it. */
  readonly marked: boolean
  /** An undo gave the delta back for this boot. */
  readonly spared: boolean
}

/**
 * iPXE that opens its disk again after an error draws a new ISID, as it does at a boot. A PC takes longer from one to
 * the next, except one that is switched off and on at once, which has written nothing to speak of.
 */
export const SAME_BOOT_MS = 60_000

/** What a login is for the restore policy. */
export function loginEvent(login: LoginCase): 'booted' | 'marked' | 'login' {
  const boots = isBoot(login)
  if (login.marked && (boots || login.letGo)) return 'marked'
  return boots && !login.spared ? 'booted' : 'login'
}

/** @returns true when a PC that boots is the only one who logs in so */
export function isBoot({ isid, lastIsid, sinceBootMs }: LoginCase): boolean {
  if (!isIpxe(isid) || isid === lastIsid) return false
  // Between two boots the system logs in, under an ISID of its own.
  const again = lastIsid !== undefined && isIpxe(lastIsid)
  return !(again && sinceBootMs !== undefined && sinceBootMs >= 0 && sinceBootMs < SAME_BOOT_MS)
}
