import type { Clock } from '../util/clock.js'
import { messageOf } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import { removeInSteps } from '../volume/delta/files.js'
import { acquireLock, type Lock } from '../volume/lock.js'
import { AuditLog } from './audit-log.js'
import { Bin } from './bin.js'
import type { InitiatorRecord } from './initiator-record.js'
import { ListeningTime } from './listening-time.js'
import { PolicyOrders } from './policy-orders.js'
import { Serial } from './serial.js'
import { RESERVE_BYTES } from './reserve-file.js'
import { Space } from './space.js'
import { StateDirectory, type Listened } from './state-directory.js'
import { mediumWarning, stateMedium, type StateMedium } from './state-medium.js'
import { WallClockWatch } from './wall-clock-watch.js'

export interface StateRootOptions {
  readonly path: string
  readonly undoMs: number
  readonly shred?: boolean
  readonly deltaTotalBytes: number | undefined
  readonly clock: Clock
  readonly log: Logger
  /** Whether room is taken ahead for a time when the disk is full; true when left out. */
  readonly reserve?: boolean | undefined
}

/** A state directory in use: locked, with its clock, its bin and its room. Several targets may share one. */
export class StateRoot {
  /** Throws IscsiError ERR_ISCSI_LOCKED when another server uses the directory. */
  static async open(options: StateRootOptions): Promise<StateRoot> {
    const directory = await StateDirectory.open(options.path, options.log)
    const lock = await acquireLock(directory.lockPath, { exclusive: true, create: true })
    try {
      const root = new StateRoot(
        options,
        directory,
        lock,
        await directory.listened(),
        await PolicyOrders.open(directory.path)
      )
      root.forgottenIncarnation = await directory.forgottenIncarnation(options.clock.now())
      root.medium = await stateMedium(directory.path)
      const warning = mediumWarning(root.medium, directory.path)
      if (warning !== undefined) options.log.warn(warning)
      await directory.reserve.find()
      await root.bin.load()
      await root.load()
      // An undo that a crash cut short is carried on by its initiator, so nothing may remove its files before.
      for (const { undo } of [...root.records.values()].flat()) undo.forEach(({ id }) => root.bin.claim(id))
      return root
    } catch (error) {
      await lock.release()
      await directory.removeIfMade()
      throw error
    }
  }

  readonly listening: ListeningTime
  readonly bin: Bin
  readonly space: Space
  readonly audit: AuditLog
  /** What was found on disk, by target. */
  readonly records = new Map<string, InitiatorRecord[]>()
  /** The highest incarnation of initiators that were forgotten to make room. */
  private forgottenIncarnation = 0
  private damaged: ReadonlySet<string> = new Set()
  private readonly log: Logger
  private readonly clock: Clock
  private readonly wallClock: WallClockWatch
  private readonly saves = new Serial()
  /** A reserve is kept from now on. */
  private listens = false
  private readonly reserves: boolean
  private medium: StateMedium = { kind: 'local', name: 'unknown' }
  /** A save waits for its turn; it will take the newest total. */
  private saveWaits = false

  private constructor(
    { path, undoMs, shred = false, deltaTotalBytes, clock, log, reserve }: StateRootOptions,
    readonly directory: StateDirectory,
    private readonly lock: Lock,
    { listenedMs, notedAt }: Listened,
    /** The rules that the operator gave by command. */
    readonly policies: PolicyOrders
  ) {
    this.log = log
    this.clock = clock
    this.reserves = reserve ?? true
    this.listening = new ListeningTime(clock, listenedMs, () => void this.saveListened())
    this.wallClock = new WallClockWatch(clock, notedAt, log)
    this.bin = new Bin({
      path: directory.binPath,
      undoMs,
      shred,
      listening: this.listening,
      now: () => clock.now(),
      log,
      removeFile: removeInSteps
    })
    this.audit = new AuditLog(directory.path, () => clock.now())
    this.space = new Space({
      path,
      totalBytes: deltaTotalBytes,
      clock,
      log,
      reclaim: () => void this.bin.reclaim(),
      spare: (bytes) => this.takeReserve(bytes)
    })
  }

  /**
   * The lowest incarnation of an initiator that nothing is remembered of: that of those who were forgotten, 0 at first.
   * When its record is damaged it is a number that is higher than any it can have had, since incarnations are counted
   * and this is the time in seconds.
   * @param nowMs - wall clock
   */
  incarnationFloor(key: Pick<InitiatorRecord, 'targetName' | 'initiatorName'>, nowMs: number): number {
    return this.damaged.has(this.directory.hashOf(key)) ? Math.floor(nowMs / 1000) : this.forgottenIncarnation
  }

  /** Initiators that had this incarnation are about to be forgotten. Resolves when that is safe on disk. */
  async raiseIncarnationFloor(incarnation: number): Promise<void> {
    if (incarnation > this.forgottenIncarnation) this.forgottenIncarnation = incarnation
    await this.saves.run(() => this.directory.saveForgottenIncarnation(this.forgottenIncarnation))
  }

  /** Says which deltas belong to targets that this server does not have. */
  warnOfStrangers(targets: ReadonlySet<string>): void {
    for (const [target, records] of this.records) {
      if (targets.has(target)) continue
      this.log.warn(
        `${this.directory.path} holds deltas of ${records.length} initiators of ${target}, which is no target of this ` +
          'server; they stay as they are'
      )
    }
  }

  /** A write that the disk has no room for may fail only when it is flushed. */
  get showsFullLate(): boolean {
    return this.medium.kind === 'network'
  }

  /** Room that is free is taken ahead, when it is enough; in the background. */
  private takeReserve(spareBytes: number): void {
    if (this.listens && spareBytes > 2 * RESERVE_BYTES) void this.directory.reserve.fill()
  }

  /** The server listens from now on. */
  startListening(): void {
    this.listens = this.reserves
    void this.space.refresh()
    this.listening.start()
    this.wallClock.start()
    // From here on a crash leaves a time that the next start can compare the clock with.
    void this.saveListened()
  }

  async close(): Promise<void> {
    this.listening.stop()
    this.wallClock.stop()
    this.space.stop()
    this.listens = false
    await this.directory.reserve.settled()
    await this.saveListened()
    await this.bin.idle()
    await this.lock.release()
  }

  /** The records of a target that begins to run; from then on they are its own. */
  take(targetName: string): readonly InitiatorRecord[] {
    const taken = this.records.get(targetName) ?? []
    this.records.delete(targetName)
    return taken
  }

  /** Reads all records, at the start and when a target was taken away. */
  async load(): Promise<void> {
    const { records, damaged } = await this.directory.initiators()
    this.damaged = new Set(damaged)
    this.records.clear()
    for (const record of records) {
      const known = this.records.get(record.targetName)
      if (known) known.push(record)
      else this.records.set(record.targetName, [record])
    }
  }

  private saveListened(): Promise<void> {
    if (this.saveWaits) return this.saves.idle()
    this.saveWaits = true
    return this.saves
      .run(() => {
        this.saveWaits = false
        return this.directory.saveListened({ listenedMs: this.listening.now(), notedAt: this.clock.now() })
      })
      .catch((error: unknown) => this.log.warn(`cannot note the listening time: ${messageOf(error)}`))
  }
}
