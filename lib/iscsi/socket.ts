import { Socket } from 'node:net'
import {
  CROWDED_TURN_INPUT,
  KEEP_ALIVE_MS,
  RING_BYTES,
  RING_START_BYTES,
  SPARE_RING_BYTES_MAX,
  WHOLE_UNIT_BYTES_MIN,
  YIELD_BYTES_MAX
} from './limits.js'
import { Reader, ReadingOrder } from './reading-order.js'
import { SpareBuffers } from '../util/spare-buffers.js'

/**
 * The one place that knows how bytes arrive. They land behind each other in a receive ring, so that a PDU is viewed in
 * place and written to its slot without a copy, and many of them come with one system call.
 *
 *     ring  |  consumed  |  start … end: not consumed  |  next read lands here  |
 *
 * Most reads are consumed whole before anything else happens. So all connections read into one shared ring, which stays
 * in the processor's cache and costs an idle connection nothing; what is left over, part of a PDU or what waits while
 * the consumer is stopped, moves to a ring of the connection's own, until that is empty again.
 *
 * The place of a read is handed out as soon as the read before it has ended, long before its bytes come. So bytes are
 * moved, and positions reset, in that one moment only ({@link IscsiSocket.makeRoom}); at any other time they may be
 * consumed, no more.
 *
 * Long units mostly come in rows of one length, so a read takes a whole number of them and leaves nothing over. While
 * several connections are at work it takes no more than a fraction of the ring, and the others have their turn before
 * it goes on: what waits meanwhile waits in the kernel and is not copied.
 *
 * Node gives positioned reads (`onread`) to client sockets only; a server's socket gets them by moving its handle to
 * a new Socket. `handle` is an undocumented option, so the constructor looks whether the handle is there and else
 * listens to 'data' and copies. Both ways run the same specs. For 64 KiB writes positioned reads are worth 2.4 times
 * the rate.
 */
export interface ByteConsumer {
  /** Consumes what it can of ring[start, end) and returns the offset of the first byte that it left. */
  consume(ring: Buffer, start: number, end: number): number
  /** Bytes that the unit at the head needs in all; the ring grows to hold it. */
  readonly neededBytes: number
  /** Bytes of the last whole unit; 0 at first. */
  readonly unitBytes: number
  /** True while it takes nothing, although whole units wait: it has called {@link IscsiSocket.pause}. */
  readonly stopped: boolean
  /** The connection is gone; called once. `ended` when the peer said FIN before. */
  disconnected(ended: boolean, error: Error | undefined): void
}

/** A connection that leaves this process. */
export interface DetachedSocket {
  /** At rest: nothing is read from it, and everything that was written to it has left. */
  readonly socket: Socket
  /** What had come and was not consumed. */
  readonly received: Buffer
}

export interface SocketOptions {
  /** Forces the way without positioned reads, for specs. */
  readonly positionedReads: boolean
  /** A ring of the connection's own never grows beyond this many bytes: twice the longest unit, at least. */
  readonly ringBytesMax: number
  /** What came while the connection was another process's. */
  readonly received?: Buffer
}

export class IscsiSocket {
  readonly remoteAddress: string
  readonly remotePort: number
  readonly localAddress: string
  readonly localPort: number
  /** Milliseconds, {@link performance.now}: when the last byte came. */
  lastReceivedAt = performance.now()
  receivedBytes = 0
  sentBytes = 0

  private readonly reader = new Reader()
  private readonly socket: Socket
  private readonly ringBytesMax: number
  /** {@link sharedRing}, or one's own. */
  private ring = sharedRing
  private start = 0
  private end = 0
  private ended = false
  private consuming = false
  /** After {@link finish}: what still arrives is thrown away. */
  private draining = false
  private failure: Error | undefined
  /** Counted: writes begun, those that Node has told to be over, those whose bytes were released. */
  private writes = 0
  private told = 0
  private released = 0
  private readonly releases: (() => void)[] = []
  private readonly written = () => this.releaseTo(++this.told)
  /** Where the place of the next read ends. */
  private placeEnd = 0
  private readonly bufferForRead = () => this.placeForRead()
  private readonly bytesRead = (count: number) => this.arrived(count)
  private readonly goOn = () => this.resume()

  constructor(
    accepted: Socket,
    private readonly consumer: ByteConsumer,
    options: SocketOptions
  ) {
    this.remoteAddress = plainAddress(accepted.remoteAddress)
    this.remotePort = accepted.remotePort ?? 0
    this.localAddress = plainAddress(accepted.localAddress)
    this.localPort = accepted.localPort ?? 0
    this.ringBytesMax = options.ringBytesMax
    if (options.received && options.received.length > 0) this.takeIn(options.received)
    this.socket = (options.positionedReads && this.adopt(accepted)) || this.listen(accepted)
    this.socket.setNoDelay(true)
    this.socket.setKeepAlive(true, KEEP_ALIVE_MS)
    this.socket.on('error', (error) => (this.failure = error))
    this.socket.on('end', () => this.finReceived())
    this.socket.on('close', () => {
      this.leaveRing()
      this.consumer.disconnected(this.ended, this.failure)
    })
    this.socket.resume()
  }

  /** Bytes that the peer has not taken yet. */
  get waitingBytes(): number {
    return this.socket.writableLength
  }

  /** Bytes that have left for the peer; once some had to wait, more of these say that it took the ones before. */
  get takenBytes(): number {
    return this.sentBytes - this.waitingBytes
  }

  /** Others have received something lately too. */
  get crowded(): boolean {
    return readingOrder.crowded(this.reader)
  }

  /** @param release - called once, in the order of the writes, when the bytes are no longer needed; maybe at once */
  write(bytes: Buffer, release: () => void): void {
    this.sentBytes += bytes.length
    this.writes++
    this.releases.push(release)
    this.socket.write(bytes, this.written)
    // Mostly the kernel has taken everything by now. Node tells in a later step, but bytes that are reused at once are
    // still in the processor's cache.
    if (this.socket.writableLength === 0 && !this.socket.destroyed) this.releaseTo(this.writes)
  }

  private releaseTo(writes: number): void {
    while (this.released < writes) {
      this.released++
      this.releases.shift()!()
    }
  }

  /** Reads no more until {@link resume}. */
  pause(): void {
    if (!this.draining) this.socket.pause()
  }

  /** Looks at what waits in the ring again, then reads on. Not from inside the consumer. */
  resume(): void {
    if (this.socket.destroyed || this.consuming || this.draining) return
    this.consume()
    if (this.consumer.stopped) return
    if (this.ended) this.socket.end()
    else this.socket.resume()
  }

  /**
   * Gives the connection away, so that another process can go on with it: {@link pause} has been called, and the
   * consumer is told that it is gone when the socket has been destroyed here. Undefined when it is gone already.
   */
  async detach(): Promise<DetachedSocket | undefined> {
    const { socket } = this
    // The turn that asked for it ends first: it has bytes to consume and answers to send.
    await new Promise((resolve) => setImmediate(resolve))
    if (socket.writableLength > 0) await new Promise((resolve) => socket.write(NO_BYTES, resolve))
    const handle = (socket as unknown as Internals)._handle
    if (socket.destroyed || this.ended || !handle) return undefined
    handle.readStop?.()
    // The way without positioned reads may have read ahead.
    const ahead = socket.read() as Buffer | null
    const received = Buffer.concat([this.ring.subarray(this.start, this.end), ahead ?? NO_BYTES])
    // Else Node would keep its own account of the sockets that were sent, in both processes.
    ;(socket as unknown as Internals).server = null
    return { socket, received }
  }

  /** Sends what is written, then FIN; whatever still arrives is thrown away. */
  finish(): void {
    this.draining = true
    this.socket.end()
    this.socket.resume()
  }

  destroy(error?: Error): void {
    this.failure ??= error
    this.socket.destroy()
  }

  /** Before anything is read. */
  private takeIn(received: Buffer): void {
    this.ring = spareRings.take(this.ringLength(2 * received.length))
    this.end = received.copy(this.ring)
  }

  private adopt(accepted: Socket): Socket | undefined {
    const from = accepted as unknown as Internals
    const handle = from._handle
    if (!handle || typeof handle.readStart !== 'function') return undefined
    from._handle = null
    const options = { handle, onread: { buffer: this.bufferForRead, callback: this.bytesRead } }
    const socket = new Socket(options as unknown as ConstructorParameters<typeof Socket>[0])
    const to = socket as unknown as Internals
    // So that the server goes on counting this connection and can close.
    to.server = to._server = from._server
    from.server = from._server = null
    socket.read(0)
    return socket
  }

  private listen(accepted: Socket): Socket {
    // Such a socket reads on to the FIN although it is paused, and must not close itself over units that wait.
    accepted.allowHalfOpen = true
    accepted.on('data', (chunk: Buffer) => {
      let taken = 0
      while (taken < chunk.length) {
        // A chunk is at most 64 KiB, and comes whole even if its first bytes stop the reading.
        const count = chunk.copy(this.ring, this.end, taken)
        taken += count
        this.arrived(count)
      }
    })
    return accepted
  }

  private placeForRead(): Buffer {
    const { ring, end } = this
    this.placeEnd = end + this.readLength(ring.length - end)
    if (end > 0) return ring.subarray(end, this.placeEnd)
    if (this.placeEnd === ring.length) return ring
    return ring === sharedRing && this.placeEnd === CROWDED_TURN_INPUT ? crowdedPlace : ring.subarray(0, this.placeEnd)
  }

  /** Bytes of the next read: what is missing of the unit at the head and as many whole ones behind it as there is room. */
  private readLength(room: number): number {
    const { neededBytes, unitBytes } = this.consumer
    const here = this.end - this.start
    const missing = here > 0 ? Math.max(0, neededBytes - here) : 0
    const most = this.crowded ? Math.min(room, Math.max(CROWDED_TURN_INPUT, missing, unitBytes)) : room
    if (unitBytes < WHOLE_UNIT_BYTES_MIN || missing > most) return most
    return missing + Math.floor((most - missing) / unitBytes) * unitBytes || most
  }

  /** @returns false when reading must stop */
  private arrived(count: number): boolean {
    this.lastReceivedAt = performance.now()
    const yields = readingOrder.next(this.reader)
    this.receivedBytes += count
    if (this.draining) return true
    this.end += count
    const { length } = this.ring
    const more = this.end === this.placeEnd && this.end < length && this.crowded
    const filled = this.end === length
    const later = yields && this.end - this.start <= YIELD_BYTES_MAX
    if (!later) this.consume()
    this.makeRoom(filled)
    if (this.consumer.stopped) return false
    if (!(later || more) || this.draining) return true
    this.letOthers()
    return false
  }

  /** There is more to do, but first the others have their turn. */
  private letOthers(): void {
    this.socket.pause()
    setImmediate(this.goOn)
  }

  /** A peer that sends no more wants no more, once what it has sent is consumed. */
  private finReceived(): void {
    this.ended = true
    if (!this.consumer.stopped) this.socket.end()
  }

  private consume(): void {
    this.consuming = true
    try {
      this.start = this.consumer.consume(this.ring, this.start, this.end)
    } finally {
      this.consuming = false
    }
  }

  /**
   * Sees to it that the next read has a place.
   * @param filled - the last read had no more room, so the kernel has more and a longer ring would take it in one turn
   */
  private makeRoom(filled: boolean): void {
    if (this.start === this.end) return this.leaveRing()
    const needed = this.consumer.neededBytes
    const { length } = this.ring
    // Twice the unit at the head, so that the next one can arrive behind it.
    const wanted = Math.min(filled ? this.ringBytesMax : needed * 2, this.ringBytesMax)
    if (this.ring === sharedRing) this.moveTo(this.ringLength(Math.max(wanted, this.end - this.start)))
    else if ((filled || needed > length / 2) && length < wanted) this.moveTo(this.ringLength(wanted))
    else if (this.start > 0 && length - this.end < length / 2) this.moveToFront()
    // Only a consumer that is stopped leaves a full ring, and while it is nothing more is read.
    if (this.end === this.ring.length) this.moveTo(this.ring.length + RING_START_BYTES)
  }

  /** Few different lengths, so that one that somebody gave back mostly fits. */
  private ringLength(lengthBytes: number): number {
    const rounded = Math.ceil(lengthBytes / RING_START_BYTES) * RING_START_BYTES
    return Math.max(lengthBytes, Math.min(rounded, this.ringBytesMax))
  }

  private moveTo(lengthBytes: number): void {
    const from = this.ring
    this.ring = spareRings.take(lengthBytes)
    from.copy(this.ring, 0, this.start, this.end)
    if (from !== sharedRing) spareRings.give(from)
    this.end -= this.start
    this.start = 0
  }

  private moveToFront(): void {
    this.ring.copyWithin(0, this.start, this.end)
    this.end -= this.start
    this.start = 0
  }

  private leaveRing(): void {
    if (this.ring !== sharedRing) spareRings.give(this.ring)
    this.ring = sharedRing
    this.start = this.end = 0
  }
}

/**
 * Where reads of all connections land. Each is consumed, or its rest moved away, before the next read of any of them.
 */
const sharedRing: Buffer = Buffer.allocUnsafeSlow(RING_BYTES)
/** Where most reads land while several connections are at work. */
const crowdedPlace = sharedRing.subarray(0, CROWDED_TURN_INPUT)

const readingOrder = new ReadingOrder()

/** A connection that writes much takes a ring and leaves it many times a second. */
const spareRings = new SpareBuffers(SPARE_RING_BYTES_MAX)

const NO_BYTES = Buffer.alloc(0)

/** The parts of a Socket that are not in its types. */
interface Internals {
  _handle: { readStart?: unknown; readStop?: () => void } | null
  server: unknown
  _server: unknown
}

/** Without zone and without the prefix of an IPv4 address in IPv6. */
export function plainAddress(address: string | undefined): string {
  const plain = (address ?? '').replace(/%.*$/, '')
  return plain.startsWith('::ffff:') && plain.includes('.') ? plain.slice('::ffff:'.length) : plain
}
