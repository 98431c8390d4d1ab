import type { AccessRequest, ChapPolicy } from '../iscsi/directory.js'
import { AddressSet, isLocalAddress, isNearAddress } from './addresses.js'
import { TargetError } from './errors.js'
import type { AccessOptions } from './options.js'

/** In the list of authors: any initiator that runs on this PC. */
export const LOCAL_AUTHOR = 'local'

/**
 * Who may use a target. An allow list of initiator names (with `*` at the end) and address ranges; when it holds both
 * kinds, one match of either is enough, as with a guest list at a door: each line lets somebody in.
 */
export class AccessList {
  private readonly names = new Set<string>()
  private readonly prefixes: string[] = []
  private readonly addresses = new AddressSet()
  private readonly policy: ChapPolicy
  private readonly authorNames: ReadonlySet<string>

  constructor(options: AccessOptions, authors: readonly string[] = []) {
    for (const entry of options.allow) this.add(entry)
    this.policy = chapPolicy(options)
    this.authorNames = new Set(authors)
  }

  /** True when the list lets this initiator in; an empty list lets in this PC and the network around it. */
  allows({ initiatorName, remoteAddress }: AccessRequest): boolean {
    if (this.isEmpty) return isNearAddress(remoteAddress) || isLocalAddress(remoteAddress)
    if (this.names.has(initiatorName)) return true
    return this.prefixes.some((prefix) => initiatorName.startsWith(prefix)) || this.addresses.has(remoteAddress)
  }

  /** Why {@link allows} said no, with the option that would let this initiator in. */
  refusal({ initiatorName, remoteAddress }: AccessRequest): string {
    if (!this.isEmpty) {
      return `the access list forbids it; --allow ${initiatorName} or --allow ${remoteAddress} would let it in`
    }
    return (
      `${remoteAddress} is no private, link-local or loopback address, and without --allow only those may log in; ` +
      `--allow ${remoteAddress} would let it in`
    )
  }

  /** True when this initiator's writes go into the image itself. */
  isAuthor({ initiatorName, remoteAddress }: AccessRequest): boolean {
    if (this.authorNames.has(initiatorName)) return true
    return this.authorNames.has(LOCAL_AUTHOR) && isLocalAddress(remoteAddress)
  }

  get chap(): ChapPolicy {
    return this.policy
  }

  private get isEmpty(): boolean {
    return this.names.size + this.prefixes.length + this.addresses.size === 0
  }

  private add(entry: string): void {
    if (/^(iqn|eui|naa)\./.test(entry)) this.addName(entry)
    else if (entry === '*') this.prefixes.push('')
    else if (!this.addresses.add(entry)) {
      throw new TargetError(
        'ERR_ISCSI_ACCESS',
        `"${entry}" in the allow list is neither an initiator name (iqn.…, with * at the end as a wild card) nor an ` +
          'address or range such as 192.168.1.0/24'
      )
    }
  }

  private addName(entry: string): void {
    if (entry.endsWith('*')) this.prefixes.push(entry.slice(0, -1))
    else this.names.add(entry)
  }
}

function chapPolicy({ chap, mutual }: AccessOptions): ChapPolicy {
  return {
    required: chap !== undefined,
    available: chap !== undefined,
    // CHAP_N is text and compared as text (RFC 7143 §12.1.3), so letter case counts.
    initiatorSecret: (chapName) => (chap !== undefined && chap.user === chapName ? chap.secret : undefined),
    mutual: mutual && { chapName: mutual.user, secret: mutual.secret }
  }
}
