import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DEFAULT_LIMITS } from '../../lib/iscsi/limits.js'
import type { NexusRequest, SessionEnd } from '../../lib/iscsi/directory.js'
import type { PortalGroupOptions, SessionView } from '../../lib/iscsi/portal-group.js'
import type { Nexus } from '../../lib/scsi/nexus.js'
import type { ServerOptions, TargetOptions, UnitOptions } from '../../lib/target/options.js'
import { IscsiServer, type PortalGroupPart, type ServerParts } from '../../lib/target/server.js'
import { readVolume, writeVolume } from '../../lib/volume/promises.js'
import { FakeClock } from './fake-clock.js'
import { LogRecorder } from './log-recorder.js'

export const TARGET = 'iqn.2010-04.local.cloudx:share'
export const ALICE = 'iqn.1991-05.com.microsoft:alice'
export const BOB = 'iqn.1991-05.com.microsoft:bob'
export const HOUR_MS = 3_600_000
export const IMAGE_BYTES = 4 * 2 ** 20
export const BASE_BYTE = 0x42

export const LOGOUT: SessionEnd = { kind: 'logout', reason: 0 }
export const SILENCE: SessionEnd = { kind: 'lost', cause: 'silence' }

/**
 * A real server over real files in a directory of its own, with a clock that the spec turns, and with sessions that are
 * opened here instead of over a network.
 */
export class TargetBench {
  readonly clock = new FakeClock()
  readonly log = new LogRecorder()
  readonly image: string
  server: IscsiServer | undefined
  private group: FakePortalGroup | undefined

  private constructor(
    readonly directory: string,
    private changes: Partial<ServerOptions>,
    private targetChanges: Partial<TargetOptions>
  ) {
    this.image = join(directory, 'share.img')
  }

  static async make(
    changes: Partial<ServerOptions> = {},
    targetChanges: Partial<TargetOptions> = {},
    parent = tmpdir()
  ): Promise<TargetBench> {
    const bench = new TargetBench(await mkdtemp(join(parent, 'cloudx-target-')), changes, targetChanges)
    await writeFile(bench.image, Buffer.alloc(IMAGE_BYTES, BASE_BYTE))
    return bench
  }

  get state(): string {
    return `${this.image}.cloudx`
  }

  unit(changes: Partial<UnitOptions> = {}): UnitOptions {
    const plain = {
      lun: 0,
      path: this.image,
      partition: undefined,
      readOnly: false,
      shared: false,
      personal: false,
      restoreOn: 'logout' as const,
      removable: false,
      thick: false,
      allowSanitize: false,
      blockSize: 512,
      writeThrough: false
    }
    return { ...plain, createBytes: IMAGE_BYTES, createBlank: true, ...changes }
  }

  target(changes: Partial<TargetOptions> = {}): TargetOptions {
    const access = { allow: [], chap: undefined, mutual: undefined }
    const plain = { name: TARGET, alias: undefined, access, authors: [], initiators: [], authorDiscards: false }
    return { ...plain, units: [this.unit()], ...this.targetChanges, ...changes }
  }

  options(): ServerOptions {
    return {
      portals: [{ host: '127.0.0.1', port: 0 }],
      advertise: undefined,
      stateDirectory: undefined,
      packetSizeBytes: 262144,
      initialR2T: false,
      immediateData: true,
      maxSessions: 16,
      limits: DEFAULT_LIMITS,
      cacheBytes: undefined,
      warmUpBytes: 0,
      graceMs: 96 * HOUR_MS,
      graceClosedMs: 48 * HOUR_MS,
      undoMs: HOUR_MS,
      shred: false,
      deltaLimitBytes: undefined,
      deltaTotalBytes: undefined,
      chunkBytes: 4096,
      flushIntervalMs: 1000,
      multipath: false,
      workers: 1,
      targets: [this.target()],
      ...this.changes
    }
  }

  /** Starts a server over the same files; one that runs is closed first. */
  async start(changes: Partial<ServerOptions> = {}, parts: Partial<ServerParts> = {}): Promise<IscsiServer> {
    await this.stop()
    this.changes = { ...this.changes, ...changes }
    this.server = new IscsiServer(this.options(), {
      log: this.log,
      clock: this.clock,
      reserve: false,
      ...parts,
      makePortalGroup: (options) => (this.group = new FakePortalGroup(options))
    })
    await this.server.listen()
    return this.server
  }

  async stop(): Promise<void> {
    await this.server?.close()
    this.server = undefined
  }

  async remove(): Promise<void> {
    await this.stop()
    await rm(this.directory, { recursive: true, force: true })
  }

  request(changes: Partial<NexusRequest> = {}): NexusRequest {
    const addresses = { remoteAddress: '192.0.2.7', localAddress: '192.0.2.1' }
    const names = { initiatorName: ALICE, targetName: TARGET, initiatorAlias: undefined, chapName: undefined }
    return { ...addresses, ...names, isid: '400001370001', ...changes }
  }

  login(changes: Partial<NexusRequest> = {}): Promise<Nexus> {
    return this.group!.login(this.request(changes))
  }

  end(nexus: Nexus, end: SessionEnd): Promise<void> {
    return this.group!.end(nexus, end)
  }

  /** Of all sessions that are there. */
  get nexuses(): Nexus[] {
    return this.group!.nexuses
  }

  get directoryService() {
    return this.group!.options.directory
  }

  /** What a client does that logs in, writes, and ends its session so. */
  async visit(fill: number, end: SessionEnd, changes: Partial<NexusRequest> = {}): Promise<void> {
    const nexus = await this.login(changes)
    await this.write(nexus, 0, fill)
    await this.end(nexus, end)
  }

  async write(nexus: Nexus, offset: number, fill: number, length = 4096): Promise<void> {
    await writeVolume(nexus.units.get(0)!.unit.volume, Buffer.alloc(length, fill), offset)
  }

  /** The first byte at an offset, as this client sees it. */
  async read(nexus: Nexus, offset: number): Promise<number> {
    const bytes = Buffer.alloc(512)
    await readVolume(nexus.units.get(0)!.unit.volume, bytes, offset)
    return bytes[0]!
  }

  async imageByte(offset: number): Promise<number> {
    return (await readFile(this.image))[offset]!
  }

  /** Resolves when what was begun in the background has ended. */
  async settled(): Promise<void> {
    for (let round = 0; round < 20; round++) {
      await new Promise((resolve) => setImmediate(resolve))
      await this.server?.idle()
    }
  }
}

/** Sessions without a network. */
class FakePortalGroup implements PortalGroupPart {
  private readonly open = new Map<Nexus, SessionView>()
  private tsih = 0

  constructor(readonly options: PortalGroupOptions) {}

  get sessions(): SessionView[] {
    return [...this.open.values()]
  }

  get nexuses(): Nexus[] {
    return [...this.open.keys()]
  }

  async login(request: NexusRequest): Promise<Nexus> {
    const nexus = await this.options.directory.openNexus(request)
    const { initiatorName, targetName, isid, remoteAddress, localAddress } = request
    const counters = { ageMs: 0, commands: 0, dataInBytes: 0, dataOutBytes: 0 }
    const names = { initiatorName, targetName, isid, remoteAddress, localAddress }
    const view: SessionView = { type: 'Normal', tsih: ++this.tsih, ...names, ...counters }
    this.open.set(nexus, view)
    this.options.events.login(view, nexus)
    return nexus
  }

  async end(nexus: Nexus, end: SessionEnd): Promise<void> {
    const view = this.open.get(nexus)!
    await this.options.directory.closeNexus(nexus, end)
    this.open.delete(nexus)
    this.options.events.ended(view, end, 0)
  }

  listen(): Promise<{ address: string; port: number }[]> {
    return Promise.resolve([{ address: '127.0.0.1', port: 3260 }])
  }

  /** Every client obeys. */
  requestLogout(filter: (session: SessionView) => boolean): Promise<void> {
    return this.endAll(filter, { kind: 'logout-on-request', reason: 0 })
  }

  disconnect(filter: (session: SessionView) => boolean): Promise<void> {
    return this.endAll(filter, { kind: 'stopped' })
  }

  stopListening(): void {}

  close(): Promise<void> {
    return this.endAll(() => true, { kind: 'stopped' })
  }

  private async endAll(filter: (session: SessionView) => boolean, end: SessionEnd): Promise<void> {
    for (const [nexus, view] of this.open) if (filter(view)) await this.end(nexus, end)
  }
}
