import type { Directory, ChapPolicy, NexusRequest, SessionEnd } from '../../lib/iscsi/directory.js'
import { DEFAULT_OFFER, type OfferedParameters } from '../../lib/iscsi/parameters.js'
import { PortalGroup, type Refusal, type SessionView } from '../../lib/iscsi/portal-group.js'
import { LogicalUnit } from '../../lib/scsi/logical-unit.js'
import { Nexus } from '../../lib/scsi/nexus.js'
import { MemoryVolume } from '../../lib/volume/drivers/memory.js'
import type { Volume } from '../../lib/volume/volume.js'

export const TARGET_NAME = 'iqn.2010-04.local.cloudx:test'

export interface TestTargetOptions {
  readonly offer?: Partial<OfferedParameters>
  /** One volume a LUN, shared by everybody; one of 8 MiB when left out. */
  readonly volumes?: readonly Volume[]
  readonly targets?: readonly string[]
  readonly chap?: Partial<ChapPolicy>
  readonly maxSessions?: number
  readonly multipath?: boolean
  readonly positionedReads?: boolean
  /** Runs before a nexus opens; may throw LoginError or wait. */
  readonly onOpen?: (request: NexusRequest) => Promise<void> | void
  /** Runs when a nexus closes; the Logout Response waits for it. */
  readonly onClose?: (nexus: Nexus, end: SessionEnd) => Promise<void> | void
}

/** The protocol layer on a free loopback port, over volumes in memory, without any of lib/target. */
export class TestTarget {
  readonly ends: { initiatorName: string; end: SessionEnd }[] = []
  readonly refusals: Refusal[] = []
  readonly failures: unknown[] = []
  readonly nexuses: Nexus[] = []
  group!: PortalGroup
  port = 0
  volumes: readonly Volume[] = []

  static async start(options: TestTargetOptions = {}): Promise<TestTarget> {
    const target = new TestTarget()
    target.volumes = options.volumes ?? [new MemoryVolume(8 * 1024 * 1024)]
    for (const volume of target.volumes) await volume.open()
    const units = target.volumes.map((volume, lun) => unitOf(volume, lun))
    target.group = new PortalGroup({
      directory: target.directory(options, units),
      portals: [{ host: '127.0.0.1', port: 0 }],
      offer: { ...DEFAULT_OFFER, ...options.offer },
      maxSessions: options.maxSessions ?? 64,
      multipath: options.multipath ?? false,
      positionedReads: options.positionedReads ?? true,
      events: {
        login: () => {},
        ended: (view: SessionView, end) => target.ends.push({ initiatorName: view.initiatorName, end }),
        refused: (refusal) => target.refusals.push(refusal),
        dropped: () => {},
        failed: (error) => target.failures.push(error)
      }
    })
    target.port = (await target.group.listen())[0]!.port
    return target
  }

  /** Closes, and says what should be back at rest: buffers and staging that are still out, and mistakes of ours. */
  async stop(): Promise<{ buffersOut: number; stagingBytes: number; failures: unknown[] }> {
    await this.group.close()
    for (const volume of this.volumes) await volume.close()
    const { buffers, staging } = this.group
    return { buffersOut: buffers.used, stagingBytes: staging.used, failures: this.failures }
  }

  private directory(options: TestTargetOptions, units: LogicalUnit[]): Directory {
    const targets = options.targets ?? [TARGET_NAME]
    return {
      targetPortalGroupTag: 1,
      targetAlias: undefined,
      hasTarget: (name) => targets.includes(name),
      mayAccess: () => true,
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
        const nexus = new Nexus({ initiatorName, isid, targetName, targetPortalGroupTag: 1, units })
        this.nexuses.push(nexus)
        return nexus
      },
      closeNexus: async (nexus, end) => {
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
