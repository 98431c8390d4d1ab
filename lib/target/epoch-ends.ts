import { messageOf } from '../util/errors.js'
import { formatSize } from '../util/units.js'
import type { BinPlace, BinSource } from './bin.js'
import type { InitiatorContext } from './initiator-context.js'
import type { InitiatorRecord, UnitRecord } from './initiator-record.js'
import type { InitiatorState } from './initiator-state.js'
import type { DeltaEvent } from './restore-policy.js'
import { undoHint } from './undo-hint.js'

/** An epoch that ends. */
interface Ending {
  readonly unit: UnitRecord
  readonly epoch: number
  /** Stored bytes, as far as known. */
  readonly bytes: number
  /** Under which it was written. */
  readonly incarnation: number
  /** After a loss: what the unit is from now on. */
  readonly renewed?: Pick<UnitRecord, 'incarnation' | 'fence' | 'reservations'>
}

/** What a drop took away. */
export interface Discarded {
  readonly bytes: number
  readonly tookMs: number
}

/**
 * The ends of epochs: drop, and loss.
 *
 * The record ends an epoch, in one rename; its files follow. Whatever comes in between (the death of the process, a
 * full disk, files that somebody took away), the files of an ended epoch are never attached again, and a drop is
 * never taken for a loss, nor a loss for nothing at all.
 */
export class EpochEnds {
  /** Files of an ended epoch could not be put aside yet; only the record keeps them away from the next session. */
  littered = false
  /** Restores that a power cut could still undo. */
  private durable: Promise<void> = Promise.resolve()

  private readonly context: InitiatorContext
  private readonly record: InitiatorRecord

  constructor(private readonly state: InitiatorState) {
    this.context = state.context
    this.record = state.record
  }

  /**
   * Restore of a disk that its client has let go of: a new epoch under the same identity.
   * @returns false if neither the record nor all files could be written, so that nothing tells of the end
   */
  async drop(event: DeltaEvent, units: readonly UnitRecord[]): Promise<boolean> {
    const start = this.context.clock.monotonic()
    const ended = await this.endings(units)
    const restore = this.context.bin.nextRestore()
    // Places in the bin that stay empty are removed at the next start.
    const places = ended.map((ending) => this.placeFor(ending, event, restore))
    for (const place of places) place?.catch(() => undefined)
    // The death of the process is survived at once; the power cut is waited for behind the response.
    const noted = await this.saveEnded(ended, false).catch((error: unknown) => this.reportUnsaved(error))
    let bytes = 0
    const stuck: Ending[] = []
    for (const [index, ending] of ended.entries()) {
      try {
        await this.putAside(ending, event, restore, places[index])
        bytes += ending.bytes
      } catch (error) {
        this.reportStuck(ending.unit, error)
        stuck.push(ending)
      }
    }
    if (stuck.length > 0) await this.abandon(stuck)
    const tookMs = this.context.clock.monotonic() - start
    if (bytes > 0) {
      this.context.log.info(
        `${this.record.initiatorName} restored at ${this.record.targetName}: ${formatSize(bytes)} dropped in ${tookMs.toFixed(1)} ms` +
          this.undoHint()
      )
    }
    return stuck.length === 0 || noted
  }

  /** The deltas are gone without their client's logout: whoever may hold a cache of them must notice. */
  async lose(event: DeltaEvent, units: readonly UnitRecord[]): Promise<Discarded> {
    const start = this.context.clock.monotonic()
    await this.state.closeUnits()
    const lost = await this.endings(units)
    const bytes = lost.reduce((sum, ending) => sum + ending.bytes, 0)
    await this.forsake(lost, event)
    const tookMs = this.context.clock.monotonic() - start
    if (lost.length > 0) {
      this.context.log.warn(
        `${this.record.initiatorName} lost its delta at ${this.record.targetName} (${LOSSES[event] ?? event}): ` +
          `${formatSize(bytes)} put aside; it gets a new disk identity`
      )
    }
    return { bytes, tookMs }
  }

  /**
   * Resolves when no power cut can undo a restore any more. Until then it is the record of a login that keeps what comes
   * back away from its client; without that record nobody may be let in before. Fails once when that cannot be had.
   */
  async settleRestores(): Promise<void> {
    const { durable } = this
    try {
      await durable
    } finally {
      if (this.durable === durable) this.durable = Promise.resolve()
    }
  }

  /** Ends epochs under a new incarnation. When that cannot be noted nothing has changed. */
  private async forsake(lost: readonly Ending[], event: DeltaEvent): Promise<void> {
    if (lost.length === 0) return
    const renewed = lost.map((ending) => ({ ...ending, renewed: this.renewed(ending.unit) }))
    await this.saveEnded(renewed, true)
    for (const { unit, epoch, renewed: changes } of renewed) {
      Object.assign(unit, changes, afterEnd(epoch))
    }
    const restore = this.context.bin.nextRestore()
    for (const ending of lost) {
      await this.putAside(ending, event, restore).catch((error: unknown) => this.reportStuck(ending.unit, error))
    }
  }

  private endings(units: readonly UnitRecord[]): Promise<Ending[]> {
    return Promise.all(units.map((unit) => this.ending(unit)))
  }

  private async ending(unit: UnitRecord): Promise<Ending> {
    const delta = this.state.deltaOf(unit)
    const epoch = Math.max(unit.epoch, delta?.epoch ?? (await this.state.listFiles(unit.lun)).epochMax)
    return {
      unit,
      epoch,
      bytes: delta?.bytesStored ?? this.state.resting.get(unit) ?? 0,
      incarnation: unit.incarnation
    }
  }

  /** One delta is gone, at a login or at the start of the server; it is not open. */
  async loseUnit(unit: UnitRecord, event: DeltaEvent, why: string): Promise<void> {
    await this.forsake([await this.ending(unit)], event)
    this.context.log.error(
      `${this.record.initiatorName} lost its delta of LUN ${unit.lun} at ${this.record.targetName} ` +
        `(${LOSSES[event] ?? event}): ${why}; what is left lies in ${this.context.state.binPath}`
    )
  }

  /**
   * The newest writes of a delta may be missing, and no file system on it can know. So its content is kept, and its
   * client is treated as after a loss: it must not write on from its cache.
   */
  async keepSuspect(unit: UnitRecord, contentIncarnation: number): Promise<void> {
    Object.assign(unit, this.renewed(unit), { contentIncarnation })
    await this.state.save()
    this.context.log.warn(
      `${this.record.initiatorName}: the delta of LUN ${unit.lun} at ${this.record.targetName} has been through a power ` +
        'cut or a failed flush during a session: all that was flushed is there, newer writes may be missing; the content ' +
        'is kept and the disk gets a new identity, so that the client looks at it anew'
    )
  }

  /** Holds what is on disk against what is remembered. */
  async compareFiles(unit: UnitRecord): Promise<void> {
    const { epoch } = await this.state.listFiles(unit.lun)
    const stored = epoch !== undefined && epoch > unit.epoch
    if (unit.stored && !stored && this.becameGeneration(unit)) return
    if (unit.stored && !stored) await this.loseUnit(unit, 'removed', 'its files are gone')
    // An epoch that has ended came back: somebody copied it, or a power cut undid the move to the bin.
    else if (epoch !== undefined && !stored) await this.clearAway(unit, 'removed')
    unit.stored = stored
  }

  /** A crash came between the publish of a delta and the note of it here. */
  private becameGeneration(unit: UnitRecord): boolean {
    const { image } = this.context.sources.find(({ lun }) => lun === unit.lun) ?? {}
    const epoch = image?.generations.wasPublished({ ...this.state.names, lun: unit.lun, epoch: unit.epoch })
    if (epoch === undefined) return false
    Object.assign(unit, afterEnd(epoch))
    return true
  }

  /** Puts away what a crash or an error left of epochs that have ended. */
  async sweep(): Promise<void> {
    this.littered = false
    for (const unit of this.record.units) {
      await this.clearAway(unit, 'logout').catch((error: unknown) => {
        this.littered = true
        this.reportStuck(unit, error)
      })
    }
  }

  /** What lies in the directory belongs to no epoch that counts. Throws when it cannot be put aside. */
  private async clearAway(unit: UnitRecord, reason: DeltaEvent): Promise<void> {
    await this.putAside(await this.ending(unit), reason, 0)
  }

  /** Epochs have ended whose files are where they were: nobody shall read them, and the next login tries again. */
  private async abandon(stuck: readonly Ending[]): Promise<void> {
    await this.state.closeUnits()
    for (const { unit, epoch } of stuck) {
      this.state.wake(unit)
      Object.assign(unit, afterEnd(epoch))
    }
    this.littered = true
  }

  /** Moves the files of an epoch that has ended into the bin; a unit that is open reads as its base afterwards. */
  private async putAside(
    ending: Ending,
    reason: DeltaEvent,
    restore: number,
    prepared = this.placeFor(ending, reason, restore)
  ): Promise<void> {
    const { unit, epoch } = ending
    const delta = this.state.deltaOf(unit)
    if (delta && prepared) {
      const place = await prepared
      const { durable } = await delta.restore(place.path)
      this.durable = Promise.all([this.durable, durable]).then(() => undefined)
      // Whoever logs in next hears of a failure.
      this.durable.catch(() => undefined)
      this.context.bin.settle(place)
    } else {
      const files = await this.state.filesOf(unit)
      if (files.length > 0) await this.context.bin.moveIn(this.sourceOf(ending, reason, restore), files)
    }
    this.state.wake(unit)
    this.state.arising.delete(unit.lun)
    Object.assign(unit, afterEnd(epoch))
  }

  /** Makes the place in the bin for the files of an epoch that are open. */
  private placeFor(ending: Ending, reason: DeltaEvent, restore: number): Promise<BinPlace> | undefined {
    if (!this.state.deltaOf(ending.unit)) return undefined
    return this.context.bin.prepare(this.sourceOf(ending, reason, restore))
  }

  private sourceOf({ unit, epoch, bytes, incarnation }: Ending, reason: DeltaEvent, restore: number): BinSource {
    return { ...this.state.names, lun: unit.lun, incarnation, epoch, bytes, reason, restore }
  }

  /** Writes the record as it is when these epochs have ended. */
  private async saveEnded(ended: readonly Ending[], durable: boolean): Promise<boolean> {
    const units = this.record.units.map((unit) => {
      const ending = ended.find((one) => one.unit === unit)
      if (!ending) return { ...unit, stored: this.state.storedNow(unit) }
      return { ...unit, ...ending.renewed, ...afterEnd(ending.epoch) }
    })
    await this.context.state.saveInitiator({ ...this.record, units }, durable)
    return true
  }

  /** What a unit is after a loss. */
  renewed({ incarnation }: UnitRecord): Pick<UnitRecord, 'incarnation' | 'fence' | 'reservations'> {
    return {
      incarnation: incarnation + 1,
      fence: { suspects: [...this.record.isids], accepted: [] },
      reservations: undefined
    }
  }

  private undoHint(): string {
    const { bin, state, clock } = this.context
    if (bin.undoMs === 0) return ''
    return `; ${undoHint(this.record.initiatorName, state.path, clock.now() + bin.undoMs, clock.now())}`
  }

  private reportUnsaved(error: unknown): false {
    this.state.report(new Error(`its logout could not be noted: ${messageOf(error)}`, { cause: error }))
    return false
  }

  private reportStuck({ lun }: UnitRecord, error: unknown): void {
    const what = `the files of LUN ${lun}, whose delta has ended, could not be put into the bin`
    this.state.report(new Error(`${what}: ${messageOf(error)}; its next login tries again`, { cause: error }))
  }
}

/** What a record says of a unit whose epoch of that number has ended. */
export function afterEnd(epoch: number): Pick<UnitRecord, 'epoch' | 'stored' | 'contentIncarnation' | 'generation'> {
  return { epoch, stored: false, contentIncarnation: undefined, generation: undefined }
}

const LOSSES: Readonly<Partial<Record<DeltaEvent, string>>> = {
  'grace-over': 'its grace time is over',
  operator: 'by order of the operator',
  'author-discards': 'an author took the image',
  'base-changed': 'the image is not the one it was written over',
  unreadable: 'it cannot be read',
  removed: 'it was removed'
}
