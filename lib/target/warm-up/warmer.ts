import type { Clock } from '../../util/clock.js'
import { BlockIo } from '../../volume/block-io.js'
import type { Volume } from '../../volume/volume.js'
import { PIECE_BYTES } from './first-reads.js'

export interface WarmerOptions {
  readonly volume: Volume
  /** In the order in which clients will want them. */
  readonly pieces: readonly number[]
  /** No more than this is read. */
  readonly budgetBytes: number
  /** A number that is another one when clients have moved data since it was last asked for. */
  readonly activity: () => number
  readonly clock: Clock
  /** Hears after each request how far it is. */
  readonly progress: (doneBytes: number, totalBytes: number) => void
}

/** Pieces that are put in the order of the disk before they are read: 16 MiB. */
const BATCH_PIECES = 256
/** Longest request, and that while clients are at work: what one of them has to wait for in front of its own. */
const REQUEST_BYTES_MAX = 1 << 20
const BUSY_REQUEST_BYTES_MAX = 256 * 1024
/** How long it rests behind a request, as a multiple of the time that the request took. */
const REST = 0.25
const BUSY_REST = 3

/**
 * Reads what clients will want from the medium into the page cache (or the read cache of the volume), in the background:
 * one request at a time, through the thread pool, with a rest behind each. While clients move data it takes a quarter
 * of the time of the disk, and else four fifths.
 */
export class Warmer {
  private readonly buffer = Buffer.alloc(REQUEST_BYTES_MAX)
  private stopped = false
  private wake: (() => void) | undefined
  private lastActivity: number
  /** Clients moved data during the last request. */
  private isBusy = false
  private doneBytes = 0

  constructor(private readonly options: WarmerOptions) {
    this.lastActivity = options.activity()
  }

  /** @returns bytes that were read; throws what the volume does */
  async run(): Promise<number> {
    const { pieces, budgetBytes, volume, progress } = this.options
    const wanted = pieces.slice(0, Math.floor(budgetBytes / PIECE_BYTES))
    const totalBytes = wanted.length * PIECE_BYTES
    for (let at = 0; at < wanted.length; at += BATCH_PIECES) {
      const batch = wanted.slice(at, at + BATCH_PIECES).sort((left, right) => left - right)
      for (let next = 0; next < batch.length && !this.stopped;) {
        const count = this.countFrom(batch, next)
        const offset = batch[next]! * PIECE_BYTES
        await this.read(offset, Math.min(count * PIECE_BYTES, volume.size - offset))
        next += count
        progress(Math.min(this.doneBytes, totalBytes), totalBytes)
      }
    }
    return this.doneBytes
  }

  /** It ends behind the request that is under way. */
  stop(): void {
    this.stopped = true
    this.wake?.()
  }

  /** Pieces in a row that one request reads. */
  private countFrom(batch: readonly number[], first: number): number {
    const max = (this.isBusy ? BUSY_REQUEST_BYTES_MAX : REQUEST_BYTES_MAX) / PIECE_BYTES
    let count = 1
    while (count < max && batch[first + count] === batch[first]! + count) count++
    return count
  }

  private async read(offset: number, length: number): Promise<void> {
    const { clock, volume, activity } = this.options
    const begin = clock.monotonic()
    await new Promise<void>((resolve, reject) => {
      const io = new BlockIo((_io, error) => (error ? reject(error) : resolve()))
      volume.read(io.set(this.buffer, 0, length, offset))
    })
    this.doneBytes += length
    const took = clock.monotonic() - begin
    const now = activity()
    this.isBusy = now !== this.lastActivity
    this.lastActivity = now
    await this.rest(took * (this.isBusy ? BUSY_REST : REST))
  }

  private async rest(ms: number): Promise<void> {
    if (ms < REST_MS_MIN || this.stopped) return
    await new Promise<void>((resolve) => {
      const timer = this.options.clock.setTimer(ms, resolve)
      this.wake = () => {
        timer.cancel()
        resolve()
      }
    })
    this.wake = undefined
  }
}

/** What was in memory already took no time of the disk. */
const REST_MS_MIN = 1
