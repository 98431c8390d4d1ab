import { setImmediate as nextTurn } from 'node:timers/promises'

/**
 * Long work of the control plane, cut so that the data path is never kept waiting for long: whoever works asks every few
 * microseconds of work whether its slice is {@link over}, and takes a {@link rest} then.
 */
export class Slices {
  private began: number

  constructor(private readonly now: () => number = () => performance.now()) {
    this.began = now()
  }

  get over(): boolean {
    return this.now() - this.began >= SLICE_MS
  }

  /** Everybody else has a turn. */
  async rest(): Promise<void> {
    await nextTurn()
    this.began = this.now()
  }
}

/** What a client may notice of the work for others is a few times this. */
export const SLICE_MS = 2
