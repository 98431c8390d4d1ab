import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { messageOf } from '../../util/errors.js'
import type { Logger } from '../../util/log.js'
import type { BaseFingerprint } from '../../volume/delta/journal-format.js'
import { FrozenDelta } from '../../volume/delta/frozen-delta.js'
import type { DeltaPaths } from '../../volume/delta/files.js'
import { BorrowedVolume } from '../../volume/layers/borrowed.js'
import { LayerVolume } from '../../volume/layers/layer.js'
import { partitionOver } from '../../volume/stack.js'
import type { Volume } from '../../volume/volume.js'
import { TargetError } from '../errors.js'
import type { StoredImage } from '../image-storage.js'
import { readJson, writeJson } from '../json-file.js'
import { matches } from '../policy.js'
import { Serial } from '../serial.js'
import type { StateDirectory } from '../state-directory.js'
import type { ImageTogether } from '../workers/image-turns.js'
import { rootOf, type KnownLeaves } from './hash-tree.js'
import {
  LAYERS_MAX,
  firstRecord,
  formatGenerationRecord,
  generationOf,
  isAvailable,
  isOver,
  layersOf,
  nextNumber,
  parseGenerationRecord,
  withGeneration,
  withHash,
  type DeltaSource,
  type Generation,
  type GenerationRecord,
  type RawIdentity,
  type TestRule
} from './generation-record.js'
import {
  isProtected,
  leavesPath,
  layerNumbers,
  leavesNumbers,
  removeLeaves,
  layerPaths,
  moveBack,
  moveIn,
  protectLayer,
  removeLayer,
  returnUnpublished
} from './layer-files.js'

export interface GenerationsOptions {
  readonly uuid: string
  /** Of the image, for messages. */
  readonly path: string
  readonly state: StateDirectory
  readonly now: () => number
  readonly log: Logger
  /** Where other processes have the image open as well. */
  readonly together?: ImageTogether | undefined
}

export interface PublishOrder {
  /** The files of the author's delta, which is closed. */
  readonly files: DeltaPaths
  readonly source: DeltaSource
  readonly note: string
  /** For these alone; empty = for everybody. */
  readonly testers: readonly string[]
  /** Also when it does not lie over the current generation, so that what that one brought is not in it. */
  readonly beside: boolean
}

/**
 * The generations of one image: which there are, what new logins get, and the volumes that show them. The raw file
 * holds one of them; each of the others is a layer over its parent. Volumes are opened when they are first wanted and
 * shared by all views.
 */
export class Generations {
  private readonly options: GenerationsOptions
  private readonly directory: string
  private readonly steps = new Serial()
  private current_: GenerationRecord
  /** There is a file: something was published once. */
  private recorded = false
  private stored: StoredImage | undefined
  private readonly layers = new Map<number, Promise<LayerVolume>>()
  private readonly partitions = new Map<string, Promise<Volume>>()
  /** Why nobody may log in; undefined when everything is as it should be. */
  trouble: string | undefined
  /** The same, of what was found in the state directory. */
  private damage: string | undefined

  constructor(options: GenerationsOptions) {
    this.options = options
    this.directory = options.state.layersPath(options.uuid)
    this.current_ = firstRecord(0, 0, undefined)
  }

  /** Reads the record, and clears away what a crash left. Throws TargetError ERR_ISCSI_STATE for one that is damaged. */
  async load(): Promise<void> {
    const { state, uuid, log, path } = this.options
    const file = state.generationsPath(uuid)
    const value = await readJson(file)
    this.recorded = value !== undefined
    if (value !== undefined) this.current_ = parseGenerationRecord(file, value)
    for (const number of await layerNumbers(this.directory)) {
      if (this.recorded && generationOf(this.current_, number)) await this.settleLayer(number)
      else if (await isProtected(this.directory, number)) {
        this.damage =
          `${path}: generation ${number} lies in ${this.directory}, but ${file} does not know it: put the newest ` +
          'copy of that file back'
      } else {
        const owner = await returnUnpublished(this.directory, number, (targetName, initiatorName) =>
          state.deltaPath({ targetName, initiatorName })
        )
        log.warn(`${path}: a publish was cut short, so what ${owner} wrote is its delta still: publish it again`)
      }
    }
    if (this.recorded) await this.removeGoneLeaves()
  }

  /** A crash may have come before the layer was protected, or before it was removed. */
  private async settleLayer(number: number): Promise<void> {
    if (this.isLayer(number)) await protectLayer(this.directory, number)
    else if (!(await this.isReadElsewhere())) await removeLayer(this.directory, number)
  }

  /** Layers that were merged are still open in another process, which removes them when they are not any more. */
  private async isReadElsewhere(): Promise<boolean> {
    const { together, uuid } = this.options
    return together !== undefined && (await together.isRead(uuid))
  }

  /** Reads the record again, which another process may have changed. */
  async reread(): Promise<void> {
    const file = this.options.state.generationsPath(this.options.uuid)
    const value = await readJson(file)
    if (value === undefined) return
    this.current_ = parseGenerationRecord(file, value)
    this.recorded = true
  }

  /** One change at a time, in all processes that have the image open. */
  private step<T>(work: () => Promise<T>): Promise<T> {
    const { together, uuid } = this.options
    if (!together) return this.steps.run(work)
    return this.steps.run(() =>
      together.change(uuid, async () => {
        // What another process has made is not to be undone by one to which the news of it did not get through.
        await this.reread()
        return work()
      })
    )
  }

  /**
   * The raw file is open. One that is not what the record says was changed by somebody else: what lies above it is
   * worthless then.
   * @param identity - undefined for what is no file
   */
  async attach(stored: StoredImage, identity: RawIdentity | undefined): Promise<void> {
    this.stored = stored
    this.trouble = this.damage
    const { now, path } = this.options
    const size = stored.whole.size
    if (!this.recorded) {
      this.current_ = firstRecord(size, now(), identity)
      return
    }
    const { record } = this
    if (record.flattening === undefined && isSame(record, size, identity)) return
    if (record.flattening !== undefined && record.rawIdentity?.inode === identity?.inode) return
    if (!this.hasLayers) return this.adopt(size, identity)
    const { state, uuid } = this.options
    this.trouble =
      `${path} was changed by another program since generations were published over it, so they do not fit it any ` +
      'more: put the file back as it was; or, to share it as it is now, without those generations and what was written ' +
      `over them, stop the server and move ${state.generationsPath(uuid)} and ${this.directory} away`
  }

  /** Closes what was opened; nobody reads any more. The raw file is closed by whoever attached it. */
  async detach(): Promise<void> {
    await this.steps.idle()
    await closeAll(this.takeVolumes())
    this.stored = undefined
  }

  /** The volumes that are open, the highest first; from now on others are opened. The caller closes these. */
  takeVolumes(): Promise<Volume>[] {
    const volumes = [...this.partitions.values(), ...[...this.layers.values()].reverse()]
    this.partitions.clear()
    this.layers.clear()
    return volumes
  }

  get record(): GenerationRecord {
    return this.current_
  }

  /** Something was published once, so a client that comes back may find another generation than it left. */
  get isRecorded(): boolean {
    return this.recorded
  }

  /** Something lies above the raw file. */
  get hasLayers(): boolean {
    return this.record.generations.some(({ number }) => this.isLayer(number))
  }

  get current(): number {
    return this.record.current
  }

  has(number: number): boolean {
    return isAvailable(this.record, number)
  }

  /** What this initiator gets when it comes without a delta. */
  generationFor(initiatorName: string): number {
    const test = this.record.tests.find(({ match }) => matches(match, initiatorName))
    return test && this.has(test.generation) ? test.generation : this.current
  }

  /**
   * What a delta over this generation is written over. Of one that was published it hangs on nothing but its own
   * record, so that a flatten, which changes the raw file, orphans no delta.
   * @throws TargetError when there is no such generation any more
   */
  fingerprint(number: number): BaseFingerprint {
    const { uuid } = this.options
    const { size, time } = this.require(number)
    if (number > 0) {
      return { uuid, generation: number, size, mtimeNs: BigInt(time) * 1_000_000n, inode: BigInt(number) }
    }
    const { mtimeNs, inode } = this.record.rawIdentity ?? { mtimeNs: 0n, inode: 0n }
    return { uuid, generation: 0, size, mtimeNs, inode }
  }

  /** A disk that shows this generation, or one of its partitions. Open; shared by all. */
  async view(number: number, partition: number | undefined, blockSize: number): Promise<Volume> {
    this.require(number)
    if (number === this.record.raw) return this.raw.view(partition, blockSize)
    if (partition === undefined) return this.layer(number)
    return cached(this.partitions, `${number}/${partition}/${blockSize}`, async () => {
      const { uuid: imageUuid } = this.options
      const disk = new BorrowedVolume(await this.layer(number))
      const volume = partitionOver(disk, this.raw.bottom, { partition, blockSize, imageUuid })
      await volume.open()
      return volume
    })
  }

  /** The whole disk of a generation. */
  whole(number: number): Promise<Volume> {
    return this.view(number, undefined, ANY_BLOCK_SIZE)
  }

  private layer(number: number): Promise<LayerVolume> {
    return cached(this.layers, number, async () => {
      const { parent, size, layerBytes } = this.require(number)
      const below = await this.whole(parent!)
      const files = layerPaths(this.directory, number)
      const delta = layerBytes === undefined ? undefined : await FrozenDelta.open(files)
      const layer = new LayerVolume({ below, delta, size })
      await layer.open()
      return layer
    })
  }

  /** The delta became a generation, and its owner has not heard of it: a crash came between. */
  wasPublished({ targetName, initiatorName, lun, epoch }: DeltaSource): number | undefined {
    const mine = this.record.generations.flatMap(({ source }) =>
      source?.targetName === targetName &&
      source.initiatorName === initiatorName &&
      source.lun === lun &&
      source.epoch > epoch
        ? [source.epoch]
        : []
    )
    return mine.length === 0 ? undefined : Math.max(...mine)
  }

  /**
   * Makes an author's delta the next generation: its files move here, then the record names it, in one rename. When
   * this throws the delta is where it was.
   */
  publish(order: PublishOrder): Promise<Generation> {
    return this.step(async () => {
      const { now } = this.options
      const frozen = await FrozenDelta.open(order.files)
      const { header, bytesStored } = frozen
      await frozen.close()
      const parent = header.base.generation
      this.judge(parent, order)
      const number = nextNumber(this.record)
      const generation: Generation = {
        number,
        parent,
        time: now(),
        author: order.source.initiatorName,
        note: order.note,
        size: header.base.size,
        layerBytes: bytesStored,
        hash: undefined,
        source: order.source
      }
      await this.takeOver(order.files, number, () => this.save(this.withPublished(generation, order.testers)))
      await protectLayer(this.directory, number)
      return generation
    })
  }

  private judge(parent: number, { beside }: Pick<PublishOrder, 'beside'>): void {
    this.refuseTrouble()
    const layers = layersOf(this.record, parent)
    if (!layers) throw gone(parent)
    if (layers.length >= LAYERS_MAX) {
      throw new TargetError(
        'ERR_ISCSI_LAYERS',
        `there are ${layers.length} generations above the raw file: merge some into it first with cloudx image flatten`
      )
    }
    if (beside || isOver(this.record, parent, this.current)) return
    throw new TargetError(
      'ERR_ISCSI_GENERATION_BESIDE',
      `this was written over generation ${parent}, and generation ${this.current} is the current one: what that brought ` +
        'would be missing. To publish it all the same add --force'
    )
  }

  private withPublished(generation: Generation, testers: readonly string[]): GenerationRecord {
    const { number, author } = generation
    const record = withGeneration(this.record, generation)
    if (testers.length === 0) return withCurrent(record, number)
    // Whoever made it goes on from it.
    const tests = [...new Set([...testers, author])].map((match) => ({ match, generation: number }))
    return { ...record, tests: withTests(record.tests, tests) }
  }

  private async takeOver(files: DeltaPaths, number: number, commit: () => Promise<void>): Promise<void> {
    try {
      await moveIn(files, this.directory, number)
      await commit()
    } catch (error) {
      await moveBack(files, this.directory, number).catch((reason: unknown) => {
        this.options.log.error(
          `${this.options.path}: a delta that could not be published lies in ${this.directory} and could not be put ` +
            `back: ${messageOf(reason)}; the next start of the server tries again`
        )
      })
      throw error
    }
  }

  /** A generation that differs from the current one in its size alone. */
  grow(sizeBytes: number): Promise<Generation> {
    return this.step(async () => {
      const { current } = this
      this.judge(current, { beside: false })
      const { size } = this.require(current)
      if (sizeBytes <= size || sizeBytes % SIZE_ALIGNMENT !== 0 || sizeBytes > SIZE_BYTES_MAX) {
        throw new TargetError(
          'ERR_ISCSI_GROW',
          `a disk of ${size} bytes can grow to more, in whole MiB and up to 8 PiB; ${sizeBytes} bytes are not that`
        )
      }
      const number = nextNumber(this.record)
      const plain = { number, parent: current, time: this.options.now(), author: '', note: 'a larger disk' }
      const generation = { ...plain, size: sizeBytes, layerBytes: undefined, hash: undefined, source: undefined }
      await this.save(withCurrent(withGeneration(this.record, generation), number))
      return generation
    })
  }

  /** The leaves of a generation's hash tree, as they were noted; undefined when they are not there, or not those. */
  async knownLeaves(number: number): Promise<Buffer | undefined> {
    const { hash, size } = this.require(number)
    const leaves = await readFile(leavesPath(this.directory, number)).catch(() => undefined)
    return leaves && hash === rootOf(leaves, size) ? leaves : undefined
  }

  /** The same of the generation below, and which of them this one can have changed. */
  async leavesBelow(number: number): Promise<KnownLeaves | undefined> {
    const { parent } = this.require(number)
    if (parent === undefined || number === this.record.raw || !this.has(parent)) return undefined
    const leaves = await this.knownLeaves(parent)
    const layer = await this.layer(number)
    const { size } = this.require(parent)
    return leaves && { leaves, size, touched: (offset, length) => layer.touches(offset, length) }
  }

  /** @throws TargetError when it does not lie over that one, or that one is not there any more */
  requireOver(number: number, since: number): void {
    this.require(since)
    if (isOver(this.record, number, since)) return
    throw new TargetError('ERR_ISCSI_COPY', `generation ${number} does not lie over generation ${since}`)
  }

  /** Where a generation may differ from one that it lies over. */
  async touchedSince(number: number, since: number): Promise<(offset: number, length: number) => boolean> {
    const { size } = this.require(since)
    const path = layersOf(this.record, number)!
    const above = path.slice(path.findIndex((one) => one.number === since) + 1)
    const layers = await Promise.all(above.map((one) => this.layer(one.number)))
    return (offset, length) => offset + length > size || layers.some((layer) => layer.touches(offset, length))
  }

  async noteLeaves(number: number, leaves: Buffer): Promise<string> {
    const hash = rootOf(leaves, this.require(number).size)
    await mkdir(this.directory, { recursive: true, mode: 0o700 })
    await writeFile(leavesPath(this.directory, number), leaves, { mode: 0o600, flush: true })
    await this.change((record) => withHash(record, number, hash))
    return hash
  }

  /** The owner of the delta knows that it became this generation; nobody has to be told any more. */
  noted(number: number): Promise<void> {
    return this.step(() => {
      const generations = this.record.generations.map((one) =>
        one.number === number ? { ...one, source: undefined } : one
      )
      // After a power cut its owner is told once more, which does no harm.
      return this.save({ ...this.record, generations }, false)
    })
  }

  /** From now on layers up to this generation are copied into the raw file, also after a crash. */
  beginFlatten(number: number): Promise<void> {
    return this.step(async () => {
      this.refuseTrouble()
      this.require(number)
      const { current, tests, raw, flattening } = this.record
      if (flattening === number) return
      const lower = [current, ...tests.map(({ generation }) => generation)].find(
        (one) => !isOver(this.record, one, number)
      )
      if (number === raw || lower !== undefined || flattening !== undefined) {
        throw new TargetError(
          'ERR_ISCSI_FLATTEN',
          lower === undefined
            ? `generation ${number} is in the raw file already, or generation ${flattening} is being merged into it`
            : `generation ${lower} is in use and does not lie over generation ${number}`
        )
      }
      await this.save({ ...this.record, flattening: number })
    })
  }

  /** All of it is in the raw file, and synced: the layers are not needed any more. */
  endFlatten(number: number, rawIdentity: RawIdentity | undefined): Promise<void> {
    return this.change((record) => ({ ...record, raw: number, rawIdentity, flattening: undefined }))
  }

  /** New logins get this one. */
  choose(number: number): Promise<void> {
    return this.step(async () => {
      this.refuseTrouble()
      this.requireAbove(number)
      await this.save(withCurrent(this.record, number))
    })
  }

  /** These get this generation; undefined = the current one again. */
  test(matches: readonly string[], number: number | undefined): Promise<void> {
    return this.step(async () => {
      if (number !== undefined) this.requireAbove(number)
      const named = (match: string) => matches.includes(match)
      const others = this.record.tests.filter(({ match }) => matches.length > 0 && !named(match))
      const added = number === undefined ? [] : matches.map((match) => ({ match, generation: number }))
      await this.save({ ...this.record, tests: [...added, ...others] })
    })
  }

  /** The record changes in one step, or not at all. */
  change(make: (record: GenerationRecord) => GenerationRecord): Promise<void> {
    return this.step(() => this.save(make(this.record)))
  }

  /** The layers of what cannot be shown any more; nobody has them open. */
  removeGone(): Promise<void> {
    return this.step(async () => {
      if (await this.isReadElsewhere()) return
      for (const number of await layerNumbers(this.directory)) {
        if (!this.isLayer(number)) await removeLayer(this.directory, number)
      }
      await this.removeGoneLeaves()
    })
  }

  /** Hash trees of what cannot be shown any more: nothing can be held against them. */
  private async removeGoneLeaves(): Promise<void> {
    for (const number of await leavesNumbers(this.directory)) {
      if (!this.has(number)) await removeLeaves(this.directory, number)
    }
  }

  /** Its files are needed: it can be shown, and the raw file does not hold it. */
  private isLayer(number: number): boolean {
    return number !== this.record.raw && this.has(number)
  }

  /** Where the layers are. */
  get layersPath(): string {
    return this.directory
  }

  refuseTrouble(): void {
    if (this.trouble !== undefined) throw new TargetError('ERR_ISCSI_IMAGE_CHANGED', this.trouble)
  }

  /** @throws TargetError when there is no such generation, or not any more */
  require(number: number): Generation {
    const found = generationOf(this.record, number)
    if (found && this.has(number)) return found
    throw found ? gone(number) : new TargetError('ERR_ISCSI_GENERATION_UNKNOWN', `there is no generation ${number}`)
  }

  /** It can be chosen, also while a flatten is under way. */
  private requireAbove(number: number): void {
    this.require(number)
    const { flattening } = this.record
    if (flattening === undefined || isOver(this.record, number, flattening)) return
    throw new TargetError('ERR_ISCSI_FLATTENING', `generation ${flattening} is being merged into the raw file`)
  }

  /** Nothing lies above the raw file, and what it holds now is something new. */
  private async adopt(size: number, rawIdentity: RawIdentity | undefined): Promise<void> {
    const number = nextNumber(this.record)
    const note = 'the raw file was written'
    const raw = { number, parent: undefined, time: this.options.now(), author: '', note, size }
    const generation = { ...raw, layerBytes: undefined, hash: undefined, source: undefined }
    const added = withGeneration({ ...this.record, raw: number, current: number }, generation)
    await this.save({ ...added, rawIdentity, tests: [], flattening: undefined })
  }

  private async save(record: GenerationRecord, durable = true): Promise<void> {
    const { state, uuid } = this.options
    await writeJson(state.generationsPath(uuid), formatGenerationRecord(record), durable)
    this.current_ = record
    this.recorded = true
  }

  private get raw(): StoredImage {
    if (!this.stored) throw new TargetError('ERR_ISCSI_IMAGE_CLOSED', `${this.options.path} is not open`)
    return this.stored
  }
}

/** Block size of a view in which it makes no difference. */
const ANY_BLOCK_SIZE = 512

/** Partition tools count in MiB. */
const SIZE_ALIGNMENT = 1 << 20
/** Every byte offset stays an exact number. */
const SIZE_BYTES_MAX = 2 ** 53 - SIZE_ALIGNMENT

/** Waits for each to be open before it is closed; one that could not be opened is none. */
export async function closeAll(volumes: readonly Promise<Volume>[]): Promise<void> {
  for (const opening of volumes) {
    const volume = await opening.catch(() => undefined)
    await volume?.close()
  }
}

function cached<K, V>(known: Map<K, Promise<V>>, key: K, make: () => Promise<V>): Promise<V> {
  const found = known.get(key)
  if (found) return found
  const made = make()
  known.set(key, made)
  // What could not be opened is tried again by whoever wants it next.
  made.catch(() => known.get(key) === made && known.delete(key))
  return made
}

/** Nobody tests what everybody has. */
function withCurrent(record: GenerationRecord, number: number): GenerationRecord {
  return { ...record, current: number, tests: record.tests.filter(({ generation }) => generation !== number) }
}

/** The newest rule comes first; an older one for the same name goes. */
function withTests(tests: readonly TestRule[], added: readonly TestRule[]): TestRule[] {
  return [...added, ...tests.filter(({ match }) => !added.some((one) => one.match === match))]
}

function isSame(record: GenerationRecord, size: number, identity: RawIdentity | undefined): boolean {
  const { rawIdentity } = record
  if (generationOf(record, record.raw)?.size !== size) return false
  return rawIdentity?.mtimeNs === identity?.mtimeNs && rawIdentity?.inode === identity?.inode
}

function gone(number: number): TargetError {
  return new TargetError('ERR_ISCSI_GENERATION_GONE', `generation ${number} was merged into the raw file and is gone`)
}
