import type { Directory, ChapPolicy, NexusRequest, SessionEnd } from '../../lib/iscsi/directory.js'
import { DEFAULT_OFFER, type OfferedParameters } from '../../lib/iscsi/parameters.js'
import type { ProtocolLimits } from '../../lib/iscsi/limits.js'
import { PortalGroup, type HandOver, type Refusal, type SessionView } from '../../lib/iscsi/portal-group.js'
import type { Connection } from '../../lib/iscsi/connection.js'
import type { Session } from '../../lib/iscsi/session.js'
import { LogicalUnit } from '../../lib/scsi/logical-unit.js'
import { Nexus } from '../../lib/scsi/nexus.js'
import { MemoryVolume } from '../../lib/volume/drivers/memory.js'
import { FaultVolume, type FaultPlan } from '../../lib/volume/layers/fault.js'
import type { Volume } from '../../lib/volume/volume.js'
import type { Clock } from '../../lib/util/clock.js'

export const TARGET_NAME = 'iqn.2010-04.local.cloudx:test'

export interface TestTargetOptions {
  readonly offer?: Partial<OfferedParameters>
  /** One volume a LUN, shared by everybody; one of 8 MiB when left out. */
  readonly volumes?: readonly Volume[]
  /** Makes the volumes of each initiator, so that no two share a unit; instead of `volumes`. */
  readonly privateVolumes?: (initiatorName: string) => readonly Volume[]
  readonly targets?: readonly string[]
  readonly chap?: Partial<ChapPolicy>
  readonly maxSessions?: number
  readonly multipath?: boolean
  readonly positionedReads?: boolean
  readonly limits?: Partial<ProtocolLimits>
  /** The same as `limits.waitingBytes`. */
  readonly stagingBytes?: number
  readonly clock?: Clock
  /** How long a session has for a sign of life; for those that give none. */
  readonly probeTimeMs?: number
  /** Puts the disks, or the one of 8 MiB, behind a layer that misbehaves as planned. */
  readonly faults?: FaultPlan
  readonly host?: string
  /** Takes complete logins elsewhere. */
  readonly handOver?: HandOver
  /** Runs before a nexus opens; may throw LoginError or wait. */
  readonly onOpen?: (request: NexusRequest) => Promise<void> | void
  /** Runs when a nexus closes; the Logout Response waits for it. */
  readonly onClose?: (nexus: Nexus, end: SessionEnd) => Promise<void> | void
}

/** What is still out when all has ended; nothing should be. */
export interface Remains {
  readonly buffersOut: number
  readonly stagingBytes: number
  /** Of data that waits for its initiator. */
  readonly waitingBytes: number
  readonly tasksOut: number
  /** Task sets of units that still have a task. */
  readonly unitsBusy: number
  readonly connections: number
  /** Mistakes of ours. */
  readonly failures: readonly unknown[]
}

export const NOTHING: Remains = {
  buffersOut: 0,
  stagingBytes: 0,
  waitingBytes: 0,
  tasksOut: 0,
  unitsBusy: 0,
  connections: 0,
  failures: []
}

/** The protocol layer on a free loopback port, over volumes in memory, without any of lib/target. */
export class TestTarget {
  readonly ends: { initiatorName: string; isid: string; end: SessionEnd }[] = []
  /** All that there ever were. */
  readonly sessions: Session[] = []
  readonly dropped: string[] = []
  readonly refusals: Refusal[] = []
  readonly failures: unknown[] = []
  readonly nexuses: Nexus[] = []
  group!: PortalGroup
  port = 0
  volumes: readonly Volume[] = []
  /** All of them, private ones included. */
  units: readonly LogicalUnit[] = []
  private readonly unitsByInitiator = new Map<string, readonly LogicalUnit[]>()
  private faults: FaultPlan | undefined

  static async start(options: TestTargetOptions = {}): Promise<TestTarget> {
    const target = new TestTarget()
    const volumes = options.volumes ?? [new MemoryVolume(8 * 1024 * 1024)]
    const { faults } = options
    target.faults = faults
    target.volumes = faults ? volumes.map((volume) => new FaultVolume(volume, faults)) : volumes
    for (const volume of target.volumes) await volume.open()
    const units = target.volumes.map((volume, lun) => unitOf(volume, lun))
    target.units = units
    target.group = new PortalGroup({
      directory: target.directory(options, units),
      portals: [{ host: options.host ?? '127.0.0.1', port: 0 }],
      offer: { ...DEFAULT_OFFER, ...options.offer },
      maxSessions: options.maxSessions ?? 64,
      multipath: options.multipath ?? false,
      positionedReads: options.positionedReads ?? true,
      limits: {
        ...options.limits,
        ...(options.stagingBytes !== undefined && { waitingBytes: options.stagingBytes })
      },
      ...(options.clock && { clock: options.clock }),
      handOver: options.handOver,
      ...(options.probeTimeMs !== undefined && { probeTimeMs: options.probeTimeMs }),
      events: {
        login: () => {},
        ended: (view: SessionView, end) => {
          target.ends.push({ initiatorName: view.initiatorName, isid: view.isid, end })
        },
        refused: (refusal) => target.refusals.push(refusal),
        dropped: (_address, cause) => target.dropped.push(cause),
        failed: (error) => target.failures.push(error)
      }
    })
    const admit = target.group.admit.bind(target.group)
    target.group.admit = async (...request) => {
      const session = await admit(...request)
      target.sessions.push(session)
      return session
    }
    target.port = (await target.group.listen())[0]!.port
    return target
  }

  /** Connections that are there now. */
  get connections(): Connection[] {
    return [...(this.group as unknown as { connections: Set<Connection> }).connections]
  }

  /** Tasks that are out of the pools of all sessions. */
  get tasksOut(): number {
    return this.sessions.reduce((sum, session) => sum + session.tasksInUse, 0)
  }

  /** Waits, a turn of the event loop at a time, until something is so. */
  async until(condition: () => boolean): Promise<void> {
    for (let turns = 0; !condition(); turns++) {
      if (turns > 1_000_000) throw new Error(`never came true: ${condition.toString()}`)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  /** Closes, and says what is still out. */
  async stop(): Promise<Remains> {
    // A session ends when its file operations have: nothing may be held any more.
    this.faults?.clear()
    this.faults?.releaseAll()
    await this.group.close()
    for (const volume of this.volumes) await volume.close()
    const { buffers, staging } = this.group
    // Writes that a cut socket drops are released in a turn of their own.
    for (let turns = 0; turns < 100 && buffers.used > 0; turns++) await new Promise((resolve) => setImmediate(resolve))
    return {
      buffersOut: buffers.used,
      stagingBytes: staging.used,
      waitingBytes: staging.waiting.used + this.sessions.reduce((sum, { waiting }) => sum + waiting.used, 0),
      tasksOut: this.tasksOut,
      unitsBusy: this.units.filter((unit) => !unit.taskSet.idle).length,
      connections: this.connections.length,
      failures: this.failures
    }
  }

  private async unitsOf(
    initiatorName: string,
    make: (name: string) => readonly Volume[]
  ): Promise<readonly LogicalUnit[]> {
    const known = this.unitsByInitiator.get(initiatorName)
    if (known) return known
    const volumes = make(initiatorName)
    for (const volume of volumes) await volume.open()
    const units = volumes.map((volume, lun) => unitOf(volume, lun))
    this.unitsByInitiator.set(initiatorName, units)
    this.volumes = [...this.volumes, ...volumes]
    this.units = [...this.units, ...units]
    return units
  }

  private directory(options: TestTargetOptions, units: LogicalUnit[]): Directory {
    const targets = options.targets ?? [TARGET_NAME]
    return {
      targetPortalGroupTag: 1,
      targetAlias: () => undefined,
      hasTarget: (name) => targets.includes(name),
      mayAccess: () => true,
      refusal: () => 'the access list forbids it',
      chap: () => ({
        required: false,
        available: false,
        initiatorSecret: () => undefined,
        mutual: undefined,
        ...options.chap
      }),
      visibleTargets: () => targets,
      advertisedAddress: (address, port) => `${address}:${port}`,
      openNexus: async (request) => {
        await options.onOpen?.(request)
        const { initiatorName, isid, targetName } = request
        const own = options.privateVolumes ? await this.unitsOf(initiatorName, options.privateVolumes) : units
        const nexus = new Nexus({ initiatorName, isid, targetName, targetPortalGroupTag: 1, units: own })
        this.nexuses.push(nexus)
        return nexus
      },
      closeNexus: async (nexus, end) => {
        nexus.end()
        await options.onClose?.(nexus, end)
      }
    }
  }
}

function unitOf(volume: Volume, lun: number): LogicalUnit {
  return new LogicalUnit({
    lun,
    volume,
    blockSize: 512,
    physicalBlockSize: 4096,
    readOnly: volume.readOnly,
    thin: true,
    identity: {
      vendor: 'CLOUD-X',
      product: 'TEST DISK',
      revision: '0001',
      serial: `TEST-${lun}`,
      naa: Buffer.from(`6000000000000000000000000000000${lun}`, 'hex'),
      scsiName: `${TARGET_NAME},L,0x000${lun}`
    }
  })
}
