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
  ImageOrder,
  ImageView,
  InitiatorFilter,
  InitiatorView,
  JobView,
  PolicyOrder,
  PolicyView,
  PublishOrder,
  PushOrder,
  PushView,
  RescueOrder,
  RollbackOrder,
  ServerView,
  SessionView,
  ShowOrder,
  SpaceView,
  TargetView,
  TestOrder,
  Undone,
  UndoOrder,
  VerifyOrder
} from '../control.js'
import { chooseHolder, chooseTarget, nameOf } from '../operator-control.js'
import { pushedMessage } from '../generations/push-control.js'
import { chooseDraft, chooseImage, type UserOf } from '../generations/image-control.js'
import type { Shards } from './shards.js'

/** Asks one worker for what its own {@link Control} gives. */
export type AskWorker = (worker: number, verb: WorkerVerb, ...args: readonly unknown[]) => Promise<unknown>

/** What a worker is asked for beyond the verbs of its {@link Control}. */
export type WorkerVerb =
  | keyof Control
  | 'reconsider'
  | 'flattenOver'
  | 'hashNewest'
  | 'growHere'
  | 'enlarge'
  | 'exportBegin'
  | 'exportNext'
  | 'exportEnd'

/** Verbs of {@link Control} that answer part by part. */
export type ExportVerb = 'exportDelta' | 'rescue' | 'exportImage'

/** {@link Control} over all workers: what they show is put together, what is ordered goes to those whom it concerns. */
export class WorkersControl implements Control {
  /** @param local - of the front, which has the server itself and the discovery sessions */
  constructor(
    private readonly local: Control,
    private readonly shards: Shards,
    private readonly ask: AskWorker
  ) {}

  server(): Promise<ServerView> {
    return this.local.server()
  }

  /** Each worker knows the targets that it serves; who is an author, the one that has the author. */
  async targets(): Promise<readonly TargetView[]> {
    const shown = await this.all<TargetView[]>('targets')
    const local = await this.local.targets()
    return local.flatMap(({ name }) => {
      const views = shown.flat().filter((view) => view.name === name)
      const [first] = views
      if (!first) return []
      const units = first.units.map((unit, index) => ({
        ...unit,
        author: views.map((view) => view.units[index]?.author).find((author) => author !== undefined)
      }))
      return [{ ...first, units }]
    })
  }

  async sessions(): Promise<readonly SessionView[]> {
    return [...(await this.local.sessions()), ...(await this.all<SessionView[]>('sessions')).flat()]
  }

  async initiators(): Promise<readonly InitiatorView[]> {
    return (await this.all<InitiatorView[]>('initiators')).flat()
  }

  async bin(): Promise<readonly BinView[]> {
    return (await this.all<BinView[]>('bin')).flat().sort((left, right) => left.binnedAt - right.binnedAt)
  }

  async space(): Promise<readonly SpaceView[]> {
    const shown = (await this.all<SpaceView[]>('space')).flat()
    const paths = new Set(shown.map(({ path }) => path))
    return [...paths].map((path) => joined(shown.filter((view) => view.path === path)))
  }

  async disconnect(filter: InitiatorFilter): Promise<number> {
    const counts = await this.all<number>('disconnect', filter)
    return counts.reduce((sum, count) => sum + count, await this.local.disconnect(filter))
  }

  async restore(filter: InitiatorFilter): Promise<Discarded> {
    const discarded = await this.all<Discarded>('restore', filter)
    const bytes = discarded.reduce((sum, one) => sum + one.bytes, 0)
    return { bytes, tookMs: Math.max(0, ...discarded.map(({ tookMs }) => tookMs)) }
  }

  async undo(order: UndoOrder): Promise<Undone> {
    const [worker, target] = await this.whereBinned(order.initiator, order.target)
    return (await this.ask(worker, 'undo', { ...order, target })) as Undone
  }

  async show(order: ShowOrder): Promise<DeltaDetail> {
    const [worker, target] = await this.whereHeld(order.initiator, order.target)
    return (await this.ask(worker, 'show', { ...order, target })) as DeltaDetail
  }

  async drop(order: DropOrder): Promise<Dropped> {
    const [worker, target] = await this.whereHeld(order.initiator, order.target)
    return (await this.ask(worker, 'drop', { ...order, target })) as Dropped
  }

  async *exportDelta(order: ExportOrder): AsyncGenerator<CopyPart> {
    const [worker, target] = await this.whereLeft(order)
    yield* this.copied(worker, 'exportDelta', { ...order, target })
  }

  async *rescue(order: RescueOrder): AsyncGenerator<CopyPart> {
    const [worker, target] = await this.whereLeft(order)
    yield* this.copied(worker, 'rescue', { ...order, target })
  }

  async *exportImage(order: ImageExportOrder): AsyncGenerator<CopyPart> {
    const { keeper, image } = await this.imageOf(order)
    yield* this.copied(keeper, 'exportImage', { ...order, image })
  }

  /** One part after the other; none is read before it is asked for. */
  private async *copied(worker: number, verb: ExportVerb, order: object): AsyncGenerator<CopyPart> {
    const id = await this.ask(worker, 'exportBegin', verb, order)
    try {
      for (;;) {
        const part = (await this.ask(worker, 'exportNext', id)) as CopyPart | undefined
        if (!part) return
        yield part.kind === 'data' ? { ...part, bytes: Buffer.from(part.bytes) } : part
      }
    } finally {
      await this.ask(worker, 'exportEnd', id)
    }
  }

  private whereLeft({ initiator, target, bin }: ExportOrder): Promise<[worker: number, target: string]> {
    return bin ? this.whereBinned(initiator, target) : this.whereHeld(initiator, target)
  }

  /** Each worker knows the units of the targets that it serves. */
  async policies(): Promise<readonly PolicyView[]> {
    const shown = (await this.all<PolicyView[]>('policies')).flat()
    const targets = await this.local.targets()
    return targets.flatMap(({ name }) => shown.find(({ targetName }) => targetName === name) ?? [])
  }

  /** The front writes it down, and the workers look at what holds now. */
  async setPolicy(order: PolicyOrder): Promise<readonly PolicyView[]> {
    await this.local.setPolicy(order)
    await this.all('reconsider')
    return this.policies()
  }

  // --- Images ---

  async images(): Promise<readonly ImageView[]> {
    return (await this.allImages()).map(({ view }) => view)
  }

  /** What an author wrote is where the author is; the others hear of the generation that it becomes. */
  async publish(order: PublishOrder): Promise<ImageView> {
    const { keeper, image, view } = await this.imageOf(order)
    const named = { ...order, image }
    if (order.generation !== undefined) return this.ordered(keeper, 'publish', named)
    const draft = chooseDraft(view.path, view.drafts, order)
    const worker = this.shards.ownerOf(draft)
    const published = await this.ordered(worker, 'publish', { ...named, author: draft.initiatorName })
    if (worker !== keeper) await this.ask(keeper, 'hashNewest', { image })
    return published
  }

  /** Each worker asks its own clients. */
  async push(order: PushOrder): Promise<ImageView> {
    return this.toAll('push', order)
  }

  async cancelPush(order: ImageOrder): Promise<ImageView> {
    return this.toAll('cancelPush', order)
  }

  /** One after the other, so that one that may not obey refuses before the others begin. */
  private async toAll(verb: 'push' | 'cancelPush', order: PushOrder): Promise<ImageView> {
    const { workers, image } = await this.imageOf(order)
    for (const worker of workers) await this.ask(worker, verb, { ...order, image })
    return (await this.imageOf({ image })).view
  }

  async rollback(order: RollbackOrder): Promise<ImageView> {
    const { keeper, image } = await this.imageOf(order)
    return this.ordered(keeper, 'rollback', { ...order, image })
  }

  async test(order: TestOrder): Promise<ImageView> {
    const { keeper, image } = await this.imageOf(order)
    return this.ordered(keeper, 'test', { ...order, image })
  }

  async grow(order: GrowOrder): Promise<ImageView> {
    const { keeper, workers, image } = await this.imageOf(order)
    const made = await this.ask(keeper, 'growHere', { ...order, image })
    const others = workers.filter((worker) => worker !== keeper)
    await Promise.all(others.map((worker) => this.ask(worker, 'enlarge', made)))
    return (await this.imageOf({ image })).view
  }

  async verify(order: VerifyOrder): Promise<JobView> {
    const { keeper, image } = await this.imageOf(order)
    return (await this.ask(keeper, 'verify', { ...order, image })) as JobView
  }

  async flatten(order: FlattenOrder): Promise<JobView> {
    const { keeper, image, elsewhere } = await this.imageOf(order)
    return (await this.ask(keeper, 'flattenOver', { ...order, image }, elsewhere)) as JobView
  }

  async jobs(): Promise<readonly JobView[]> {
    return (await this.all<JobView[]>('jobs')).flat().sort((left, right) => left.startedAt - right.startedAt)
  }

  /** The image as all of them see it when the order is done. */
  private async ordered(worker: number, verb: WorkerVerb, order: PublishOrder | TestOrder): Promise<ImageView> {
    await this.ask(worker, verb, order)
    return (await this.imageOf(order)).view
  }

  private async imageOf(order: ImageOrder): Promise<SpreadImage & { readonly image: string }> {
    const all = await this.allImages()
    const { uuid } = chooseImage(
      all.map(({ view }) => view),
      order
    )
    return { ...all.find(({ view }) => view.uuid === uuid)!, image: uuid }
  }

  private async allImages(): Promise<SpreadImage[]> {
    const shown = await this.all<ImageView[]>('images')
    const uuids = new Set(shown.flat().map(({ uuid }) => uuid))
    return [...uuids].map((uuid) => spreadImage(shown.map((views) => views.find((view) => view.uuid === uuid))))
  }

  // --- Whom an order concerns ---

  private async whereBinned(initiator: string, target: string | undefined): Promise<[worker: number, target: string]> {
    const initiatorName = nameOf(initiator)
    const left = { binned: await this.bin(), known: await this.initiators() }
    const targetName = chooseTarget(initiatorName, target, await this.targetNames(), left)
    return [this.shards.ownerOf({ targetName, initiatorName }), targetName]
  }

  private async whereHeld(initiator: string, target: string | undefined): Promise<[worker: number, target: string]> {
    const names = await this.targetNames()
    const holder = chooseHolder(nameOf(initiator), target, names, await this.initiators())
    return [this.shards.ownerOf(holder), holder.targetName]
  }

  private async targetNames(): Promise<readonly string[]> {
    return (await this.local.targets()).map(({ name }) => name)
  }

  private all<View>(verb: WorkerVerb, ...args: readonly unknown[]): Promise<View[]> {
    const workers = Array.from({ length: this.shards.workerCount }, (_, worker) => worker)
    return Promise.all(workers.map((worker) => this.ask(worker, verb, ...args) as Promise<View>))
  }
}

/** An image that several workers have open. */
interface SpreadImage {
  /** Those that have it, the ones whose push is under way first: they refuse another one. */
  readonly workers: readonly number[]
  /** The worker that does what concerns it as a whole. */
  readonly keeper: number
  readonly view: ImageView
  /** Those who use it in other workers. */
  readonly elsewhere: readonly UserOf[]
}

/** @param views - of each worker; undefined where it has not got the image */
function spreadImage(views: readonly (ImageView | undefined)[]): SpreadImage {
  const keeper = views.findIndex((view) => view !== undefined)
  const kept = views[keeper]!
  const others = views.slice(keeper + 1).flatMap((view) => view ?? [])
  const elsewhere = others.flatMap(({ generations }) =>
    generations.flatMap(({ number, users }) => users.map((user) => ({ generation: number, user })))
  )
  const generations = kept.generations.map((one) => ({
    ...one,
    users: [...one.users, ...elsewhere.flatMap(({ generation, user }) => (generation === one.number ? [user] : []))]
  }))
  const trouble = [kept, ...others].map((view) => view.trouble).find((text) => text !== undefined)
  const drafts = [...kept.drafts, ...others.flatMap((view) => view.drafts)]
  const having = [...views.keys()].filter((worker) => views[worker] !== undefined)
  const workers = having.sort((left, right) => rankOf(views[left]) - rankOf(views[right]))
  const push = joinedPush([kept, ...others].flatMap((view) => view.push ?? []))
  return { workers, keeper, elsewhere, view: { ...kept, trouble, generations, drafts, push } }
}

/** The states of a push, the one that counts for all of them first. */
const PUSH_STATES: readonly PushView['state'][] = ['running', 'planned', 'failed', 'missed', 'done']

function rankOf(view: ImageView | undefined): number {
  return view?.push ? PUSH_STATES.indexOf(view.push.state) : PUSH_STATES.length
}

/** A push of which each worker did its part. */
function joinedPush(parts: readonly PushView[]): PushView | undefined {
  const [first] = [...parts].sort((left, right) => PUSH_STATES.indexOf(left.state) - PUSH_STATES.indexOf(right.state))
  if (!first || parts.length === 1) return first
  const sum = (key: 'done' | 'total' | 'moved') => parts.reduce((total, part) => total + part[key], 0)
  const push = {
    ...first,
    ...{ done: sum('done'), total: sum('total'), moved: sum('moved') },
    stayed: parts.flatMap(({ stayed }) => stayed)
  }
  return push.state === 'done' ? { ...push, message: pushedMessage(push) } : push
}

function joined(views: readonly SpaceView[]): SpaceView {
  const limits = views.map(({ limitBytes }) => limitBytes)
  return {
    path: views[0]!.path,
    usedBytes: views.reduce((sum, { usedBytes }) => sum + usedBytes, 0),
    limitBytes: limits.reduce<number | undefined>(
      (sum, limit) => (sum === undefined || limit === undefined ? undefined : sum + limit),
      0
    )
  }
}
