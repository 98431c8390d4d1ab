import type { DeltaBudget } from '../volume/delta/budget.js'
import type { Changes } from '../volume/delta/changes.js'
import type { BaseFingerprint } from '../volume/delta/journal-format.js'
import type { Retry } from '../volume/layers/overlay.js'
import type { Volume } from '../volume/volume.js'

export type { BaseFingerprint, Retry }

export interface DeltaDiskOptions {
  readonly base: Volume
  readonly fingerprint: BaseFingerprint
  readonly directory: string
  /** What its files are called, without the epoch. */
  readonly name: string
  readonly targetName: string
  readonly initiatorName: string
  readonly lun: number
  readonly chapUser: string | undefined
  readonly incarnation: number
  /** A new delta's epoch is higher than this. */
  readonly epochAfter: number
  readonly chunkBytes: number
  readonly budget: DeltaBudget
  /** A new delta is encrypted with a key of its own. */
  readonly encrypt?: boolean
  /** 16 bytes that name the boot of this machine; its own when absent. */
  readonly bootId: Buffer | undefined
  /** Gives room back for journals when the file system is full; false when there is none. */
  readonly makeRoom?: () => boolean
  /** Awaited before the first write of an epoch makes the files. */
  readonly beforeCreate?: () => Promise<void>
  /** Reached the soft threshold; called once, and again after the use had fallen below it. */
  readonly nearlyFull: () => void
}

/** One unit's private disk: a delta over its base, as {@link Initiator} uses it. */
export interface DeltaDisk {
  /** The client's view. Open. */
  readonly volume: Volume
  /** Something has been written in this epoch: there are files. */
  readonly stored: boolean
  /** Number of the epoch, over all restores and losses. */
  readonly epoch: number
  /** What the delta's files say; that of the options when there were none. */
  readonly incarnation: number
  /** Files that a crash left over and nobody uses. */
  readonly leftovers: readonly string[]
  /** Bytes stored for this unit now. */
  readonly bytesStored: number
  /** What differs from the base now. */
  readonly changes: Changes
  /** What was written last may have been lost, in a power cut or in a sync that failed; until {@link wake}. */
  readonly suspect: boolean
  /** Something was written that no flush covers. */
  readonly dirty: boolean
  /** Why no flush will succeed any more until it is opened again. */
  readonly failure: Error | undefined
  /**
   * A session begins. It survives a power cut when this resolves that one may be writing.
   * @param incarnation - of the unit, which epochs to come carry
   */
  wake(incarnation: number): Promise<void>
  /** No session writes any more: flushes, and notes that a power cut takes nothing away from now on. */
  rest(): Promise<void>
  /** Puts what the client copied by the map alone into slots; no session is there. */
  settleCopies(): Promise<void>
  /**
   * Puts it over another generation that shows the same as its base, and may be larger, while its client works.
   * @param base - the view of it, open
   * @returns what to wait for, outside of the steps of its initiator, before it is tried again; undefined when it is done
   */
  exchangeBase(base: Volume, fingerprint: BaseFingerprint): Promise<Retry | undefined>
  /** Makes what was written survive a power cut. */
  flush(): Promise<void>
  /**
   * Ends the epoch: its files are in `directory` when this resolves, and the disk reads as its base. Waits for requests
   * under way. It begins a new epoch.
   */
  restore(directory: string): Promise<DroppedEpoch>
  /** Keeps the files. */
  close(): Promise<void>
}

export interface DroppedEpoch {
  /** Resolves when the drop survives a power cut. The next login of this initiator waits for it, its logout does not. */
  readonly durable: Promise<void>
}

/** Opens what is there, or a new delta that makes its files at the first write. Throws DeltaError. */
export type OpenDeltaDisk = (options: DeltaDiskOptions) => Promise<DeltaDisk>
