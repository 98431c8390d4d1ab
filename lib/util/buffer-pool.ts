import { assert } from './assert.js'
import { Pool } from './pool.js'

/**
 * A bounded pool of buffers that all connections share, and the queue of those who wait for one. A few of them may be
 * longer than the others: who holds none gets one of these while there is any.
 *
 * Two rules keep one holder from starving the others. A holder that has a buffer gets another only while more than
 * `reserve` are free, so with `capacity` = holders + `reserve` each of them can always have one. And whoever got none
 * is called in the order of asking, from a microtask, so that nobody's turn runs inside somebody else's.
 */
export interface BufferHolder {
  /** One use of a buffer of this holder has ended. */
  released(buffer: PooledBuffer): void
  /** A buffer may be free now; called once after {@link BufferPool.wait}. */
  resume(): void
}

export class PooledBuffer {
  /** Not zeroed: what has not been written since it was taken may be anybody's. */
  readonly bytes: Buffer
  /** The same bytes, for numbers: a word at once costs less than its four bytes one by one. */
  readonly view: DataView
  /** Uses that have not been released, counted by the holder: sends on their way, for example. */
  uses = 0
  holder: BufferHolder | undefined

  constructor(lengthBytes: number) {
    this.bytes = Buffer.allocUnsafeSlow(lengthBytes)
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, lengthBytes)
  }

  /** Ends one use. Bound once, so that it can be handed to any number of writes without a closure each. */
  readonly release = (): void => {
    assert(this.uses > 0 && this.holder !== undefined, 'a buffer was released more often than used')
    this.uses--
    this.holder.released(this)
  }
}

export interface BufferPoolOptions {
  /** Buffers in all; none is made before it is needed. */
  readonly capacity: number
  readonly lengthBytes: number
  /** Buffers kept for holders that have none; 0 by default. */
  readonly reserve?: number
  /** Beside the others; their length differs. */
  readonly long?: { readonly count: number; readonly lengthBytes: number }
}

export class BufferPool {
  readonly lengthBytes: number
  private readonly reserve: number
  private readonly pool: Pool<PooledBuffer>
  private readonly long: Pool<PooledBuffer>
  private readonly waiting = new Set<BufferHolder>()
  private waking = false

  constructor({ capacity, lengthBytes, reserve = 0, long }: BufferPoolOptions) {
    assert(reserve < capacity, 'a buffer pool has more in reserve than in all')
    assert(long?.lengthBytes !== lengthBytes, 'the long buffers of a pool are as long as the others')
    this.lengthBytes = lengthBytes
    this.reserve = reserve
    this.pool = new Pool(capacity, () => new PooledBuffer(lengthBytes))
    this.long = new Pool(long?.count ?? 0, () => new PooledBuffer(long!.lengthBytes))
  }

  get capacity(): number {
    return this.pool.capacity
  }

  /** Buffers that can still be taken, without the long ones. */
  get free(): number {
    return this.pool.free
  }

  /** Buffers that are out. */
  get used(): number {
    return this.pool.used + this.long.used
  }

  /**
   * @param held - buffers that this holder has already
   * @returns undefined when there is none for it; {@link wait} tells it when to try again
   */
  take(holder: BufferHolder, held: number): PooledBuffer | undefined {
    if (held > 0 && this.pool.free <= this.reserve) return undefined
    const buffer = (held === 0 ? this.long.take() : undefined) ?? this.pool.take()
    if (buffer !== undefined) buffer.holder = holder
    return buffer
  }

  give(buffer: PooledBuffer): void {
    assert(buffer.uses === 0, 'a buffer came back to its pool while in use')
    assert(buffer.holder !== undefined, 'a buffer came back to its pool twice')
    buffer.holder = undefined
    const home = buffer.bytes.length === this.lengthBytes ? this.pool : this.long
    home.give(buffer)
    if (this.waiting.size === 0 || this.waking) return
    this.waking = true
    queueMicrotask(this.wake)
  }

  /** Asks for one call of `holder.resume` after the next buffer has come back. */
  wait(holder: BufferHolder): void {
    this.waiting.add(holder)
  }

  /** Takes {@link wait} back. */
  forget(holder: BufferHolder): void {
    this.waiting.delete(holder)
  }

  private readonly wake = (): void => {
    this.waking = false
    // Who takes nothing, or waits again, is passed over, but each is asked only once for one wake.
    for (let asked = this.waiting.size; asked > 0 && this.pool.free + this.long.free > 0; asked--) {
      const [holder] = this.waiting
      if (holder === undefined) return
      this.waiting.delete(holder)
      holder.resume()
    }
  }
}
