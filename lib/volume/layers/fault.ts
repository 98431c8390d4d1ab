import { IscsiError } from '../../util/errors.js'
import { BlockIo } from '../block-io.js'
import { Volume, type Extent } from '../volume.js'

/**
 * A medium that misbehaves as ordered, for specs and drills: errors, requests that stall until they are released, and
 * transfers that break off in the middle. It has no clock: what is held stays held until {@link FaultPlan.release}.
 */
export type FaultVerb = 'read' | 'write' | 'zero' | 'flush'

export interface FaultRule {
  /** Which requests; all verbs by default. */
  readonly verb?: FaultVerb
  /** Only requests that touch this byte range. */
  readonly range?: { readonly offset: number; readonly length: number }
  /** Lets that many matching requests pass first. */
  readonly after?: number
  /** Then strikes that many times; for ever by default. */
  readonly times?: number
  /** Strikes with this probability, drawn from the plan's generator. */
  readonly probability?: number
  readonly effect: FaultEffect
}

export type FaultEffect =
  /** Nothing is done and the request fails. */
  | { readonly kind: 'error'; readonly code: string }
  /** The first bytes are moved, then it fails with EIO. */
  | { readonly kind: 'short'; readonly bytes: number }
  /** The synchronous verb says that it would block; the asynchronous one does nothing before it is released. */
  | { readonly kind: 'hold' }
  /** The synchronous verb says that it would block; the asynchronous one goes through. */
  | { readonly kind: 'block' }

interface Armed {
  readonly rule: FaultRule
  passes: number
  strikes: number
}

export class FaultPlan {
  private armed: Armed[] = []
  private readonly heldRequests: (() => void)[] = []

  /** @param random - numbers in [0, 1) for rules that have a probability */
  constructor(private readonly random: () => number = () => 0) {}

  add(rule: FaultRule): this {
    this.armed.push({ rule, passes: rule.after ?? 0, strikes: rule.times ?? Infinity })
    return this
  }

  /** Forgets every rule; what is held stays held. */
  clear(): void {
    this.armed = []
  }

  /** Requests that are held now. */
  get held(): number {
    return this.heldRequests.length
  }

  /** Lets one held request go on, by its place in the order in which they came; the first by default. */
  release(index = 0): void {
    const [start] = this.heldRequests.splice(index, 1)
    if (!start) throw new RangeError(`no request ${index} is held`)
    start()
  }

  releaseAll(): void {
    while (this.held > 0) this.release()
  }

  /** @internal */
  hold(start: () => void): void {
    this.heldRequests.push(start)
  }

  /**
   * What becomes of a request. A synchronous attempt that is told to wait has not used its strike up: the asynchronous
   * request that follows does.
   * @internal
   */
  judge(verb: FaultVerb, offset: number, length: number, synchronous: boolean): FaultEffect | undefined {
    for (const armed of this.armed) {
      if (!matches(armed.rule, verb, offset, length)) continue
      const waits = armed.rule.effect.kind === 'hold' || armed.rule.effect.kind === 'block'
      if (this.strikes(armed, synchronous && waits)) return armed.rule.effect
    }
    return undefined
  }

  private strikes(armed: Armed, isAttempt: boolean): boolean {
    if (armed.strikes <= 0) return false
    if (armed.rule.probability !== undefined && this.random() >= armed.rule.probability) return false
    if (armed.passes > 0) {
      if (!isAttempt) armed.passes--
      return false
    }
    if (!isAttempt) armed.strikes--
    return true
  }
}

export class FaultVolume extends Volume {
  override readonly slow: boolean

  /** @param base - opened and closed by this layer */
  constructor(
    private readonly base: Volume,
    private readonly plan: FaultPlan
  ) {
    super()
    this.slow = base.slow
  }

  get size(): number {
    return this.base.size
  }

  get readOnly(): boolean {
    return this.base.readOnly
  }

  open(): Promise<void> {
    return this.base.open()
  }

  /** What is held is let go first: a driver waits for its requests, and so does this. */
  close(): Promise<void> {
    this.plan.releaseAll()
    return this.base.close()
  }

  override extent(offset: number, limit: number): Extent {
    return this.base.extent(offset, limit)
  }

  protected _tryRead(buffer: Buffer, start: number, length: number, offset: number): boolean {
    return this.attempt('read', offset, length, (count) => this.base.tryRead(buffer, start, count, offset))
  }

  protected _tryWrite(buffer: Buffer, start: number, length: number, offset: number): boolean {
    return this.attempt('write', offset, length, (count) => this.base.tryWrite(buffer, start, count, offset))
  }

  protected _tryZero(offset: number, length: number, unmap: boolean): boolean {
    return this.attempt('zero', offset, length, (count) => this.base.tryZero(offset, count, unmap))
  }

  protected _read(io: BlockIo): void {
    this.request('read', io, (part) => this.base.read(part))
  }

  protected _write(io: BlockIo): void {
    this.request('write', io, (part) => this.base.write(part))
  }

  protected _zero(io: BlockIo): void {
    this.request('zero', io, (part) => this.base.zero(part))
  }

  protected _flush(io: BlockIo): void {
    this.request('flush', io, (part) => this.base.flush(part))
  }

  private attempt(verb: FaultVerb, offset: number, length: number, move: (count: number) => boolean): boolean {
    const effect = this.plan.judge(verb, offset, length, true)
    if (effect?.kind === 'hold' || effect?.kind === 'block') return false
    if (!effect) return move(length)
    // When the base cannot move the first bytes at once either, fewer have been moved: still a short transfer.
    if (effect.kind === 'short') move(Math.min(effect.bytes, length))
    throw errorOf(effect)
  }

  private request(verb: FaultVerb, io: BlockIo, start: (io: BlockIo) => void): void {
    const effect = this.plan.judge(verb, io.offset, io.length, false)
    if (!effect || effect.kind === 'block') return start(io)
    if (effect.kind === 'hold') return this.plan.hold(() => start(io))
    if (effect.kind === 'error') return void setImmediate(() => io.complete(errorOf(effect)))
    const part = new BlockIo((_part, error) => io.complete(error ?? errorOf(effect)))
    part.set(io.buffer, io.start, Math.min(effect.bytes, io.length), io.offset).unmap = io.unmap
    start(part)
  }
}

function matches(rule: FaultRule, verb: FaultVerb, offset: number, length: number): boolean {
  if (rule.verb !== undefined && rule.verb !== verb) return false
  if (rule.range === undefined) return true
  return offset < rule.range.offset + rule.range.length && rule.range.offset < offset + length
}

function errorOf(effect: FaultEffect): IscsiError {
  const code = effect.kind === 'error' ? effect.code : 'EIO'
  return new IscsiError(code, `${code}, as ordered`)
}
