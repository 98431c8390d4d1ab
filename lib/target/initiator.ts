import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { NexusRequest, SessionEnd } from '../iscsi/directory.js'
import { LoginError } from '../iscsi/errors.js'
import { LogicalUnit } from '../scsi/logical-unit.js'
import { Nexus, type NexusUnit } from '../scsi/nexus.js'
import { INQUIRY_DATA_CHANGED, SOFT_THRESHOLD_REACHED } from '../scsi/sense.js'
import type { Clock } from '../util/clock.js'
import { codeOf, messageOf } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import { formatDuration, formatSize } from '../util/units.js'
import { SOFT_SHARE, type SpaceBudget } from '../volume/delta/budget.js'
import { listDelta, type DeltaListing } from '../volume/delta/files.js'
import type { Volume } from '../volume/volume.js'
import type { Bin, BinSource } from './bin.js'
import { checkDelta } from './delta-check.js'
import type { DeltaDisk, OpenDeltaDisk } from './delta-disk.js'
import { TargetError } from './errors.js'
import { unitIdentity } from './identity.js'
import type { Image } from './images.js'
import { isForgettable, type InitiatorRecord, type UnitRecord } from './initiator-record.js'
import type { ListeningTime } from './listening-time.js'
import { LoginStatus } from './login-status.js'
import { keyOf } from './owner.js'
import { restorePolicy, type DeltaEvent, type Grace } from './restore-policy.js'
import { Serial } from './serial.js'
import type { Space } from './space.js'
import type { StateDirectory } from './state-directory.js'

/** ISIDs that are remembered of an initiator: the last ones, and those that have looked at a new incarnation. */
const MAX_ISIDS = 16

/** A delta whose grace time is over, and which could not be put aside, is tried again after this. */
const GRACE_RETRY_MS = 600_000

/** One LUN of a target, as each of its initiators gets it. */
export interface UnitSource {
  readonly lun: number
  readonly image: Image
  readonly partition: number | undefined
  readonly readOnly: boolean
  readonly blockSize: number
}

/** What an initiator needs of the place that it lives in. */
export interface InitiatorContext {
  readonly sources: readonly UnitSource[]
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
}

/** Whose writes go where: into a private delta, or (an author's) into the image. */
export type InitiatorRole = 'private' | 'author'

interface OpenUnit {
  readonly source: UnitSource
  readonly record: UnitRecord
  readonly unit: LogicalUnit
  readonly delta: DeltaDisk | undefined
}

/** An epoch that ends. */
interface Ending {
  readonly unit: UnitRecord
  readonly epoch: number
  /** Stored bytes, as far as known. */
  readonly bytes: number
  /** Under which it was written. */
  readonly incarnation: number
  /** After a loss: what the unit is from now on. */
  readonly renewed?: Pick<UnitRecord, 'incarnation' | 'fence'>
}

/** What a drop took away. */
export interface Discarded {
  readonly bytes: number
  readonly tookMs: number
}

/**
 * One initiator at one target: owner of all private state of that client. Its units and deltas are opened at its first
 * login, shared by its sessions, and outlive them as the restore policy says. Everything that changes them runs one
 * after the other through `steps`, so that a login finds the logout before it finished.
 */
export class Initiator {
  readonly targetName: string
  readonly initiatorName: string
  private readonly context: InitiatorContext
  private readonly record: InitiatorRecord
  private readonly budget: SpaceBudget
  private readonly steps = new Serial()
  private readonly nexuses = new Set<Nexus>()
  private readonly sessionAddresses = new Map<Nexus, string>()
  private open: OpenUnit[] | undefined
  private role: InitiatorRole = 'private'
  private draining = false
  /** LUNs whose delta has been noted for its first write; until the files are gone or closed. */
  private readonly arising = new Set<number>()
  /** Bytes of deltas that are not open; they take room all the same. */
  private readonly resting = new Map<UnitRecord, number>()
  /** Files of an ended epoch could not be put aside yet; only the record keeps them away from the next session. */
  private littered = false
  /** Restores that a power cut could still undo. */
  private durable: Promise<void> = Promise.resolve()

  constructor(context: InitiatorContext, record: InitiatorRecord) {
    this.context = context
    this.record = record
    this.targetName = record.targetName
    this.initiatorName = record.initiatorName
    this.budget = context.space.budget(context.deltaLimitBytes)
  }

  get key(): string {
    return keyOf(this.record)
  }

  /** Live normal sessions. */
  get sessionCount(): number {
    return this.nexuses.size
  }

  /** Some unit has a delta: of this session or waiting for its client. */
  get hasDelta(): boolean {
    return this.record.units.some((unit) => this.storedNow(unit))
  }

  get bytesStored(): number {
    return this.budget.usedBytes
  }

  /** A step is under way or waits. */
  get busy(): boolean {
    return this.steps.busy
  }

  /** Resolves when nothing is under way any more. */
  async idle(): Promise<void> {
    while (this.busy) await this.steps.idle()
  }

  /** Units and deltas are open. */
  get isOpen(): boolean {
    return this.open !== undefined
  }

  /** Nothing of it would be missed in memory; what has to be remembered is in its record. */
  get disposable(): boolean {
    return this.nexuses.size === 0 && !this.busy && !this.hasDelta && !this.littered && isForgettable(this.record)
  }

  /** A copy for the operator. */
  describe(): InitiatorView {
    const { targetName, initiatorName, lastSeen, lastAddress, end, graceEnds, chapUser } = this.record
    const graceLeftMs = graceEnds === undefined ? undefined : Math.max(0, graceEnds - this.context.listening.now())
    const units = this.record.units.map((unit) => ({
      lun: unit.lun,
      incarnation: unit.incarnation,
      epoch: unit.epoch,
      stored: this.storedNow(unit),
      open: this.deltaOf(unit) !== undefined,
      bytes: this.deltaOf(unit)?.bytesStored ?? this.resting.get(unit)
    }))
    const sessions = this.nexuses.size
    return {
      targetName,
      initiatorName,
      sessions,
      lastSeen,
      lastAddress,
      end,
      graceLeftMs,
      chapUser,
      role: this.role,
      units
    }
  }

  // --- Sessions ---

  /** Opens the nexus of a login; throws LoginError to refuse it. */
  openNexus(request: NexusRequest, role: InitiatorRole): Promise<Nexus> {
    return this.steps.run(() => this.admit(request, role))
  }

  /** The session has ended and touches nothing any more. Resolves when its deltas are where the policy wants them. */
  closeNexus(nexus: Nexus, end: SessionEnd): Promise<void> {
    return this.steps.run(() => this.depart(nexus, end))
  }

  /** Refuses logins until {@link undrain}, so that a {@link discard} does not chase sessions that come back. */
  drain(): void {
    this.draining = true
  }

  /**
   * Takes the deltas away without their client's logout. Sessions must have ended; one that is still there makes it
   * throw, because no delta is swapped under a live session.
   */
  discard(event: DeltaEvent): Promise<Discarded> {
    return this.steps.run(async () => {
      if (this.nexuses.size > 0) {
        throw new TargetError('ERR_ISCSI_INITIATOR_BUSY', `${this.initiatorName} still has a session`)
      }
      return this.lose(event)
    })
  }

  /** Makes a drained initiator take logins again. */
  undrain(): void {
    this.draining = false
  }

  /** At the start of the server: looks whether what the record names is there, and lets the grace time go on. */
  resume(): Promise<void> {
    return this.steps.run(async () => {
      try {
        await this.recover()
      } catch (error) {
        // One directory that cannot be read is no reason to serve nobody; its client's login tries again.
        this.report(error)
        this.waitOn()
      }
    })
  }

  /** Closes the deltas of a client that is absent; the next login opens them again. */
  suspend(): Promise<void> {
    return this.steps.run(async () => {
      if (this.nexuses.size === 0) await this.closeUnits()
    })
  }

  /** Closes everything and keeps it. */
  close(): Promise<void> {
    return this.steps.run(async () => {
      this.context.listening.clearDeadline(this.key)
      await this.closeUnits()
    })
  }

  private async admit(request: NexusRequest, role: InitiatorRole): Promise<Nexus> {
    this.refuseOthers(request, role)
    try {
      this.reserveImages(role)
      await this.settleRestores()
      if (this.nexuses.size === 0 && !this.hasDelta) await this.takeOver(request.chapName)
      const units = await this.openUnits(role)
      const nexus = this.makeNexus(request, units)
      await this.noteLogin(request, nexus)
      return nexus
    } catch (error) {
      await this.withdraw(role).catch((reason: unknown) => this.report(reason))
      throw error instanceof LoginError
        ? error
        : new LoginError(LoginStatus.TargetError, `cannot open the disk: ${messageOf(error)}`, { cause: error })
    }
  }

  /** Without a delta whoever proves to be this initiator owns the next one. */
  private async takeOver(chapUser: string | undefined): Promise<void> {
    // Units that are open still would write the old owner into the delta.
    if (this.record.chapUser !== chapUser) await this.closeUnits()
    this.record.chapUser = chapUser
  }

  /** After a login that failed. */
  private async withdraw(role: InitiatorRole): Promise<void> {
    if (role === 'author' && this.nexuses.size === 0) await this.leaveImages(true)
    await this.settle()
  }

  /** Synchronous, so that of an author and a client that log in at once one finds the other. */
  private reserveImages(role: InitiatorRole): void {
    for (const { image, readOnly } of this.context.sources) {
      if (role === 'author' && !readOnly) image.claim(this.key, this)
      else image.hold(this.key, this)
    }
  }

  /** @param clean - the author has logged out */
  private async leaveImages(clean: boolean): Promise<void> {
    await this.closeUnits()
    for (const { image } of this.context.sources) await image.leaveAuthor(this.key, clean)
  }

  /** A restore that may not survive a power cut would bring back, after it, what the client has seen go. */
  private async settleRestores(): Promise<void> {
    const { durable } = this
    this.durable = Promise.resolve()
    await durable
  }

  private refuseOthers(request: NexusRequest, role: InitiatorRole): void {
    if (this.draining) throw new LoginError(LoginStatus.ServiceUnavailable, 'its delta is being dropped right now')
    if (this.nexuses.size > 0 && role !== this.role) {
      throw new LoginError(LoginStatus.ServiceUnavailable, 'it cannot be author and client at the same time')
    }
    // A delta that was made without CHAP may be taken over by a proved user: that is how CHAP gets switched on.
    const { chapUser } = this.record
    if (chapUser !== undefined && chapUser !== request.chapName && this.hasDelta) {
      throw new LoginError(LoginStatus.AuthorizationFailure, 'its delta was made by another CHAP user')
    }
  }

  private makeNexus(request: NexusRequest, units: readonly OpenUnit[]): Nexus {
    const nexus: Nexus = new Nexus({
      initiatorName: this.initiatorName,
      isid: request.isid,
      targetName: this.targetName,
      targetPortalGroupTag: this.context.targetPortalGroupTag,
      units: units.map(({ unit }) => unit),
      onLook: (unit, command) => this.looked(nexus, unit, command)
    })
    for (const { record } of units) fence(nexus, record)
    return nexus
  }

  private async noteLogin(request: NexusRequest, nexus: Nexus): Promise<void> {
    const { record } = this
    this.context.listening.clearDeadline(this.key)
    this.nexuses.add(nexus)
    this.sessionAddresses.set(nexus, request.remoteAddress)
    record.isids = [...record.isids.filter((isid) => isid !== request.isid), request.isid].slice(-MAX_ISIDS)
    record.lastAddress = request.remoteAddress
    record.end = undefined
    record.graceEnds = undefined
    this.see()
    // An author has no delta, so there is nothing to find again after a crash.
    if (this.role === 'author') return
    try {
      await this.save()
    } catch (error) {
      // A nexus without a session would count as one for ever, and no logout would be the last one any more.
      this.nexuses.delete(nexus)
      this.sessionAddresses.delete(nexus)
      nexus.end()
      throw error
    }
  }

  private async depart(nexus: Nexus, end: SessionEnd): Promise<void> {
    if (!this.nexuses.delete(nexus)) return
    // Nobody writes any more: a delta that was noted and has no files could not be made.
    if (this.nexuses.size === 0) this.arising.clear()
    this.sessionAddresses.delete(nexus)
    nexus.end()
    this.record.end = describeEnd(end)
    this.see()
    const event = eventOf(end)
    if (this.role === 'author') return this.departAuthor(event)
    const verdict = restorePolicy(event, this.nexuses.size)
    if (verdict.action === 'drop') await this.drop(event)
    else if (this.nexuses.size === 0) await this.wait(verdict.grace)
  }

  private async departAuthor(event: DeltaEvent): Promise<void> {
    if (this.nexuses.size > 0) return
    await this.leaveImages(event === 'logout')
    await this.settle()
  }

  /** The last session is gone and the delta waits for its client. */
  private async wait(grace: Grace): Promise<void> {
    if (!this.hasDelta) return this.settle()
    const graceMs = grace === 'grace-closed' ? this.context.graceClosedMs : this.context.graceMs
    this.setGrace(this.context.listening.now() + graceMs)
    this.context.log.info(
      `${this.initiatorName}: ${formatSize(this.bytesStored)} kept for ${formatDuration(graceMs)} ` +
        `(${this.record.end ?? 'no logout'})`
    )
    await this.save()
  }

  private setGrace(ends: number): void {
    this.record.graceEnds = ends
    this.context.listening.setDeadline(this.key, ends, () => this.later(() => this.graceOver()))
  }

  private async graceOver(): Promise<void> {
    if (this.nexuses.size > 0 || this.record.graceEnds === undefined) return
    if (restorePolicy('grace-over', 0).action !== 'lost') return
    try {
      await this.lose('grace-over')
    } catch (error) {
      this.setGrace(this.context.listening.now() + GRACE_RETRY_MS)
      throw error
    }
  }

  // --- Drop and loss ---
  //
  // The record ends an epoch, in one rename; its files follow. Whatever comes in between (the death of the process, a
  // full disk, files that somebody took away), the files of an ended epoch are never attached again, and a drop is
  // never taken for a loss, nor a loss for nothing at all.

  /** Restore after the client's own logout: a new epoch under the same identity. */
  private async drop(event: DeltaEvent): Promise<void> {
    const start = this.context.clock.monotonic()
    const ended = await this.endings()
    // The death of the process is survived at once; the power cut is waited for behind the response.
    const noted = await this.saveEnded(ended, false).catch((error: unknown) => this.reportUnsaved(error))
    let bytes = 0
    const stuck: Ending[] = []
    for (const ending of ended) {
      try {
        await this.putAside(ending, event)
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
        `${this.initiatorName} restored at ${this.targetName}: ${formatSize(bytes)} dropped in ${tookMs.toFixed(1)} ms`
      )
    }
    this.releaseImages()
    this.later(async () => {
      try {
        await this.settleRestores()
      } finally {
        await this.settle()
      }
    })
    if (stuck.length > 0 && !noted) throw new Error('neither the record nor the files of its delta can be written')
  }

  /** The deltas are gone without their client's logout: whoever may hold a cache of them must notice. */
  private async lose(event: DeltaEvent): Promise<Discarded> {
    const start = this.context.clock.monotonic()
    await this.closeUnits()
    const lost = await this.endings()
    const bytes = lost.reduce((sum, ending) => sum + ending.bytes, 0)
    await this.forsake(lost, event)
    const tookMs = this.context.clock.monotonic() - start
    this.record.graceEnds = undefined
    this.context.listening.clearDeadline(this.key)
    if (lost.length > 0) {
      this.context.log.warn(
        `${this.initiatorName} lost its delta at ${this.targetName} (${LOSSES[event] ?? event}): ` +
          `${formatSize(bytes)} put aside; it gets a new disk identity`
      )
    }
    await this.settle()
    return { bytes, tookMs }
  }

  /** One delta is gone, at a login or at the start of the server; it is not open. */
  private async loseUnit(unit: UnitRecord, event: DeltaEvent, why: string): Promise<void> {
    await this.forsake([await this.ending(unit)], event)
    this.context.log.error(
      `${this.initiatorName} lost its delta of LUN ${unit.lun} at ${this.targetName} ` +
        `(${LOSSES[event] ?? event}): ${why}; what is left lies in ${this.context.state.binPath}`
    )
  }

  /** Ends epochs under a new incarnation. When that cannot be noted nothing has changed. */
  private async forsake(lost: readonly Ending[], event: DeltaEvent): Promise<void> {
    if (lost.length === 0) return
    const renewed = lost.map((ending) => ({ ...ending, renewed: this.renewed(ending.unit) }))
    await this.saveEnded(renewed, true)
    for (const { unit, epoch, renewed: changes } of renewed) {
      Object.assign(unit, changes, { epoch, stored: false })
    }
    for (const ending of lost) {
      await this.putAside(ending, event).catch((error: unknown) => this.reportStuck(ending.unit, error))
    }
  }

  private async endings(): Promise<Ending[]> {
    const stored = this.record.units.filter((unit) => this.storedNow(unit))
    return Promise.all(stored.map((unit) => this.ending(unit)))
  }

  private async ending(unit: UnitRecord): Promise<Ending> {
    const delta = this.deltaOf(unit)
    const epoch = Math.max(unit.epoch, delta?.epoch ?? (await this.listFiles(unit.lun)).epochMax)
    return { unit, epoch, bytes: delta?.bytesStored ?? this.resting.get(unit) ?? 0, incarnation: unit.incarnation }
  }

  /** Writes the record as it is when these epochs have ended. */
  private async saveEnded(ended: readonly Ending[], durable: boolean): Promise<boolean> {
    const units = this.record.units.map((unit) => {
      const ending = ended.find((one) => one.unit === unit)
      if (!ending) return { ...unit, stored: this.storedNow(unit) }
      return { ...unit, ...ending.renewed, epoch: ending.epoch, stored: false }
    })
    await this.context.state.saveInitiator({ ...this.record, units }, durable)
    return true
  }

  /** Moves the files of an epoch that has ended into the bin; a unit that is open reads as its base afterwards. */
  private async putAside({ unit, epoch, bytes, incarnation }: Ending, reason: DeltaEvent): Promise<void> {
    const source: BinSource = { ...this.names, lun: unit.lun, incarnation, epoch, bytes, reason }
    const delta = this.deltaOf(unit)
    if (delta) {
      const place = await this.context.bin.prepare(source)
      const { durable } = await delta.restore(place.path)
      this.durable = Promise.all([this.durable, durable]).then(() => undefined)
      // Whoever logs in next hears of a failure.
      this.durable.catch(() => undefined)
      this.context.bin.settle(place)
    } else {
      const files = await this.filesOf(unit)
      if (files.length > 0) await this.context.bin.moveIn(source, files)
    }
    this.wake(unit)
    this.arising.delete(unit.lun)
    unit.epoch = epoch
    unit.stored = false
  }

  /** Epochs have ended whose files are where they were: nobody shall read them, and the next login tries again. */
  private async abandon(stuck: readonly Ending[]): Promise<void> {
    await this.closeUnits()
    for (const { unit, epoch } of stuck) {
      this.wake(unit)
      unit.epoch = epoch
      unit.stored = false
    }
    this.littered = true
  }

  /** What lies in the directory belongs to no epoch that counts. Throws when it cannot be put aside. */
  private async clearAway(unit: UnitRecord, reason: DeltaEvent): Promise<void> {
    await this.putAside(await this.ending(unit), reason)
  }

  private get names() {
    return { targetName: this.targetName, initiatorName: this.initiatorName }
  }

  private renewed({ incarnation }: UnitRecord): Pick<UnitRecord, 'incarnation' | 'fence'> {
    return { incarnation: incarnation + 1, fence: { suspects: [...this.record.isids], accepted: [] } }
  }

  /** INQUIRY, or READ CAPACITY of a session that cannot be the one that was there before: it has seen the new unit. */
  private looked(nexus: Nexus, entry: NexusUnit, command: 'inquiry' | 'read-capacity'): void {
    const record = this.record.units.find(({ lun }) => lun === entry.unit.lun)
    if (!record?.fence || !entry.fenced) return
    if (command === 'read-capacity' && record.fence.suspects.includes(nexus.isid)) return
    entry.fenced = false
    record.fence.accepted = [...record.fence.accepted, nexus.isid].slice(-MAX_ISIDS)
    this.later(() => this.save())
  }

  // --- Units ---

  /**
   * The first write of an epoch waits until the record tells of the delta. Otherwise, after a crash, nobody would miss
   * files that are gone, and the client would find another disk under its cache.
   */
  private async noteDelta(lun: number): Promise<void> {
    this.arising.add(lun)
    try {
      await this.steps.run(() => this.save())
    } catch (error) {
      this.arising.delete(lun)
      throw error
    }
  }

  private async openUnits(role: InitiatorRole): Promise<readonly OpenUnit[]> {
    if (this.open && this.role === role) return this.open
    await this.closeUnits()
    this.role = role
    const open: OpenUnit[] = []
    this.open = open
    try {
      for (const source of this.context.sources) {
        await source.image.ready()
        open.push(role === 'author' ? await this.openForAuthor(source) : await this.openPrivate(source))
      }
      return open
    } catch (error) {
      await this.closeUnits()
      throw error
    }
  }

  private async openForAuthor(source: UnitSource): Promise<OpenUnit> {
    const record = this.unitRecord(source)
    const { image, partition, blockSize, readOnly } = source
    const volume = readOnly ? image.view(partition, blockSize) : await image.enterAuthor(this.key, partition, blockSize)
    return { source, record, unit: this.makeUnit(source, record, volume, undefined), delta: undefined }
  }

  private async openPrivate(source: UnitSource): Promise<OpenUnit> {
    const record = this.unitRecord(source)
    const base = source.image.view(source.partition, source.blockSize)
    if (source.readOnly)
      return { source, record, unit: this.makeUnit(source, record, base, undefined), delta: undefined }
    const delta = await this.openDelta(source, record, base)
    return { source, record, unit: this.makeUnit(source, record, delta.volume, delta), delta }
  }

  /** The delta of this unit; one that is not what the record and the base say counts as lost, and a new one follows. */
  private async openDelta(source: UnitSource, record: UnitRecord, base: Volume): Promise<DeltaDisk> {
    const directory = await this.context.state.makeDeltaDirectory(this.record)
    await this.compareFiles(record)
    try {
      return await this.openEpoch(source, record, base, directory)
    } catch (error) {
      const event = DELTA_ERRORS[codeOf(error)]
      if (!event) throw error
      await this.loseUnit(record, event, messageOf(error))
      return this.openEpoch(source, record, base, directory)
    }
  }

  private async openEpoch(source: UnitSource, record: UnitRecord, base: Volume, directory: string): Promise<DeltaDisk> {
    this.wake(record)
    const delta = await this.context.openDelta({
      base,
      fingerprint: source.image.fingerprint,
      directory,
      name: deltaName(source.lun),
      targetName: this.targetName,
      initiatorName: this.initiatorName,
      lun: source.lun,
      chapUser: this.record.chapUser,
      incarnation: record.incarnation,
      epochAfter: record.epoch,
      chunkBytes: this.context.chunkBytes,
      budget: this.budget,
      beforeCreate: () => this.noteDelta(source.lun),
      nearlyFull: () => this.warnNearlyFull(source.lun)
    })
    try {
      this.compareIncarnation(record, delta)
      if (delta.leftovers.length > 0) {
        const { lun, incarnation } = record
        const reason = 'logout'
        const rest: BinSource = { ...this.names, lun, incarnation, epoch: delta.epoch - 1, bytes: 0, reason }
        await this.context.bin.moveIn(rest, delta.leftovers)
      }
      return delta
    } catch (error) {
      await delta.close().catch((reason: unknown) => this.report(reason))
      throw error
    }
  }

  /** A delta of a lost incarnation came back (a backup, a disk that was not mounted): its client has another disk now. */
  private compareIncarnation(record: UnitRecord, delta: DeltaDisk): void {
    if (!delta.stored || delta.incarnation === record.incarnation) return
    // The record was damaged and its incarnation is a guess: then the delta knows better.
    if (record.epoch === 0 && record.incarnation === this.record.incarnationFloor) {
      record.incarnation = delta.incarnation
      return
    }
    throw new TargetError(STALE, `it belongs to incarnation ${delta.incarnation} of the disk, which was lost`)
  }

  private makeUnit(source: UnitSource, record: UnitRecord, volume: Volume, delta: DeltaDisk | undefined): LogicalUnit {
    return new LogicalUnit({
      lun: source.lun,
      volume,
      blockSize: source.blockSize,
      physicalBlockSize: PHYSICAL_BLOCK_SIZE,
      identity: this.identityOf(source, record),
      readOnly: source.readOnly,
      // Without a delta as well: an author's UNMAP gives space of the image back, a read-only unit refuses it properly.
      thin: true,
      onVolumeError: (error) => this.warnVolume(source.lun, error),
      onStartStop: (start) => this.noteStartStop(source.lun, start),
      ...(delta && { provisioning: () => this.provisioning(delta) })
    })
  }

  private identityOf({ image, partition, lun }: UnitSource, { incarnation }: UnitRecord) {
    const { targetName, initiatorName } = this
    return unitIdentity({ imageUuid: image.uuid, partition, targetName, initiatorName, lun, incarnation })
  }

  /** Systems do this at sleep and at shutdown; which of them, in which order with the rest, the log shows. */
  private noteStartStop(lun: number, start: boolean): void {
    this.context.log.info(`${this.initiatorName} ${start ? 'starts' : 'stops'} LUN ${lun} (START STOP UNIT)`)
  }

  private provisioning(delta: DeltaDisk) {
    const { limitBytes } = this.budget
    const all = Math.min(limitBytes, this.context.space.limitBytes)
    return { usedBytes: delta.bytesStored, limitBytes: all, thresholdBytes: Math.floor(all * SOFT_SHARE) }
  }

  private unitRecord({ lun }: UnitSource): UnitRecord {
    const known = this.record.units.find((unit) => unit.lun === lun)
    if (known) return known
    const { incarnationFloor, isids } = this.record
    const fenceRecord = incarnationFloor > 0 ? { suspects: [...isids], accepted: [] } : undefined
    const made: UnitRecord = { lun, incarnation: incarnationFloor, epoch: 0, stored: false, fence: fenceRecord }
    this.record.units.push(made)
    return made
  }

  /** What was written is with the kernel already, so a delta that cannot be flushed is told and let go. */
  private async closeUnits(): Promise<void> {
    const open = this.open ?? []
    this.open = undefined
    this.arising.clear()
    for (const { record, delta } of open) {
      if (!delta) continue
      record.stored = delta.stored
      const bytes = delta.bytesStored
      await delta.close().catch((error: unknown) => this.report(error))
      if (record.stored) this.rest(record, bytes)
    }
  }

  /** The delta is not open and counts against the limits with so many bytes until {@link wake}. */
  private rest(unit: UnitRecord, bytes: number): void {
    this.wake(unit)
    this.resting.set(unit, bytes)
    this.budget.occupy(bytes)
  }

  private wake(unit: UnitRecord): void {
    this.budget.give(this.resting.get(unit) ?? 0)
    this.resting.delete(unit)
  }

  // --- What is remembered ---

  private async recover(): Promise<void> {
    for (const unit of this.record.units) {
      await this.compareFiles(unit)
      if (unit.stored) await this.checkBase(unit)
      if (unit.stored) this.rest(unit, await this.bytesOnDisk(unit))
    }
    if (!this.hasDelta) return this.settle()
    this.waitOn()
    const left = formatDuration(this.record.graceEnds! - this.context.listening.now())
    this.context.log.info(`${this.initiatorName}: delta at ${this.targetName} found, kept for ${left}`)
    await this.save()
  }

  /** The server has started, and the delta waits for its client. */
  private waitOn(): void {
    try {
      for (const { image } of this.context.sources) image.hold(this.key, this)
    } catch (error) {
      // An author has the image reserved; what it writes makes this delta a lost one at the next start or login.
      this.report(error)
    }
    if (restorePolicy('server-started', 0).action !== 'keep') return
    // A shorter --grace than at the last run holds from now on; a counter that was lost cannot make it longer.
    const { listening, graceMs } = this.context
    this.setGrace(Math.min(this.record.graceEnds ?? Infinity, listening.now() + graceMs))
  }

  /** After a session or a loss: an initiator without session and delta needs neither memory nor a record. */
  private async settle(): Promise<void> {
    if (this.nexuses.size > 0) return
    if (this.hasDelta) {
      if (this.record.graceEnds === undefined) this.setGrace(this.context.listening.now() + this.context.graceMs)
      return
    }
    await this.closeUnits()
    this.context.listening.clearDeadline(this.key)
    this.record.graceEnds = undefined
    this.releaseImages()
    await this.sweep()
    // Without its record a file that is left would be taken for a delta.
    if (isForgettable(this.record) && !this.littered) await this.context.state.forgetInitiator(this.record)
    else await this.save()
  }

  /** Puts away what a crash or an error left of epochs that have ended. */
  private async sweep(): Promise<void> {
    this.littered = false
    for (const unit of this.record.units) {
      await this.clearAway(unit, 'logout').catch((error: unknown) => {
        this.littered = true
        this.reportStuck(unit, error)
      })
    }
  }

  private releaseImages(): void {
    if (this.nexuses.size > 0) return
    for (const { image } of this.context.sources) image.release(this.key)
  }

  private storedNow(unit: UnitRecord): boolean {
    if (this.arising.has(unit.lun)) return true
    return this.deltaOf(unit)?.stored ?? unit.stored
  }

  private deltaOf(unit: UnitRecord): DeltaDisk | undefined {
    return this.open?.find(({ record }) => record === unit)?.delta
  }

  /** Holds what is on disk against what is remembered. */
  private async compareFiles(unit: UnitRecord): Promise<void> {
    const { epoch } = await this.listFiles(unit.lun)
    const stored = epoch !== undefined && epoch > unit.epoch
    if (unit.stored && !stored) await this.loseUnit(unit, 'removed', 'its files are gone')
    // An epoch that has ended came back: somebody copied it, or a power cut undid the move to the bin.
    else if (epoch !== undefined && !stored) await this.clearAway(unit, 'removed')
    unit.stored = stored
  }

  private listFiles(lun: number): Promise<DeltaListing> {
    return listDelta(this.context.state.deltaPath(this.record), deltaName(lun))
  }

  private async checkBase(unit: UnitRecord): Promise<void> {
    const source = this.context.sources.find(({ lun }) => lun === unit.lun)
    // Of a LUN that the target has no more nothing is known; it may come back.
    if (!source || source.readOnly) return
    const { size } = source.image.view(source.partition, source.blockSize)
    const directory = this.context.state.deltaPath(this.record)
    const epoch = (await this.listFiles(unit.lun)).epoch!
    const fault = await checkDelta(directory, deltaName(unit.lun), epoch, { ...source.image.fingerprint, size })
    if (fault) await this.loseUnit(unit, fault.event, fault.why)
  }

  /** All files of the unit, whatever their epoch. */
  private async filesOf({ lun }: UnitRecord): Promise<string[]> {
    const directory = this.context.state.deltaPath(this.record)
    const names = await readdir(directory).catch(noneIfMissing)
    return names.filter((name) => name.startsWith(`${deltaName(lun)}-`)).map((name) => join(directory, name))
  }

  /** What the slots of a delta that is not open take on the disk: its file is sparse. */
  private async bytesOnDisk(unit: UnitRecord): Promise<number> {
    const slots = (await this.filesOf(unit)).filter((path) => path.endsWith('.slots'))
    const sizes = await Promise.all(slots.map(async (path) => (await stat(path)).blocks * STAT_BLOCK_BYTES))
    return sizes.reduce((sum, size) => sum + size, 0)
  }

  private see(): void {
    this.record.lastSeen = this.context.clock.now()
  }

  private async save(durable = true): Promise<void> {
    for (const unit of this.record.units) unit.stored = this.storedNow(unit)
    await this.context.state.saveInitiator(this.record, durable)
  }

  /** A step that nobody waits for. */
  private later(step: () => Promise<void>): void {
    void this.steps.run(step).catch((error: unknown) => this.report(error))
  }

  private report(error: unknown): void {
    this.context.log.error(`${this.initiatorName} at ${this.targetName}: ${messageOf(error)}`)
  }

  private reportUnsaved(error: unknown): false {
    this.report(new Error(`its logout could not be noted: ${messageOf(error)}`, { cause: error }))
    return false
  }

  private reportStuck({ lun }: UnitRecord, error: unknown): void {
    const what = `the files of LUN ${lun}, whose delta has ended, could not be put into the bin`
    this.report(new Error(`${what}: ${messageOf(error)}; its next login tries again`, { cause: error }))
  }

  private warnNearlyFull(lun: number): void {
    for (const nexus of this.nexuses) nexus.units.get(lun)?.establish(SOFT_THRESHOLD_REACHED)
    const limit = Math.min(this.budget.limitBytes, this.context.space.limitBytes)
    this.context.log.warn(
      `${this.initiatorName}: LUN ${lun} reached 80 % of its space (${formatSize(this.bytesStored)} of ${formatSize(limit)})`
    )
  }

  private warnVolume(lun: number, error: unknown): void {
    this.context.log.error(`${this.initiatorName}: LUN ${lun} at ${this.targetName}: ${messageOf(error)}`)
  }
}

/** What the operator sees of an initiator. */
export interface InitiatorView {
  readonly targetName: string
  readonly initiatorName: string
  readonly sessions: number
  /** Wall clock, ms since 1970. */
  readonly lastSeen: number
  readonly lastAddress: string
  readonly end: string | undefined
  /** Listening time left until the delta is given up; undefined while a session is live. */
  readonly graceLeftMs: number | undefined
  readonly chapUser: string | undefined
  readonly role: InitiatorRole
  readonly units: readonly UnitView[]
}

export interface UnitView {
  readonly lun: number
  readonly incarnation: number
  readonly epoch: number
  readonly stored: boolean
  /** The delta is in use or rests with its files open. */
  readonly open: boolean
  /** Stored bytes; those of a delta that has not been opened since the start are what its files take on the disk. */
  readonly bytes: number | undefined
}

/** What the files of a unit's delta are called, without the epoch. */
export function deltaName(lun: number): string {
  return `lun-${lun}`
}

/** Windows and ESXi align to it; the chunk of a delta is no smaller. */
const PHYSICAL_BLOCK_SIZE = 4096

/** What `blocks` of stat(2) counts in. */
const STAT_BLOCK_BYTES = 512

const STALE = 'ERR_ISCSI_DELTA_STALE'

const DELTA_ERRORS: Readonly<Record<string, DeltaEvent>> = {
  ERR_ISCSI_DELTA_FINGERPRINT: 'base-changed',
  ERR_ISCSI_DELTA_OWNER: 'unreadable',
  [STALE]: 'removed',
  ERR_ISCSI_DELTA_UNREADABLE: 'unreadable',
  ERR_ISCSI_DELTA_VERSION: 'unreadable'
}

const LOSSES: Readonly<Partial<Record<DeltaEvent, string>>> = {
  'grace-over': 'its grace time is over',
  operator: 'by order of the operator',
  'author-discards': 'an author took the image',
  'base-changed': 'the image is not the one it was written over',
  unreadable: 'it cannot be read',
  removed: 'it was removed'
}

function noneIfMissing(error: unknown): string[] {
  if (codeOf(error) === 'ENOENT') return []
  throw error
}

function fence(nexus: Nexus, record: UnitRecord): void {
  const entry = nexus.units.get(record.lun)
  if (!entry || !record.fence || record.fence.accepted.includes(nexus.isid)) return
  entry.fenced = true
  entry.establish(INQUIRY_DATA_CHANGED)
}

const LOGOUT_FOR_RECOVERY = 2

function eventOf(end: SessionEnd): DeltaEvent {
  return end.kind === 'logout' && end.reason === LOGOUT_FOR_RECOVERY ? 'logout-for-recovery' : end.kind
}

function describeEnd(end: SessionEnd): string {
  if (end.kind === 'lost') return `lost: ${end.cause}`
  return 'reason' in end ? `${end.kind}, reason ${end.reason}` : end.kind
}
