import { assert } from './assert.js'

/**
 * A bounded pool of reusable objects. All of them are made on demand, never more than `capacity`; {@link take} answers
 * undefined when none is free, so that whoever asks must have a plan for it. A leak is a pool that does not come back
 * to full, which specs assert.
 */
export class Pool<T> {
  private readonly idle: T[] = []
  private made = 0

  constructor(
    readonly capacity: number,
    private readonly make: () => T
  ) {}

  /** Objects that can still be taken. */
  get free(): number {
    return this.capacity - this.made + this.idle.length
  }

  /** Objects that are out. */
  get used(): number {
    return this.made - this.idle.length
  }

  take(): T | undefined {
    const item = this.idle.pop()
    if (item !== undefined) return item
    if (this.made === this.capacity) return undefined
    this.made++
    return this.make()
  }

  give(item: T): void {
    assert(this.idle.length < this.made, 'an object came back to its pool twice')
    this.idle.push(item)
  }
}
