import type { NexusRequest, SessionEnd } from '../iscsi/directory.js'
import { LoginError, LoginStatus } from '../iscsi/errors.js'
import { isIpxe } from '../iscsi/ipxe.js'
import { Nexus, type NexusUnit } from '../scsi/nexus.js'
import { INQUIRY_DATA_CHANGED } from '../scsi/sense.js'
import type { Timer } from '../util/clock.js'
import { isFull, messageOf } from '../util/errors.js'
import { formatDuration, formatSize } from '../util/units.js'
import { checkDelta } from './delta-check.js'
import type { CopyPart } from './delta-copy.js'
import { DeltaInspection, type CopyRequest, type RescueRequest, type UnitDetail } from './delta-inspection.js'
import { DeltaPublisher, type PublishRequest } from './generations/delta-publisher.js'
import type { Generation } from './generations/generation-record.js'
import { EpochEnds, type Discarded } from './epoch-ends.js'
import { TargetError } from './errors.js'
import type { Image } from './images.js'
import type { InitiatorContext, InitiatorRole, UnitSource } from './initiator-context.js'
import type { InitiatorRecord, UnitRecord } from './initiator-record.js'
import { InitiatorState, deltaName, type OpenUnit } from './initiator-state.js'
import type { InitiatorView } from './initiator-view.js'
import { keyOf } from './owner.js'
import { isBoot, loginEvent, restorePolicy, type DeltaEvent, type Grace, type LoginCase } from './restore-policy.js'
import { RestoreUndo, type Undone, type UndoRequest } from './restore-undo.js'
import { Units, type EnlargeRequest } from './units.js'

/** ISIDs that are remembered of an initiator: the last ones, and those that have looked at a new incarnation. */
const MAX_ISIDS = 16

/** A delta whose grace time is over, and which could not be put aside, is tried again after this. */
const GRACE_RETRY_MS = 600_000

/** Each unit can be in the way once, by its first write. */
const ENLARGE_ATTEMPTS_MAX = 256

/** A login that could not be noted on a full disk is noted after this, or tried again. */
const NOTE_RETRY_MS = 60_000

/**
 * One initiator at one target: owner of all private state of that client. Its units and deltas are opened at its first
 * login, shared by its sessions, and outlive them as the restore policy says. Everything that changes them runs one
 * after the other through `steps`, so that a login finds the logout before it finished.
 */
export class Initiator {
  readonly targetName: string
  readonly initiatorName: string
  private readonly state: InitiatorState
  private readonly ends: EpochEnds
  private readonly units: Units
  private readonly restoreUndo: RestoreUndo
  private readonly inspection: DeltaInspection
  private readonly publisher: DeltaPublisher
  private draining = false
  /** Images of which it is to get the newest generation. */
  private readonly advancing = new Set<string>()
  private warned = false
  /** Ends of epochs that are on their way to the medium, and what follows them. */
  private settling = 0
  private settled: Promise<unknown> = Promise.resolve()
  /** Saves a login that a full disk kept from being noted. */
  private unnoted: Timer | undefined

  constructor(
    private readonly context: InitiatorContext,
    private readonly record: InitiatorRecord
  ) {
    this.targetName = record.targetName
    this.initiatorName = record.initiatorName
    this.state = new InitiatorState(context, record)
    this.ends = new EpochEnds(this.state)
    this.units = new Units(this.state, this.ends)
    this.restoreUndo = new RestoreUndo(this.state, this.ends, this.units)
    this.inspection = new DeltaInspection(this.state)
    this.publisher = new DeltaPublisher(this.state, this.units)
  }

  get key(): string {
    return keyOf(this.record)
  }

  /** Live normal sessions. */
  get sessionCount(): number {
    return this.state.nexuses.size
  }

  /** Some unit has a delta: of this session or waiting for its client. */
  get hasDelta(): boolean {
    return this.record.units.some((unit) => this.state.storedNow(unit))
  }

  get bytesStored(): number {
    return this.state.budget.usedBytes
  }

  /** A step is under way or waits. */
  get busy(): boolean {
    return this.settling > 0 || this.state.steps.busy
  }

  /** Resolves when nothing is under way any more. */
  async idle(): Promise<void> {
    while (this.busy) {
      await this.settled
      await this.state.steps.idle()
    }
  }

  /** Units and deltas are open. */
  get isOpen(): boolean {
    return this.state.open !== undefined
  }

  /** Nothing of it would be missed in memory; what has to be remembered is in its record. */
  get disposable(): boolean {
    return this.retirable && !this.busy && this.state.forgettable
  }

  /** It has nothing here but, maybe, an identity that differs from a new one's. */
  get retirable(): boolean {
    return this.state.nexuses.size === 0 && !this.state.hasDelta && !this.ends.littered && !this.state.missedByUndo
  }

  /** Wall clock, ms since 1970. */
  get lastSeen(): number {
    return this.record.lastSeen
  }

  /** The highest incarnation that any of its units can have been shown with. */
  get incarnation(): number {
    return Math.max(this.record.incarnationFloor, ...this.record.units.map(({ incarnation }) => incarnation))
  }

  /** A copy for the operator. */
  describe(): InitiatorView {
    const { targetName, initiatorName, lastSeen, lastAddress, end, graceEnds, chapUser } = this.record
    const graceLeftMs = graceEnds === undefined ? undefined : Math.max(0, graceEnds - this.context.listening.now())
    const units = this.record.units.map((unit) => ({
      lun: unit.lun,
      incarnation: unit.incarnation,
      epoch: unit.epoch,
      stored: this.state.storedNow(unit),
      open: this.state.deltaOf(unit) !== undefined,
      keeping: this.state.keepingOf(unit.lun),
      bytes: this.state.deltaOf(unit)?.bytesStored ?? this.state.resting.get(unit),
      mapBytes: this.state.deltaOf(unit)?.changes.mapBytes
    }))
    const sessions = this.state.nexuses.size
    return {
      targetName,
      initiatorName,
      sessions,
      lastSeen,
      lastAddress,
      end,
      graceLeftMs,
      chapUser,
      role: this.state.role,
      policy: this.context.policyOf(this.initiatorName),
      marked: this.record.marked,
      units
    }
  }

  // --- Sessions ---

  /** Opens the nexus of a login; throws LoginError to refuse it. */
  openNexus(request: NexusRequest, role: InitiatorRole): Promise<Nexus> {
    return this.state.steps.run(() => this.admit(request, role))
  }

  /** The session has ended and touches nothing any more. Resolves when its deltas are where the policy wants them. */
  closeNexus(nexus: Nexus, end: SessionEnd): Promise<void> {
    return this.state.steps.run(() => this.depart(nexus, end))
  }

  /** Refuses logins until {@link undrain}, so that a {@link discard} does not chase sessions that come back. */
  drain(): void {
    this.draining = true
  }

  /**
   * Takes the deltas away without their client's logout. Sessions must have ended; one that is still there makes it
   * throw, because no delta is swapped under a live session.
   */
  discard(event: DeltaEvent, lun?: number): Promise<Discarded> {
    return this.state.steps.run(async () => {
      if (this.state.nexuses.size > 0) {
        throw new TargetError('ERR_ISCSI_INITIATOR_BUSY', `${this.initiatorName} still has a session`)
      }
      // Of whoever has logged out nobody has to be told.
      const told = event === 'operator' && this.record.letGo ? 'reset' : event
      const policy = [...this.state.unitsThat('drop', told), ...this.state.unitsThat('lost', told)]
      const named = this.record.units.filter((unit) => unit.lun === lun && this.state.storedNow(unit))
      return this.endBy(told, lun === undefined ? policy : named)
    })
  }

  /** What the operator marks is restored at the next login of a client that has let go of it, or has booted. */
  mark(): Promise<void> {
    return this.state.steps.run(async () => {
      this.record.marked = true
      await this.state.save()
    })
  }

  /** A login under this ISID is a boot of its PC that drops something. */
  restoresAtBoot(isid: string): boolean {
    const login = this.loginCase(isid)
    return isBoot(login) && this.state.unitsThat('drop', loginEvent(login)).length > 0
  }

  /** Policies have changed: a delta that waits for its client has another time to do so, or none. */
  reconsider(): Promise<void> {
    return this.state.steps.run(async () => {
      if (this.state.nexuses.size > 0 || !this.state.hasDelta) return
      if (!this.state.hasLimitedDelta) this.clearGrace()
      else if (this.record.graceEnds === undefined) this.setGrace(this.context.listening.now() + this.context.graceMs)
      await this.state.save()
    })
  }

  /** Gives back what its last logout dropped. Throws TargetError with the reason when that may not be. */
  undo(request: UndoRequest): Promise<Undone> {
    return this.state.steps.run(() => this.bringBack(request))
  }

  /** What it has written, and where. */
  show(names: boolean): Promise<readonly UnitDetail[]> {
    return this.inspection.show(names)
  }

  /** One file of such a disk. */
  rescue(what: RescueRequest): AsyncGenerator<CopyPart> {
    return this.inspection.rescue(what)
  }

  /** One of its disks as it sees it, or saw it last. */
  copy(what: CopyRequest): AsyncGenerator<CopyPart> {
    return this.inspection.copy(what)
  }

  /** Makes what it wrote a generation of the image. Throws TargetError with the reason when that may not be. */
  publish(request: PublishRequest): Promise<Generation> {
    return this.state.steps.run(async () => {
      const generation = await this.publisher.publish(request)
      await this.settle()
      return generation
    })
  }

  /**
   * Its next login gets the newest generation of this image, unless it wrote something over the one that it sees.
   * Its client may have that one mounted still, so it is shown a new disk identity then.
   * @returns false while it has a session: it happens when that ends
   */
  advance(imageUuid: string): Promise<boolean> {
    return this.state.steps.run(async () => {
      this.advancing.add(imageUuid)
      if (this.state.nexuses.size > 0) return false
      await this.advanceUnits()
      await this.settle()
      return true
    })
  }

  /**
   * Puts its units over a generation that shows the same as the one that they see, and may be larger; a client that is
   * there goes on and hears of its size. Does nothing to units that see another generation.
   */
  async enlarge(request: EnlargeRequest): Promise<void> {
    for (let attempt = 1; attempt <= ENLARGE_ATTEMPTS_MAX; attempt++) {
      const retry = await this.state.steps.run(() => this.units.enlarge(request))
      if (!retry) return
      // The first write of a delta, which waits for the steps.
      await retry.behind
    }
    throw new TargetError('ERR_ISCSI_GROW', `${this.initiatorName} begins to write all the time`)
  }

  /** Makes a drained initiator take logins again. */
  undrain(): void {
    this.draining = false
  }

  /** At the start of the server: looks whether what the record names is there, and lets the grace time go on. */
  resume(): Promise<void> {
    return this.state.steps.run(async () => {
      try {
        await this.recover()
      } catch (error) {
        // One directory that cannot be read is no reason to serve nobody; its client's login tries again.
        this.state.report(error)
        this.waitOn()
      }
    })
  }

  /** Closes the deltas of a client that is absent; the next login opens them again. */
  suspend(): Promise<void> {
    return this.state.steps.run(async () => {
      if (this.state.nexuses.size === 0) await this.state.closeUnits()
    })
  }

  /** Forgets it to make room. False when it has something here, or somebody came in the meantime. */
  retire(): Promise<boolean> {
    return this.state.steps.run(async () => {
      if (!this.retirable) return false
      await this.state.closeUnits()
      await this.context.state.forgetInitiator(this.record)
      return true
    })
  }

  /** Closes everything and keeps it. */
  async close(): Promise<void> {
    await this.settled
    return this.state.steps.run(async () => {
      this.context.listening.clearDeadline(this.key)
      this.unnoted?.cancel()
      this.state.stopGrowth()
      await this.state.closeUnits()
    })
  }

  private async admit(request: NexusRequest, role: InitiatorRole): Promise<Nexus> {
    this.refuseOthers(request, role)
    try {
      this.reserveImages(role)
      // Nothing is noted of an author, whose login would keep a delta that comes back from its client.
      if (role === 'author') await this.ends.settleRestores()
      await this.restoreUndo.finish()
      await this.restoreAtLogin(request)
      if (this.state.nexuses.size === 0 && !this.state.hasDelta) await this.takeOver(request.chapName)
      const units = await this.units.open(role)
      await this.state.wakeDeltas()
      const nexus = this.makeNexus(request, units)
      await this.noteLogin(request, nexus)
      return nexus
    } catch (error) {
      await this.withdraw(role).catch((reason: unknown) => this.state.report(reason))
      throw error instanceof LoginError
        ? error
        : new LoginError(LoginStatus.TargetError, `cannot open the disk: ${messageOf(error)}`, { cause: error })
    }
  }

  /** Without a delta whoever proves to be this initiator owns the next one. */
  private async takeOver(chapUser: string | undefined): Promise<void> {
    // Units that are open still would write the old owner into the delta.
    if (this.record.chapUser !== chapUser) await this.state.closeUnits()
    this.record.chapUser = chapUser
  }

  /** After a login that failed. */
  private async withdraw(role: InitiatorRole): Promise<void> {
    if (role === 'author' && this.state.nexuses.size === 0) await this.leaveImages(true)
    await this.settle()
  }

  /** Synchronous, so that of an author and a client that log in at once one finds the other. */
  private reserveImages(role: InitiatorRole): void {
    for (const { image, readOnly } of this.privateSources) {
      if (role === 'author' && !readOnly) image.claim(this.key, this)
      else image.hold(this.key, this)
    }
  }

  private get privateSources(): readonly UnitSource[] {
    return this.context.sources.filter(({ shared }) => !shared)
  }

  /** @param clean - the author has logged out */
  private async leaveImages(clean: boolean): Promise<void> {
    await this.state.closeUnits()
    for (const { image } of this.context.sources) await image.leaveAuthor(this.key, clean)
  }

  private refuseOthers(request: NexusRequest, role: InitiatorRole): void {
    if (this.draining) throw new LoginError(LoginStatus.ServiceUnavailable, 'its delta is being dropped right now')
    if (this.state.nexuses.size > 0 && role !== this.state.role) {
      throw new LoginError(LoginStatus.ServiceUnavailable, 'it cannot be author and client at the same time')
    }
    // A delta that was made without CHAP may be taken over by a proved user: that is how CHAP gets switched on.
    const { chapUser } = this.record
    if (chapUser !== undefined && chapUser !== request.chapName && this.state.hasDelta) {
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
    this.state.nexuses.add(nexus)
    this.state.visits++
    this.state.watchGrowth()
    record.isids = [...record.isids.filter((isid) => isid !== request.isid), request.isid].slice(-MAX_ISIDS)
    record.lastAddress = request.remoteAddress
    record.end = undefined
    record.graceEnds = undefined
    record.letGo = false
    this.see()
    // An author has no delta, so there is nothing to find again after a crash.
    if (this.state.role === 'author') return
    try {
      await this.state.save()
    } catch (error) {
      if (isFull(error)) return this.noteLater(error)
      // A nexus without a session would count as one for ever, and no logout would be the last one any more.
      this.state.nexuses.delete(nexus)
      if (this.state.nexuses.size === 0) this.state.stopGrowth()
      nexus.end()
      throw error
    }
  }

  /**
   * The record of a login matters after a crash alone, and the first write of an epoch saves it again. So a client is
   * let in to a disk that is full: it can read, and write where it has written already.
   */
  private async noteLater(error: unknown): Promise<void> {
    await this.ends.settleRestores()
    this.context.log.error(
      `${this.initiatorName} is let in although its login cannot be noted (${messageOf(error)}): free space in ` +
        `${this.context.state.path}; until then it can read, and write where it has written already`
    )
    this.retryNote()
  }

  private retryNote(): void {
    this.unnoted?.cancel()
    this.unnoted = this.context.clock.setTimer(NOTE_RETRY_MS, () => {
      if (this.state.nexuses.size === 0) return
      this.later(async () => {
        await this.state.save().catch((error: unknown) => {
          if (!isFull(error)) throw error
          this.retryNote()
        })
      })
    })
  }

  private async depart(nexus: Nexus, end: SessionEnd): Promise<void> {
    if (!this.state.nexuses.delete(nexus)) return
    this.state.visits++
    // Nobody writes any more: a delta that was noted and has no files could not be made.
    if (this.state.nexuses.size === 0) this.state.arising.clear()
    nexus.end()
    this.record.end = describeEnd(end)
    this.see()
    if (this.state.nexuses.size === 0) this.state.stopGrowth()
    const event = eventOf(end)
    if (this.state.nexuses.size === 0) this.letGo(event === 'logout')
    if (this.state.role === 'author') return this.departAuthor(event)
    // What another session still uses stays as it is, whatever ended this one.
    if (this.state.nexuses.size > 0) return
    const dropped = this.state.unitsThat('drop', event)
    if (dropped.length > 0 || (event === 'logout' && !this.state.hasDelta)) await this.drop(event, dropped)
    if (this.advancing.size > 0) await this.advanceUnits()
    if (this.state.hasDelta || event !== 'logout') await this.wait(event)
  }

  /** A client that has let go of the disk gets the newest generation next time, unless it left a delta. */
  private letGo(letGo: boolean): void {
    this.record.letGo = letGo
    if (!letGo) return
    for (const unit of this.record.units) if (!this.state.storedNow(unit)) unit.generation = undefined
  }

  private async departAuthor(event: DeltaEvent): Promise<void> {
    if (this.state.nexuses.size > 0) return
    await this.leaveImages(event === 'logout')
    await this.settle()
  }

  /** The last session is gone and deltas wait for their client, or for somebody to decide about them. */
  private async wait(event: DeltaEvent): Promise<void> {
    if (!this.state.hasDelta && this.state.isPinned) return this.waitPinned(event)
    if (!this.state.hasDelta) return this.settle()
    const graces = this.state.unitsThat('keep', event).map(({ lun }) => this.graceOf(event, lun))
    const graceMs = Math.max(...graces)
    if (graceMs === Infinity || graces.length === 0) this.clearGrace()
    const limited = graces.filter((each) => each < Infinity)
    if (limited.length > 0) this.setGrace(this.context.listening.now() + Math.max(...limited))
    const kept = limited.length > 0 ? `for ${formatDuration(Math.max(...limited))}` : 'until somebody drops them'
    this.context.log.info(
      `${this.initiatorName}: ${formatSize(this.state.dataBytesStored)} kept ${kept} (${this.record.end ?? 'no logout'})`
    )
    await this.state.save()
    // Behind the answer, and behind a login that waits already: a flush may take its time.
    this.later(() => this.restIfAbsent())
  }

  /** The last session is gone without a logout, and left nothing but a disk that its client may have mounted still. */
  private async waitPinned(event: DeltaEvent): Promise<void> {
    const graceMs = this.msOf(restorePolicy(event, 0).grace)
    this.setGrace(this.context.listening.now() + graceMs)
    this.context.log.info(
      `${this.initiatorName}: its generation stays for it for ${formatDuration(graceMs)} (${this.record.end ?? 'no logout'})`
    )
    await this.state.save()
  }

  /** How long the delta of a LUN waits after this event; without end where only the operator drops it. */
  private graceOf(event: DeltaEvent, lun: number): number {
    return this.msOf(restorePolicy(event, 0, this.state.keepingOf(lun)).grace)
  }

  private msOf(grace: Grace): number {
    if (grace === 'unlimited') return Infinity
    return grace === 'grace-closed' ? this.context.graceClosedMs : this.context.graceMs
  }

  private async restIfAbsent(): Promise<void> {
    if (this.state.nexuses.size === 0) await this.state.restDeltas()
  }

  private setGrace(ends: number): void {
    this.record.graceEnds = ends
    this.context.listening.setDeadline(this.key, ends, () => this.later(() => this.graceOver()))
  }

  private clearGrace(): void {
    this.record.graceEnds = undefined
    this.context.listening.clearDeadline(this.key)
  }

  private async graceOver(): Promise<void> {
    if (this.state.nexuses.size > 0 || this.record.graceEnds === undefined) return
    if (!this.state.hasDelta) return this.unpin()
    const event = this.record.letGo ? 'expired' : 'grace-over'
    this.clearGrace()
    try {
      await this.endBy(event, [...this.state.unitsThat('lost', event), ...this.state.unitsThat('drop', event)])
    } catch (error) {
      this.setGrace(this.context.listening.now() + GRACE_RETRY_MS)
      throw error
    }
  }

  /**
   * The client has written nothing, and its generation stayed for it long enough. As long as everybody gets that one it
   * may as well stay; else its disk is another one from here on, and it has to look at it anew.
   */
  private async unpin(): Promise<void> {
    const outdated = this.record.units.filter((unit) => this.isOutdated(unit))
    if (outdated.length === 0) return this.setGrace(this.context.listening.now() + this.context.graceMs)
    await this.renewUnits(outdated)
    for (const unit of this.record.units) unit.generation = undefined
    this.record.graceEnds = undefined
    this.context.log.warn(
      `${this.initiatorName} did not come back to ${this.targetName} in time: it gets the newest generation, and a new ` +
        'disk identity'
    )
    await this.settle()
  }

  /** Units of the images that are {@link advancing}, where nothing was written. */
  private async advanceUnits(): Promise<void> {
    const { advancing } = this
    const outdated = this.record.units.filter((unit) => {
      const source = this.context.sources.find(({ lun }) => lun === unit.lun)
      return source && advancing.has(source.image.uuid) && !this.state.storedNow(unit) && this.isOutdated(unit)
    })
    advancing.clear()
    if (outdated.length === 0) return
    await this.renewUnits(outdated)
    for (const { lun } of outdated) this.context.sources.find((one) => one.lun === lun)!.image.release(this.key)
    await this.state.save()
    this.context.log.info(
      `${this.initiatorName} gets the newest generation at its next login to ${this.targetName}, and a new disk identity`
    )
  }

  /** Its client sees another generation than it would get now. */
  private isOutdated({ lun, generation }: UnitRecord): boolean {
    const source = this.context.sources.find((one) => one.lun === lun)
    return generation !== undefined && source?.image.generations.generationFor(this.initiatorName) !== generation
  }

  /** Nothing was written to them, but a client may have them mounted: they are other disks from here on. */
  private async renewUnits(units: readonly UnitRecord[]): Promise<void> {
    await this.state.closeUnits()
    for (const unit of units) Object.assign(unit, this.ends.renewed(unit), { generation: undefined })
  }

  /** Restore of what the client has let go of: a new epoch under the same identity. */
  private async drop(event: DeltaEvent, units: readonly UnitRecord[]): Promise<void> {
    // Nothing that works by itself may write into the epoch that follows.
    await this.state.endWork()
    const renewed = [...new Set([...units, ...this.state.unitsRenewedBy(event)])]
    for (const unit of renewed) unit.reservations = undefined
    const ended = await this.ends.drop(event, units)
    await this.units.renew(renewed)
    this.releaseImages()
    this.settleBehind()
    if (!ended) throw new Error('neither the record nor the files of its delta can be written')
  }

  /**
   * The restore becomes safe from a power cut behind the answer, and not as a step, because a login need not wait for
   * it: the record that it writes says that the epoch has ended. What is left here goes when both are there.
   */
  private settleBehind(): void {
    this.settling++
    const settled = this.ends
      .settleRestores()
      .catch((error: unknown) => this.state.report(error))
      .then(() => this.later(() => this.settle()))
      .finally(() => this.settling--)
    this.settled = Promise.all([this.settled, settled])
  }

  /** Deltas are gone without their client's logout: whoever may hold a cache of them must notice. */
  private async lose(event: DeltaEvent, units: readonly UnitRecord[]): Promise<Discarded> {
    const discarded = await this.ends.lose(event, units)
    this.clearGrace()
    await this.settle()
    return discarded
  }

  /** Ends deltas while no session is there; what an event means for its client is the same for all of them. */
  private async endBy(event: DeltaEvent, units: readonly UnitRecord[]): Promise<Discarded> {
    if (units.length === 0) return { bytes: 0, tookMs: 0 }
    if (restorePolicy(event, 0).action === 'lost') return this.lose(event, units)
    const bytes = this.state.bytesOf(units)
    const start = this.context.clock.monotonic()
    await this.drop(event, units)
    return { bytes, tookMs: this.context.clock.monotonic() - start }
  }

  /** Before a login is let in: a PC that has booted, or a client that was marked, begins anew. */
  private async restoreAtLogin({ isid }: NexusRequest): Promise<void> {
    if (this.state.nexuses.size > 0) return
    const login = this.loginCase(isid)
    const event = loginEvent(login)
    if (isBoot(login)) Object.assign(this.record, { bootedAt: this.context.clock.now(), spared: false })
    else this.warnOfBoot(isid)
    if (event === 'marked') this.record.marked = false
    const units = this.state.unitsThat('drop', event)
    if (units.length === 0) return
    await this.drop(event, units)
    // Work that was ended is begun by units that are opened anew.
    await this.state.closeUnits()
    this.reserveImages('private')
  }

  private loginCase(isid: string): LoginCase {
    const { isids, bootedAt, letGo, marked, spared } = this.record
    const sinceBootMs = bootedAt === undefined ? undefined : this.context.clock.now() - bootedAt
    return { isid, lastIsid: isids.at(-1), sinceBootMs, letGo, marked, spared }
  }

  /** Once in a run of the server for each initiator. */
  private warnOfBoot(isid: string): void {
    if (this.warned || this.record.bootedAt !== undefined || isIpxe(isid)) return
    if (!this.privateSources.some(({ lun }) => this.state.keepingOf(lun) === 'boot')) return
    this.warned = true
    this.context.log.warn(
      `${this.initiatorName} has restore-on boot, but has never booted by iPXE: what it writes to ${this.targetName} ` +
        `stays until its next boot by iPXE; cloudx delta drop ${this.initiatorName} --at-next-login restores it`
    )
  }

  private async bringBack(request: UndoRequest): Promise<Undone> {
    await this.ends.settleRestores()
    await this.restoreUndo.finish()
    const plan = await this.restoreUndo.judge(request)
    try {
      const replaced = this.record.units.filter(
        (unit) => this.state.storedNow(unit) && plan.entries.some(({ lun }) => lun === unit.lun)
      )
      if (replaced.length > 0) await this.lose('operator', replaced)
      await this.state.closeUnits()
      this.holdImages()
      this.setGrace(this.context.listening.now() + this.context.graceMs)
      await this.restoreUndo.note(plan)
    } catch (error) {
      this.restoreUndo.giveUp(plan)
      await this.settle().catch((reason: unknown) => this.state.report(reason))
      throw error
    }
    await this.restoreUndo.finish()
    return this.restoreUndo.report(plan)
  }

  /** INQUIRY, or READ CAPACITY of a session that cannot be the one that was there before: it has seen the new unit. */
  private looked(nexus: Nexus, entry: NexusUnit, command: 'inquiry' | 'read-capacity'): void {
    const record = this.record.units.find(({ lun }) => lun === entry.unit.lun)
    if (!record?.fence || !entry.fenced) return
    if (command === 'read-capacity' && record.fence.suspects.includes(nexus.isid)) return
    entry.fenced = false
    record.fence.accepted = [...record.fence.accepted, nexus.isid].slice(-MAX_ISIDS)
    this.later(() => this.state.save())
  }

  // --- What is remembered ---

  private async recover(): Promise<void> {
    await this.restoreUndo.finish()
    for (const unit of this.record.units) {
      await this.ends.compareFiles(unit)
      if (unit.stored) await this.checkBase(unit)
      if (unit.stored) this.state.rest(unit, await this.state.bytesOnDisk(unit))
    }
    if (!this.state.isHeld) return this.settle()
    this.waitOn()
    const { graceEnds } = this.record
    const left = graceEnds === undefined ? undefined : formatDuration(graceEnds - this.context.listening.now())
    const kept = left === undefined ? 'until somebody drops it' : `for ${left}`
    this.context.log.info(`${this.initiatorName}: delta at ${this.targetName} found, kept ${kept}`)
    await this.state.save()
  }

  /** The server has started, and the delta waits for its client. */
  private waitOn(): void {
    try {
      this.holdImages()
    } catch (error) {
      // An author has the image reserved; what it writes makes this delta a lost one at the next start or login.
      this.state.report(error)
    }
    if (!this.state.hasLimitedDelta) return this.clearGrace()
    // A shorter --grace than at the last run holds from now on; a counter that was lost cannot make it longer.
    const { listening, graceMs } = this.context
    this.setGrace(Math.min(this.record.graceEnds ?? Infinity, listening.now() + graceMs))
  }

  /** After a session or a loss: an initiator without session and delta needs neither memory nor a record. */
  private async settle(): Promise<void> {
    if (this.state.nexuses.size > 0) return
    if (!this.state.hasDelta && this.state.isPinned) {
      if (this.record.graceEnds === undefined) this.setGrace(this.context.listening.now() + this.context.graceMs)
      return
    }
    if (this.state.hasDelta) {
      if (!this.state.hasLimitedDelta) this.clearGrace()
      else if (this.record.graceEnds === undefined) this.setGrace(this.context.listening.now() + this.context.graceMs)
      return
    }
    await this.state.closeUnits()
    this.context.listening.clearDeadline(this.key)
    this.record.graceEnds = undefined
    this.releaseImages()
    await this.ends.sweep()
    // Without its record a file that is left would be taken for a delta.
    if (this.state.forgettable && !this.ends.littered) await this.context.state.forgetInitiator(this.record)
    else await this.state.save()
  }

  /** With the generations that its client saw, which nobody merges away then. Throws LoginError while an author has one. */
  private holdImages(): void {
    for (const { image, lun } of this.privateSources) {
      image.hold(this.key, this)
      const generation = this.record.units.find((unit) => unit.lun === lun)?.generation
      if (generation !== undefined && image.generations.has(generation)) image.use(this.key, generation)
    }
  }

  private releaseImages(): void {
    if (this.state.nexuses.size > 0) return
    for (const { image } of this.context.sources) if (!this.holdsDeltaOver(image)) image.release(this.key)
  }

  private holdsDeltaOver(image: Image): boolean {
    return this.record.units.some(
      (unit) =>
        this.state.storedNow(unit) && this.context.sources.some((one) => one.lun === unit.lun && one.image === image)
    )
  }

  private async checkBase(unit: UnitRecord): Promise<void> {
    const source = this.context.sources.find(({ lun }) => lun === unit.lun)
    // Of a LUN that the target has no more nothing is known; it may come back.
    if (!source || source.readOnly || source.shared) return
    const { image, blockSize } = source
    const generation = await this.state.storedGeneration(unit).catch(() => undefined)
    // One that cannot be read is judged below, against any.
    const base = generation !== undefined && image.generations.has(generation) ? generation : image.generations.current
    const { size } = await image.view(base, unit.whole ? undefined : source.partition, blockSize)
    image.use(this.key, base)
    unit.generation = base
    const directory = this.context.state.deltaPath(this.record)
    const epoch = (await this.state.listFiles(unit.lun)).epoch!
    const fault = await checkDelta(directory, deltaName(unit.lun), epoch, { ...image.fingerprint(base), size })
    if (fault) await this.ends.loseUnit(unit, fault.event, fault.why)
  }

  private see(): void {
    this.record.lastSeen = this.context.clock.now()
  }

  /** A step that nobody waits for. */
  private later(step: () => Promise<void>): void {
    void this.state.steps.run(step).catch((error: unknown) => this.state.report(error))
  }
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
