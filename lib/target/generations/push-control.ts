import type { SessionView } from '../../iscsi/portal-group.js'
import type { Clock, Timer } from '../../util/clock.js'
import { codeOf, messageOf } from '../../util/errors.js'
import type { Logger } from '../../util/log.js'
import { formatSize, formatTime } from '../../util/units.js'
import { TargetError } from '../errors.js'
import type { Image } from '../images.js'
import type { InitiatorView } from '../initiator-view.js'
import { keyOf, type Owners } from '../owner.js'
import type { TargetNode } from '../target.js'
import type { PlannedPush } from './generation-record.js'
import type { PushStay, PushView } from './image-orders.js'

/** What a push acts on. */
export interface PushParts {
  readonly targets: () => readonly TargetNode[]
  /** Asks sessions to log out and cuts those that do not. Resolves when they are gone. */
  readonly endSessions: (filter: (session: SessionView) => boolean) => Promise<void>
  readonly clock: Clock
  readonly log: Logger
}

/** So many clients are asked at a time: all of them read the same blocks when they come back. */
export const PUSHED_AT_ONCE = 16
/** The wall clock is looked at so often: a PC that sleeps stops our timers, and people set clocks. */
export const LOOK_MS = 20_000
/** A push that could not begin for longer than this is not made up for: people are at work again. */
export const PUSH_LATE_MS = 10 * 60_000
/** Nobody plans further ahead; a longer time is a mistake. */
export const PUSH_AHEAD_MS = 7 * 86_400_000

/**
 * A push asks those who see an older generation than they would get to log in again: first who wrote nothing, so that
 * the newest generation is tried by clients that lose nothing. Who wrote something stays, unless the order says that
 * it is dropped.
 *
 * An initiator that is asked logs out and logs in again at once, with its file system mounted all the while. So what it
 * gets is another disk for it, by its identity, and it reads nothing of it before it has looked at it.
 */
export class PushControl {
  private readonly pushes = new Map<Image, Push>()
  private readonly running = new Set<Promise<void>>()
  private closed = false

  constructor(private readonly parts: PushParts) {}

  /** The last push of an image, or the one that is planned. */
  viewOf(image: Image): PushView | undefined {
    return this.pushes.get(image)?.view
  }

  /** Begins one now, in place of one that is planned. @throws TargetError when one is under way */
  start(image: Image, dropDeltas: boolean): PushView {
    this.refuseRunning(image)
    return this.begin(image, { at: this.parts.clock.now(), dropDeltas })
  }

  /** Plans one; it takes the place of one that was planned before, and outlives the server. */
  async plan(image: Image, planned: PlannedPush): Promise<PushView> {
    this.refuseRunning(image)
    const now = this.parts.clock.now()
    if (planned.at <= now || planned.at > now + PUSH_AHEAD_MS) {
      throw new TargetError('ERR_ISCSI_PUSH_TIME', 'a push can be planned for a time within the next seven days')
    }
    await image.generations.change((record) => ({ ...record, push: planned }))
    const view = this.await(image, planned)
    image.tell(`who sees an older generation is asked to log in again at ${formatTime(planned.at, now)}`)
    return view
  }

  /** Takes back what was planned. @throws TargetError when nothing is */
  async cancel(image: Image): Promise<void> {
    const push = this.pushes.get(image)
    this.refuseRunning(image)
    if (push?.view.state !== 'planned' && push?.view.state !== 'missed') {
      throw new TargetError('ERR_ISCSI_PUSH_NONE', `no push is planned for ${image.path}`)
    }
    push.timer?.cancel()
    this.pushes.delete(image)
    await this.forget(image)
    image.tell('the planned push was taken back')
  }

  /** At the start of the server. One whose time is long over is told of and not made up for. */
  resume(image: Image): void {
    const { push } = image.generations.record
    if (!push || image.generations.trouble !== undefined) return
    this.await(image, push)
  }

  /** Stops where no initiator is half done. */
  async close(): Promise<void> {
    this.closed = true
    for (const { timer } of this.pushes.values()) timer?.cancel()
    await this.idle()
  }

  async idle(): Promise<void> {
    await Promise.all(this.running)
  }

  private refuseRunning(image: Image): void {
    if (this.viewOf(image)?.state !== 'running') return
    throw new TargetError('ERR_ISCSI_PUSH_RUNNING', `${image.path}: a push is under way; wait until it has ended`)
  }

  private await(image: Image, planned: PlannedPush): PushView {
    this.pushes.get(image)?.timer?.cancel()
    const push: Push = { view: { ...viewOf(planned), state: 'planned' }, timer: undefined }
    this.pushes.set(image, push)
    this.look(image, planned, push)
    return this.viewOf(image)!
  }

  private look(image: Image, planned: PlannedPush, push: Push): void {
    const now = this.parts.clock.now()
    if (now - planned.at > PUSH_LATE_MS) return this.miss(image, planned, push, now)
    if (now >= planned.at) return void this.begin(image, planned)
    const delayMs = Math.min(LOOK_MS, planned.at - now)
    push.timer = this.parts.clock.setTimer(delayMs, () => this.look(image, planned, push))
  }

  private miss(image: Image, { at }: PlannedPush, push: Push, now: number): void {
    const message =
      `the push that was planned for ${formatTime(at, now)} was missed, because the server did not run then; nobody was ` +
      'asked to log in again. Order it anew: cloudx image push'
    push.view = { ...push.view, state: 'missed', message }
    this.parts.log.warn(`${image.path}: ${message}`)
  }

  private begin(image: Image, order: PlannedPush): PushView {
    this.pushes.get(image)?.timer?.cancel()
    const push: Push = { view: { ...viewOf(order), state: 'running' }, timer: undefined }
    this.pushes.set(image, push)
    const run = this.run(image, push)
      .catch((error: unknown) => {
        push.view = { ...push.view, state: 'failed', message: messageOf(error) }
        this.parts.log.error(`${image.path}: push failed: ${messageOf(error)}`)
      })
      // A plan that a crash or a stop cut short is taken up again, if that is soon enough.
      .then(() => (this.closed ? undefined : this.forget(image)))
      .catch((error: unknown) => this.parts.log.error(`${image.path}: ${messageOf(error)}`))
      .finally(() => this.running.delete(run))
    this.running.add(run)
    return push.view
  }

  private async run(image: Image, push: Push): Promise<void> {
    const all = await this.behind(image)
    const { dropDeltas } = push.view
    const clean = all.filter(({ stays }) => stays === undefined)
    const dropped = dropDeltas ? all.filter(({ stays }) => stays === 'wrote') : []
    const stay = all.filter(({ stays }) => stays === 'kept' || (stays === 'wrote' && !dropDeltas))
    push.view = { ...push.view, total: clean.length + dropped.length, stayed: stay.map(stayOf) }
    image.tell(`push: ${clean.length} that wrote nothing first, then ${dropped.length} whose writes are dropped`)
    for (const group of [clean, dropped]) {
      for (let at = 0; at < group.length && !this.closed; at += PUSHED_AT_ONCE) {
        const left = await Promise.all(
          group.slice(at, at + PUSHED_AT_ONCE).map((one) => this.pushOne(image, one, group === dropped))
        )
        const stayed = [...push.view.stayed, ...left.flatMap((one) => (one ? [stayOf(one)] : []))]
        const moved = push.view.moved + left.filter((one) => one === undefined).length
        push.view = { ...push.view, done: push.view.done + left.length, moved, stayed }
      }
    }
    const message = pushedMessage(push.view)
    push.view = { ...push.view, state: 'done', message }
    image.tell(`push: ${message}${push.view.stayed.map(describeStay).join('')}`)
  }

  /** @returns what it is now when it stays where it was */
  private async pushOne(image: Image, one: Behind, drop: boolean): Promise<Behind | undefined> {
    const { owners, view } = one
    const several = view.sessions > 1
    try {
      // One that is asked first and comes back at once would be there when the last one goes.
      if (drop || several) await owners.drain(view)
      await (drop ? this.dropOne(image, one) : this.askOne(image, one))
    } catch (error) {
      this.parts.log.error(`${view.initiatorName} could not be moved to the newest generation: ${messageOf(error)}`)
    } finally {
      if (drop || several) await owners.undrain(view)
    }
    return this.lookAgain(image, one)
  }

  /** What it is now: others came before it, and clients move by themselves meanwhile. Undefined when it is up to date. */
  private async lookAgain(image: Image, { view, lun }: Behind): Promise<Behind | undefined> {
    return (await this.behind(image)).find((now) => keyOf(now.view) === keyOf(view) && now.lun === lun)
  }

  private async askOne(image: Image, one: Behind): Promise<void> {
    const { owners, view } = one
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      const now = await this.lookAgain(image, one)
      if (!now || now.stays !== undefined) return
      if (await owners.advance(view, image.uuid)) return
      await this.endSessionsOf(view)
    }
  }

  private async dropOne(image: Image, one: Behind): Promise<void> {
    const { owners, view, lun } = one
    for (let attempt = 1; await this.mayDrop(image, one); attempt++) {
      await this.endSessionsOf(view)
      // That took a while, too.
      if (!(await this.mayDrop(image, one))) return
      try {
        await owners.discard(view, 'operator', lun)
        return
      } catch (error) {
        // A login that was half done when we drained has a session only now.
        if (codeOf(error) !== 'ERR_ISCSI_INITIATOR_BUSY' || attempt === ATTEMPTS_MAX) throw error
      }
    }
  }

  /** It is still what the operator saw: over the same generation, and ended by a logout. */
  private async mayDrop(image: Image, one: Behind): Promise<boolean> {
    const now = await this.lookAgain(image, one)
    return now !== undefined && now.generation === one.generation && now.stays === one.stays
  }

  private endSessionsOf({ targetName, initiatorName }: InitiatorView): Promise<void> {
    return this.parts.endSessions((one) => one.targetName === targetName && one.initiatorName === initiatorName)
  }

  /** Who sees another generation of the image than it would get now. */
  private async behind(image: Image): Promise<Behind[]> {
    const generations = new Map(image.holders.map((holder) => [keyOf(holder), holder.generation]))
    const found: Behind[] = []
    for (const { sources, owners } of this.parts.targets()) {
      const source = sources.find((one) => one.image === image && !one.shared)
      if (!source) continue
      for (const view of await owners.list()) {
        const generation = generations.get(keyOf(view))
        const isBehind = generation !== undefined && generation !== image.generations.generationFor(view.initiatorName)
        if (isBehind) found.push({ owners, view, lun: source.lun, generation, ...writesOf(view, source.lun) })
      }
    }
    return found
  }

  private async forget(image: Image): Promise<void> {
    if (image.generations.record.push === undefined) return
    await image.generations.change((record) => ({ ...record, push: undefined }))
  }
}

/** How a push ended. */
export function pushedMessage({ moved, stayed }: Pick<PushView, 'moved' | 'stayed'>): string {
  return `${clients(moved)} moved to the newest generation, ${clients(stayed.length)} stayed`
}

const ATTEMPTS_MAX = 3

interface Push {
  view: PushView
  timer: Timer | undefined
}

/** An initiator that sees an older generation. */
interface Behind {
  readonly owners: Owners
  readonly view: InitiatorView
  readonly lun: number
  readonly generation: number
  /** Bytes that it wrote over it. */
  readonly bytes: number
  /** Why it stays; undefined when nothing is in the way. kept: no logout ends its delta. */
  readonly stays: 'wrote' | 'kept' | undefined
}

function writesOf({ units }: InitiatorView, lun: number): Pick<Behind, 'bytes' | 'stays'> {
  const unit = units.find((one) => one.lun === lun)
  if (!unit?.stored) return { bytes: 0, stays: undefined }
  const isKept = unit.keeping === 'kept' || unit.keeping === 'author'
  return { bytes: unit.bytes ?? 0, stays: isKept ? 'kept' : 'wrote' }
}

function viewOf({ at, dropDeltas }: PlannedPush): Omit<PushView, 'state'> {
  return { at, dropDeltas, done: 0, total: 0, moved: 0, stayed: [], message: '' }
}

function stayOf({ view: { initiatorName, targetName }, generation, bytes, stays }: Behind): PushStay {
  return { initiatorName, targetName, generation, bytes, reason: stays ?? 'there' }
}

function describeStay({ initiatorName, generation, bytes }: PushStay): string {
  return `; ${initiatorName} on generation ${generation} (${formatSize(bytes)} written)`
}

function clients(count: number): string {
  return count === 1 ? '1 client' : `${count} clients`
}
