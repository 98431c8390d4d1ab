import { BlockIo } from '../volume/block-io.js'
import type { Volume } from '../volume/volume.js'

/**
 * Flushes that nobody waits for. However many are asked for, one runs and at most one more follows: a flush covers the
 * writes before it begins, so a second request during the first needs exactly one more.
 */
export class BackgroundFlush {
  private running = false
  private again = false
  private failure: Error | undefined
  private readonly io = new BlockIo((_io, error) => this.done(error))

  /** @param unit - whose volume of that moment is flushed */
  constructor(private readonly unit: { readonly volume: Volume }) {}

  request(): void {
    if (this.running) {
      this.again = true
      return
    }
    this.running = true
    this.unit.volume.flush(this.io)
  }

  /** The error of a flush that was answered before it failed (a deferred error), once; the next flush reports it. */
  takeFailure(): Error | undefined {
    const failure = this.failure
    this.failure = undefined
    return failure
  }

  private done(error: Error | undefined): void {
    this.failure ??= error
    this.running = false
    if (!this.again) return
    this.again = false
    this.request()
  }
}
