import { codeOf } from '../util/errors.js'
import type { SessionView } from '../iscsi/portal-group.js'
import type {
  BinnedDelta,
  Control,
  Discarded,
  InitiatorFilter,
  InitiatorView,
  SpaceView,
  TargetView
} from './control.js'
import type { UnitSource } from './initiator-context.js'
import type { Owners } from './owner.js'
import type { DeltaEvent } from './restore-policy.js'
import type { StateRoot } from './state-root.js'
import type { TargetNode } from './target.js'

/** What the orders of an operator act on. */
export interface ControlParts {
  readonly targets: () => readonly TargetNode[]
  readonly roots: () => readonly StateRoot[]
  readonly sessions: () => readonly SessionView[]
  /** Asks sessions to log out and cuts those that do not. Resolves when they are gone. */
  readonly endSessions: (filter: (session: SessionView) => boolean) => Promise<void>
}

/** {@link Control} over the parts of a running server. */
export class OperatorControl implements Control {
  constructor(private readonly parts: ControlParts) {}

  targets(): Promise<readonly TargetView[]> {
    const views = this.parts
      .targets()
      .map(({ name, alias, sources }) => ({ name, alias, units: sources.map(unitView) }))
    return Promise.resolve(views)
  }

  sessions(): Promise<readonly SessionView[]> {
    return Promise.resolve(this.parts.sessions())
  }

  async initiators(): Promise<readonly InitiatorView[]> {
    return (await Promise.all(this.parts.targets().map(({ owners }) => owners.list()))).flat()
  }

  bin(): Promise<readonly BinnedDelta[]> {
    return Promise.resolve(this.parts.roots().flatMap(({ bin }) => bin.list()))
  }

  space(): Promise<readonly SpaceView[]> {
    const views = this.parts.roots().map(({ directory, space }) => ({
      path: directory.path,
      usedBytes: space.usedBytes,
      limitBytes: space.limitBytes
    }))
    return Promise.resolve(views)
  }

  async disconnect(filter: InitiatorFilter): Promise<number> {
    const chosen = this.parts.sessions().filter((session) => isFor(filter, session))
    await this.parts.endSessions((session) => isFor(filter, session))
    return chosen.length
  }

  restore(filter: InitiatorFilter): Promise<Discarded> {
    return this.discard(filter, 'operator')
  }

  /** Ends sessions and takes deltas away, for whatever reason the policy knows. */
  async discard(filter: InitiatorFilter, event: DeltaEvent): Promise<Discarded> {
    let bytes = 0
    let tookMs = 0
    for (const { owners, name } of this.parts.targets()) {
      if (filter.target !== undefined && filter.target !== name) continue
      const views = (await owners.list()).filter((view) => isFor(filter, view))
      for (const view of views) {
        const discarded = await this.discardOne(owners, view, event)
        bytes += discarded.bytes
        tookMs += discarded.tookMs
      }
    }
    return { bytes, tookMs }
  }

  private async discardOne(owners: Owners, view: InitiatorView, event: DeltaEvent): Promise<Discarded> {
    const key = { targetName: view.targetName, initiatorName: view.initiatorName }
    // No login is let in from here on, or the session that we end would be back before its delta is gone.
    await owners.drain(key)
    try {
      for (let attempt = 1; ; attempt++) {
        await this.parts.endSessions((session) =>
          isFor({ target: key.targetName, initiator: key.initiatorName }, session)
        )
        try {
          return await owners.discard(key, event)
        } catch (error) {
          // A login that was half done when we drained has a session only now.
          if (codeOf(error) !== 'ERR_ISCSI_INITIATOR_BUSY' || attempt === DISCARD_ATTEMPTS_MAX) throw error
        }
      }
    } finally {
      await owners.undrain(key)
    }
  }
}

const DISCARD_ATTEMPTS_MAX = 3

function isFor(filter: InitiatorFilter, of: { initiatorName: string; targetName: string | undefined }): boolean {
  if (filter.initiator !== undefined && filter.initiator !== of.initiatorName) return false
  return filter.target === undefined || filter.target === of.targetName
}

function unitView({ lun, image, partition, blockSize, readOnly }: UnitSource) {
  const { path, uuid, authorName } = image
  const size = image.sizeOf(partition, blockSize)
  return { lun, path, partition, size, blockSize, readOnly, imageUuid: uuid, author: authorName }
}
