import { EventEmitter } from 'node:events'
import { existsSync, statSync } from 'node:fs'
import { isIP } from 'node:net'
import { resolve } from 'node:path'
import type { AccessRequest, ChapPolicy, Directory, NexusRequest, SessionEnd } from '../iscsi/directory.js'
import { LoginError, LoginStatus } from '../iscsi/errors.js'
import { DEFAULT_OFFER } from '../iscsi/parameters.js'
import { PortalGroup, type PortalGroupOptions, type SessionEvents, type SessionView } from '../iscsi/portal-group.js'
import type { Nexus } from '../scsi/nexus.js'
import { systemClock, type Clock } from '../util/clock.js'
import { eachAtOnce } from '../util/each-at-once.js'
import { messageOf } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import { formatDuration } from '../util/units.js'
import { formatAddress } from './addresses.js'
import type { Control } from './control.js'
import type { OpenDeltaDisk } from './delta-disk.js'
import { LOST_RETENTION_MS } from './bin.js'
import { BackgroundFlusher } from './background-flusher.js'
import { TargetError } from './errors.js'
import { fileStorage, type ImageStorage } from './image-storage.js'
import { Images } from './images.js'
import { Initiator } from './initiator.js'
import type { InitiatorContext, UnitSource } from './initiator-context.js'
import { newInitiatorRecord, type InitiatorRecord } from './initiator-record.js'
import type { ServerOptions, TargetOptions } from './options.js'
import { openOverlayDisk } from './overlay-disk.js'
import { Jobs } from './jobs.js'
import { keyOf, LocalOwners, type InitiatorKey } from './owner.js'
import { Policies } from './policies.js'
import type { ImageControl } from './generations/image-control.js'
import { OperatorControl } from './operator-control.js'
import { realPlace } from './real-place.js'
import { SourceAddresses, describeOneSource, type OneSource } from './source-addresses.js'
import { describeEnded, describeLogin, describeRefusal } from './session-log.js'
import { openSharedUnit } from './shared-unit.js'
import { stateBeside } from './state-place.js'
import { StateRoot } from './state-root.js'
import { TargetNode } from './target.js'
import { WarmUp, type WarmDisk } from './warm-up/warm-up.js'
import type { ImageNews } from './workers/image-turns.js'
import type { Share } from './workers/share.js'
import type { WorkerEvents, Workers } from './workers/workers.js'

/** How long clients have to answer an Async logout request before they are cut. */
export const LOGOUT_TIME_MS = 10_000
/** Initiators of an earlier run that are looked at together: each waits for the medium, and they wait for one sync. */
const ADOPTED_AT_ONCE = 64
/** All portals are one group, so one tag does (RFC 7143 §13.9). */
const TARGET_PORTAL_GROUP_TAG = 1

export interface ServerParts {
  readonly log: Logger
  readonly clock?: Clock
  /** What the log says when all clients come from one address, in the language of its reader; English when absent. */
  readonly describeOneSource?: (oneSource: OneSource) => string
  /** How images are stored and deltas made; specs put in their own. */
  readonly storage?: ImageStorage
  readonly openDelta?: OpenDeltaDisk
  /** How many initiators a target remembers; MAX_INITIATORS when left out. */
  readonly maxInitiators?: number
  /** 16 bytes that name the boot of this machine, when not the system's own. */
  readonly bootId?: Buffer
  /** Whether room is kept for a time when the disk is full; true when left out. */
  readonly reserve?: boolean
  readonly makePortalGroup?: (options: PortalGroupOptions) => PortalGroupPart
  /** Processes that have the initiators; this one keeps the portals, logins and the state directories. */
  readonly workers?: Workers
  /** This server is a worker's. */
  readonly share?: Share
}

/** What the server needs of a portal group. */
export type PortalGroupPart = Pick<
  PortalGroup,
  'sessions' | 'listen' | 'requestLogout' | 'disconnect' | 'stopListening' | 'close'
>

interface ServerEvents {
  login: [session: SessionView]
  logout: [session: SessionView, end: SessionEnd]
}

/** A target as it runs, with the state directory that it lives in. */
interface RunningTarget {
  readonly node: TargetNode
  readonly root: StateRoot
}

/**
 * The server: portals, targets, images, deltas. It opens everything in {@link open}, answers clients from
 * {@link listen} on, and {@link close} keeps all deltas.
 */
export class IscsiServer extends EventEmitter<ServerEvents> {
  readonly control: Control
  private readonly operator: OperatorControl
  private readonly jobs: Jobs
  private readonly warmUp: WarmUp
  private readonly sources = new SourceAddresses()
  private readonly describeOneSource: (oneSource: OneSource) => string
  private readonly options: ServerOptions
  private readonly log: Logger
  private readonly clock: Clock
  private readonly openDelta: OpenDeltaDisk
  private readonly maxInitiators: number | undefined
  private readonly flusher: BackgroundFlusher
  private readonly bootId: Buffer | undefined
  private readonly reserve: boolean | undefined
  private readonly images: Images
  private readonly targets = new Map<string, RunningTarget>()
  /** Targets that are being removed: nobody gets in any more, and their sessions still have to end. */
  private readonly leaving = new Map<string, RunningTarget>()
  private readonly roots = new Map<string, StateRoot>()
  private readonly portalGroup: PortalGroupPart
  private readonly workers: Workers | undefined
  private readonly share: Share | undefined
  private readonly startedAt: number
  private addresses: readonly { address: string; port: number }[] = []
  private opening: Promise<void> | undefined
  private closing: Promise<void> | undefined

  constructor(options: ServerOptions, parts: ServerParts) {
    super()
    this.options = options
    this.log = parts.log
    this.clock = parts.clock ?? systemClock
    this.describeOneSource = parts.describeOneSource ?? describeOneSource
    this.startedAt = this.clock.now()
    this.workers = parts.workers
    this.share = parts.share
    this.openDelta = parts.openDelta ?? openOverlayDisk
    this.maxInitiators = parts.maxInitiators
    this.flusher = new BackgroundFlusher(this.clock, options.flushIntervalMs)
    this.bootId = parts.bootId
    this.reserve = parts.reserve
    const storage = parts.storage ?? fileStorage(options.cacheBytes)
    this.images = new Images({ storage, clock: this.clock, log: this.log, together: this.share?.together })
    this.portalGroup = (parts.makePortalGroup ?? makePortalGroup)({
      directory: this.directory,
      portals: options.portals,
      offer: {
        ...DEFAULT_OFFER,
        maxRecvDataSegmentLength: options.packetSizeBytes,
        initialR2T: options.initialR2T,
        immediateData: options.immediateData
      },
      maxSessions: options.maxSessions,
      limits: options.limits,
      multipath: options.multipath,
      events: this.sessionEvents,
      tsihs: this.workers && { first: 1, step: options.workers + 1 },
      handOver: this.workers && ((...login) => this.workers!.handOver(...login))
    })
    const { share } = this
    this.warmUp = new WarmUp({
      budgetBytes: options.warmUpBytes,
      activity: () => this.portalGroup.sessions.reduce((sum, one) => sum + one.dataInBytes + one.dataOutBytes, 0),
      clock: this.clock,
      log: this.log
    })
    this.jobs = new Jobs(this.clock, this.log, share && { first: share.index + 1, step: share.workerCount })
    this.operator = new OperatorControl({
      server: () => ({
        startedAt: this.startedAt,
        portals: this.addresses,
        undoMs: this.options.undoMs,
        lostMs: this.lostMs,
        shred: this.options.shred
      }),
      sessions: () => this.portalGroup.sessions,
      targets: () => [...this.targets.values()].map(({ node }) => node),
      roots: () => [...this.roots.values()],
      jobs: this.jobs,
      clock: this.clock,
      log: this.log,
      keeps: share && ((targetName) => share.keeps(targetName)),
      endSessions: (filter) => this.portalGroup.requestLogout(filter, LOGOUT_TIME_MS)
    })
    this.control = this.workers?.control(this.operator) ?? this.operator
  }

  /** How long what a client lost is kept. */
  private get lostMs(): number {
    return this.options.shred ? 0 : Math.max(this.options.undoMs, LOST_RETENTION_MS)
  }

  /** Whoever runs the server, and whoever writes to its disks, should know how long it is there. */
  private tellRetention(): void {
    const { undoMs, shred, graceMs } = this.options
    const dropped = shred
      ? 'is encrypted, and its key destroyed when it is dropped (--shred)'
      : `${undoMs > 0 ? `is kept for ${formatDuration(undoMs)} after it was dropped (--undo)` : 'is deleted when it is dropped (--undo 0)'}, ` +
        `for ${formatDuration(this.lostMs)} when it was lost`
    this.log.info(
      `What clients write ${dropped}; that of a client that stays away for ${formatDuration(graceMs)} is given up (--grace)`
    )
  }

  /** Opens images and deltas. Called by {@link listen} when it has not been called before. */
  open(): Promise<void> {
    if (this.closing) return Promise.reject(new TargetError('ERR_ISCSI_CLOSED', 'the server was closed'))
    this.opening ??= this.openAll()
    return this.opening
  }

  /** @returns the addresses that clients can connect to, in the order of the options */
  async listen(): Promise<{ address: string; port: number }[]> {
    await this.open()
    if (this.closing) throw new TargetError('ERR_ISCSI_CLOSED', 'the server was closed')
    try {
      await this.workers?.listen()
      const addresses = await this.portalGroup.listen()
      this.addresses = addresses
      for (const root of this.roots.values()) root.startListening()
      if (!this.share) this.tellRetention()
      this.operator.imageControl.resume()
      this.warmUp.start(this.warmDisks)
      return addresses
    } catch (error) {
      await this.close()
      throw error
    }
  }

  /** Asks the clients to log out, waits a bounded time, and keeps all deltas. Harmless when called twice. */
  close(): Promise<void> {
    this.closing ??= this.closeOpened()
    return this.closing
  }

  /** What is being opened must be there before it can be closed; when that fails it closes by itself. */
  private async closeOpened(): Promise<void> {
    await this.opening?.catch(() => undefined)
    await this.closeAll()
  }

  /** The rules for initiators were changed by another process of this server. */
  async reconsider(): Promise<void> {
    for (const { policies } of this.roots.values()) await policies.reload()
    for (const { node } of this.targets.values()) await node.owners.reconsider()
  }

  /** Another process of this server has done something with an image. */
  async hearOfImage(uuid: string, news: ImageNews): Promise<void> {
    await this.images.hear(uuid, news)
  }

  /** Somebody here reads layers of an image that were merged. */
  readsMerged(uuid: string): boolean {
    return this.images.readsMerged(uuid)
  }

  get imageControl(): ImageControl {
    return this.operator.imageControl
  }

  /** Resolves when what runs in the background (restores, removals) has ended. */
  async idle(): Promise<void> {
    for (const { node } of this.targets.values()) await node.owners.idle()
    await this.operator.imageControl.idle()
    await this.jobs.idle()
    await this.warmUp.idle()
    await this.images.idle()
    for (const root of this.roots.values()) await root.bin.idle()
  }

  /** Adds a target while the server runs. */
  async addTarget(options: TargetOptions): Promise<void> {
    this.refuseWithWorkers()
    if (this.targets.has(options.name) || this.leaving.has(options.name)) {
      throw new TargetError('ERR_ISCSI_TARGET_EXISTS', `there is a target ${options.name} already`)
    }
    const first = options.units[0]?.path
    const existed = first !== undefined && existsSync(first)
    await this.images.createMissing(options.units, this.statePath(options), this.servedPaths)
    const root = await this.openRoot(options)
    if (existed && root.directory.made) this.tellFirstTime(first, root.directory.path)
    const sources = this.workers ? await this.nameImages(options, root) : await this.openSources(options, root)
    const policies = new Policies(options.name, options.initiators, root.policies)
    const context = this.contextOf(policies, sources, root)
    const owners = new LocalOwners(
      (key) => this.makeInitiator(context, key, root),
      (incarnation) => root.raiseIncarnationFloor(incarnation),
      this.maxInitiators
    )
    const node = new TargetNode(
      options,
      sources,
      owners,
      policies,
      root.audit,
      (holders) => this.discardHolders(holders),
      (filter) => this.portalGroup.disconnect(filter)
    )
    this.targets.set(options.name, { node, root })
    if (this.workers) return
    const adopt = (record: InitiatorRecord) => owners.adopt(new Initiator(context, record))
    await eachAtOnce(root.take(options.name), ADOPTED_AT_ONCE, adopt)
  }

  /** Ends the sessions of a target and takes it away; its deltas stay on disk. */
  async removeTarget(name: string): Promise<void> {
    this.refuseWithWorkers()
    const target = this.targets.get(name)
    if (!target) throw new TargetError('ERR_ISCSI_TARGET_UNKNOWN', `there is no target ${name}`)
    this.targets.delete(name)
    this.leaving.set(name, target)
    try {
      await this.portalGroup.requestLogout((session) => session.targetName === name, LOGOUT_TIME_MS)
      await target.node.owners.close()
      await this.closeShared(target.node)
      await target.root.load()
    } finally {
      this.leaving.delete(name)
    }
  }

  /** Who has which initiator hangs on all targets together. */
  private refuseWithWorkers(): void {
    if (!this.workers?.isOpen) return
    throw new TargetError('ERR_ISCSI_WORKERS', 'a server with workers keeps the targets that it was opened with')
  }

  // --- What the protocol asks ---

  private readonly directory: Directory = {
    targetPortalGroupTag: TARGET_PORTAL_GROUP_TAG,
    targetAlias: (name) => this.targets.get(name)?.node.alias,
    hasTarget: (name) => this.targets.has(name),
    mayAccess: (request) => this.nodeOf(request.targetName)?.mayAccess(request) ?? request.targetName === undefined,
    refusal: (request) => this.nodeOf(request.targetName)?.refusal(request) ?? 'there is no such target',
    chap: (request) => this.chapOf(request),
    visibleTargets: (request) => this.visibleTargets(request),
    advertisedAddress: (address, port) => this.advertisedAddress(address, port),
    openNexus: (request) => this.openNexus(request),
    closeNexus: (nexus, end) => this.closeNexus(nexus, end)
  }

  private readonly sessionEvents: SessionEvents = {
    login: (session, nexus) => {
      this.log.info(describeLogin(session), { initiator: session.initiatorName, target: session.targetName })
      if (nexus) this.watchFirstReads(nexus)
      const oneSource = this.share ? undefined : this.sources.add(session)
      if (oneSource) this.log.warn(this.describeOneSource(oneSource))
      this.emit('login', session)
    },
    ended: (session, end, tookMs) => {
      this.log.info(describeEnded(session, end, tookMs), { initiator: session.initiatorName, end: end.kind })
      this.emit('logout', session, end)
    },
    refused: (refusal) => this.log.warn(describeRefusal(refusal), { initiator: refusal.initiatorName }),
    dropped: (remoteAddress, cause) => this.log.debug(`connection from ${remoteAddress} dropped: ${cause}`),
    failed: (error, session) => {
      const who = session ? `session of ${session.initiatorName}` : 'a connection'
      this.log.error(
        `${who} ended by a mistake of ours: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`
      )
    }
  }

  /** What workers tell of their sessions; they write the log themselves. */
  private readonly workerEvents: WorkerEvents = {
    login: (session) => {
      const oneSource = this.sources.add(session)
      if (oneSource) this.log.warn(this.describeOneSource(oneSource))
      this.emit('login', session)
    },
    ended: (session, end) => void this.emit('logout', session, end)
  }

  private openNexus(request: NexusRequest): Promise<Nexus> {
    const node = this.nodeOf(request.targetName)
    if (!node) return Promise.reject(new LoginError(LoginStatus.NotFound, `no target ${request.targetName}`))
    return node.openNexus(request)
  }

  private async closeNexus(nexus: Nexus, end: SessionEnd): Promise<void> {
    const { node } = this.targets.get(nexus.targetName) ?? this.leaving.get(nexus.targetName) ?? {}
    await node?.closeNexus(nexus, end)
  }

  private chapOf(request: AccessRequest): ChapPolicy {
    if (request.targetName !== undefined) return this.nodeOf(request.targetName)?.access.chap ?? NO_CHAP
    // Discovery: the secret of any target will do, and none is demanded while one target is open to all.
    const policies = [...this.targets.values()].map(({ node }) => node.access.chap)
    return {
      required: policies.length > 0 && policies.every(({ required }) => required),
      available: policies.some(({ available }) => available),
      initiatorSecret: (name) => policies.map((policy) => policy.initiatorSecret(name)).find((secret) => secret),
      mutual: policies.find(({ mutual }) => mutual)?.mutual
    }
  }

  private visibleTargets(request: AccessRequest): string[] {
    const allowed = [...this.targets.values()].filter(({ node }) =>
      node.mayAccess({ ...request, targetName: node.name })
    )
    return allowed.map(({ node }) => node.name).sort()
  }

  private advertisedAddress(localAddress: string, localPort: number): string {
    const { advertise } = this.options
    if (advertise === undefined) return formatAddress(localAddress, localPort)
    if (isIP(advertise) === 6) return formatAddress(advertise, localPort)
    return /:\d+$/.test(advertise) ? advertise : `${advertise}:${localPort}`
  }

  private nodeOf(name: string | undefined): TargetNode | undefined {
    return name === undefined ? undefined : this.targets.get(name)?.node
  }

  // --- Warm start ---

  /** Of several processes that have an image one does it: the page cache is the same for all. */
  private get warmDisks(): WarmDisk[] {
    return [...this.targets.values()].flatMap(({ node }) => (this.keepsImages(node.name) ? node.sources : []))
  }

  private keepsImages(targetName: string): boolean {
    return this.share?.keeps(targetName) ?? true
  }

  private watchFirstReads(nexus: Nexus): void {
    const { node } = this.targets.get(nexus.targetName) ?? {}
    if (!node || !this.keepsImages(node.name)) return
    for (const source of node.sources) {
      const { image, shared, lun } = source
      const unit = nexus.units.get(lun)?.unit
      const isCurrent = shared || image.generationOf(keyOf(nexus)) === image.generations.current
      if (unit && isCurrent) this.warmUp.began(source, unit).catch((error: unknown) => this.log.warn(messageOf(error)))
    }
  }

  // --- Opening and closing ---

  private async openAll(): Promise<void> {
    try {
      for (const options of this.options.targets) await this.addTarget(options)
      for (const root of this.roots.values()) root.warnOfStrangers(new Set(this.targets.keys()))
      await this.workers?.open({ roots: [...this.roots.values()], events: this.workerEvents })
    } catch (error) {
      await this.closeAll()
      throw error
    }
  }

  private async closeAll(): Promise<void> {
    this.portalGroup.stopListening()
    await this.warmUp.close()
    await this.jobs.close()
    await this.operator.imageControl.close()
    await Promise.all([this.workers?.close(), this.portalGroup.requestLogout(() => true, LOGOUT_TIME_MS)])
    await this.portalGroup.close()
    for (const { node } of this.targets.values()) {
      await quietly(this.log, node.owners.close())
      await quietly(this.log, this.closeShared(node))
    }
    await quietly(this.log, this.images.close())
    for (const root of this.roots.values()) await quietly(this.log, root.close())
    // A start that was refused leaves nothing behind that would stand in the way of the next one.
    if (this.addresses.length === 0) await this.removeMade()
    this.targets.clear()
    this.roots.clear()
  }

  /** A state directory that was lost or left behind is not to be known from one that never was. */
  private tellFirstTime(image: string, path: string): void {
    this.log.info(
      `${image} is shared from here for the first time. If it was shared before, stop now and put its state directory ` +
        `of that time back to ${path}: without it no client finds what it has written, and all get new disk identities`
    )
  }

  private async removeMade(): Promise<void> {
    await quietly(this.log, this.images.removeMade())
    for (const root of this.roots.values()) await quietly(this.log, root.directory.removeIfMade())
  }

  private async openRoot(options: TargetOptions): Promise<StateRoot> {
    const path = await realPlace(this.statePath(options))
    const known = this.roots.get(path)
    if (known) return known
    const root = await StateRoot.open({
      path,
      undoMs: this.options.undoMs,
      shred: this.options.shred,
      deltaTotalBytes: this.options.deltaTotalBytes,
      reserve: this.reserve,
      clock: this.clock,
      log: this.log,
      front: this.workers !== undefined,
      share: this.share
    })
    this.roots.set(path, root)
    if (!this.workers) await root.space.start()
    return root
  }

  /** Images that are named on purpose, however similar their names are. */
  private get servedPaths(): string[] {
    return this.options.targets.flatMap(({ units }) => units.map(({ path }) => path))
  }

  private statePath({ units, name }: TargetOptions): string {
    if (this.options.stateDirectory !== undefined) return resolve(this.options.stateDirectory)
    const first = units[0]
    if (!first) throw new TargetError('ERR_ISCSI_NO_UNIT', `target ${name} has no --lun`)
    if (isDevice(first.path)) {
      throw new TargetError(
        'ERR_ISCSI_STATE',
        `${first.path} lies among the devices, and beside it is no place for deltas; name a folder with --state-dir`
      )
    }
    return stateBeside(resolve(first.path))
  }

  /** They are opened by workers, which could not agree about the name of a new one. */
  private async nameImages({ units }: TargetOptions, root: StateRoot): Promise<UnitSource[]> {
    for (const unit of units) await this.images.name(unit, root.directory)
    return []
  }

  private async openSources({ units, name }: TargetOptions, root: StateRoot): Promise<UnitSource[]> {
    const sources: UnitSource[] = []
    for (const unit of units) {
      const image = await this.images.open(unit, root.directory)
      const twin = sources.find((source) => source.image === image)
      if (twin) {
        throw new TargetError(
          'ERR_ISCSI_IMAGE_TWICE',
          `LUN ${twin.lun} and LUN ${unit.lun} of ${name} are the same image, ${image.path}: a client would see two ` +
            'disks with one signature and take the second offline'
        )
      }
      const { size } = await image.addView(unit.partition, unit.blockSize)
      if (size % unit.blockSize !== 0) {
        throw new TargetError(
          'ERR_ISCSI_IMAGE_SIZE',
          `${image.path} has ${size} bytes, not a multiple of the block size ${unit.blockSize}`
        )
      }
      const { lun, partition, readOnly, blockSize, writeThrough, removable, thick, allowSanitize: maySanitize } = unit
      const { personal, restoreOn } = unit
      const kind = {
        readOnly,
        blockSize,
        writeThrough: writeThrough || (!unit.shared && root.showsFullLate),
        removable,
        thin: !thick,
        maySanitize,
        personal,
        restoreOn
      }
      const source = { lun, image, partition, ...kind, shared: undefined }
      const parts = { source, targetName: name, state: root.directory, log: this.log }
      sources.push(unit.shared ? { ...source, shared: await openSharedUnit(parts) } : source)
    }
    return sources
  }

  /** Shared units belong to no initiator; nobody uses them any more. */
  private async closeShared({ sources }: TargetNode): Promise<void> {
    for (const { image, shared } of sources) {
      if (!shared) continue
      await shared.end()
      await this.images.closeShared(image)
    }
  }

  private contextOf(policies: Policies, sources: readonly UnitSource[], root: StateRoot): InitiatorContext {
    const { graceMs, graceClosedMs, deltaLimitBytes, chunkBytes, shred } = this.options
    const { flusher, bootId } = this
    return {
      sources,
      policyOf: (initiatorName, lun) => policies.of(initiatorName, lun),
      keepingOf: (initiatorName, unit) => policies.keepingOf(initiatorName, unit),
      mayPublish: () => policies.mayPublish,
      targetPortalGroupTag: TARGET_PORTAL_GROUP_TAG,
      state: root.directory,
      bin: root.bin,
      space: root.space,
      listening: root.listening,
      clock: this.clock,
      log: this.log,
      openDelta: this.openDelta,
      graceMs,
      graceClosedMs,
      deltaLimitBytes,
      chunkBytes,
      shred,
      flusher,
      bootId
    }
  }

  private makeInitiator(context: InitiatorContext, key: InitiatorKey, root: StateRoot): Initiator {
    const record = newInitiatorRecord(key.targetName, key.initiatorName)
    record.incarnationFloor = root.incarnationFloor(record, this.clock.now())
    return new Initiator(context, record)
  }

  private async discardHolders(holders: readonly InitiatorKey[]): Promise<void> {
    for (const { targetName, initiatorName } of holders) {
      await this.operator.discard({ target: targetName, initiator: initiatorName }, 'author-discards')
    }
  }
}

const NO_CHAP: ChapPolicy = {
  required: false,
  available: false,
  initiatorSecret: () => undefined,
  mutual: undefined
}

function makePortalGroup(options: PortalGroupOptions): PortalGroupPart {
  return new PortalGroup(options)
}

/** Paths that name a device by their look. What lies beside it is gone after a restart of the PC, or is no folder. */
const DEVICES = /^(\/dev\/|\\\\[.?]\\)/

function isDevice(path: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false })
  // A file system can lie below /dev too: /dev/shm.
  return found ? !found.isFile() && !found.isDirectory() : DEVICES.test(path)
}

async function quietly(log: Logger, work: Promise<unknown>): Promise<void> {
  await work.catch((error: unknown) => log.error(`while closing: ${messageOf(error)}`))
}
