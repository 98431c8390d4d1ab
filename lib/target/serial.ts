/** Runs asynchronous steps one after the other, in the order they were asked for; a failed one does not stop the next. */
export class Serial {
  private tail: Promise<unknown> = Promise.resolve()

  private waiting = 0

  run<T>(step: () => Promise<T>): Promise<T> {
    this.waiting++
    const result = this.tail.then(step).finally(() => this.waiting--)
    this.tail = result.catch(() => undefined)
    return result
  }

  /** A step is under way or waits for its turn. */
  get busy(): boolean {
    return this.waiting > 0
  }

  /** Resolves when everything asked for so far has ended. */
  async idle(): Promise<void> {
    await this.tail
  }
}
