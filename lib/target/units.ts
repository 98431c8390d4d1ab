import { LogicalUnit } from '../scsi/logical-unit.js'
import type { PersistedReservations } from '../scsi/reservation-store.js'
import { SOFT_THRESHOLD_REACHED } from '../scsi/sense.js'
import { codeOf, isFull, messageOf } from '../util/errors.js'
import { formatSize } from '../util/units.js'
import { SOFT_SHARE } from '../volume/delta/budget.js'
import { DeltaError } from '../volume/delta/errors.js'
import type { Volume } from '../volume/volume.js'
import type { BinSource } from './bin.js'
import type { DeltaDisk, Retry } from './delta-disk.js'
import type { EpochEnds } from './epoch-ends.js'
import { TargetError } from './errors.js'
import { unitIdentity } from './identity.js'
import type { InitiatorContext, InitiatorRole, UnitSource } from './initiator-context.js'
import type { InitiatorRecord, UnitRecord } from './initiator-record.js'
import { deltaName, type InitiatorState, type OpenUnit } from './initiator-state.js'
import { keyOf } from './owner.js'
import { SanitizeNote } from './sanitize-note.js'
import type { DeltaEvent } from './restore-policy.js'

export interface EnlargeRequest {
  readonly imageUuid: string
  /** The generation that units see. */
  readonly from: number
  /** The one that shows the same and is as large or larger. */
  readonly to: number
}

/** Opens the units of an initiator: base, delta over it, and the logical unit that its nexuses see. */
export class Units {
  private readonly context: InitiatorContext
  private readonly record: InitiatorRecord

  constructor(
    private readonly state: InitiatorState,
    private readonly ends: EpochEnds
  ) {
    this.context = state.context
    this.record = state.record
  }

  async open(role: InitiatorRole): Promise<readonly OpenUnit[]> {
    if (this.state.open && this.state.role === role && !this.state.hasFailed && !this.outdated) return this.reuse()
    await this.state.closeUnits()
    this.state.role = role
    const open: OpenUnit[] = []
    this.state.open = open
    try {
      for (const source of this.context.sources) {
        await source.image.ready()
        if (source.shared) open.push(sharedUnit(source, source.shared))
        else open.push(role === 'author' ? await this.openForAuthor(source) : await this.openPrivate(source))
      }
      return open
    } catch (error) {
      await this.state.closeUnits()
      throw error
    }
  }

  /** What was opened is not what would be opened now, and nobody uses it. */
  private get outdated(): boolean {
    if (this.state.nexuses.size > 0) return false
    return this.state.open!.some(
      (unit) => !unit.source.shared && (this.hasOtherPolicy(unit) || this.hasOtherBase(unit))
    )
  }

  private hasOtherPolicy({ source, unit }: OpenUnit): boolean {
    return unit.readOnly !== this.isReadOnly(source)
  }

  /** A client that let go of the disk gets what all get now. */
  private hasOtherBase({ source, record, generation, swaps }: OpenUnit): boolean {
    if (generation === undefined) return false
    if (swaps !== source.image.swaps) return true
    return !this.state.storedNow(record) && generation !== this.generationWithoutDelta(source, record)
  }

  private isReadOnly({ readOnly, lun }: UnitSource): boolean {
    return readOnly || (this.state.role !== 'author' && this.context.policyOf(this.initiatorName, lun) === 'read-only')
  }

  private get initiatorName(): string {
    return this.record.initiatorName
  }

  private reuse(): readonly OpenUnit[] {
    for (const { source, record, generation } of this.state.open!) {
      if (generation === undefined) continue
      record.generation = generation
      source.image.use(keyOf(this.record), generation)
    }
    return this.state.open!
  }

  private async openForAuthor(source: UnitSource): Promise<OpenUnit> {
    const record = this.unitRecord(source)
    const { image, partition, blockSize, readOnly } = source
    const volume = readOnly
      ? await image.view(image.generations.current, partition, blockSize)
      : await image.enterAuthor(keyOf(this.record), partition, blockSize)
    return { source, record, unit: await this.makeUnit(source, record, volume, undefined), delta: undefined }
  }

  private async openPrivate(source: UnitSource): Promise<OpenUnit> {
    const record = this.unitRecord(source)
    this.noticeGone(source, record)
    if (source.readOnly) {
      const base = await this.baseOf(source, record, this.generationWithoutDelta(source, record))
      const unit = await this.makeUnit(source, record, base, undefined)
      return { source, record, unit, delta: undefined, generation: record.generation!, swaps: source.image.swaps }
    }
    const delta = await this.openDelta(source, record)
    const { generation } = record
    const shown = { generation: generation!, swaps: source.image.swaps }
    if (!this.writesWhole(source)) {
      return { source, record, unit: await this.makeUnit(source, record, delta.volume, delta), delta, ...shown }
    }
    const view = await this.partitionOf(source, delta)
    return { source, record, unit: await this.makeUnit(source, record, view, undefined), delta, ...shown, view }
  }

  /** What an author of generations writes becomes a part of the whole image, also where it sees one partition alone. */
  private writesWhole({ partition, lun }: UnitSource): boolean {
    return partition !== undefined && this.context.policyOf(this.record.initiatorName, lun) === 'author'
  }

  private async partitionOf({ image, partition, blockSize }: UnitSource, delta: DeltaDisk): Promise<Volume> {
    try {
      return await image.partitionOver(delta.volume, partition!, blockSize)
    } catch (error) {
      this.context.flusher.remove(delta)
      await delta.close().catch((reason: unknown) => this.state.report(reason))
      throw error
    }
  }

  /** The generation that the client sees; from now on the image keeps it for it. */
  private async baseOf(source: UnitSource, record: UnitRecord, generation: number): Promise<Volume> {
    const { image, blockSize } = source
    const partition = this.writesWhole(source) ? undefined : source.partition
    const base = await image.view(generation, partition, blockSize)
    record.generation = generation
    image.use(keyOf(this.record), generation)
    return base
  }

  /** That which a client may have mounted still, else what new logins get. */
  private generationWithoutDelta({ image }: UnitSource, { generation }: UnitRecord): number {
    const { generations } = image
    if (generation !== undefined && generations.has(generation)) return generation
    return generations.generationFor(this.record.initiatorName)
  }

  /**
   * What the client saw is not there any more, and it may have that mounted still: the generation that it gets instead
   * is another disk. Of a delta over it, {@link openDelta} judges.
   */
  private noticeGone({ image, lun }: UnitSource, record: UnitRecord): void {
    const { generation } = record
    if (generation === undefined || image.generations.has(generation) || this.state.storedNow(record)) return
    const isMissed = !this.record.letGo
    Object.assign(record, isMissed && this.ends.renewed(record), { generation: undefined })
    if (!isMissed) return
    this.context.log.warn(
      `${this.initiatorName}: generation ${generation} of the image is not there any more, so LUN ${lun} shows another ` +
        'one, under a new disk identity'
    )
  }

  /** The delta of this unit; one that is not what the record and the base say counts as lost, and a new one follows. */
  private async openDelta(source: UnitSource, record: UnitRecord): Promise<DeltaDisk> {
    const directory = await this.makeDirectory()
    await this.ends.compareFiles(record)
    try {
      return await this.openEpoch(source, record, directory)
    } catch (error) {
      const event = DELTA_ERRORS[codeOf(error)]
      if (!event) throw error
      await this.ends.loseUnit(record, event, messageOf(error))
      return this.openEpoch(source, record, directory)
    }
  }

  /** The generation that a delta of now was written over, or that a new one is. Throws DeltaError. */
  private async generationOf(source: UnitSource, record: UnitRecord): Promise<number> {
    const generation = await this.state.storedGeneration(record)
    if (generation === undefined) return this.generationWithoutDelta(source, record)
    if ((record.whole ?? false) !== this.writesWhole(source)) {
      throw new DeltaError('ERR_ISCSI_DELTA_FINGERPRINT', 'it was written under another policy, over another disk')
    }
    if (source.image.generations.has(generation)) return generation
    throw new DeltaError('ERR_ISCSI_DELTA_FINGERPRINT', `generation ${generation} of the image is not there any more`)
  }

  /** On a full disk it is made at the first write, which is then what fails. */
  private async makeDirectory(): Promise<string> {
    try {
      return await this.context.state.makeDeltaDirectory(this.record)
    } catch (error) {
      if (isFull(error)) return this.context.state.deltaPath(this.record)
      throw error
    }
  }

  private async openEpoch(source: UnitSource, record: UnitRecord, directory: string): Promise<DeltaDisk> {
    const generation = await this.generationOf(source, record)
    const base = await this.baseOf(source, record, generation)
    record.whole = this.writesWhole(source) || undefined
    const restingBytes = this.state.resting.get(record) ?? 0
    this.state.wake(record)
    const opening = this.context.openDelta({
      base,
      fingerprint: source.image.fingerprint(generation),
      directory,
      name: deltaName(source.lun),
      targetName: this.record.targetName,
      initiatorName: this.record.initiatorName,
      lun: source.lun,
      chapUser: this.record.chapUser,
      incarnation: record.incarnation,
      epochAfter: record.epoch,
      chunkBytes: this.context.chunkBytes,
      budget: this.state.budget,
      // What an author writes becomes a part of the image, which others read.
      encrypt: this.context.shred && this.state.keepingOf(source.lun) !== 'author',
      bootId: this.context.bootId,
      beforeCreate: () => this.noteDelta(source.lun),
      makeRoom: () => this.context.state.makeRoom(),
      nearlyFull: () => this.warnNearlyFull(source.lun)
    })
    const delta = await opening.catch((error: unknown) => {
      // It takes its room until it is put aside, and then it is told how much was lost.
      this.state.rest(record, restingBytes)
      throw error
    })
    try {
      this.compareIncarnation(record, delta)
      if (delta.leftovers.length > 0) {
        const { lun, incarnation } = record
        const reason = 'logout'
        const epoch = delta.epoch - 1
        const rest: BinSource = { ...this.state.names, lun, incarnation, epoch, bytes: 0, reason, restore: 0 }
        await this.context.bin.moveIn(rest, delta.leftovers)
      }
      if (delta.suspect) await this.ends.keepSuspect(record, delta.incarnation)
      this.context.flusher.add(delta, (error) => this.reportFailedFlush(source.lun, error))
      return delta
    } catch (error) {
      await delta.close().catch((reason: unknown) => this.state.report(reason))
      throw error
    }
  }

  /** A delta of a lost incarnation came back (a backup, a disk that was not mounted): its client has another disk now. */
  private compareIncarnation(record: UnitRecord, delta: DeltaDisk): void {
    if (!delta.stored || delta.incarnation === (record.contentIncarnation ?? record.incarnation)) return
    // The record was damaged and its incarnation is a guess: then the delta knows better.
    if (record.epoch === 0 && record.incarnation === this.record.incarnationFloor) {
      record.incarnation = delta.incarnation
      return
    }
    throw new TargetError(STALE, `it belongs to incarnation ${delta.incarnation} of the disk, which was lost`)
  }

  /** What these units show is another epoch's: nothing that a client had set in them holds any more. */
  async renew(records: readonly UnitRecord[]): Promise<void> {
    for (const [index, open] of (this.state.open ?? []).entries()) {
      const { source, record, unit, delta } = open
      if (source.shared || !records.includes(record)) continue
      this.state.open![index] = { ...open, unit: await this.makeUnit(source, record, unit.volume, delta) }
    }
  }

  /**
   * Puts units over another generation that shows the same.
   * @returns what to wait for, outside of the steps, before it is tried again; undefined when it is done
   */
  async enlarge({ imageUuid, from, to }: EnlargeRequest): Promise<Retry | undefined> {
    const isAbsent = this.state.open === undefined
    const mine = this.record.units.filter(({ lun }) => {
      const source = this.context.sources.find((one) => one.lun === lun)
      return source && !source.shared && source.image.uuid === imageUuid
    })
    // What a client left is over the generation that its files name, which is known when they are open.
    if (isAbsent && mine.some((unit) => this.state.storedNow(unit))) await this.open(this.state.role)
    const outdated = mine.filter((unit) => unit.generation === from)
    for (const unit of outdated) {
      const index = this.state.open?.findIndex(({ record }) => record === unit) ?? -1
      const retry = index < 0 ? undefined : await this.enlargeUnit(index, to)
      if (retry) return retry
      this.see(unit, to)
    }
    if (outdated.length > 0) await this.state.save()
    if (isAbsent) await this.state.closeUnits()
    return undefined
  }

  private async enlargeUnit(index: number, to: number): Promise<Retry | undefined> {
    const open = this.state.open![index]!
    const { source, unit, delta, view } = open
    const { image, blockSize } = source
    const base = await image.view(to, view ? undefined : source.partition, blockSize)
    const retry = await delta?.exchangeBase(base, image.fingerprint(to))
    if (retry) return retry
    // What lies over a delta stays; a partition has the size that its table says.
    unit.enlarge(view ?? delta?.volume ?? base)
    this.state.open![index] = { ...open, generation: to }
    return undefined
  }

  /** Its client sees this generation of the image from now on. */
  private see(record: UnitRecord, generation: number): void {
    const source = this.context.sources.find(({ lun }) => lun === record.lun)!
    record.generation = generation
    source.image.use(keyOf(this.record), generation)
  }

  private async makeUnit(
    source: UnitSource,
    record: UnitRecord,
    volume: Volume,
    delta: DeltaDisk | undefined
  ): Promise<LogicalUnit> {
    const note = source.maySanitize ? this.sanitizeNote(source, delta) : undefined
    const unit = new LogicalUnit({
      lun: source.lun,
      volume,
      blockSize: source.blockSize,
      physicalBlockSize: PHYSICAL_BLOCK_SIZE,
      identity: this.identityOf(source, record),
      readOnly: this.isReadOnly(source),
      writeThrough: source.writeThrough,
      // Also without a delta: an author's UNMAP gives space of the image back, a read-only unit refuses it properly.
      thin: source.thin,
      removable: source.removable,
      maySanitize: source.maySanitize,
      sanitizeNotes: note,
      sanitizeInterrupted: await note?.interrupted(this.context.log),
      atomicWrites: delta !== undefined,
      onVolumeError: (error) => this.warnVolume(source.lun, error),
      onStartStop: (start) => this.noteStartStop(source.lun, start),
      reservationStore: { save: (reservations) => this.keepReservations(record, reservations) },
      ...(delta && { provisioning: () => this.provisioning(delta) })
    })
    if (record.reservations) unit.reservations.persistent.restore(record.reservations)
    return unit
  }

  /** They are part of the record, so that the end of an epoch is theirs too. */
  private keepReservations(record: UnitRecord, reservations: PersistedReservations | undefined): Promise<void> {
    return this.state.steps.run(async () => {
      const before = record.reservations
      record.reservations = reservations
      try {
        await this.state.save()
      } catch (error) {
        record.reservations = before
        throw error
      }
    })
  }

  private sanitizeNote({ image, partition, lun }: UnitSource, delta: DeltaDisk | undefined): SanitizeNote {
    const { state } = this.context
    if (delta) return new SanitizeNote(state.sanitizePath(this.record, lun), delta.epoch)
    return new SanitizeNote(state.imageSanitizePath(this.record.targetName, image.uuid, partition), 0)
  }

  private identityOf({ image, partition, lun }: UnitSource, { incarnation }: UnitRecord) {
    const { targetName, initiatorName } = this.record
    return unitIdentity({ imageUuid: image.uuid, partition, targetName, initiatorName, lun, incarnation })
  }

  /** Systems do this at sleep and at shutdown; which of them, in which order with the rest, the log shows. */
  private noteStartStop(lun: number, start: boolean): void {
    this.context.log.info(`${this.record.initiatorName} ${start ? 'starts' : 'stops'} LUN ${lun} (START STOP UNIT)`)
  }

  private provisioning(delta: DeltaDisk) {
    const { limitBytes } = this.state.budget
    const all = Math.min(limitBytes, this.context.space.limitBytes)
    return { usedBytes: delta.bytesStored, limitBytes: all, thresholdBytes: Math.floor(all * SOFT_SHARE) }
  }

  /** The record of a unit, made when there is none. */
  unitRecord({ lun }: UnitSource): UnitRecord {
    const known = this.record.units.find((unit) => unit.lun === lun)
    if (known) return known
    const { incarnationFloor, isids } = this.record
    const fenceRecord = incarnationFloor > 0 ? { suspects: [...isids], accepted: [] } : undefined
    const made: UnitRecord = { lun, incarnation: incarnationFloor, epoch: 0, stored: false, fence: fenceRecord }
    this.record.units.push(made)
    return made
  }

  /**
   * The first write of an epoch waits until the record tells of the delta. Otherwise, after a crash, nobody would miss
   * files that are gone, and the client would find another disk under its cache.
   */
  private async noteDelta(lun: number): Promise<void> {
    this.state.arising.add(lun)
    try {
      await this.context.state.makeDeltaDirectory(this.record)
      await this.state.steps.run(() => this.state.save())
    } catch (error) {
      this.state.arising.delete(lun)
      throw error
    }
  }

  private warnNearlyFull(lun: number): void {
    for (const nexus of this.state.nexuses) nexus.units.get(lun)?.establish(SOFT_THRESHOLD_REACHED)
    const limit = Math.min(this.state.budget.limitBytes, this.context.space.limitBytes)
    this.context.log.warn(
      `${this.record.initiatorName}: LUN ${lun} reached 80 % of its space (${formatSize(this.state.bytesStored)} of ${formatSize(limit)})`
    )
  }

  private reportFailedFlush(lun: number, error: unknown): void {
    this.state.report(
      new Error(
        `LUN ${lun} could not be flushed: ${messageOf(error)}; its flushes fail until it logs in again, and then it ` +
          'gets a new disk identity, because what it wrote last may be lost',
        { cause: error }
      )
    )
  }

  private warnVolume(lun: number, error: unknown): void {
    this.context.log.error(`${this.record.initiatorName}: LUN ${lun} at ${this.record.targetName}: ${messageOf(error)}`)
  }
}

/** It has no state of this initiator: what its record says of the LUN is of an earlier private unit. */
function sharedUnit(source: UnitSource, unit: LogicalUnit): OpenUnit {
  const record = { lun: source.lun, incarnation: 0, epoch: 0, stored: false, fence: undefined }
  return { source, record, unit, delta: undefined }
}

/** Windows and ESXi align to it; the chunk of a delta is no smaller. */
const PHYSICAL_BLOCK_SIZE = 4096

const STALE = 'ERR_ISCSI_DELTA_STALE'

const DELTA_ERRORS: Readonly<Record<string, DeltaEvent>> = {
  ERR_ISCSI_DELTA_FINGERPRINT: 'base-changed',
  ERR_ISCSI_DELTA_OWNER: 'unreadable',
  [STALE]: 'removed',
  ERR_ISCSI_DELTA_UNREADABLE: 'unreadable',
  ERR_ISCSI_DELTA_VERSION: 'unreadable'
}
