import { IscsiError } from '../../util/errors.js'
import { BlockIo } from '../block-io.js'
import {
  ALIGNMENT,
  generateDisk,
  partitionNumbered,
  readPartitionTable,
  type GeneratedDisk,
  type Partition,
  type PartitionTable
} from '../partition-table.js'
import { Volume, fail, type Extent, closedError } from '../volume.js'

/**
 * One partition of a disk, shown as a whole disk that has a generated table and this partition alone:
 *
 *     0            1 MiB                                   size, a multiple of 1 MiB
 *     | table, zeroes | the partition, byte for byte | zeroes, backup table |
 *       from memory     from and to the base           from memory
 *
 * A private unit has a delta above this, which takes what a client writes to the table. An author's unit writes
 * through: inside the partition anything, outside of it only the bytes that are there already (tools like to write a
 * table back), everything else ends with `ERR_ISCSI_OUTSIDE_PARTITION` and changes nothing.
 */
export interface PartitionOptions {
  /** As Linux counts them, from 1. */
  readonly partition: number
  /** Bytes a logical block of the unit, 512 or 4096: a GPT counts in them. */
  readonly blockSize: number
  /** The image's UUID; the disk's identifiers are derived from it. */
  readonly imageUuid: string
  /** Bytes a logical block of the disk that is read, asked when it is open; an MBR counts in them. 512 by default. */
  readonly sourceBlockSize?: () => number
}

/** Requests that are kept for the next one; those out are one for each request of the requesters' own pools. */
const IDLE_RELAYS_MAX = 64

export class PartitionVolume extends Volume {
  size = 0
  override readonly slow: boolean
  private disk: GeneratedDisk = { size: 0, head: NO_BYTES, tail: NO_BYTES }
  private source: Partition | undefined
  private sourceTable: PartitionTable | undefined
  private sourceOffset = 0
  /** First byte behind the partition, on the disk that is shown. */
  private bodyEnd = 0
  private readonly idleRelays: Relay[] = []
  private isOpen = false

  /** @param base - opened and closed by this layer */
  constructor(
    private readonly base: Volume,
    private readonly options: PartitionOptions
  ) {
    super()
    this.slow = base.slow
  }

  get readOnly(): boolean {
    return this.base.readOnly
  }

  /** The table of the disk that the partition was found on; from open() on. */
  get table(): PartitionTable | undefined {
    return this.sourceTable
  }

  /** The partition where it was found; from open() on. */
  get partition(): Partition | undefined {
    return this.source
  }

  async open(): Promise<void> {
    await this.base.open()
    try {
      await this.setUp()
    } catch (error) {
      await this.base.close()
      throw error
    }
  }

  private async setUp(): Promise<void> {
    const { partition: number, blockSize, imageUuid, sourceBlockSize } = this.options
    const table = await readPartitionTable(this.base, sourceBlockSize?.())
    const partition = partitionNumbered(table, number, this.base.size)
    this.disk = generateDisk(table.kind, partition, blockSize, imageUuid)
    this.sourceTable = table
    this.source = partition
    this.sourceOffset = partition.offset
    this.bodyEnd = ALIGNMENT + partition.lengthBytes
    this.size = this.disk.size
    this.isOpen = true
    this.opened()
  }

  async close(): Promise<void> {
    this.isOpen = false
    await this.base.close()
    // Requests that ended in memory are given back by an immediate that was asked for before this one.
    await new Promise((resolve) => setImmediate(resolve))
  }

  override get uncommitted(): boolean {
    return this.base.uncommitted
  }

  override commit(): void {
    this.base.commit()
  }

  override extent(offset: number, limit: number): Extent {
    if (offset < ALIGNMENT) return { length: Math.min(limit, ALIGNMENT - offset), mapped: true }
    if (offset >= this.bodyEnd) return { length: Math.min(limit, this.size - offset), mapped: true }
    return this.base.extent(this.toSource(offset), Math.min(limit, this.bodyEnd - offset))
  }

  protected _tryRead(buffer: Buffer, start: number, length: number, offset: number): boolean {
    if (this.isInside(offset, length)) return this.base.tryRead(buffer, start, length, this.toSource(offset))
    if (!this.isOpen) throw closedError()
    const from = this.bodyFrom(offset)
    const to = this.bodyTo(offset, length)
    if (from < to && !this.base.tryRead(buffer, start + from - offset, to - from, this.toSource(from))) return false
    this.readAround(buffer, start, length, offset)
    return true
  }

  protected _read(io: BlockIo): void {
    if (!this.isOpen) return fail(io, closedError())
    this.readAround(io.buffer, io.start, io.length, io.offset)
    const body = this.bodyOf(io)
    if (body) this.base.read(body)
    else setImmediate(() => io.complete())
  }

  protected _tryWrite(buffer: Buffer, start: number, length: number, offset: number): boolean {
    if (this.isInside(offset, length)) return this.base.tryWrite(buffer, start, length, this.toSource(offset))
    if (!this.isOpen) throw closedError()
    this.expectSame(buffer, start, length, offset)
    const from = this.bodyFrom(offset)
    const to = this.bodyTo(offset, length)
    return from >= to || this.base.tryWrite(buffer, start + from - offset, to - from, this.toSource(from))
  }

  protected _write(io: BlockIo): void {
    this.change(io, () => {
      this.expectSame(io.buffer, io.start, io.length, io.offset)
      const body = this.bodyOf(io)
      if (body) this.base.write(body)
      return body !== undefined
    })
  }

  protected _tryZero(offset: number, length: number, unmap: boolean): boolean {
    if (this.isInside(offset, length)) return this.base.tryZero(this.toSource(offset), length, unmap)
    if (!this.isOpen) throw closedError()
    this.expectZeroes(length, offset)
    const from = this.bodyFrom(offset)
    const to = this.bodyTo(offset, length)
    return from >= to || this.base.tryZero(this.toSource(from), to - from, unmap)
  }

  protected _zero(io: BlockIo): void {
    this.change(io, () => {
      this.expectZeroes(io.length, io.offset)
      const body = this.bodyOf(io)
      if (body) this.base.zero(body)
      return body !== undefined
    })
  }

  protected _flush(io: BlockIo): void {
    this.base.flush(io)
  }

  /** @param start - starts the part inside the partition and tells whether there is one; throws what the rest fails with */
  private change(io: BlockIo, start: () => boolean): void {
    if (!this.isOpen) return fail(io, closedError())
    try {
      if (!start()) setImmediate(() => io.complete())
    } catch (error) {
      fail(io, error as Error)
    }
  }

  // The partition.

  private isInside(offset: number, length: number): boolean {
    return offset >= ALIGNMENT && offset + length <= this.bodyEnd
  }

  private toSource(offset: number): number {
    return offset - ALIGNMENT + this.sourceOffset
  }

  /** First byte of a range that lies in the partition. */
  private bodyFrom(offset: number): number {
    return Math.max(offset, ALIGNMENT)
  }

  /** First byte behind what of a range lies in the partition; not above {@link bodyFrom} where nothing does. */
  private bodyTo(offset: number, length: number): number {
    return Math.min(offset + length, this.bodyEnd)
  }

  /** A request to the base for what of this one lies in the partition, or undefined. */
  private bodyOf(io: BlockIo): BlockIo | undefined {
    const from = this.bodyFrom(io.offset)
    const to = this.bodyTo(io.offset, io.length)
    if (from >= to) return undefined
    const relay = this.idleRelays.pop() ?? new Relay(this.relayed)
    relay.parent = io
    relay.unmap = io.unmap
    return relay.set(io.buffer, io.start + from - io.offset, to - from, this.toSource(from))
  }

  private readonly relayed = (relay: Relay, error: Error | undefined): void => {
    const io = relay.parent!
    relay.parent = undefined
    relay.set(NO_BYTES, 0, 0, 0)
    if (this.idleRelays.length < IDLE_RELAYS_MAX) this.idleRelays.push(relay)
    io.complete(error)
  }

  // What is around it.

  /** Puts what lies outside of the partition in its place. */
  private readAround(buffer: Buffer, start: number, length: number, offset: number): void {
    this.readGenerated(buffer, start, Math.min(offset + length, ALIGNMENT) - offset, offset)
    const behind = Math.max(offset, this.bodyEnd)
    this.readGenerated(buffer, start + behind - offset, offset + length - behind, behind)
  }

  private readGenerated(buffer: Buffer, start: number, length: number, offset: number): void {
    if (length <= 0) return
    buffer.fill(0, start, start + length)
    this.copyPart(this.disk.head, 0, buffer, start, length, offset)
    this.copyPart(this.disk.tail, this.size - this.disk.tail.length, buffer, start, length, offset)
  }

  /** Copies what a range has of `part`, which stands at `partOffset` of the disk. */
  private copyPart(
    part: Buffer,
    partOffset: number,
    buffer: Buffer,
    start: number,
    length: number,
    offset: number
  ): void {
    const from = Math.max(offset, partOffset)
    const to = Math.min(offset + length, partOffset + part.length)
    if (from < to) part.copy(buffer, start + from - offset, from - partOffset, to - partOffset)
  }

  private expectSame(buffer: Buffer, start: number, length: number, offset: number): void {
    const wanted = Buffer.alloc(length)
    this.readAround(wanted, 0, length, offset)
    const head = Math.max(0, Math.min(length, ALIGNMENT - offset))
    const tail = Math.min(length, Math.max(0, this.bodyEnd - offset))
    const sameHead = buffer.compare(wanted, 0, head, start, start + head) === 0
    const sameTail = buffer.compare(wanted, tail, length, start + tail, start + length) === 0
    if (!sameHead || !sameTail) throw outsideError()
  }

  private expectZeroes(length: number, offset: number): void {
    // Bytes between the tables and the partition are zeroes already.
    if (!this.isZeroAround(length, offset)) throw outsideError()
  }

  private isZeroAround(length: number, offset: number): boolean {
    const { head, tail } = this.disk
    const tailOffset = this.size - tail.length
    const headPart = head.subarray(Math.min(offset, head.length), Math.min(offset + length, head.length))
    const tailPart = tail.subarray(Math.max(0, offset - tailOffset), Math.max(0, offset + length - tailOffset))
    return [headPart, tailPart].every((part) => part.every((byte) => byte === 0))
  }
}

/** A request to the base on behalf of another. */
class Relay extends BlockIo {
  parent: BlockIo | undefined

  constructor(done: (relay: Relay, error: Error | undefined) => void) {
    super((io, error) => done(io as Relay, error))
  }
}

const NO_BYTES = Buffer.alloc(0)

function outsideError(): IscsiError {
  return new IscsiError(
    'ERR_ISCSI_OUTSIDE_PARTITION',
    'only the partition itself can be written, not the table around it'
  )
}
