import { codeOf, messageOf } from '../util/errors.js'
import type { SessionView } from '../iscsi/portal-group.js'
import { normalizeIscsiName } from '../iscsi/login/names.js'
import type { AuditEntry } from './audit-log.js'
import { closest } from '../util/closest.js'
import type {
  BinView,
  Control,
  CopyPart,
  DeltaDetail,
  Discarded,
  DropOrder,
  Dropped,
  ExportOrder,
  FlattenOrder,
  GrowOrder,
  ImageExportOrder,
  ImageView,
  InitiatorFilter,
  InitiatorView,
  JobView,
  Keeping,
  PolicyOrder,
  PolicyView,
  PublishOrder,
  PushOrder,
  ImageOrder,
  RescueOrder,
  RollbackOrder,
  ServerView,
  ShowOrder,
  SpaceView,
  TargetView,
  TestOrder,
  Undone,
  UndoOrder,
  VerifyOrder
} from './control.js'
import { namePattern } from './config/kinds.js'
import { TargetError } from './errors.js'
import { ImageControl, type ImageControlParts } from './generations/image-control.js'
import type { UnitSource } from './initiator-context.js'
import { keyOf, type InitiatorKey, type Owners } from './owner.js'
import { isUndoable, type DeltaEvent } from './restore-policy.js'
import type { StateRoot } from './state-root.js'
import type { TargetNode } from './target.js'

/** What the orders of an operator act on. */
export interface ControlParts extends ImageControlParts {
  readonly server: () => ServerView
  readonly sessions: () => readonly SessionView[]
}

/** {@link Control} over the parts of a running server. */
export class OperatorControl implements Control {
  readonly imageControl: ImageControl

  constructor(private readonly parts: ControlParts) {
    this.imageControl = new ImageControl(parts)
  }

  images(): Promise<readonly ImageView[]> {
    return this.imageControl.images()
  }

  publish(order: PublishOrder): Promise<ImageView> {
    return this.imageControl.publish(order)
  }

  push(order: PushOrder): Promise<ImageView> {
    return this.imageControl.push(order)
  }

  cancelPush(order: ImageOrder): Promise<ImageView> {
    return this.imageControl.cancelPush(order)
  }

  rollback(order: RollbackOrder): Promise<ImageView> {
    return this.imageControl.rollback(order)
  }

  test(order: TestOrder): Promise<ImageView> {
    return this.imageControl.test(order)
  }

  flatten(order: FlattenOrder): Promise<JobView> {
    return this.imageControl.flatten(order)
  }

  verify(order: VerifyOrder): Promise<JobView> {
    return this.imageControl.verify(order)
  }

  grow(order: GrowOrder): Promise<ImageView> {
    return this.imageControl.grow(order)
  }

  exportImage(order: ImageExportOrder): AsyncGenerator<CopyPart> {
    return this.imageControl.exportImage(order)
  }

  jobs(): Promise<readonly JobView[]> {
    return this.imageControl.jobs()
  }

  server(): Promise<ServerView> {
    return Promise.resolve(this.parts.server())
  }

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

  bin(): Promise<readonly BinView[]> {
    return Promise.resolve(this.parts.roots().flatMap(binViews))
  }

  space(): Promise<readonly SpaceView[]> {
    const views = this.parts.roots().map(({ directory, space }) => ({
      path: directory.path,
      usedBytes: space.usedBytes,
      limitBytes: Number.isFinite(space.ownLimitBytes) ? space.ownLimitBytes : undefined
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

  async undo({ initiator, target, discard = false, by }: UndoOrder): Promise<Undone> {
    const initiatorName = nameOf(initiator)
    const node = await this.targetOf(initiatorName, target)
    const { chap } = node.access
    await note(node, 'undo', initiatorName, by, { discard })
    return node.owners.undo(
      { targetName: node.name, initiatorName },
      {
        discard,
        // A delta that was made without CHAP may be taken over by a user who is proved.
        mayProve: (user) => user === undefined || chap.initiatorSecret(user) !== undefined
      }
    )
  }

  async show({ initiator, target, names = false, by }: ShowOrder): Promise<DeltaDetail> {
    const { node, view } = await this.holderOf(initiator, target)
    const { targetName, initiatorName, sessions } = view
    if (names) await note(node, 'names', initiatorName, by, {})
    return { targetName, initiatorName, sessions, units: await node.owners.show(view, names) }
  }

  async drop(order: DropOrder): Promise<Dropped> {
    const { node, view } = await this.holderOf(order.initiator, order.target)
    const { targetName, initiatorName } = view
    const stored = view.units.filter(({ stored: is, lun }) => is && (order.lun === undefined || lun === order.lun))
    if (stored.length === 0) throw nothingStored(view, order.lun)
    if (order.lun === undefined && stored.every(({ keeping }) => ONLY_BY_LUN.has(keeping))) {
      const luns = stored.map(({ lun }) => `--unit ${lun}`).join(' or ')
      throw new TargetError(
        'ERR_ISCSI_DELTA_KEPT',
        `what ${initiatorName} wrote is to be kept; name what shall be dropped all the same: ${luns}`
      )
    }
    if (order.atNextLogin) {
      if (stored.every(({ keeping }) => ONLY_BY_LUN.has(keeping))) {
        throw new TargetError('ERR_ISCSI_DELTA_KEPT', `LUN ${order.lun} is kept: it can be dropped now alone`)
      }
      await note(node, 'drop', initiatorName, order.by, { lun: order.lun, atNextLogin: true })
      await node.owners.mark(view)
      return { targetName, initiatorName, bytes: 0, tookMs: 0, atNextLogin: true }
    }
    if (view.sessions > 0 && !order.disconnect) {
      throw new TargetError(
        'ERR_ISCSI_DELTA_SESSION',
        `${initiatorName} is logged in to ${targetName}: log it out there first, or drop it with --at-next-login; ` +
          '--disconnect ends its session, and its client, which has the disk mounted, gets another one'
      )
    }
    await note(node, 'drop', initiatorName, order.by, { lun: order.lun, sessions: view.sessions })
    const dropped = await this.discardOne(node.owners, view, 'operator', order.lun)
    return { targetName, initiatorName, ...dropped, atNextLogin: false }
  }

  async *exportDelta(order: ExportOrder): AsyncGenerator<CopyPart> {
    const { lun, bin = false, live = false, by } = order
    const { node, initiatorName } = await this.leaverOf(order)
    await note(node, 'export', initiatorName, by, { lun, bin, live })
    yield* node.owners.copy({ targetName: node.name, initiatorName }, { lun, bin, live })
  }

  async *rescue(order: RescueOrder): AsyncGenerator<CopyPart> {
    const { lun, bin = false, live = false, by, path, partition } = order
    const { node, initiatorName } = await this.leaverOf(order)
    await note(node, 'rescue', initiatorName, by, { lun, bin, live, path, partition })
    yield* node.owners.rescue({ targetName: node.name, initiatorName }, { lun, bin, live, path, partition })
  }

  /** Whose delta is meant: of now, or out of the bin. */
  private async leaverOf({ initiator, target, bin }: ExportOrder) {
    if (!bin)
      return this.holderOf(initiator, target).then(({ node, view }) => ({ node, initiatorName: view.initiatorName }))
    return { initiatorName: nameOf(initiator), node: await this.targetOf(nameOf(initiator), target) }
  }

  policies(): Promise<readonly PolicyView[]> {
    return Promise.resolve(this.parts.targets().map((node) => node.policies.view(node.sources)))
  }

  async setPolicy(order: PolicyOrder): Promise<readonly PolicyView[]> {
    const nodes = this.parts.targets().filter(({ name }) => order.target === undefined || name === order.target)
    if (nodes.length === 0) throw new TargetError('ERR_ISCSI_TARGET_UNKNOWN', `there is no target ${order.target}`)
    const match = namePattern(order.match)
    if (match === undefined) throw noName(order.match)
    if (order.policy === 'author' && order.lun !== undefined) {
      throw new TargetError('ERR_ISCSI_POLICY', 'an author writes to the disks of a target as one, not to one LUN')
    }
    let changed = false
    for (const node of nodes) {
      const { lun, policy, restoreOn, remove } = order
      await note(node, 'policy', match, order.by, { lun, policy, restoreOn, remove })
      changed = (await node.policies.order({ ...order, match })) || changed
      await node.owners.reconsider()
    }
    if (!changed) throw new TargetError('ERR_ISCSI_POLICY_NONE', `no rule was given for ${order.match}`)
    return this.policies()
  }

  /** The initiator at the one target where it has a session or a delta, or at the one that is named. */
  private async holderOf(
    initiator: string,
    target: string | undefined
  ): Promise<{ readonly node: TargetNode; readonly view: InitiatorView }> {
    const view = chooseHolder(nameOf(initiator), target, this.targetNames, await this.initiators())
    return { node: this.nodeOf(view.targetName), view }
  }

  /** The one target at which this initiator left something, or the one that is named. */
  private async targetOf(initiatorName: string, targetName: string | undefined): Promise<TargetNode> {
    const left = { binned: await this.bin(), known: await this.initiators() }
    return this.nodeOf(chooseTarget(initiatorName, targetName, this.targetNames, left))
  }

  private get targetNames(): string[] {
    return this.parts.targets().map(({ name }) => name)
  }

  private nodeOf(targetName: string): TargetNode {
    return this.parts.targets().find(({ name }) => name === targetName)!
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

  private async discardOne(owners: Owners, view: InitiatorView, event: DeltaEvent, lun?: number): Promise<Discarded> {
    const key = { targetName: view.targetName, initiatorName: view.initiatorName }
    // No login is let in from here on, or the session that we end would be back before its delta is gone.
    await owners.drain(key)
    try {
      for (let attempt = 1; ; attempt++) {
        await this.parts.endSessions((session) =>
          isFor({ target: key.targetName, initiator: key.initiatorName }, session)
        )
        try {
          return await owners.discard(key, event, lun)
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

/** Before it is done: what nobody can look up later is not done. */
async function note(
  { audit, name }: TargetNode,
  action: AuditEntry['action'],
  initiatorName: string,
  by: string | undefined,
  details: AuditEntry['details']
): Promise<void> {
  try {
    await audit.note({ action, targetName: name, initiatorName, by, details })
  } catch (error) {
    throw new TargetError(
      'ERR_ISCSI_AUDIT',
      `nothing was done, since it cannot be noted in ${audit.path}: ${messageOf(error)}`,
      {
        cause: error
      }
    )
  }
}

/** What an order that names no LUN leaves alone. */
const ONLY_BY_LUN: ReadonlySet<Keeping> = new Set(['kept', 'author'])

/** Throws TargetError when the text cannot be the name of an initiator. */
export function nameOf(text: string): string {
  const name = normalizeIscsiName(text)
  if (name !== undefined) return name
  throw noName(text)
}

function noName(text: string): TargetError {
  return new TargetError('ERR_ISCSI_NAME', `"${text}" is no name of an initiator (iqn.…, eui.… or naa.…)`)
}

function nothingStored({ initiatorName, targetName }: InitiatorView, lun: number | undefined): TargetError {
  const where = lun === undefined ? targetName : `LUN ${lun} of ${targetName}`
  return new TargetError('ERR_ISCSI_DELTA_NOTHING', `${initiatorName} has written nothing to ${where}`)
}

/**
 * The initiator at the one target where it has a session or a delta, or at the one that is named.
 * @param known - initiators that are remembered
 * @throws TargetError when there is none, or more than one
 */
export function chooseHolder(
  initiatorName: string,
  targetName: string | undefined,
  targetNames: readonly string[],
  known: readonly InitiatorView[]
): InitiatorView {
  const names = named(targetNames, targetName)
  const held = names.flatMap((name) =>
    known.filter((one) => one.initiatorName === initiatorName && one.targetName === name)
  )
  const withDelta = held.filter(({ units }) => units.some(({ stored }) => stored))
  const [first, second] = withDelta.length > 0 ? withDelta : held
  if (!first) {
    const near = closest(initiatorName, new Set(known.map((one) => one.initiatorName)))
    throw new TargetError(
      'ERR_ISCSI_DELTA_NOTHING',
      `${initiatorName} has neither a session nor a delta` + (near === undefined ? '' : `; did you mean ${near}?`)
    )
  }
  if (!second) return first
  throw new TargetError(
    'ERR_ISCSI_DELTA_TARGET',
    `${initiatorName} is known at ${first.targetName} and at ${second.targetName}: say which with --target`
  )
}

/** All of them, or the one that is asked for. */
function named(targetNames: readonly string[], targetName: string | undefined): readonly string[] {
  const names = targetNames.filter((name) => targetName === undefined || name === targetName)
  if (names.length > 0) return names
  throw new TargetError('ERR_ISCSI_TARGET_UNKNOWN', `there is no target ${targetName}`)
}

/**
 * The one target at which this initiator left something, or the one that is named.
 * @param left - what is in the bin, and who is remembered
 * @throws TargetError when there is none, or more than one
 */
export function chooseTarget(
  initiatorName: string,
  targetName: string | undefined,
  targetNames: readonly string[],
  left: { readonly binned: readonly InitiatorKey[]; readonly known: readonly InitiatorKey[] }
): string {
  const names = named(targetNames, targetName)
  const at = (keys: readonly InitiatorKey[]) =>
    names.filter((name) => keys.some((key) => key.initiatorName === initiatorName && key.targetName === name))
  const binned = at(left.binned)
  const [first, second] = binned.length > 0 ? binned : at(left.known)
  if (first === undefined) throw unknownInitiator(initiatorName, [...left.binned, ...left.known])
  if (second === undefined) return first
  throw new TargetError(
    'ERR_ISCSI_UNDO_TARGET',
    `${initiatorName} left something at ${first} and at ${second}: say which with --target`
  )
}

function isFor(filter: InitiatorFilter, of: { initiatorName: string; targetName: string | undefined }): boolean {
  if (filter.initiator !== undefined && filter.initiator !== of.initiatorName) return false
  return filter.target === undefined || filter.target === of.targetName
}

function binViews({ bin, listening }: StateRoot): BinView[] {
  const entries = bin.list()
  const newest = new Map<string, number>()
  for (const entry of entries) newest.set(keyOf(entry), Math.max(entry.restore, newest.get(keyOf(entry)) ?? 1))
  return entries.map((entry) => ({
    ...entry,
    leftMs: Math.max(0, entry.removeAt - listening.now()),
    undoable: isUndoable(entry.reason) && entry.restore === newest.get(keyOf(entry))
  }))
}

function unknownInitiator(initiatorName: string, others: readonly { initiatorName: string }[]): TargetError {
  const near = closest(initiatorName, new Set(others.map((one) => one.initiatorName)))
  return new TargetError(
    'ERR_ISCSI_UNDO_NOTHING',
    `there is nothing of ${initiatorName} in the bin: it wrote nothing before its last logout, or the undo time is over` +
      (near === undefined ? '' : `; did you mean ${near}?`)
  )
}

function unitView({ lun, image, partition, blockSize, readOnly, shared }: UnitSource) {
  const { path, uuid, authorName } = image
  const size = image.sizeOf(partition, blockSize)
  const plain = { lun, path, partition, size, blockSize, readOnly, imageUuid: uuid, author: authorName }
  return { ...plain, shared: shared !== undefined }
}
