import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { LogicalUnit } from '../scsi/logical-unit.js'
import type { Nexus } from '../scsi/nexus.js'
import type { Timer } from '../util/clock.js'
import { namesIn } from '../util/directory.js'
import { messageOf } from '../util/errors.js'
import type { SpaceBudget } from '../volume/delta/budget.js'
import { deltaPaths, listDelta, type DeltaListing, type DeltaPaths } from '../volume/delta/files.js'
import { readDeltaHeader } from '../volume/delta/reissue.js'
import type { Volume } from '../volume/volume.js'
import type { DeltaDisk } from './delta-disk.js'
import type { InitiatorContext, InitiatorRole, UnitSource } from './initiator-context.js'
import { isForgettable, type InitiatorRecord, type UnitRecord } from './initiator-record.js'
import { Growth, GROWTH_STEP_MS } from './growth.js'
import type { Keeping } from './policy.js'
import { isUndoable, restorePolicy, type Action, type DeltaEvent } from './restore-policy.js'
import { Serial } from './serial.js'

export interface OpenUnit {
  readonly source: UnitSource
  readonly record: UnitRecord
  readonly unit: LogicalUnit
  readonly delta: DeltaDisk | undefined
  /** That of the image which the client sees; undefined where it has none. */
  readonly generation?: number
  /** How often the image had been opened anew before. */
  readonly swaps?: number
  /** What the unit shows of the delta, when it is not all of it. */
  readonly view?: Volume
}

/**
 * What is known of one initiator at one target while the server runs: its record, its nexuses, its open units and the
 * room that its deltas take. {@link Initiator} decides what happens, {@link Units} opens, {@link EpochEnds} drops; this
 * is what they share.
 */
export class InitiatorState {
  readonly targetName: string
  readonly initiatorName: string
  readonly budget: SpaceBudget
  /** Everything that changes an initiator runs here, one step after the other. */
  readonly steps = new Serial()
  readonly nexuses = new Set<Nexus>()
  open: OpenUnit[] | undefined
  role: InitiatorRole = 'private'
  /** LUNs whose delta has been noted for its first write; until the files are gone or closed. */
  readonly arising = new Set<number>()
  /** How fast the deltas in use grow. */
  readonly growth = new Map<number, Growth>()
  /** Sessions that have begun or ended since the start. */
  visits = 0
  private growthTimer: Timer | undefined
  /** Bytes of deltas that are not open; they take room all the same. */
  readonly resting = new Map<UnitRecord, number>()

  constructor(
    readonly context: InitiatorContext,
    readonly record: InitiatorRecord
  ) {
    this.targetName = record.targetName
    this.initiatorName = record.initiatorName
    this.budget = context.space.budget(context.deltaLimitBytes)
  }

  get names() {
    return { targetName: this.targetName, initiatorName: this.initiatorName }
  }

  /** Looks at the deltas from time to time, as long as somebody may write. */
  watchGrowth(): void {
    this.growthTimer ??= this.lookAtGrowth()
  }

  stopGrowth(): void {
    this.growthTimer?.cancel()
    this.growthTimer = undefined
    this.growth.clear()
  }

  private lookAtGrowth(): Timer {
    for (const { record, delta } of this.open ?? []) {
      if (!delta) continue
      const growth = this.growth.get(record.lun) ?? new Growth()
      growth.look(this.context.clock.monotonic(), delta.bytesStored)
      this.growth.set(record.lun, growth)
    }
    return this.context.clock.setTimer(GROWTH_STEP_MS, () => (this.growthTimer = this.lookAtGrowth()))
  }

  /** Some unit has a delta: of this session or waiting for its client. */
  get hasDelta(): boolean {
    return this.record.units.some((unit) => this.storedNow(unit))
  }

  /** No record is needed. */
  get forgettable(): boolean {
    return isForgettable(this.record) && !this.missedByUndo && !this.isPinned
  }

  /**
   * An undo needs the record: it is under way, or its client left without a logout and may have the disk mounted, which
   * nobody would know without one.
   */
  get missedByUndo(): boolean {
    const { undo, letGo } = this.record
    if (undo.length > 0 || letGo) return undo.length > 0
    return this.context.bin.newestOf(this.names).some(({ reason }) => isUndoable(reason))
  }

  /** What its deltas take of its space: data, and what finds it again. */
  get bytesStored(): number {
    return this.budget.usedBytes
  }

  /** The data alone; as much is dropped when its epochs end. */
  get dataBytesStored(): number {
    return this.bytesOf(this.record.units)
  }

  /** The data of these units alone. */
  bytesOf(units: readonly UnitRecord[]): number {
    const bytes = units.map((unit) => this.deltaOf(unit)?.bytesStored ?? this.resting.get(unit) ?? 0)
    return bytes.reduce((sum, each) => sum + each, 0)
  }

  storedNow(unit: UnitRecord): boolean {
    if (this.arising.has(unit.lun)) return true
    return this.deltaOf(unit)?.stored ?? unit.stored
  }

  deltaOf(unit: UnitRecord): DeltaDisk | undefined {
    return this.open?.find(({ record }) => record === unit)?.delta
  }

  /** What ends the delta of a LUN; one that the target has no more waits for its return. */
  keepingOf(lun: number): Keeping {
    const source = this.context.sources.find((one) => one.lun === lun)
    return source ? this.context.keepingOf(this.initiatorName, source) : 'kept'
  }

  /** Units with a delta for which the policy says so at this event, when no session is left. */
  unitsThat(action: Action, event: DeltaEvent): UnitRecord[] {
    return this.record.units.filter(
      (unit) => this.storedNow(unit) && restorePolicy(event, 0, this.keepingOf(unit.lun)).action === action
    )
  }

  /** The units that begin anew at this event, also those in which nothing was written. */
  unitsRenewedBy(event: DeltaEvent): UnitRecord[] {
    return this.record.units.filter(({ lun }) => restorePolicy(event, 0, this.keepingOf(lun)).action === 'drop')
  }

  /** Some delta is given up when its client stays away. */
  get hasLimitedDelta(): boolean {
    return this.unitsThat('lost', 'grace-over').length > 0
  }

  listFiles(lun: number): Promise<DeltaListing> {
    return listDelta(this.context.state.deltaPath(this.record), deltaName(lun))
  }

  /** The files of the delta that the record tells of; undefined when there is none. */
  async storedFiles(unit: UnitRecord): Promise<DeltaPaths | undefined> {
    if (!this.storedNow(unit)) return undefined
    const { epoch } = await this.listFiles(unit.lun)
    const directory = this.context.state.deltaPath(this.record)
    return epoch === undefined || epoch <= unit.epoch ? undefined : deltaPaths(directory, deltaName(unit.lun), epoch)
  }

  /** The generation of the image that the delta was written over. Throws DeltaError for one that cannot be read. */
  async storedGeneration(unit: UnitRecord): Promise<number | undefined> {
    const files = await this.storedFiles(unit)
    return files && (await readDeltaHeader(files.map)).base.generation
  }

  /** The client may have a generation mounted that others do not get any more, although it has written nothing. */
  get isPinned(): boolean {
    if (this.record.letGo) return false
    return this.record.units.some(({ lun, generation }) => {
      const source = this.context.sources.find((one) => one.lun === lun)
      return generation !== undefined && source?.shared === undefined && this.mayChange(source)
    })
  }

  /** A generation was published, or somebody is here who may write one. */
  private mayChange(source: UnitSource | undefined): boolean {
    return source !== undefined && (source.image.generations.isRecorded || this.context.mayPublish())
  }

  /** It has a delta, or sees a generation that is to stay for it. */
  get isHeld(): boolean {
    return this.hasDelta || this.isPinned
  }

  /** All files of the unit, whatever their epoch. */
  async filesOf({ lun }: UnitRecord): Promise<string[]> {
    const directory = this.context.state.deltaPath(this.record)
    const names = await namesIn(directory)
    return names.filter((name) => name.startsWith(`${deltaName(lun)}-`)).map((name) => join(directory, name))
  }

  /** What the slots of a delta that is not open take on the disk: its file is sparse. */
  async bytesOnDisk(unit: UnitRecord): Promise<number> {
    const slots = (await this.filesOf(unit)).filter((path) => path.endsWith('.slots'))
    const sizes = await Promise.all(slots.map(async (path) => (await stat(path)).blocks * STAT_BLOCK_BYTES))
    return sizes.reduce((sum, size) => sum + size, 0)
  }

  /** What was written is with the kernel already, so a delta that cannot be flushed is told and let go. */
  async closeUnits(): Promise<void> {
    await this.endWork()
    const open = this.open ?? []
    this.open = undefined
    this.arising.clear()
    for (const { record, delta, view } of open) {
      if (!delta) continue
      await view?.close()
      this.context.flusher.remove(delta)
      record.stored = delta.stored
      const bytes = delta.bytesStored
      await delta.close().catch((error: unknown) => this.report(error))
      if (record.stored) this.rest(record, bytes)
    }
  }

  /** A session begins to write: from here on a power cut makes the deltas suspect. */
  async wakeDeltas(): Promise<void> {
    for (const { record, delta } of this.open ?? []) await delta?.wake(record.incarnation)
  }

  /** Nobody writes any more: from here on a power cut does the deltas no harm. */
  async restDeltas(): Promise<void> {
    for (const { delta } of this.open ?? []) {
      await delta?.rest().catch((error: unknown) => this.report(error))
    }
  }

  /** Some delta has to be opened again before a flush of it can succeed. */
  get hasFailed(): boolean {
    return this.open?.some(({ delta }) => delta?.failure !== undefined) ?? false
  }

  /** Nothing works on the private units by itself any more. */
  async endWork(): Promise<void> {
    for (const { source, unit } of this.open ?? []) if (!source.shared) await unit.end()
  }

  /** The delta is not open and counts against the limits with so many bytes until {@link wake}. */
  rest(unit: UnitRecord, bytes: number): void {
    this.wake(unit)
    this.resting.set(unit, bytes)
    this.budget.occupy(bytes)
  }

  wake(unit: UnitRecord): void {
    this.budget.give(this.resting.get(unit) ?? 0)
    this.resting.delete(unit)
  }

  async save(durable = true): Promise<void> {
    for (const unit of this.record.units) unit.stored = this.storedNow(unit)
    await this.context.state.saveInitiator(this.record, durable)
  }

  report(error: unknown): void {
    this.context.log.error(`${this.initiatorName} at ${this.targetName}: ${messageOf(error)}`)
  }
}

/** What the files of a unit's delta are called, without the epoch. */
export function deltaName(lun: number): string {
  return `lun-${lun}`
}

/** What `blocks` of stat(2) counts in. */
const STAT_BLOCK_BYTES = 512
