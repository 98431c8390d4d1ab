import type { AuditEntry } from '../audit-log.js'
import type { LeasedBudget } from '../../volume/delta/budget.js'
import type { InitiatorKey } from '../owner.js'
import type { ImageTogether } from './image-turns.js'

/** The part of a server that a worker has: some of the initiators, with everything that belongs to them alone. */
export interface Share {
  readonly workerCount: number
  /** From 0. */
  readonly index: number
  owns(key: InitiatorKey): boolean
  /** How long a server has listened over this state directory when the worker began, in milliseconds. */
  listenedMs(statePath: string): number
  /** Resolves when it is noted on disk; see `StateRoot.raiseIncarnationFloor`. */
  raiseIncarnationFloor(statePath: string, incarnation: number): Promise<void>
  /** Resolves when it is noted; see `AuditLog`. */
  noteAudit(statePath: string, entry: AuditEntry): Promise<void>
  /** What it may use of the total of a state directory, when there is one; the state directories put theirs in. */
  readonly leased: Map<string, LeasedBudget>
  /** Images that other workers have open as well. */
  readonly together: ImageTogether
  /** Whether this worker does what concerns an image as a whole: one of those that have it does. */
  keeps(targetName: string): boolean
  /** Asks for more of it; resolves when all have been given theirs anew. */
  askForRoom(statePath: string, bytes: number): Promise<void>
}
