import type { Clock } from '../../util/clock.js'

/** Addresses, or names, that are remembered. */
const ACCOUNTS_MAX = 1024

interface Account {
  /** Failures not yet forgiven, as of `at`. */
  failures: number
  at: number
}

/**
 * Slows the guessing of secrets: so many failed logins of an address, or under a CHAP name, at once, and then so many a
 * second. Only failures count, because fifty PCs behind one address that all boot at once are no attack.
 *
 * The table is bounded: a full one forgets who failed longest ago. An attacker with a thousand addresses
 * is not stopped by a count for each address anyway.
 */
export class LoginThrottle {
  /** In the order of their last failure. */
  private readonly accounts = new Map<string, Account>()

  /** @param failuresMax - at once, and in each second after that */
  constructor(
    private readonly clock: Clock,
    private readonly failuresMax: number
  ) {}

  /** Whether this address, or name, may try now. */
  allows(who: string): boolean {
    const account = this.accounts.get(who)
    if (!account) return true
    const failures = this.failuresNow(account)
    if (failures === 0) this.accounts.delete(who)
    return failures <= this.failuresMax - 1
  }

  /** An authentication from this address, or under this name, has failed. */
  fail(who: string): void {
    const account = this.accounts.get(who)
    const failures = account ? this.failuresNow(account) : 0
    this.accounts.delete(who)
    this.accounts.set(who, { failures: Math.min(failures + 1, this.failuresMax), at: this.clock.monotonic() })
    if (this.accounts.size > ACCOUNTS_MAX) this.forgetOldest()
  }

  /** How many are remembered now. */
  get size(): number {
    return this.accounts.size
  }

  private failuresNow({ failures, at }: Account): number {
    return Math.max(0, failures - ((this.clock.monotonic() - at) / 1000) * this.failuresMax)
  }

  private forgetOldest(): void {
    const [oldest] = this.accounts.keys()
    this.accounts.delete(oldest!)
  }
}
