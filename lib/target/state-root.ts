import { existsSync } from 'node:fs'
import type { Clock } from '../util/clock.js'
import { codeOf, messageOf } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import { removeInSteps } from '../volume/delta/files.js'
import { acquireLock, type Lock } from '../volume/lock.js'
import { AuditLog, type Audit } from './audit-log.js'
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
import type { Share } from './workers/share.js'

export interface StateRootOptions {
  readonly path: string
  readonly undoMs: number
  readonly shred?: boolean
  readonly deltaTotalBytes: number | undefined
  readonly clock: Clock
  readonly log: Logger
  /** Whether room is taken ahead for a time when the disk is full; true when left out. */
  readonly reserve?: boolean | undefined
  /** This process has no initiators: they are in workers. */
  readonly front?: boolean | undefined
  /** This process is a worker: what is not a matter of its initiators alone is the front's. */
  readonly share?: Share | undefined
}

/** How long the workers of a server that was killed have to notice, in milliseconds, and how often we look. */
const WORKERS_END_MS = 10_000
const WORKERS_CHECK_MS = 50

/** A state directory in use: locked, with its clock, its bin and its room. Several targets may share one. */
export class StateRoot {
  /** Throws IscsiError ERR_ISCSI_LOCKED when another server uses the directory. */
  static async open(options: StateRootOptions): Promise<StateRoot> {
    const directory = await StateDirectory.open(options.path, options.log)
    const { share } = options
    const lock = share
      ? await acquireLock(directory.workersLockPath, { exclusive: false, create: true })
      : await acquireLock(directory.lockPath, { exclusive: true, create: true })
    try {
      if (!share) await workersEnded(directory)
      const listened = share ? { listenedMs: share.listenedMs(directory.path), notedAt: 0 } : await directory.listened()
      const root = new StateRoot(options, directory, lock, listened, await PolicyOrders.open(directory.path))
      root.forgottenIncarnation = await directory.forgottenIncarnation(options.clock.now())
      root.medium = await stateMedium(directory.path)
      const warning = mediumWarning(root.medium, directory.path)
      if (warning !== undefined && !share) options.log.warn(warning)
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
  readonly audit: Audit
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

  private readonly share: Share | undefined

  private constructor(
    { path, undoMs, shred = false, deltaTotalBytes, clock, log, reserve, front, share }: StateRootOptions,
    readonly directory: StateDirectory,
    private readonly lock: Lock,
    { listenedMs, notedAt }: Listened,
    /** The rules that the operator gave by command. */
    readonly policies: PolicyOrders
  ) {
    this.log = log
    this.clock = clock
    this.reserves = !front && (reserve ?? true)
    this.share = share
    this.listening = new ListeningTime(clock, listenedMs, () => void this.saveListened())
    this.wallClock = new WallClockWatch(clock, notedAt, log)
    this.bin = new Bin({
      path: directory.binPath,
      undoMs,
      shred,
      listening: this.listening,
      now: () => clock.now(),
      log,
      removeFile: removeInSteps,
      owns: front ? () => false : share && ((key) => share.owns(key)),
      keepsUnlabelled: share !== undefined
    })
    const audit = new AuditLog(directory.path, () => clock.now())
    // One process writes the file, which is rotated.
    this.audit = share ? { path: audit.path, note: (entry) => share.noteAudit(directory.path, entry) } : audit
    this.space = new Space({
      path,
      totalBytes: deltaTotalBytes,
      clock,
      log,
      reclaim: () => void this.bin.reclaim(),
      spare: (bytes) => this.takeReserve(bytes),
      shareCount: share?.workerCount,
      silent: front === true || (share !== undefined && share.index > 0),
      askForRoom: share && ((bytes) => share.askForRoom(directory.path, bytes))
    })
    if (this.space.leased) share?.leased.set(directory.path, this.space.leased)
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
    const { forgottenIncarnation, directory } = this
    if (this.share) return this.share.raiseIncarnationFloor(directory.path, forgottenIncarnation)
    await this.saves.run(() => directory.saveForgottenIncarnation(this.forgottenIncarnation))
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
    if (!this.listens) return
    const { reserve } = this.directory
    // Several processes may give it back, and one of them takes it.
    if (this.share) void reserve.find().then(() => this.share!.index === 0 && this.listens && this.fill(spareBytes))
    else this.fill(spareBytes)
  }

  private fill(spareBytes: number): void {
    if (spareBytes > 2 * RESERVE_BYTES) void this.directory.reserve.fill()
  }

  /** The server listens from now on. */
  startListening(): void {
    this.listens = this.reserves
    void this.space.refresh()
    this.listening.start()
    if (this.share) return
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
      if (this.share && !this.share.owns(record)) continue
      const known = this.records.get(record.targetName)
      if (known) known.push(record)
      else this.records.set(record.targetName, [record])
    }
  }

  private saveListened(): Promise<void> {
    if (this.share) return Promise.resolve()
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

/**
 * The workers of a server that was killed end a moment later. Until then they may write into the deltas, and the main
 * lock, which was that server's, does not tell.
 */
async function workersEnded({ workersLockPath }: StateDirectory): Promise<void> {
  if (!existsSync(workersLockPath)) return
  const deadline = performance.now() + WORKERS_END_MS
  for (;;) {
    try {
      const lock = await acquireLock(workersLockPath, { exclusive: true, create: true })
      return await lock.release()
    } catch (error) {
      if (codeOf(error) !== 'ERR_ISCSI_LOCKED' || performance.now() > deadline) throw error
      await new Promise((resolve) => setTimeout(resolve, WORKERS_CHECK_MS))
    }
  }
}
