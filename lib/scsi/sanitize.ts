import { setTimeout as sleep } from 'node:timers/promises'
import { flushVolume, writeVolume, zeroVolume } from '../volume/promises.js'
import type { LogicalUnit } from './logical-unit.js'
import { PIECE_BYTES, ZERO_PIECE_BYTES, turn } from './pieces.js'
import { SANITIZE_FAILED, SANITIZE_IN_PROGRESS, type SenseCondition, type SenseDetail } from './sense.js'
import { TaskState } from './task.js'

/** The pace of an overwrite, in bytes a second: it has all the time in the world, and other clients want the disk. */
export const OVERWRITE_BYTES_PER_SECOND = 128 * 1024 * 1024
/** PROGRESS INDICATION counts in parts of this. */
const PROGRESS_WHOLE = 65_536

/** What every block is overwritten with. */
export interface Overwrite {
  /** One block. */
  readonly block: Buffer
  readonly passes: number
  /** Every other pass writes the inverse, so that the last one writes the block itself (SBC-3 §5.30.2). */
  readonly invert: boolean
}

/** Where it is noted that a sanitize operation has not ended well yet, so that no restart hides it. Durable behind each. */
export interface SanitizeNotes {
  /** The first block is changed behind it. */
  begun(mayExitFailure: boolean): Promise<void>
  ended(): Promise<void>
}

/** What a unit knows of a sanitize operation that runs or has failed. */
export interface SanitizeState {
  readonly failed: boolean
  readonly mayExitFailure: boolean
  /** What a command that cannot be answered now hears. */
  readonly condition: SenseCondition
  readonly detail: SenseDetail
  /** Resolves when it has ended, well or not, or was stopped. */
  readonly ended: Promise<void>
  /** The volume is about to be closed: nothing is written any more when this resolves. */
  stop(): Promise<void>
}

/** An operation of an earlier run of the server, which did not come to its end: the medium is wiped in part. */
export function interruptedSanitize(mayExitFailure: boolean): SanitizeState {
  const ended = Promise.resolve()
  return { failed: true, mayExitFailure, condition: SANITIZE_FAILED, detail: {}, ended, stop: () => ended }
}

export interface SanitizeOptions {
  readonly unit: LogicalUnit
  /** Left out, the medium is erased: afterwards all of it is deallocated and reads as zeroes. */
  readonly overwrite?: Overwrite | undefined
  /** AUSE: after a failure, EXIT FAILURE MODE may make the unit usable again. */
  readonly mayExitFailure: boolean
  readonly overwriteBytesPerSecond: number
}

/**
 * A sanitize operation (SBC-3 §4.11) of one unit. It belongs to no task: neither an abort nor a reset nor the loss of
 * the nexus that asked ends it. While it runs, and after it has failed, the unit answers few commands. It works in
 * pieces, so that other units and clients get their turn.
 */
export class Sanitize implements SanitizeState {
  failed = false
  readonly mayExitFailure: boolean
  readonly ended: Promise<void>
  private readonly unit: LogicalUnit
  private readonly overwrite: Overwrite | undefined
  private readonly bytesPerSecond: number
  private readonly totalBytes: number
  private doneBytes = 0
  private stopped = false

  constructor(options: SanitizeOptions) {
    this.unit = options.unit
    this.overwrite = options.overwrite
    this.mayExitFailure = options.mayExitFailure
    this.bytesPerSecond = options.overwriteBytesPerSecond
    this.totalBytes = this.unit.volume.size * (this.overwrite?.passes ?? 1)
    this.ended = this.run()
  }

  get condition(): SenseCondition {
    return this.failed ? SANITIZE_FAILED : SANITIZE_IN_PROGRESS
  }

  get detail(): SenseDetail {
    if (this.failed) return {}
    return { progress: Math.floor((this.doneBytes / Math.max(this.totalBytes, 1)) * PROGRESS_WHOLE) }
  }

  stop(): Promise<void> {
    this.stopped = true
    return this.ended
  }

  private async run(): Promise<void> {
    try {
      await this.othersLeft()
      await this.unit.sanitizeNotes?.begun(this.mayExitFailure)
      if (this.overwrite) await this.overwriteAll(this.overwrite)
      else await this.eraseAll()
      if (this.stopped) return
      await flushVolume(this.unit.volume)
      await this.unit.sanitizeNotes?.ended()
    } catch (error) {
      this.failed = true
      this.unit.sanitizeFailed(error)
    }
  }

  /** Commands that run already end first; blocked ones are refused when their turn comes. */
  private othersLeft(): Promise<void> {
    const { taskSet } = this.unit
    const running = taskSet.tasks.filter((task) => task.state !== TaskState.Blocked && task.scratch !== SANITIZE_TASK)
    return new Promise((resolve) => taskSet.whenLeft(running, resolve))
  }

  private async eraseAll(): Promise<void> {
    const { volume } = this.unit
    for (let at = 0; at < volume.size && !this.stopped; at += ZERO_PIECE_BYTES) {
      const length = Math.min(ZERO_PIECE_BYTES, volume.size - at)
      await zeroVolume(volume, at, length, true)
      this.doneBytes += length
      await turn()
    }
  }

  private async overwriteAll({ block, passes, invert }: Overwrite): Promise<void> {
    const begun = performance.now()
    for (let pass = 1; pass <= passes; pass++) {
      const inverse = invert && (passes - pass) % 2 === 1
      await this.overwriteOnce(inverse ? inverted(block) : block, begun)
    }
  }

  private async overwriteOnce(block: Buffer, begun: number): Promise<void> {
    const { volume, storesDelta } = this.unit
    const piece = Buffer.alloc(PIECE_BYTES, block)
    // Zeroes in a delta are a matter of its map; on a medium proper they are written like any other pattern.
    const asZeroes = storesDelta && block.equals(Buffer.alloc(block.length))
    for (let at = 0; at < volume.size && !this.stopped; at += PIECE_BYTES) {
      const length = Math.min(PIECE_BYTES, volume.size - at)
      if (asZeroes) await zeroVolume(volume, at, length, false)
      else await writeVolume(volume, piece.subarray(0, length), at)
      this.doneBytes += length
      await this.keepPace(begun)
    }
  }

  private async keepPace(begun: number): Promise<void> {
    const aheadMs = (this.doneBytes / this.bytesPerSecond) * 1000 - (performance.now() - begun)
    if (aheadMs >= 1) await sleep(aheadMs)
    else await turn()
  }
}

/** `scratch` of the task that asked for the operation, which does not wait for itself. */
export const SANITIZE_TASK = Symbol('sanitize')

function inverted(block: Buffer): Buffer {
  return Buffer.from(block.map((byte) => ~byte & 0xff))
}
