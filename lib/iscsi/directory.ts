import type { Nexus } from '../scsi/nexus.js'

/**
 * What the protocol asks of the place that knows targets, secrets, access lists and disks. lib/target implements it;
 * with worker processes the implementation may live in another process than the session. The synchronous questions
 * are answered from memory, because the login state machine has no socket and waits for nothing.
 */
export interface Directory {
  /** Does a target of this (normalised) name exist? */
  hasTarget(targetName: string): boolean
  /** May this initiator use it at all (access list, address rules)? Not yet authenticated. */
  mayAccess(request: AccessRequest): boolean
  /** Why {@link mayAccess} said no, for the log alone; the initiator gets a status. */
  refusal(request: AccessRequest): string
  /** The CHAP rules for this login. */
  chap(request: AccessRequest): ChapPolicy
  /** Names of the targets that this initiator may see, in a stable order (SendTargets=All). */
  visibleTargets(request: AccessRequest): readonly string[]
  /** The address that SendTargets names, `host:port` with IPv6 in brackets, for a client that reached `localAddress`. */
  advertisedAddress(localAddress: string, localPort: number): string
  readonly targetPortalGroupTag: number
  /** A name for people (RFC 7143 §13.7), or undefined when the target has none. */
  targetAlias(targetName: string): string | undefined

  /**
   * Opens the nexus of a login that is complete and authenticated: finds or makes the initiator's units. Throws
   * LoginError to refuse.
   */
  openNexus(request: NexusRequest): Promise<Nexus>
  /**
   * The session of a nexus has ended and none of its tasks touches a file any more. Resolves when what the policy says
   * has been done as far as the Logout Response has to wait for it (the delta is in the bin).
   */
  closeNexus(nexus: Nexus, end: SessionEnd): Promise<void>
}

export interface AccessRequest {
  /** Normalised iSCSI name. */
  readonly initiatorName: string
  /** Normalised; undefined in a discovery session. */
  readonly targetName: string | undefined
  /** Without IPv4-mapped prefix and without port. */
  readonly remoteAddress: string
}

export interface ChapPolicy {
  /** False allows AuthMethod=None. */
  readonly required: boolean
  /** True when there is any secret that CHAP could be done with. */
  readonly available: boolean
  /** The secret that the initiator must prove to know under this CHAP_N, or undefined for an unknown user. */
  initiatorSecret(chapName: string): Buffer | undefined
  /** What the target proves when the initiator asks it to (mutual CHAP). */
  readonly mutual: { readonly chapName: string; readonly secret: Buffer } | undefined
}

export interface NexusRequest extends AccessRequest {
  readonly targetName: string
  /** 6 bytes in hex. */
  readonly isid: string
  readonly initiatorAlias: string | undefined
  /** The CHAP name that was proved, or undefined without CHAP. */
  readonly chapName: string | undefined
  readonly localAddress: string
}

/** Why a session ended: the event that the restore policy judges. */
export type SessionEnd =
  /** Logout "close session" (or "close connection" on its only connection) that the initiator wanted itself. */
  | { readonly kind: 'logout'; readonly reason: number }
  /** Logout that answers our own Async logout request. */
  | { readonly kind: 'logout-on-request'; readonly reason: number }
  /** The peer closed the connection with FIN. */
  | { readonly kind: 'closed' }
  /** Reset, silence, time-out, protocol error: `cause` for the log. */
  | { readonly kind: 'lost'; readonly cause: string }
  /** Another login with the same name and ISID took its place. */
  | { readonly kind: 'reinstated' }
  /** We stop, or the operator disconnected it. */
  | { readonly kind: 'stopped' }
