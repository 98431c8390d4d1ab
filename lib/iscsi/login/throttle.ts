import type { Clock } from '../../util/clock.js'

/** Failed authentications of one address before it has to wait. */
const FAILURES_MAX = 10
/** How many of them are forgiven in a second. */
const FORGIVEN_PER_SECOND = 10
/** Addresses that are remembered. */
const ADDRESSES_MAX = 1024

interface Account {
  /** Failures not yet forgiven, as of `at`. */
  failures: number
  at: number
}

/**
 * Slows the guessing of secrets: ten failed logins of an address, then ten a second. Only failures count, because fifty
 * PCs behind one address that all boot at once are no attack.
 *
 * The table is bounded: a full one forgets the address that failed longest ago. An attacker with a thousand addresses
 * is not stopped by a count for each address anyway.
 */
export class LoginThrottle {
  /** In the order of their last failure. */
  private readonly accounts = new Map<string, Account>()

  constructor(private readonly clock: Clock) {}

  /** Whether this address may try now. */
  allows(remoteAddress: string): boolean {
    const account = this.accounts.get(remoteAddress)
    if (!account) return true
    const failures = this.failuresNow(account)
    if (failures === 0) this.accounts.delete(remoteAddress)
    return failures <= FAILURES_MAX - 1
  }

  /** An authentication from this address has failed. */
  fail(remoteAddress: string): void {
    const account = this.accounts.get(remoteAddress)
    const failures = account ? this.failuresNow(account) : 0
    this.accounts.delete(remoteAddress)
    this.accounts.set(remoteAddress, { failures: Math.min(failures + 1, FAILURES_MAX), at: this.clock.monotonic() })
    if (this.accounts.size > ADDRESSES_MAX) this.forgetOldest()
  }

  /** Addresses that are remembered now. */
  get size(): number {
    return this.accounts.size
  }

  private failuresNow({ failures, at }: Account): number {
    return Math.max(0, failures - ((this.clock.monotonic() - at) / 1000) * FORGIVEN_PER_SECOND)
  }

  private forgetOldest(): void {
    const [oldest] = this.accounts.keys()
    this.accounts.delete(oldest!)
  }
}
