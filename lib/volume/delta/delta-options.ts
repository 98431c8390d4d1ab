import type { Adaptive } from '../adaptive.js'
import type { DeltaBudget } from './budget.js'
import type { DeltaPaths } from './files.js'
import type { PunchHole } from './hole-puncher.js'
import type { BaseFingerprint, DeltaOwner } from './journal-format.js'
import type { Replay } from './replay.js'

export interface DeltaOptions {
  /** Exists already, and nobody but this server may look into it. */
  readonly directory: string
  /** What the files are called, without the epoch. */
  readonly name: string
  readonly base: BaseFingerprint
  readonly owner: DeltaOwner
  readonly incarnation: number
  /** Of a new delta, in bytes: a power of two from 4 KiB to 1 MiB. One that exists keeps its own. */
  readonly chunkSize?: number
  /** The epoch of a new delta is higher than this and than every one that lies in the directory. */
  readonly epochAfter?: number
  readonly budget?: DeltaBudget
  /** Awaited before files are made: who must remember that there is a delta does so before there is one. */
  readonly beforeCreate?: (() => Promise<void>) | undefined
  /** A new delta is encrypted with a key of its own. One that exists stays as it is. */
  readonly encrypt?: boolean
  /** Gives room back for the journal when the file system is full; false when there is none. */
  readonly makeRoom?: (() => boolean) | undefined
  /** 16 bytes that name the boot of this machine. */
  readonly bootId?: Buffer
  /**
   * Makes what decides which access to the slot file may be synchronous.
   * @param stalls - the file lies where an access may take seconds
   */
  readonly adaptive?: (stalls: boolean) => Adaptive
  /** Bytes of journal below which it is never written anew. */
  readonly compactionBytesMin?: number
  /** Gives the space of free slots back; what the system has for it when left out. */
  readonly punch?: PunchHole
  /** The least that is given back: a power of two of chunks, 16 at most. */
  readonly punchBytesMin?: number
  /** From the flush that frees a slot on. */
  readonly punchDelayMs?: number
}

/** What was found when a delta was opened. */
export interface DeltaReport {
  /** Undefined when there was none. */
  readonly replay: Replay | undefined
  /** The incarnation that the delta carries; that of the options when there was none. */
  readonly incarnation: number
  /** Files that a crash left behind; no delta uses them. */
  readonly leftovers: readonly string[]
}

/** Where the files of a dropped epoch are now; what is not there was never made. */
export interface RetiredDelta extends DeltaPaths {
  /** Bytes of client data that were dropped with it. */
  readonly bytesStored: number
}
