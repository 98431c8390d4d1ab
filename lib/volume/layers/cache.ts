import { LRUCache } from 'lru-cache'
import { assert } from '../../util/assert.js'
import { BlockIo } from '../block-io.js'
import { ReadOnlyVolume } from '../read-only-volume.js'
import { closedError, fail, type Extent, type Volume } from '../volume.js'

/**
 * One read cache for the bases of all clients: a hundred of them that boot one image read it once.
 *
 * lru-cache maps (layer, chunk), packed in one number, to a slot of a slab, so a chunk costs no object. A slot is in
 * one of three places: on the free list, in the map, or with a fill, which reads the base into it. A slot with a fill is
 * not in the map, so nothing can evict it; one in the map is only touched synchronously. Misses of a chunk that is
 * being filled wait for that fill.
 *
 * Base bytes only, and no write passes through: so nothing here can go stale or revert an acknowledged write.
 */

/** Bytes a chunk: one read of a slow medium. A power of two. */
const CHUNK_LENGTH = 1 << 16
/** Node's largest buffer differs between versions, so a big cache consists of slabs of this many bytes. */
const SLAB_LENGTH_MAX = 1 << 30
/** Chunks that are read from bases at the same time; others wait their turn. */
const FILLS_MAX = 256
/** Chunks that wait to be read. A request beyond that reads past the cache, so that nothing here grows without end. */
const QUEUED_FILLS_MAX = 4096
/** Chunk numbers in a key; with chunks of 64 KiB a volume may have 256 TiB. */
const CHUNKS_MAX = 2 ** 32
/** Layers that can be told apart: 53 bits less those of the chunk. */
const LAYERS_MAX = 2 ** 21

export class SharedCache {
  readonly slotCount: number
  private readonly slots: LRUCache<number, number>
  private readonly slabs: Buffer[] = []
  private readonly freeSlots: number[] = []
  private slotsMade = 0
  private readonly fills = new Map<number, Fill>()
  /** Those of them that wait. */
  private readonly queued: Fill[] = []
  readonly counters = { hits: 0, misses: 0, joined: 0, bypassed: 0 }

  /** @param sizeBytes - memory for chunks, one chunk at least; it is taken as it is needed */
  constructor(readonly sizeBytes: number) {
    this.slotCount = Math.max(1, Math.floor(sizeBytes / CHUNK_LENGTH))
    this.slots = new LRUCache({ max: this.slotCount, dispose: (slot) => void this.freeSlots.push(slot) })
  }

  /** Chunks that are held now. */
  get chunkCount(): number {
    return this.slots.size
  }

  /** Chunks that are being read now, or will be. */
  get fillCount(): number {
    return this.fills.size
  }

  /** Drops what is held of one layer; for a base that was changed by an author or closed for good. */
  forget(layerId: number): void {
    for (const key of [...this.slots.keys()]) {
      if (Math.floor(key / CHUNKS_MAX) === layerId) this.slots.delete(key)
    }
    for (const [key, fill] of this.fills) {
      if (Math.floor(key / CHUNKS_MAX) === layerId) fill.discard = true
    }
  }

  /** @internal True when the bytes were there and have been copied. */
  copyOut(key: number, from: number, buffer: Buffer, start: number, length: number): boolean {
    const slot = this.slots.get(key)
    if (slot === undefined) return false
    this.copySlot(slot, from, buffer, start, length)
    return true
  }

  /** @internal Whether a chunk is held, without making it the latest. */
  has(key: number): boolean {
    return this.slots.has(key)
  }

  /** @internal */
  copySlot(slot: number, from: number, buffer: Buffer, start: number, length: number): void {
    const at = this.offsetOf(slot) + from
    this.slabOf(slot).copy(buffer, start, at, at + length)
  }

  /**
   * The fill that reads this chunk, with the waiter added to it; a new one is started when there is none.
   * False when too much is being read already.
   * @internal
   */
  join(key: number, base: Volume, waiter: Waiter): boolean {
    const running = this.fills.get(key)
    // What a discarded fill reads may be older than the request.
    if (running?.discard) return false
    if (running) this.counters.joined++
    else if (!this.startFill(key, base, waiter)) return false
    running?.waiters.push(waiter)
    return true
  }

  private startFill(key: number, base: Volume, waiter: Waiter): boolean {
    const fill = new Fill(this, key, base)
    if (this.fills.size - this.queued.length >= FILLS_MAX) {
      if (this.queued.length >= QUEUED_FILLS_MAX) return false
      this.queued.push(fill)
    } else if (!this.read(fill)) return false
    fill.waiters.push(waiter)
    this.fills.set(key, fill)
    return true
  }

  /** False when all slots are with fills. */
  private read(fill: Fill): boolean {
    const slot = this.takeSlot()
    if (slot === undefined) return false
    fill.slot = slot
    const { base, key } = fill
    const offset = (key % CHUNKS_MAX) * CHUNK_LENGTH
    const length = Math.min(CHUNK_LENGTH, base.size - offset)
    base.read(fill.set(this.slabOf(slot), this.offsetOf(slot), length, offset))
    return true
  }

  /** The slot that has just become free is there for the next one. */
  private readNext(): void {
    const next = this.queued.shift()
    if (next && !this.read(next)) this.queued.unshift(next)
  }

  /** @internal */
  filled(fill: Fill, error: Error | undefined): void {
    this.fills.delete(fill.key)
    if (!error) for (const waiter of fill.waiters) waiter.chunkRead(fill.slot, fill.key)
    if (error || fill.discard) this.freeSlots.push(fill.slot)
    else this.slots.set(fill.key, fill.slot)
    this.readNext()
    // Each in its own turn: initiators meet here, and what one of them breaks must not keep the others waiting.
    for (const waiter of fill.waiters) setImmediate(() => waiter.pieceDone(error))
  }

  /** A slot that nobody uses: a free one, a new one, or that of the chunk which was used least lately. */
  private takeSlot(): number | undefined {
    const free = this.freeSlots.pop()
    if (free !== undefined) return free
    if (this.slotsMade < this.slotCount) return this.slotsMade++
    this.slots.pop()
    return this.freeSlots.pop()
  }

  private slabOf(slot: number): Buffer {
    const index = Math.floor((slot * CHUNK_LENGTH) / SLAB_LENGTH_MAX)
    const left = this.slotCount * CHUNK_LENGTH - index * SLAB_LENGTH_MAX
    return (this.slabs[index] ??= Buffer.allocUnsafeSlow(Math.min(SLAB_LENGTH_MAX, left)))
  }

  private offsetOf(slot: number): number {
    return (slot * CHUNK_LENGTH) % SLAB_LENGTH_MAX
  }
}

interface Waiter {
  /** The chunk lies in the slot during this call, and not longer. */
  chunkRead(slot: number, key: number): void
  /** The read that was waited for has ended. */
  pieceDone(error: Error | undefined): void
}

class Fill extends BlockIo {
  readonly waiters: Waiter[] = []
  /** The chunk is not to be kept. */
  discard = false
  /** Where it is read to, once that has begun. */
  slot = 0

  constructor(
    cache: SharedCache,
    readonly key: number,
    readonly base: Volume
  ) {
    super((io, error) => cache.filled(io as Fill, error))
  }
}

export class CacheVolume extends ReadOnlyVolume {
  private isOpen = false

  /**
   * @param base - opened and closed by this layer; slow, or there is no point in it
   * @param layerId - tells the base apart from all others of the cache, for ever
   */
  constructor(
    private readonly base: Volume,
    private readonly cache: SharedCache,
    private readonly layerId: number
  ) {
    super()
    assert(Number.isInteger(layerId) && layerId >= 0 && layerId < LAYERS_MAX, `layer ${layerId}`)
  }

  get size(): number {
    return this.base.size
  }

  async open(): Promise<void> {
    await this.base.open()
    assert(this.size <= CHUNKS_MAX * CHUNK_LENGTH, 'a cached volume ends within the chunks of a key')
    this.isOpen = true
    this.opened()
  }

  async close(): Promise<void> {
    this.isOpen = false
    this.cache.forget(this.layerId)
    await this.base.close()
    // Requests that were answered from memory are given back by an immediate that was asked for before this one.
    await new Promise((resolve) => setImmediate(resolve))
  }

  override extent(offset: number, limit: number): Extent {
    return this.base.extent(offset, limit)
  }

  protected _tryRead(buffer: Buffer, start: number, length: number, offset: number): boolean {
    if (!this.isOpen) throw closedError()
    const end = offset + length
    const first = this.keyOf(offset)
    const last = this.keyOf(Math.max(offset, end - 1))
    for (let key = first; key <= last; key++) if (!this.cache.has(key)) return false
    for (let at = offset; at < end; at = chunkEnd(at)) {
      this.cache.copyOut(
        this.keyOf(at),
        at % CHUNK_LENGTH,
        buffer,
        start + at - offset,
        Math.min(chunkEnd(at), end) - at
      )
      this.cache.counters.hits++
    }
    return true
  }

  protected _read(io: BlockIo): void {
    if (!this.isOpen) return fail(io, closedError())
    new ChunkedRead(this.base, this.cache, this.keyOf(0), io).start()
  }

  protected _flush(io: BlockIo): void {
    if (!this.isOpen) return fail(io, closedError())
    setImmediate(() => io.complete())
  }

  private keyOf(offset: number): number {
    return this.layerId * CHUNKS_MAX + Math.floor(offset / CHUNK_LENGTH)
  }
}

/** A request with a miss in it: its chunks come from the cache, from fills, or past the cache, in any order. */
class ChunkedRead implements Waiter {
  private pending = 1
  private error: Error | undefined

  /** @param firstKey - key of the volume's chunk 0 */
  constructor(
    private readonly base: Volume,
    private readonly cache: SharedCache,
    private readonly firstKey: number,
    private readonly io: BlockIo
  ) {}

  start(): void {
    const end = this.io.offset + this.io.length
    for (let at = this.io.offset; at < end; at = chunkEnd(at)) this.chunk(at, Math.min(chunkEnd(at), end))
    // The request itself counts as one piece, given back outside of the call that passed it.
    setImmediate(() => this.pieceDone(undefined))
  }

  private chunk(at: number, end: number): void {
    const key = this.firstKey + Math.floor(at / CHUNK_LENGTH)
    const { buffer, start, offset } = this.io
    if (this.cache.copyOut(key, at % CHUNK_LENGTH, buffer, start + at - offset, end - at)) {
      this.cache.counters.hits++
      return
    }
    this.cache.counters.misses++
    this.pending++
    if (this.cache.join(key, this.base, this)) return
    this.cache.counters.bypassed++
    const direct = new BlockIo((_io, error) => this.pieceDone(error))
    this.base.read(direct.set(buffer, start + at - offset, end - at, at))
  }

  chunkRead(slot: number, key: number): void {
    const chunkOffset = (key - this.firstKey) * CHUNK_LENGTH
    const { buffer, start, offset, length } = this.io
    const from = Math.max(offset, chunkOffset)
    const to = Math.min(offset + length, chunkOffset + CHUNK_LENGTH)
    this.cache.copySlot(slot, from - chunkOffset, buffer, start + from - offset, to - from)
  }

  pieceDone(error: Error | undefined): void {
    this.error ??= error
    if (--this.pending === 0) this.io.complete(this.error)
  }
}

/** First byte behind the chunk that `offset` lies in. */
function chunkEnd(offset: number): number {
  return (Math.floor(offset / CHUNK_LENGTH) + 1) * CHUNK_LENGTH
}
