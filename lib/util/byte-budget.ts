import { assert } from './assert.js'

/** Bytes that many may hold together. It counts them; the memory is its holders'. */
export class ByteBudget {
  private usedBytes = 0

  constructor(readonly capacityBytes: number) {}

  get used(): number {
    return this.usedBytes
  }

  /** @returns false when there is not so much left; then nothing was taken */
  take(bytes: number): boolean {
    if (this.usedBytes + bytes > this.capacityBytes) return false
    this.usedBytes += bytes
    return true
  }

  give(bytes: number): void {
    assert(bytes <= this.usedBytes, 'more bytes came back to a budget than were taken')
    this.usedBytes -= bytes
  }
}

/**
 * What one of them holds. The first `ownBytes` are its own, whatever the others do; what goes beyond comes out of the
 * common budget. So a holder that takes all of that leaves everybody else enough to go on with.
 */
export class ByteShare {
  private usedBytes = 0

  constructor(
    private readonly budget: ByteBudget,
    private readonly ownBytes: number
  ) {}

  get used(): number {
    return this.usedBytes
  }

  /** @returns false when there is not so much left; then nothing was taken */
  take(bytes: number): boolean {
    const common = this.common(this.usedBytes + bytes) - this.common(this.usedBytes)
    if (common > 0 && !this.budget.take(common)) return false
    this.usedBytes += bytes
    return true
  }

  give(bytes: number): void {
    assert(bytes <= this.usedBytes, 'more bytes came back to a share than were taken')
    const common = this.common(this.usedBytes) - this.common(this.usedBytes - bytes)
    this.usedBytes -= bytes
    if (common > 0) this.budget.give(common)
  }

  private common(bytes: number): number {
    return Math.max(0, bytes - this.ownBytes)
  }
}
