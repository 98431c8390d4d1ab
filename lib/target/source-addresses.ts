import type { SessionView } from '../iscsi/portal-group.js'
import { isLocalAddress } from './addresses.js'

/** So many clients from one address, and none from another, are no accident. */
const CLIENTS_MIN = 3

/**
 * Notices address translation: when every client comes from one address, rules about addresses cannot tell them apart,
 * and nobody sees which PC did what. It looks at logins until a second address turns up, and speaks once.
 */
export class SourceAddresses {
  private readonly names = new Set<string>()
  private address: string | undefined
  private decided = false

  /** What is plain with this login; undefined before and afterwards. */
  add(
    { type, initiatorName, remoteAddress }: Pick<SessionView, 'type' | 'initiatorName' | 'remoteAddress'>,
    isLocal: (address: string) => boolean = isLocalAddress
  ): OneSource | undefined {
    if (this.decided || type === 'Discovery' || isLocal(remoteAddress)) return undefined
    this.address ??= remoteAddress
    this.names.add(initiatorName)
    this.decided = this.address !== remoteAddress || this.names.size >= CLIENTS_MIN
    if (!this.decided || this.address !== remoteAddress) return undefined
    return { clientCount: this.names.size, address: remoteAddress }
  }
}

/** Everybody came from here. */
export interface OneSource {
  readonly clientCount: number
  readonly address: string
}

/** For the log. */
export function describeOneSource({ clientCount, address }: OneSource): string {
  return (
    `All ${clientCount} clients so far come from ${address}: something in between translates their addresses ` +
    '(NAT, a container network). Rules about addresses cannot tell them apart; use names and CHAP, or in a container the ' +
    'network of the host.'
  )
}
