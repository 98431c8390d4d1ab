import { LogicalUnit } from '../scsi/logical-unit.js'
import { SOFT_THRESHOLD_REACHED } from '../scsi/sense.js'
import { codeOf, messageOf } from '../util/errors.js'
import { formatSize } from '../util/units.js'
import { SOFT_SHARE } from '../volume/delta/budget.js'
import type { Volume } from '../volume/volume.js'
import type { BinSource } from './bin.js'
import type { DeltaDisk } from './delta-disk.js'
import type { EpochEnds } from './epoch-ends.js'
import { TargetError } from './errors.js'
import { unitIdentity } from './identity.js'
import type { InitiatorContext, InitiatorRole, UnitSource } from './initiator-context.js'
import type { InitiatorRecord, UnitRecord } from './initiator-record.js'
import { isFull } from './json-file.js'
import { deltaName, type InitiatorState, type OpenUnit } from './initiator-state.js'
import { keyOf } from './owner.js'
import { SanitizeNote } from './sanitize-note.js'
import type { DeltaEvent } from './restore-policy.js'

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
    if (this.state.open && this.state.role === role && !this.state.hasFailed && !this.outdated) return this.state.open
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

  /** The policy of a unit has changed since it was opened, and nobody uses it. */
  private get outdated(): boolean {
    if (this.state.nexuses.size > 0) return false
    return this.state.open!.some(({ source, unit }) => !source.shared && unit.readOnly !== this.isReadOnly(source))
  }

  private isReadOnly({ readOnly, lun }: UnitSource): boolean {
    return readOnly || (this.state.role !== 'author' && this.context.policyOf(this.initiatorName, lun) === 'read-only')
  }

  private get initiatorName(): string {
    return this.record.initiatorName
  }

  private async openForAuthor(source: UnitSource): Promise<OpenUnit> {
    const record = this.unitRecord(source)
    const { image, partition, blockSize, readOnly } = source
    const volume = readOnly
      ? image.view(partition, blockSize)
      : await image.enterAuthor(keyOf(this.record), partition, blockSize)
    return { source, record, unit: await this.makeUnit(source, record, volume, undefined), delta: undefined }
  }

  private async openPrivate(source: UnitSource): Promise<OpenUnit> {
    const record = this.unitRecord(source)
    const base = source.image.view(source.partition, source.blockSize)
    if (source.readOnly)
      return { source, record, unit: await this.makeUnit(source, record, base, undefined), delta: undefined }
    const delta = await this.openDelta(source, record, base)
    return { source, record, unit: await this.makeUnit(source, record, delta.volume, delta), delta }
  }

  /** The delta of this unit; one that is not what the record and the base say counts as lost, and a new one follows. */
  private async openDelta(source: UnitSource, record: UnitRecord, base: Volume): Promise<DeltaDisk> {
    const directory = await this.makeDirectory()
    await this.ends.compareFiles(record)
    try {
      return await this.openEpoch(source, record, base, directory)
    } catch (error) {
      const event = DELTA_ERRORS[codeOf(error)]
      if (!event) throw error
      await this.ends.loseUnit(record, event, messageOf(error))
      return this.openEpoch(source, record, base, directory)
    }
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

  private async openEpoch(source: UnitSource, record: UnitRecord, base: Volume, directory: string): Promise<DeltaDisk> {
    this.state.wake(record)
    const delta = await this.context.openDelta({
      base,
      fingerprint: source.image.fingerprint,
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
      nearlyFull: () => this.warnNearlyFull(source.lun)
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

  private async makeUnit(
    source: UnitSource,
    record: UnitRecord,
    volume: Volume,
    delta: DeltaDisk | undefined
  ): Promise<LogicalUnit> {
    const note = source.maySanitize ? this.sanitizeNote(source, delta) : undefined
    return new LogicalUnit({
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
      ...(delta && { provisioning: () => this.provisioning(delta) })
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
