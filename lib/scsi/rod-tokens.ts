import { timingSafeEqual } from 'node:crypto'
import type { Clock } from '../util/clock.js'
import type { ByteRange } from './block-ranges.js'
import type { LogicalUnit } from './logical-unit.js'
import type { Nexus } from './nexus.js'
import { identifierOf, makeRodToken } from './rod-token.js'
import {
  TOKEN_CANCELLED,
  TOKEN_CORRUPT,
  TOKEN_DELETED,
  TOKEN_EXPIRED,
  TOKEN_UNKNOWN,
  type SenseCondition
} from './sense.js'

/** Tokens of one unit that a nexus can have, those included that are only remembered as invalid. */
export const MAX_TOKENS = 64
/** How long a token lives that nobody uses, in seconds: when the client does not say, and at most. */
export const DEFAULT_INACTIVITY_SECONDS = 60
export const MAX_INACTIVITY_SECONDS = 600

/** Ranges of one unit as they were at a moment. */
export class PointInTime {
  /** Why it is not valid any more. */
  fault: SenseCondition | undefined
  /** The smallest range that holds all of them: most changes are outside it. */
  private readonly first: number
  private readonly end: number

  constructor(readonly ranges: readonly ByteRange[]) {
    this.first = Math.min(...ranges.map(({ offset }) => offset))
    this.end = Math.max(...ranges.map(({ offset, length }) => offset + length))
  }

  cancel(): void {
    this.fault ??= TOKEN_CANCELLED
  }

  overlaps(offset: number, length: number): boolean {
    if (offset >= this.end || offset + length <= this.first) return false
    return this.ranges.some((range) => offset < range.offset + range.length && range.offset < offset + length)
  }
}

/** A token and what it stands for: ranges of one unit as they were when it was made. */
export class RodToken extends PointInTime {
  readonly byteCount: number
  readonly identifier: string
  private uses = 0
  private expiresMs: number

  constructor(
    readonly bytes: Buffer,
    readonly unit: LogicalUnit,
    readonly nexus: Nexus,
    ranges: readonly ByteRange[],
    private readonly timeoutMs: number,
    private readonly clock: Clock
  ) {
    super(ranges)
    this.identifier = identifierOf(bytes)
    this.byteCount = ranges.reduce((sum, { length }) => sum + length, 0)
    this.expiresMs = clock.monotonic() + timeoutMs
  }

  /** It does not expire until {@link endUse}, and its time begins anew then (SPC-4 §5.17.6.7). */
  beginUse(): void {
    this.uses++
  }

  endUse(): void {
    this.uses--
    this.expiresMs = this.clock.monotonic() + this.timeoutMs
  }

  /** @param nowMs - of its clock */
  expire(nowMs: number): void {
    if (this.uses === 0 && nowMs > this.expiresMs) this.fault ??= TOKEN_EXPIRED
  }

  delete(): void {
    this.fault ??= TOKEN_DELETED
  }
}

/**
 * The tokens that stand for data of one unit (SPC-4 §5.17.6). A token is a point in time, kept in the cheapest way: it is
 * valid as long as nothing of its ranges has been changed by anybody (docs/decisions/0023-tokens.md).
 */
export class RodTokens {
  /** In the order in which they were made. */
  private tokens: RodToken[] = []
  /** Some of them may be valid. */
  private anyValid = false
  /** What copies that are under way still have to read, where their own changes have cancelled the token. */
  private readonly watched = new Set<PointInTime>()

  constructor(
    private readonly unit: LogicalUnit,
    private readonly clock: Clock
  ) {}

  get count(): number {
    return this.tokens.length
  }

  /** @param type - of a point in time, see `RodType` */
  create(nexus: Nexus, ranges: readonly ByteRange[], type: number, timeoutSeconds: number): RodToken {
    this.makeRoom(nexus)
    const byteCount = ranges.reduce((sum, { length }) => sum + length, 0)
    let bytes = makeRodToken(type, this.unit, nexus, byteCount)
    while (this.named(identifierOf(bytes))) bytes = makeRodToken(type, this.unit, nexus, byteCount)
    const token = new RodToken(bytes, this.unit, nexus, ranges, timeoutSeconds * 1000, this.clock)
    this.tokens.push(token)
    this.anyValid = true
    return token
  }

  /**
   * The token that these bytes are, if it is one of this initiator: another's is as unknown as one that was made up.
   * Undefined when there is none; the condition when it is not valid (SPC-4 §5.17.6.5.2.3).
   */
  find(bytes: Buffer, nexus: Nexus): RodToken | SenseCondition | undefined {
    const token = this.named(identifierOf(bytes))
    if (!token || token.nexus.initiatorName !== nexus.initiatorName) return undefined
    if (!timingSafeEqual(token.bytes, bytes)) return TOKEN_CORRUPT
    token.expire(this.clock.monotonic())
    return token.fault ?? token
  }

  /** A change of these ranges is told by the result, until {@link unwatch}. */
  watch(ranges: readonly ByteRange[]): PointInTime {
    const watched = new PointInTime(ranges)
    this.watched.add(watched)
    return watched
  }

  unwatch(watched: PointInTime): void {
    this.watched.delete(watched)
  }

  /** A range of the unit changes, whoever does it. Every write asks, so what is not valid any more must cost nothing. */
  changed(offset: number, length: number): void {
    if (this.watched.size > 0) for (const one of this.watched) if (one.overlaps(offset, length)) one.cancel()
    if (!this.anyValid) return
    this.anyValid = false
    const now = this.clock.monotonic()
    for (const token of this.tokens) {
      if (token.fault === undefined) token.expire(now)
      if (token.fault !== undefined) continue
      if (token.overlaps(offset, length)) token.cancel()
      else this.anyValid = true
    }
  }

  /** The content is not what it was, or nobody knows. */
  cancelAll(): void {
    for (const token of this.tokens) token.cancel()
    for (const one of this.watched) one.cancel()
  }

  nexusEnded(nexus: Nexus): void {
    for (const token of this.tokens) if (token.nexus === nexus) token.cancel()
    this.tokens = this.tokens.filter((token) => token.nexus !== nexus)
  }

  private named(identifier: string): RodToken | undefined {
    return this.tokens.find((token) => token.identifier === identifier)
  }

  /** Forgets the oldest of those that are not valid any more, or the oldest. */
  private makeRoom(nexus: Nexus): void {
    const own = this.tokens.filter((token) => token.nexus === nexus)
    if (own.length < MAX_TOKENS) return
    const now = this.clock.monotonic()
    for (const token of own) token.expire(now)
    const victim = own.find(({ fault }) => fault !== undefined) ?? own[0]!
    victim.cancel()
    this.tokens.splice(this.tokens.indexOf(victim), 1)
  }
}

/** Finds a token among the units that the nexus sees, and nowhere else. */
export function findRodToken(bytes: Buffer, nexus: Nexus): RodToken | SenseCondition {
  for (const { unit } of nexus.units.values()) {
    const found = unit.tokens.find(bytes, nexus)
    if (found) return found
  }
  return TOKEN_UNKNOWN
}
