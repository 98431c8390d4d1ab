import type { DeltaBudget } from '../volume/delta/budget.js'
import type { Volume } from '../volume/volume.js'

/** What a delta has been written over; a delta whose fingerprint differs from its base's is never attached. */
export interface BaseFingerprint {
  readonly uuid: string
  readonly generation: number
  /** Bytes. */
  readonly size: number
  readonly mtimeNs: bigint
  readonly inode: bigint
}

export interface DeltaDiskOptions {
  readonly base: Volume
  readonly fingerprint: BaseFingerprint
  readonly directory: string
  readonly targetName: string
  readonly initiatorName: string
  readonly lun: number
  readonly chapUser: string | undefined
  readonly incarnation: number
  readonly epoch: number
  readonly chunkBytes: number
  readonly budget: DeltaBudget
  /** Reached the soft threshold; called once, and again after the use had fallen below it. */
  readonly nearlyFull: () => void
}

/** One unit's private disk: a delta over its base, as {@link Initiator} uses it. */
export interface DeltaDisk {
  /** The client's view. Open. */
  readonly volume: Volume
  /** Something has been written in this epoch: there are files. */
  readonly stored: boolean
  /** Bytes stored for this unit now. */
  readonly bytesStored: number
  /**
   * Ends the epoch: its files are in `directory` when this resolves, and the disk reads as its base. Waits for requests
   * under way. The next epoch's number is the caller's to remember.
   */
  restore(directory: string): Promise<void>
  /** Keeps the files. */
  close(): Promise<void>
}

/** Opens what is there, or a new delta that makes its files at the first write. Throws DeltaError. */
export type OpenDeltaDisk = (options: DeltaDiskOptions) => Promise<DeltaDisk>
