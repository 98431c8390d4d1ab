import { normalizeIscsiName } from '../../iscsi/login/names.js'
import { codeOf, messageOf } from '../../util/errors.js'
import { formatSize } from '../../util/units.js'
import { readDeltaHeader } from '../../volume/delta/reissue.js'
import type { CopyPart } from '../delta-copy.js'
import { TargetError } from '../errors.js'
import type { Image } from '../images.js'
import type { InitiatorView } from '../initiator-view.js'
import type { Jobs } from '../jobs.js'
import { keyOf, type InitiatorKey } from '../owner.js'
import { binnedFiles } from '../restore-undo.js'
import type { StateRoot } from '../state-root.js'
import type { EnlargeRequest } from '../units.js'
import {
  NOTE_CHARACTERS_MAX,
  generationOf,
  isAvailable,
  isOver,
  layersOf,
  type Generation,
  type GenerationRecord
} from './generation-record.js'
import type { Generations } from './generations.js'
import type {
  DraftView,
  FlattenOrder,
  GrowOrder,
  ImageExportOrder,
  GenerationUser,
  GenerationView,
  ImageOrder,
  ImageOrders,
  ImageView,
  JobView,
  PublishOrder,
  PushOrder,
  RollbackOrder,
  TestOrder,
  VerifyOrder
} from './image-orders.js'
import { LEAF_BYTES } from './hash-tree.js'
import { PushControl, type PushParts } from './push-control.js'

/** What the orders act on. */
export interface ImageControlParts extends PushParts {
  readonly roots: () => readonly StateRoot[]
  readonly jobs: Jobs
  /** Whether this process does what concerns the images of a target as a whole; true when left out. */
  readonly keeps?: ((targetName: string) => boolean) | undefined
}

/** {@link ImageOrders} over the parts of a running server. */
export class ImageControl implements ImageOrders {
  private exports = 0
  /** Growth of before the start that goes on. */
  private readonly growing = new Set<Promise<void>>()
  private readonly closing = new AbortController()
  private readonly pushes: PushControl

  constructor(private readonly parts: ImageControlParts) {
    this.pushes = new PushControl(parts)
  }

  async images(): Promise<readonly ImageView[]> {
    return Promise.all(this.all.map((image) => this.describe(image)))
  }

  async publish(order: PublishOrder): Promise<ImageView> {
    const image = this.find(order)
    const testers = (order.test ?? []).map(checkedPattern)
    if (order.generation === undefined) await this.publishDraft(image, order, testers)
    else if (testers.length > 0) await image.generations.test(testers, order.generation)
    else await image.generations.choose(order.generation)
    return this.describe(image)
  }

  private async publishDraft(image: Image, order: PublishOrder, testers: readonly string[]): Promise<void> {
    const draft = await this.draftOf(image, order)
    const { owners } = this.parts.targets().find(({ name }) => name === draft.targetName)!
    const key = { targetName: draft.targetName, initiatorName: draft.initiatorName }
    const force = order.force ?? false
    const request = { imageUuid: image.uuid, note: checkedNote(order.note ?? ''), testers, force }
    if (!force) {
      await owners.publish(key, request)
      return this.hashPublished(image)
    }
    await owners.drain(key)
    try {
      await this.endThenPublish(key, () => owners.publish(key, request))
      this.hashPublished(image)
    } finally {
      await owners.undrain(key)
    }
  }

  private async endThenPublish(key: InitiatorKey, publish: () => Promise<unknown>): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      await this.parts.endSessions((session) => isOf(key, session))
      try {
        await publish()
        return
      } catch (error) {
        // A login that was half done when we drained has a session only now.
        if (codeOf(error) !== 'ERR_ISCSI_PUBLISH_SESSION' || attempt === ATTEMPTS_MAX) throw error
      }
    }
  }

  async push({ at, dropDeltas = false, ...order }: PushOrder): Promise<ImageView> {
    const image = this.find(order)
    image.generations.refuseTrouble()
    if (at === undefined) this.pushes.start(image, dropDeltas)
    else await this.pushes.plan(image, { at, dropDeltas })
    return this.describe(image)
  }

  async cancelPush(order: ImageOrder): Promise<ImageView> {
    const image = this.find(order)
    await this.pushes.cancel(image)
    return this.describe(image)
  }

  async rollback(order: RollbackOrder): Promise<ImageView> {
    const image = this.find(order)
    const { generations } = image
    const { record, current } = generations
    const to = order.to ?? generationOf(record, current)?.parent
    if (to === undefined) {
      throw new TargetError('ERR_ISCSI_ROLLBACK', `generation ${current} of ${image.path} lies over no other one`)
    }
    await generations.choose(to)
    image.tell(`new logins get generation ${to} instead of ${current}`)
    return this.describe(image)
  }

  async test({ initiators, generation, ...order }: TestOrder): Promise<ImageView> {
    const image = this.find(order)
    if (generation !== undefined && initiators.length === 0) {
      throw new TargetError('ERR_ISCSI_TEST', 'say which initiators test the generation: a name, or a pattern with *')
    }
    await image.generations.test(initiators.map(checkedPattern), generation)
    return this.describe(image)
  }

  /** @param elsewhere - whose disks are generations of it in other processes */
  async flatten(order: FlattenOrder, elsewhere: readonly UserOf[] = []): Promise<JobView> {
    const image = this.find(order)
    image.generations.refuseTrouble()
    const needs = await this.needsOf(image, elsewhere)
    const to = order.to ?? highestFree(image.generations.record, needs)
    image.generations.require(to)
    const need = needs.find(({ generation }) => !isOver(image.generations.record, generation, to))
    if (need) throw stillNeeded(image.path, to, need)
    return this.startFlatten(image, to)
  }

  async verify({ generation, ...order }: VerifyOrder): Promise<JobView> {
    const image = this.find(order)
    image.generations.refuseTrouble()
    const number = generation ?? image.generations.current
    image.generations.require(number)
    return Promise.resolve(this.startVerify(image, number))
  }

  private startVerify(image: Image, number: number): JobView {
    const key = `verification ${++this.exports}`
    return this.parts.jobs.start('verify', image.path, (progress) => image.verify(number, key, progress))
  }

  /** The same in another process, which made the newest generation. */
  hashNewest(order: ImageOrder): void {
    this.hashPublished(this.find(order))
  }

  /** Whose generations are hashed goes on so: only what the layer touches is read. */
  private hashPublished(image: Image): void {
    if (!this.keeps(image)) return
    const { path, generations } = image
    const { number, parent } = generations.record.generations.at(-1)!
    const isBusy = this.parts.jobs.list().some(({ image, state }) => image === path && state === 'running')
    if (isBusy || parent === undefined || generationOf(generations.record, parent)?.hash === undefined) return
    this.startVerify(this.find({ image: path }), number)
  }

  async grow(order: GrowOrder): Promise<ImageView> {
    await this.growHere(order)
    return this.describe(this.find(order))
  }

  /**
   * The same, of which others are to hear.
   * @returns what was made, which need not be what new logins get by now: somebody else may have given another order
   */
  async growHere({ sizeBytes, ...order }: GrowOrder): Promise<EnlargeRequest> {
    const image = this.find(order)
    const { number: to, parent } = await image.grow(sizeBytes)
    const request = { imageUuid: image.uuid, from: parent!, to }
    await this.enlarge(request)
    image.tell(
      `generation ${to} is a disk of ${formatSize(sizeBytes)}; new logins get it, and so does whoever saw generation ${parent}`
    )
    return request
  }

  /**
   * Whoever sees the one generation sees the other from now on, which shows the same and is larger.
   * @throws TargetError ERR_ISCSI_GROW when it shows something else: clients have their caches filled from the one
   */
  async enlarge(request: EnlargeRequest, signal?: AbortSignal): Promise<void> {
    const image = this.find({ image: request.imageUuid })
    const made = generationOf(image.generations.record, request.to)
    if (made?.parent !== request.from || made.layerBytes !== undefined) {
      throw new TargetError(
        'ERR_ISCSI_GROW',
        `generation ${request.to} of ${image.path} is none that shows the same as generation ${request.from}`
      )
    }
    for (const { sources, owners } of this.parts.targets()) {
      if (!sources.some((one) => one.image === image)) continue
      for (const { initiatorName, why } of await owners.enlarge(request, signal)) {
        this.parts.log.warn(`${initiatorName} keeps generation ${request.from} and its size: ${why}`)
      }
    }
  }

  async *exportImage({ generation, fromBytes = 0, since, ...order }: ImageExportOrder): AsyncGenerator<CopyPart> {
    const image = this.find(order)
    if (fromBytes % LEAF_BYTES !== 0) throw new TargetError('ERR_ISCSI_COPY', 'a copy begins at a whole MiB')
    const key = `export ${++this.exports}`
    yield* image.copy(generation ?? image.generations.current, key, { fromBytes, since })
  }

  /** At the start of the server: what a stop or a crash cut short goes on. */
  resume(): void {
    for (const image of this.all) {
      const { trouble, record } = image.generations
      const isMine = trouble === undefined && this.keeps(image)
      if (record.flattening !== undefined && isMine) this.startFlatten(image, record.flattening)
      this.pushes.resume(image)
      // Each process has initiators of its own.
      if (trouble === undefined) this.resumeGrowth(image)
    }
  }

  /** The larger generation is noted before anybody is moved to it, so that a crash may come between the two. */
  private resumeGrowth(image: Image): void {
    const growth = this.goOnGrowing(image)
      .catch((error: unknown) => this.parts.log.error(`${image.path}: ${messageOf(error)}`))
      .finally(() => this.growing.delete(growth))
    this.growing.add(growth)
  }

  private async goOnGrowing(image: Image): Promise<void> {
    const { signal } = this.closing
    for (const { number: to, parent: from } of grownUpTo(image.generations)) {
      const isLeft = image.holders.some(({ generation }) => generation === from)
      // Most starts find nobody, and need not open a single delta to see that.
      if (!isLeft || signal.aborted) continue
      await this.enlarge({ imageUuid: image.uuid, from: from!, to }, signal)
      if (signal.aborted) return
      image.tell(`clients of generation ${from} get generation ${to} now, which shows the same and is larger`)
    }
  }

  private keeps(image: Image): boolean {
    const { keeps, targets } = this.parts
    return !keeps || targets().some(({ name, sources }) => sources.some((one) => one.image === image) && keeps(name))
  }

  /** Resolves when nobody is asked to log in again any more, nor put over a larger disk. */
  async idle(): Promise<void> {
    await Promise.all([this.pushes.idle(), ...this.growing])
  }

  /** Plans wait for the next start, and so does whoever has not been put over a larger disk yet. */
  async close(): Promise<void> {
    this.closing.abort()
    await Promise.all([this.pushes.close(), ...this.growing])
  }

  private startFlatten(image: Image, to: number): JobView {
    return this.parts.jobs.start('flatten', image.path, async (progress) => {
      const bytes = await image.flatten(to, progress)
      return `generation ${to} is in the raw file now, ${formatSize(bytes)} were copied`
    })
  }

  jobs(): Promise<readonly JobView[]> {
    return Promise.resolve(this.parts.jobs.list())
  }

  /** Generations that must stay, with the reason. */
  private async needsOf(image: Image, elsewhere: readonly UserOf[]): Promise<Need[]> {
    const { current, tests } = image.generations.record
    const users = [...(await this.usersOf(image)), ...elsewhere]
    const deltas = await Promise.all(this.parts.roots().map(({ directory }) => directory.deltaHeaders()))
    return [
      { generation: current, who: 'all new logins' },
      ...tests.map(({ match, generation }) => ({ generation, who: `the test by ${match}` })),
      ...users.map(({ generation, user }) => ({ generation, who: `${user.initiatorName} (${USES[user.kind]})` })),
      // Also those of targets that this server does not have just now.
      ...deltas
        .flat()
        .filter(({ base }) => base.uuid === image.uuid)
        .map(({ base, owner }) => ({ generation: base.generation, who: `a delta of ${owner.initiator}` }))
    ]
  }

  // --- Which image, which delta ---

  /** Private images, each once. */
  private get all(): Image[] {
    const sources = this.parts.targets().flatMap((target) => target.sources)
    return [...new Set(sources.filter(({ shared }) => !shared).map(({ image }) => image))]
  }

  private find(order: ImageOrder): Image {
    return chooseImage(this.all, order)
  }

  private async draftOf(image: Image, order: PublishOrder): Promise<DraftView> {
    return chooseDraft(image.path, await this.draftsOf(image), order)
  }

  // --- What is shown ---

  private async describe(image: Image): Promise<ImageView> {
    const { path, uuid, backupUuid, generations } = image
    const { record, trouble } = generations
    const users = await this.usersOf(image)
    const views = record.generations.map(({ source: _source, ...one }): GenerationView => {
      const own = users.filter(({ generation }) => generation === one.number)
      return { ...one, available: isAvailable(record, one.number), users: own.map(({ user }) => user) }
    })
    const { current, raw, tests, flattening } = record
    const drafts = await this.draftsOf(image)
    const push = this.pushes.viewOf(image)
    return { path, uuid, backupUuid, current, raw, tests, flattening, trouble, generations: views, drafts, push }
  }

  /** Everybody whose disk some generation is. */
  async usersOf(image: Image): Promise<UserOf[]> {
    const known = await this.initiatorsOf(image)
    const readers = image.holders.flatMap(({ targetName, initiatorName, generation }) => {
      if (generation === undefined) return []
      const view = known.find(({ initiator }) => isOf({ targetName, initiatorName }, initiator))
      const kind: GenerationUser['kind'] = (view?.initiator.sessions ?? 0) > 0 ? 'session' : 'kept'
      return [{ generation, user: { initiatorName, targetName, kind, bytes: view?.bytes ?? 0 } }]
    })
    return [...readers, ...(await this.binnedOf(image))]
  }

  private async binnedOf(image: Image): Promise<UserOf[]> {
    const found: UserOf[] = []
    for (const { bin } of this.parts.roots()) {
      for (const { id, initiatorName, targetName, bytes } of bin.list()) {
        const { map } = await binnedFiles(bin.pathOf(id))
        // One that cannot be read cannot be brought back.
        const header = map === undefined ? undefined : await readDeltaHeader(map).catch(() => undefined)
        if (header?.base.uuid !== image.uuid) continue
        found.push({
          generation: header.base.generation,
          user: { initiatorName, targetName, kind: 'bin', bytes }
        })
      }
    }
    return found
  }

  private async draftsOf(image: Image): Promise<DraftView[]> {
    const known = await this.initiatorsOf(image)
    return known.flatMap(({ initiator, stored, bytes }) => {
      if (initiator.policy !== 'author' || !stored) return []
      const { initiatorName, targetName, sessions } = initiator
      const reader = image.holders.find((one) => keyOf(one) === keyOf(initiator))
      return [{ initiatorName, targetName, generation: reader?.generation, bytes, live: sessions > 0 }]
    })
  }

  /** Initiators of the targets that have this image, with what they have written over it. */
  private async initiatorsOf(image: Image): Promise<{ initiator: InitiatorView; stored: boolean; bytes: number }[]> {
    const found = []
    for (const { sources, owners } of this.parts.targets()) {
      const source = sources.find((one) => one.image === image)
      if (!source) continue
      for (const initiator of await owners.list()) {
        const unit = initiator.units.find(({ lun }) => lun === source.lun)
        found.push({ initiator, stored: unit?.stored ?? false, bytes: unit?.bytes ?? 0 })
      }
    }
    return found
  }
}

const ATTEMPTS_MAX = 3

/** Somebody whose disk a generation is. */
export interface UserOf {
  readonly generation: number
  readonly user: GenerationUser
}

/** The image that an order is for: the only one, or the one that is named. Throws TargetError with what there is. */
export function chooseImage<One extends { readonly path: string; readonly uuid: string }>(
  all: readonly One[],
  { image: wanted }: ImageOrder
): One {
  const images = all.filter(({ path, uuid }) => wanted === undefined || path === wanted || uuid === wanted)
  const [first, second] = images
  if (first && !second) return first
  const paths = all.map(({ path }) => path).join(', ')
  if (first) throw new TargetError('ERR_ISCSI_IMAGE_WHICH', `this server has several images, say which: ${paths}`)
  throw new TargetError(
    'ERR_ISCSI_IMAGE_UNKNOWN',
    `this server has no image ${wanted ?? ''} with generations: ${paths}`
  )
}

/** What shall be published: the only draft, or that of the author who is named. Throws TargetError with who has one. */
export function chooseDraft(path: string, all: readonly DraftView[], { author }: PublishOrder): DraftView {
  const name = author === undefined ? undefined : normalizeIscsiName(author)
  if (author !== undefined && name === undefined) throw badName(author)
  const drafts = all.filter(({ initiatorName }) => name === undefined || initiatorName === name)
  const [first, second] = drafts
  if (first && !second) return first
  const names = all.map(({ initiatorName }) => initiatorName).join(', ')
  if (first) throw new TargetError('ERR_ISCSI_PUBLISH_WHICH', `several authors wrote over ${path}, say which: ${names}`)
  throw new TargetError(
    'ERR_ISCSI_PUBLISH_NOTHING',
    `${name ?? 'no author'} has ${name === undefined ? '' : 'not '}written anything over ${path} that could be ` +
      `published${names === '' ? '' : `, but ${names} has`}. Authors are named by: --policy IQN=author`
  )
}

/** The current generation and those below it that change the size alone, up to the first that has a layer; lowest first. */
function grownUpTo({ record, current }: Generations): Generation[] {
  const path: Generation[] = []
  let one = generationOf(record, current)
  while (one?.parent !== undefined && one.layerBytes === undefined && isAvailable(record, one.parent)) {
    path.unshift(one)
    one = generationOf(record, one.parent)
  }
  return path
}

interface Need {
  readonly generation: number
  readonly who: string
}

const USES = { session: 'logged in', kept: 'its delta is kept', bin: 'its delta is in the bin' } as const

/** The newest generation below the current one, or that, which everybody's lies over. */
function highestFree(record: GenerationRecord, needs: readonly Need[]): number {
  const path = [...layersOf(record, record.current)!].reverse()
  const found = path.find(({ number }) => needs.every(({ generation }) => isOver(record, generation, number)))
  if (found) return found.number
  const lowest = layersOf(record, record.current)![0]?.number
  if (lowest === undefined) throw new TargetError('ERR_ISCSI_FLATTEN', 'nothing lies above the raw file')
  throw stillNeeded(
    'the image',
    lowest,
    needs.find(({ generation }) => !isOver(record, generation, lowest))!
  )
}

function stillNeeded(path: string, to: number, { generation, who }: Need): TargetError {
  return new TargetError(
    'ERR_ISCSI_FLATTEN',
    `generation ${to} cannot be merged into ${path} yet, because generation ${generation}, which does not lie over it, ` +
      `is needed: ${who}`
  )
}

function isOf(key: InitiatorKey, other: { initiatorName: string; targetName: string | undefined }): boolean {
  return key.initiatorName === other.initiatorName && key.targetName === other.targetName
}

function checkedPattern(pattern: string): string {
  if (pattern === '*') return pattern
  const name = pattern.endsWith('*') ? pattern.normalize('NFKC').toLowerCase() : normalizeIscsiName(pattern)
  if (name === undefined) throw badName(pattern)
  return name
}

function badName(name: string): TargetError {
  return new TargetError('ERR_ISCSI_NAME', `"${name}" is no name of an initiator (iqn.…, eui.… or naa.…)`)
}

function checkedNote(note: string): string {
  if (note.length <= NOTE_CHARACTERS_MAX) return note
  throw new TargetError('ERR_ISCSI_NOTE', `a note has at most ${NOTE_CHARACTERS_MAX} characters`)
}
