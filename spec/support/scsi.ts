import { DeviceServer } from '../../lib/scsi/device-server.js'
import { LogicalUnit, type LogicalUnitOptions, type UnitIdentity } from '../../lib/scsi/logical-unit.js'
import { Nexus, type NexusOptions } from '../../lib/scsi/nexus.js'
import { Staging } from '../../lib/scsi/staging.js'
import { Task, TaskState, type TaskOwner } from '../../lib/scsi/task.js'
import type { BlockIo } from '../../lib/volume/block-io.js'
import { Volume, fail, type Extent } from '../../lib/volume/volume.js'

export const INITIATOR = 'iqn.1991-05.com.microsoft:pc-07'
export const ISID = '400001370000'
export const TARGET = 'iqn.2010-04.local.cloudx:disk'

export const IDENTITY: UnitIdentity = {
  vendor: 'CLOUD-X',
  product: 'DISK',
  revision: '0001',
  serial: 'A1B2C3D4',
  naa: Buffer.from('60a1b2c3d4e5f60718293a4b5c6d7e8f', 'hex'),
  scsiName: 'naa.60a1b2c3d4e5f60718293a4b5c6d7e8f'
}

/** Bytes in which {@link FakeVolume} stores and frees. */
export const CHUNK = 4096

/**
 * A volume over plain bytes, told how to behave: slow (the try verbs refuse, requests complete later), stalled
 * (requests wait for {@link release}), broken (the next verb of that name fails).
 */
export class FakeVolume extends Volume {
  readonly bytes: Buffer
  readonly mapped: boolean[]
  refusing = false
  stalled = false
  /** Verb → the error code that it fails with. */
  readonly broken = new Map<string, string>()
  readonly calls: string[] = []
  private readonly waiting: (() => void)[] = []

  constructor(
    readonly size: number,
    readonly readOnly = false
  ) {
    super()
    this.bytes = Buffer.alloc(size)
    this.mapped = new Array<boolean>(Math.ceil(size / CHUNK)).fill(false)
  }

  override open(): Promise<void> {
    return Promise.resolve()
  }

  override close(): Promise<void> {
    return Promise.resolve()
  }

  /** Lets everything go on that stalled. */
  release(): void {
    this.stalled = false
    for (const go of this.waiting.splice(0)) go()
  }

  get stalledRequests(): number {
    return this.waiting.length
  }

  override extent(offset: number, limit: number): Extent {
    const first = Math.floor(offset / CHUNK)
    let chunk = first
    while (chunk < this.mapped.length && this.mapped[chunk] === this.mapped[first]) chunk++
    return { length: Math.min(chunk * CHUNK - offset, limit, this.size - offset), mapped: this.mapped[first]! }
  }

  protected _tryRead(buffer: Buffer, start: number, length: number, offset: number): boolean {
    if (this.blocks('read', offset, length)) return false
    this.bytes.copy(buffer, start, offset, offset + length)
    return true
  }

  protected _tryWrite(buffer: Buffer, start: number, length: number, offset: number): boolean {
    if (this.blocks('write', offset, length)) return false
    this.store(buffer, start, length, offset)
    return true
  }

  protected _tryZero(offset: number, length: number, unmap: boolean): boolean {
    if (this.blocks(unmap ? 'unmap' : 'zero', offset, length)) return false
    this.clear(offset, length, unmap)
    return true
  }

  protected _read(io: BlockIo): void {
    this.later(io, 'read', () => this.bytes.copy(io.buffer, io.start, io.offset, io.offset + io.length))
  }

  protected _write(io: BlockIo): void {
    this.later(io, 'write', () => this.store(io.buffer, io.start, io.length, io.offset))
  }

  protected _zero(io: BlockIo): void {
    this.later(io, io.unmap ? 'unmap' : 'zero', () => this.clear(io.offset, io.length, io.unmap))
  }

  protected _flush(io: BlockIo): void {
    this.later(io, 'flush', () => {})
  }

  private blocks(verb: string, offset: number, length: number): boolean {
    if (this.refusing) return true
    this.calls.push(`${verb} ${offset}+${length}`)
    const error = this.failure(verb)
    if (error) throw error
    return false
  }

  private later(io: BlockIo, verb: string, work: () => void): void {
    this.calls.push(verb === 'flush' ? verb : `${verb} ${io.offset}+${io.length}`)
    const error = this.failure(verb)
    if (error) return fail(io, error)
    const go = () => {
      work()
      io.complete()
    }
    if (this.stalled) this.waiting.push(go)
    else setImmediate(go)
  }

  private failure(verb: string): Error | undefined {
    const code = this.broken.get(verb)
    return code === undefined ? undefined : Object.assign(new Error(`${verb} fails`), { code })
  }

  private store(buffer: Buffer, start: number, length: number, offset: number): void {
    buffer.copy(this.bytes, offset, start, start + length)
    for (let chunk = Math.floor(offset / CHUNK); chunk * CHUNK < offset + length; chunk++) this.mapped[chunk] = true
  }

  private clear(offset: number, length: number, unmap: boolean): void {
    this.bytes.fill(0, offset, offset + length)
    if (!unmap) return
    for (let chunk = Math.ceil(offset / CHUNK); (chunk + 1) * CHUNK <= offset + length; chunk++) {
      this.mapped[chunk] = false
    }
  }
}

export function makeUnit(options: Partial<LogicalUnitOptions> = {}): LogicalUnit & { readonly volume: FakeVolume } {
  const unit = new LogicalUnit({
    lun: 0,
    volume: new FakeVolume(1024 * 512),
    blockSize: 512,
    physicalBlockSize: 4096,
    identity: IDENTITY,
    readOnly: false,
    thin: true,
    ...options
  })
  return unit as LogicalUnit & { readonly volume: FakeVolume }
}

export function makeNexus(units: readonly LogicalUnit[], options: Partial<NexusOptions> = {}): Nexus {
  return new Nexus({
    initiatorName: INITIATOR,
    isid: ISID,
    targetName: TARGET,
    targetPortalGroupTag: 1,
    units,
    ...options
  })
}

export interface Execution {
  readonly lun?: number
  readonly attribute?: number
  /** What the initiator sends; its length is the expected data transfer length. */
  readonly dataOut?: Buffer
  /** Expected data transfer length of a write, where it is not the length of `dataOut`. */
  readonly expectedDataOut?: number
  /** Data moves in pieces of so many bytes. */
  readonly pieceLength?: number
}

export interface Result {
  readonly status: number
  /** `key/asc/ascq` in hex, or undefined without sense data. */
  readonly sense: string | undefined
  readonly senseBytes: Buffer | undefined
  /** Data-In in hex, and as it is. */
  readonly hex: string
  readonly data: Buffer
}

/** Plays the transport: starts commands and moves their data, one after the other or many at once. */
export class Host implements TaskOwner {
  readonly server = new DeviceServer()
  private readonly wakers = new Map<Task, () => void>()

  constructor(readonly staging = new Staging()) {}

  taskReady(task: Task): void {
    const wake = this.wakers.get(task)
    this.wakers.delete(task)
    wake?.()
  }

  taskAborted(task: Task): void {
    if (!task.busy) this.taskReady(task)
  }

  /** A task that has its CDB and is not started. */
  make(nexus: Nexus, cdb: string | readonly number[] | Buffer, execution: Execution = {}): Task {
    const task = new Task(this, this.staging)
    const bytes = typeof cdb === 'string' ? Buffer.from(cdb.replaceAll(' ', ''), 'hex') : Buffer.from(cdb)
    bytes.copy(task.cdb)
    task.nexus = nexus
    task.lun = execution.lun ?? 0
    task.attribute = execution.attribute ?? 1
    task.expectedDataOut = execution.expectedDataOut ?? execution.dataOut?.length ?? 0
    task.expectedDataIn = 0xffffffff
    return task
  }

  /** Starts a command and takes it to its end; the task is released. */
  async execute(nexus: Nexus, cdb: string | readonly number[] | Buffer, execution: Execution = {}): Promise<Result> {
    const task = this.make(nexus, cdb, execution)
    this.server.start(task)
    const result = await this.complete(task, execution)
    this.server.release(task)
    return result
  }

  /** Takes a started task to its end, or to where it stands when it is aborted. */
  async complete(task: Task, { dataOut = Buffer.alloc(0), pieceLength = 0xffffffff }: Execution = {}): Promise<Result> {
    const parts: Buffer[] = []
    let read = 0
    while (task.state !== TaskState.Done && !(task.aborted && !task.busy)) {
      if (task.state === TaskState.DataOut) await this.send(task, dataOut, pieceLength)
      else if (task.state === TaskState.DataIn) {
        const length = Math.min(pieceLength, task.dataInLength - read)
        if (length === 0) break
        const part = Buffer.alloc(length)
        if (task.fill(part, 0, length, read)) {
          parts.push(part)
          read += length
        } else if (task.state === TaskState.DataIn) await this.ready(task)
      } else await this.ready(task)
    }
    const { sense: bytes } = task
    const data = Buffer.concat(parts)
    return { status: task.status, sense: bytes && codes(bytes), senseBytes: bytes, hex: data.toString('hex'), data }
  }

  ready(task: Task): Promise<void> {
    return new Promise((resolve) => this.wakers.set(task, resolve))
  }

  private async send(task: Task, dataOut: Buffer, pieceLength: number): Promise<void> {
    const wanted = Math.min(task.dataOutLength, task.expectedDataOut, dataOut.length)
    while (task.received < wanted && task.state === TaskState.DataOut) {
      if (!task.receive(dataOut, task.received, Math.min(pieceLength, wanted - task.received))) await this.ready(task)
    }
    task.finish()
  }
}

function codes(sense: Buffer): string {
  const [key, asc, ascq] = sense[0] === 0x72 ? sense.subarray(1, 4) : [sense[2]!, sense[12]!, sense[13]!]
  return [key!, asc!, ascq!].map((code) => code.toString(16).padStart(2, '0')).join('/')
}

/** The sense conditions that most specs meet. */
export const Sense = {
  ParameterListLength: '05/1a/00',
  InvalidOpcode: '05/20/00',
  LbaOutOfRange: '05/21/00',
  InvalidCdbField: '05/24/00',
  LunNotSupported: '05/25/00',
  InvalidParameter: '05/26/00',
  InformationUnit: '05/0e/03',
  SavingNotSupported: '05/39/00',
  WriteProtected: '07/27/00',
  SpaceAllocationFailed: '07/27/07',
  Miscompare: '0e/1d/00'
} as const

/** Field pointer of fixed sense data as text: `cdb byte 2 bit 5`, `list byte 20`, or undefined when there is none. */
export function fieldPointer(sense: Buffer | undefined): string | undefined {
  if (!sense || (sense[15]! & 0x80) === 0) return undefined
  const where = sense[15]! & 0x40 ? 'cdb' : 'list'
  const bit = sense[15]! & 0x08 ? ` bit ${sense[15]! & 7}` : ''
  return `${where} byte ${sense.readUInt16BE(16)}${bit}`
}

/** Hex digits without spaces, for golden bytes that are written in groups. */
export function hex(text: string): string {
  return text.replaceAll(/\s/g, '')
}
