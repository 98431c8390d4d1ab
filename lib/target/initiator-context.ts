import type { LogicalUnit } from '../scsi/logical-unit.js'
import type { Clock } from '../util/clock.js'
import type { Logger } from '../util/log.js'
import type { BackgroundFlusher } from './background-flusher.js'
import type { Bin } from './bin.js'
import type { OpenDeltaDisk } from './delta-disk.js'
import type { Image } from './images.js'
import type { ListeningTime } from './listening-time.js'
import type { Keeping, Policy, RestoreOn, UnitPolicy } from './policy.js'
import type { Space } from './space.js'
import type { StateDirectory } from './state-directory.js'

/** One LUN of a target, as each of its initiators gets it. */
export interface UnitSource {
  readonly lun: number
  readonly image: Image
  readonly partition: number | undefined
  readonly readOnly: boolean
  readonly blockSize: number
  /** Each write is on the medium before it is answered. */
  readonly writeThrough: boolean
  readonly removable: boolean
  /** UNMAP works. */
  readonly thin: boolean
  readonly maySanitize: boolean
  /** Each initiator has a disk here that is kept. */
  readonly personal: boolean
  readonly restoreOn: RestoreOn
  /** The unit of all initiators; undefined where each has its own. */
  readonly shared: LogicalUnit | undefined
}

/** What an initiator needs of the place that it lives in. */
export interface InitiatorContext {
  readonly sources: readonly UnitSource[]
  /** What becomes of the writes of this initiator. */
  readonly policyOf: (initiatorName: string, lun?: number) => Policy
  /** What ends the delta of one LUN of this initiator. */
  readonly keepingOf: (initiatorName: string, unit: UnitPolicy) => Keeping
  /** Some initiator of the target may publish what it writes. */
  readonly mayPublish: () => boolean
  readonly targetPortalGroupTag: number
  readonly state: StateDirectory
  readonly bin: Bin
  readonly space: Space
  readonly listening: ListeningTime
  readonly clock: Clock
  readonly log: Logger
  readonly openDelta: OpenDeltaDisk
  readonly graceMs: number
  readonly graceClosedMs: number
  readonly deltaLimitBytes: number | undefined
  readonly chunkBytes: number
  /** What is written is encrypted, and its key destroyed when it is dropped. */
  readonly shred: boolean
  readonly flusher: BackgroundFlusher
  /** Names the boot of this machine; undefined = what the system says. */
  readonly bootId: Buffer | undefined
}

/** Whose writes go where: into a private delta, or (an author's) into the image. */
export type InitiatorRole = 'private' | 'author'
