import type { AccessRequest, NexusRequest, SessionEnd } from '../iscsi/directory.js'
import { LoginError, LoginStatus } from '../iscsi/errors.js'
import { isIpxe } from '../iscsi/ipxe.js'
import type { SessionView } from '../iscsi/portal-group.js'
import type { Nexus } from '../scsi/nexus.js'
import type { Audit } from './audit-log.js'
import { AccessList } from './access.js'
import type { Image } from './images.js'
import type { InitiatorRole, UnitSource } from './initiator-context.js'
import type { TargetOptions } from './options.js'
import type { InitiatorKey, Owners } from './owner.js'
import type { Policies } from './policies.js'

/** Takes all deltas over an image away, and the sessions that use them first; the holders are named by their keys. */
export type DiscardHolders = (holders: readonly InitiatorKey[]) => Promise<void>

/** Cuts sessions at once. Resolves when they have ended. */
export type EndSessions = (filter: (session: SessionView) => boolean) => Promise<void>

/** A target node: name, access list, units, and the initiators that use it. */
export class TargetNode {
  readonly name: string
  readonly alias: string | undefined
  readonly access: AccessList
  private readonly authorDiscards: boolean

  constructor(
    options: TargetOptions,
    readonly sources: readonly UnitSource[],
    readonly owners: Owners,
    readonly policies: Policies,
    readonly audit: Audit,
    private readonly discardHolders: DiscardHolders,
    private readonly endSessions: EndSessions
  ) {
    this.name = options.name
    this.alias = options.alias
    this.access = new AccessList(options.access, options.authors)
    this.authorDiscards = options.authorDiscards
  }

  mayAccess(request: AccessRequest): boolean {
    return this.access.allows(request)
  }

  refusal(request: AccessRequest): string {
    return this.access.refusal(request)
  }

  async openNexus(request: NexusRequest): Promise<Nexus> {
    const role: InitiatorRole = this.access.isAuthor(request) ? 'author' : 'private'
    if (role === 'author') await this.clearTheWay()
    // All others take their turn at once: nothing that comes later, such as the end of a grace time, may overtake them.
    else if (isIpxe(request.isid)) await this.endBefore(request)
    return this.owners.openNexus(request, role)
  }

  closeNexus(nexus: Nexus, end: SessionEnd): Promise<void> {
    return this.owners.closeNexus(nexus, end)
  }

  /** A PC that boots has no session any more, though nobody has told us: what it had is restored now. */
  private async endBefore({ initiatorName, remoteAddress, isid }: NexusRequest): Promise<void> {
    if (!(await this.owners.restoresAtBoot({ targetName: this.name, initiatorName }, isid))) return
    await this.endSessions(
      (session) =>
        session.targetName === this.name &&
        session.initiatorName === initiatorName &&
        session.remoteAddress === remoteAddress
    )
  }

  /** An author changes the base under everybody, so no delta over it may be live or waiting. */
  private async clearTheWay(): Promise<void> {
    for (const image of this.written) {
      const holders = image.holders
      if (holders.length === 0) continue
      if (this.authorDiscards) await this.discardHolders(holders)
      else throw new LoginError(LoginStatus.ServiceUnavailable, inUse(image, holders))
    }
  }

  private get written(): Image[] {
    return this.sources.filter(({ readOnly, shared }) => !readOnly && !shared).map(({ image }) => image)
  }
}

/** Names that a refusal lists before it only counts the rest. */
const MAX_NAMES = 10

function inUse(image: Image, holders: readonly InitiatorKey[]): string {
  const names = holders.slice(0, MAX_NAMES).map(({ initiatorName }) => initiatorName)
  const more = holders.length > MAX_NAMES ? ` and ${holders.length - MAX_NAMES} more` : ''
  return (
    `an author cannot write to ${image.path} while these initiators have a session or a delta over it: ` +
    `${names.join(', ')}${more}; drop their deltas, or start with --author-discards`
  )
}
