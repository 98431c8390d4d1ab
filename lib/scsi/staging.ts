import { ByteBudget } from '../util/byte-budget.js'
import { SpareBuffers } from '../util/spare-buffers.js'

/**
 * Memory for data that has to wait for a slow disk: copies of received pieces, and the places where cold reads land.
 * One budget for the whole process, so that a stalled disk cannot eat the machine; whoever finds it empty waits in
 * line and is called when something came back.
 */
export class Staging {
  /** For data that waits for its initiator rather than for a disk: a budget of its own, as large as the other. */
  readonly waiting: ByteBudget
  private usedBytes = 0
  private readonly spares = new SpareBuffers(SPARE_BYTES_MAX)
  private readonly line: (() => boolean)[] = []

  /** @param capacityBytes - more than the largest piece, or that piece would wait for ever */
  constructor(readonly capacityBytes: number = DEFAULT_STAGING_BYTES) {
    this.waiting = new ByteBudget(capacityBytes)
  }

  get used(): number {
    return this.usedBytes
  }

  /** A buffer of exactly `length` bytes with undefined content, or undefined when the budget is used up. */
  take(length: number): Buffer | undefined {
    if (this.usedBytes + length > this.capacityBytes) return undefined
    this.usedBytes += length
    return this.spares.take(length)
  }

  /** Nothing reads or writes it any more. */
  give(buffer: Buffer): void {
    this.usedBytes -= buffer.length
    this.spares.give(buffer)
    if (this.line.length > 0) setImmediate(this.wake)
  }

  /**
   * Calls back once, in line, when a buffer has come back. The callback answers whether its owner still wanted that;
   * if not, the next in line has its turn.
   */
  wait(callback: () => boolean): void {
    this.line.push(callback)
  }

  private readonly wake = (): void => {
    let next
    do next = this.line.shift()
    while (next && !next())
  }
}

/** Kept to be used again, in all. */
const SPARE_BYTES_MAX = 4 * 1024 * 1024
const DEFAULT_STAGING_BYTES = 64 * 1024 * 1024
