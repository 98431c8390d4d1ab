import { systemClock, type Clock } from '../util/clock.js'
import type { Volume } from '../volume/volume.js'
import { BackgroundFlush } from './background-flush.js'
import type { Nexus, NexusUnit } from './nexus.js'
import type { ReservationStore } from './reservation-store.js'
import { Reservations } from './reservations.js'
import { RemovableMedium } from './removable-medium.js'
import { RodTokens } from './rod-tokens.js'
import {
  OVERWRITE_BYTES_PER_SECOND,
  Sanitize,
  interruptedSanitize,
  type SanitizeNotes,
  type SanitizeOptions,
  type SanitizeState
} from './sanitize.js'
import {
  CAPACITY_CHANGED,
  MEDIUM_MAY_HAVE_CHANGED,
  MEDIUM_NOT_PRESENT,
  type SenseCondition,
  type SenseDetail
} from './sense.js'
import type { Task } from './task.js'
import { TaskSet } from './task-set.js'

/** How a unit names itself; all of it ASCII, see lib/target for how it is made. */
export interface UnitIdentity {
  /** T10 vendor identification, at most 8 characters. */
  readonly vendor: string
  /** Product identification, at most 16. */
  readonly product: string
  /** Product revision level, at most 4. */
  readonly revision: string
  /** VPD page 80h. */
  readonly serial: string
  /** NAA designator of VPD page 83h, 16 bytes (NAA 6h). */
  readonly naa: Buffer
  /** SCSI name string designator of VPD page 83h, e.g. `iqn.…:disk,L,0x…` or `naa.6…`. */
  readonly scsiName: string
}

/** Space of a thin unit, for the soft threshold and LOG SENSE 0Ch. All in bytes. */
export interface Provisioning {
  /** Stored for this unit now. */
  readonly usedBytes: number
  /** What it may store in all. */
  readonly limitBytes: number
  /** Where the soft threshold lies. */
  readonly thresholdBytes: number
}

/** What MODE SELECT can change, as it is after power on. */
export interface Modes {
  writeCacheEnabled: boolean
  descriptorSense: boolean
  softwareWriteProtect: boolean
}

export const DEFAULT_MODES: Readonly<Modes> = {
  writeCacheEnabled: true,
  descriptorSense: false,
  softwareWriteProtect: false
}

const DEFAULT_ALLOCATION_BYTES = 4096

/** Hears what is read. */
export interface ReadWatch {
  /** Data path: bytes from a byte offset. */
  note(offset: number, length: number): void
}

export interface LogicalUnitOptions {
  readonly lun: number
  readonly volume: Volume
  /** Bytes a logical block: 512 or 4096. */
  readonly blockSize: number
  /** Bytes a physical block, at least the logical one. */
  readonly physicalBlockSize: number
  readonly identity: UnitIdentity
  readonly readOnly: boolean
  /** UNMAP works and the capacity is thin. */
  readonly thin: boolean
  /** The medium can be ejected (RMB); default false. */
  readonly removable?: boolean
  /** SANITIZE may be used; default false. */
  readonly maySanitize?: boolean
  readonly sanitizeNotes?: SanitizeNotes | undefined
  /** A sanitize operation of an earlier run did not end well: the unit is as it is behind one that failed. */
  readonly sanitizeInterrupted?: { readonly mayExitFailure: boolean } | undefined
  /** Of SANITIZE, OVERWRITE; specs have no time. */
  readonly overwriteBytesPerSecond?: number
  /** Every write is durable before its status, and MODE SELECT cannot change that; default false. */
  readonly writeThrough?: boolean
  /** A write of {@link Volume.writeAtomic} is there as a whole or not at all; default false. */
  readonly atomicWrites?: boolean
  /** Keeps persistent reservations over a loss of power (APTPL). */
  readonly reservationStore?: ReservationStore
  /** Bytes in which a thin unit stores and frees space, at least a block; default 4096. Said in VPD page B0h. */
  readonly allocationBytes?: number
  /** Of tokens that expire. */
  readonly clock?: Clock
  /** Called at most once a second with errors of the volume, for the log. */
  readonly onVolumeError?: (error: unknown, task?: Task) => void
  readonly provisioning?: () => Provisioning
  /** A client sent START STOP UNIT: for the log, which shows what systems do at sleep and at shutdown. */
  readonly onStartStop?: (start: boolean, task: Task) => void
}

/** A logical unit (SAM-5 §4.6.19): identity, mode state and one volume. Owned by its initiator unless it is shared. */
export class LogicalUnit implements Modes {
  readonly lun: number
  /** Changed by {@link enlarge} alone, like {@link blockCount}. */
  volume: Volume
  readonly blockSize: number
  blockCount: number
  readonly physicalBlockSize: number
  readonly readOnly: boolean
  readonly thin: boolean
  readonly allocationBytes: number
  readonly medium: RemovableMedium | undefined
  readonly maySanitize: boolean
  readonly atomicWrites: boolean
  /** What {@link reset} goes back to. */
  readonly defaultModes: Readonly<Modes>
  /** The sanitize operation that runs, or that has failed. */
  sanitize: SanitizeState | undefined
  readonly sanitizeNotes: SanitizeNotes | undefined
  identity: UnitIdentity
  readonly taskSet = new TaskSet()
  /**
   * Commits of the volume that failed. Each has undone every write before it that was not committed, whichever nexus
   * and turn it came from, so a write is only good if this has not changed since it began.
   */
  failedCommits = 0
  /** Why the last of them failed. */
  commitFailure: Error | undefined
  readonly reservations: Reservations
  /** The tokens that stand for data of this unit. */
  readonly tokens: RodTokens
  /** Flushes that SYNCHRONIZE CACHE with IMMED has answered already. */
  readonly backgroundFlush: BackgroundFlush
  /** Set while somebody wants to know which places clients read. */
  firstReads: ReadWatch | undefined
  /** Mode page 08h, WCE: false makes every write durable before its status (the commands see to it). */
  writeCacheEnabled: boolean
  /** Mode page 0Ah, D_SENSE. */
  descriptorSense = DEFAULT_MODES.descriptorSense
  /** Mode page 0Ah, SWP: set by MODE SELECT. */
  softwareWriteProtect = DEFAULT_MODES.softwareWriteProtect
  readonly provisioning: (() => Provisioning) | undefined
  /** The nexuses that see this unit now. */
  private readonly attached = new Set<NexusUnit>()
  private readonly onVolumeError: LogicalUnitOptions['onVolumeError']
  private readonly onStartStop: LogicalUnitOptions['onStartStop']
  private readonly overwriteBytesPerSecond: number

  constructor(options: LogicalUnitOptions) {
    this.lun = options.lun
    this.volume = options.volume
    this.blockSize = options.blockSize
    this.blockCount = Math.floor(options.volume.size / options.blockSize)
    this.physicalBlockSize = options.physicalBlockSize
    this.identity = options.identity
    this.readOnly = options.readOnly
    this.thin = options.thin
    this.allocationBytes = Math.max(options.allocationBytes ?? DEFAULT_ALLOCATION_BYTES, options.blockSize)
    this.medium = options.removable === true ? new RemovableMedium() : undefined
    this.maySanitize = options.maySanitize ?? false
    this.overwriteBytesPerSecond = options.overwriteBytesPerSecond ?? OVERWRITE_BYTES_PER_SECOND
    this.sanitizeNotes = options.sanitizeNotes
    const { sanitizeInterrupted } = options
    if (sanitizeInterrupted) this.sanitize = interruptedSanitize(sanitizeInterrupted.mayExitFailure)
    this.atomicWrites = options.atomicWrites ?? false
    this.defaultModes = { ...DEFAULT_MODES, writeCacheEnabled: options.writeThrough !== true }
    this.writeCacheEnabled = this.defaultModes.writeCacheEnabled
    this.reservations = new Reservations(
      (nexusId, attention) => this.establishFor(nexusId, attention),
      options.reservationStore
    )
    this.tokens = new RodTokens(this, options.clock ?? systemClock)
    this.watchVolume()
    this.provisioning = options.provisioning
    this.onVolumeError = options.onVolumeError
    this.onStartStop = options.onStartStop
    this.backgroundFlush = new BackgroundFlush(this)
  }

  /** A nexus begins to see the unit. */
  attach(entry: NexusUnit): void {
    this.attached.add(entry)
  }

  /** A nexus has ended (SAM-5 §6.3.4). Harmless when called twice. */
  detach(entry: NexusUnit): void {
    if (!this.attached.delete(entry)) return
    this.reservations.nexusLost(entry.nexus)
    this.tokens.nexusEnded(entry.nexus)
    this.medium?.allow(entry.nexus)
  }

  /** Establishes a unit attention for every nexus of the unit, but not for `except`. */
  establish(attention: SenseCondition, except?: Nexus): void {
    for (const entry of this.attached) if (entry.nexus !== except) entry.establish(attention)
  }

  /** Establishes a unit attention for the nexus of that name, if it is there now. */
  establishFor(nexusId: string, attention: SenseCondition): void {
    for (const entry of this.attached) if (entry.nexus.id === nexusId) entry.establish(attention)
  }

  /**
   * The medium has become larger; what it held is where it was. Initiators that see it hear of that (SBC-3 §4.10), and
   * commands that are under way go on with what they know.
   * @param volume - the same, or another one that shows the same up to its end
   */
  enlarge(volume: Volume): void {
    this.volume = volume
    this.watchVolume()
    const blockCount = Math.floor(volume.size / this.blockSize)
    if (blockCount === this.blockCount) return
    this.blockCount = blockCount
    this.establish(CAPACITY_CHANGED)
  }

  /** A volume that was exchanged is still heard: commands that are under way may write to it. */
  private watchVolume(): void {
    this.volume.onChange = (offset, length) => this.tokens.changed(offset, length)
  }

  /**
   * Logical unit reset (SAM-5 §6.3.3), apart from its tasks: SPC-2 reservations and tokens fall, mode pages as at the
   * start.
   */
  reset(): void {
    this.reservations.reset()
    this.tokens.cancelAll()
    this.medium?.reset()
    Object.assign(this, this.defaultModes)
  }

  /** True when [lba, lba + blocks) lies on the medium. Inexact 64-bit numbers are beyond it anyway. */
  covers(lba: number, blocks: number): boolean {
    return lba + blocks <= this.blockCount
  }

  get writeProtected(): boolean {
    return this.readOnly || this.softwareWriteProtect
  }

  /** Writes go to a private delta. */
  get storesDelta(): boolean {
    return this.provisioning !== undefined
  }

  /** Why the medium cannot be used now. */
  get notReady(): SenseCondition | undefined {
    if (this.sanitize) return this.sanitize.condition
    return this.medium?.present === false ? MEDIUM_NOT_PRESENT : undefined
  }

  get notReadyDetail(): SenseDetail | undefined {
    return this.sanitize?.detail
  }

  /** The medium goes out, or in again; the others hear that it came (SPC-4 §5.14). */
  setMediumPresent(present: boolean, nexus: Nexus): void {
    if (!this.medium || this.medium.present === present) return
    this.medium.present = present
    if (present) this.establish(MEDIUM_MAY_HAVE_CHANGED, nexus)
  }

  /** Begins a sanitize operation; until it ends well the unit is not ready. */
  startSanitize(options: Pick<SanitizeOptions, 'overwrite' | 'mayExitFailure'>): Sanitize {
    const { overwriteBytesPerSecond } = this
    const operation = new Sanitize({ ...options, unit: this, overwriteBytesPerSecond })
    this.sanitize = operation
    void operation.ended.then(() => {
      if (this.sanitize === operation && !operation.failed) this.sanitize = undefined
    })
    return operation
  }

  async exitSanitizeFailure(): Promise<void> {
    await this.sanitizeNotes?.ended()
    this.sanitize = undefined
  }

  sanitizeFailed(error: unknown): void {
    this.onVolumeError?.(error)
  }

  /** Ends what works on the volume by itself. Nobody does when this resolves, so that it can be closed. */
  async end(): Promise<void> {
    await this.sanitize?.stop()
    this.sanitize = undefined
  }

  commitFailed(error: Error): void {
    this.failedCommits++
    this.commitFailure = error
    this.tokens.cancelAll()
  }

  startStop(start: boolean, task: Task): void {
    this.onStartStop?.(start, task)
  }

  volumeFailed(error: unknown, task: Task): void {
    this.onVolumeError?.(error, task)
  }
}
