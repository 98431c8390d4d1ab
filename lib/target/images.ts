import { open, stat, truncate, unlink } from 'node:fs/promises'
import { relative } from 'node:path'
import { LoginError, LoginStatus } from '../iscsi/errors.js'
import type { Clock, Timer } from '../util/clock.js'
import { messageOf } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import { formatSize } from '../util/units.js'
import { BorrowedVolume } from '../volume/layers/borrowed.js'
import { partitionOver } from '../volume/stack.js'
import type { Volume } from '../volume/volume.js'
import { saveEnds } from './author-backup.js'
import { refuseDoubtful } from './creation/missing-image.js'
import { changesOf, copyOf, type CopyPart } from './delta-copy.js'
import { copyLayers } from './generations/flatten.js'
import { firstDifference, hashLeaves, rootOf } from './generations/hash-tree.js'
import { Generations, closeAll } from './generations/generations.js'
import type { Generation, RawIdentity } from './generations/generation-record.js'
import type { BaseFingerprint } from './delta-disk.js'
import { TargetError } from './errors.js'
import type { UnitOptions } from './options.js'
import { keyOf, type InitiatorKey } from './owner.js'
import type { JobProgress } from './jobs.js'
import { Serial } from './serial.js'
import type { ImageIdentity, StateDirectory } from './state-directory.js'
import type { ImageStorage, StoredImage } from './image-storage.js'
import type { ImageNews, ImageTogether } from './workers/image-turns.js'

/**
 * How long an image stays reserved for an author whose connection was lost: Windows resumes within a minute. Without
 * it the first client to log in would freeze the author out with dirty data in its cache.
 */
export const AUTHOR_HOLD_MS = 120_000

/** How often a raw file is looked at for a change by another program. */
export const RAW_WATCH_MS = 30_000

/** All images of a server. One that several targets share is open once and has one UUID. */
export class Images {
  private readonly images = new Map<string, Image>()
  /** Files that did not exist before this server. */
  private readonly made: string[] = []

  constructor(private readonly options: ImagesOptions) {}

  /**
   * Makes the files that do not exist, as soon as none of them looks like a mistake.
   * @param statePath - where their state will be
   * @param others - images of this server, which are no mistakes
   * @throws TargetError `ERR_ISCSI_IMAGE_MISSING` when one does
   */
  async createMissing(
    requests: readonly NewImageRequest[],
    statePath: string,
    others: readonly string[]
  ): Promise<void> {
    const { storage, clock, log } = this.options
    const missing = []
    for (const request of requests) {
      const path = await storage.missing(request.path)
      if (path === undefined) continue
      await refuseDoubtful({ path, statePath, others })
      missing.push({ path, request })
    }
    for (const { path, request } of missing) {
      const { createBytes: sizeBytes, createBlank: blank, blockSize } = request
      if (!(await storage.create(path, { sizeBytes, blank, blockSize, nowMs: clock.now() }))) continue
      this.made.push(path)
      const what = blank ? 'of zeroes, without a file system' : 'a drive (GPT, exFAT) with a text that explains it'
      log.info(`${path} did not exist: created with ${formatSize(sizeBytes)}, sparse, ${what}`)
    }
  }

  /** Gives an image its UUID if it has none; for one that only other processes open. */
  async name({ path }: Pick<ImageRequest, 'path'>, state: StateDirectory): Promise<void> {
    await identityOf(await this.options.storage.locate(path), state)
  }

  /** Opens an image, or gives the one that is open already. */
  async open(request: ImageRequest, state: StateDirectory): Promise<Image> {
    const { path, partition, shared, readOnly } = request
    const located = await this.options.storage.locate(path)
    const known = this.images.get(located.key)
    if (known && (shared || known.shared)) throw privateAndShared(known.path)
    if (known) return known
    const identity = await identityOf(located, state)
    const { uuid } = identity
    const image = new Image({ ...this.options, ...identity, located, state, partition, shared, readOnly })
    const { together } = this.options
    const open = async () => {
      await image.open()
      if (!shared) await image.recallAuthor()
      this.images.set(located.key, image)
    }
    // What is found is to stay as it is until others can tell us of a change.
    await (together && !shared ? together.change(uuid, open) : open())
    return image
  }

  /** What another process of this server has done with an image. */
  async hear(uuid: string, news: ImageNews): Promise<void> {
    await this.byUuid(uuid)?.hear(news)
  }

  /** Somebody here reads layers that were merged. */
  readsMerged(uuid: string): boolean {
    return this.byUuid(uuid)?.readsMerged ?? false
  }

  private byUuid(uuid: string): Image | undefined {
    return [...this.images.values()].find((image) => image.uuid === uuid)
  }

  /** Resolves when nothing is done in the background. */
  async idle(): Promise<void> {
    await Promise.all([...this.images.values()].map((image) => image.idle()))
  }

  /** After {@link close}, when nobody could log in yet: takes back the files that were made. */
  async removeMade(): Promise<void> {
    for (const path of this.made.splice(0)) await unlink(path)
  }

  /** Closes a shared image, whose target has gone. */
  async closeShared(image: Image): Promise<void> {
    for (const [key, one] of this.images) if (one === image) this.images.delete(key)
    await image.close()
  }

  async close(): Promise<void> {
    await Promise.all([...this.images.values()].map((image) => image.close()))
    this.images.clear()
  }
}

function identityOf({ kind, path }: LocatedImage, state: StateDirectory): Promise<ImageIdentity> {
  return state.imageIdentity(kind === 'file' ? relative(state.path, path) : path)
}

export interface ImagesOptions {
  readonly storage: ImageStorage
  readonly clock: Clock
  readonly log: Logger
  /** Where other processes have the same images open. */
  readonly together?: ImageTogether | undefined
}

export interface ImageRequest {
  /** A path, or `SCHEME:LOCATION` of a driver. */
  readonly path: string
  /** The one partition that will be used, so that others of the same disk may be mounted on this PC. */
  readonly partition: number | undefined
  /** One unit of one target writes into it. */
  readonly shared: boolean
  /** Of a shared image. */
  readonly readOnly: boolean
}

/** What becomes of a file that does not exist. */
export type NewImageRequest = Pick<UnitOptions, 'path' | 'createBytes' | 'createBlank' | 'blockSize'>

/** An image as it was found. */
export interface LocatedImage {
  /** The same for two names of one file. */
  readonly key: string
  /** What the driver is told. */
  readonly spec: string
  readonly path: string
  /** A file has a time and an inode that show whether it is still the same; both kinds of path can be locked. */
  readonly kind: 'file' | 'device' | 'other'
}

interface ImageOptions extends ImagesOptions, ImageIdentity {
  readonly located: LocatedImage
  readonly state: StateDirectory
  readonly partition: number | undefined
  readonly shared: boolean
  readonly readOnly: boolean
}

interface Author extends InitiatorKey {
  readonly key: string
  /** The timer that ends the reservation of an author who went away without logout. */
  hold: Timer | undefined
}

/**
 * One base image. Normally everybody reads it and nobody writes; while an author has it, nobody else does anything
 * with it. The two exclude each other by {@link hold} and {@link claim}, which decide in the same instant.
 */
export class Image {
  readonly path: string
  readonly uuid: string
  readonly backupUuid: string
  private readonly options: ImageOptions
  private readonly steps = new Serial()
  private readonly readers = new Map<string, Reader>()
  private readonly wanted = new Map<string, ViewSpec>()
  private stored: StoredImage | undefined
  private authored: StoredImage | undefined
  private author: Author | undefined
  /** Looks again and again whether the raw file is still what was opened. */
  private watch: Timer | undefined
  private seen: RawIdentity | undefined
  /** A merge writes into it. */
  private merging = false
  /** Volumes that sessions of before a flatten still read. */
  private readonly retired = new Set<Retired>()
  /** Of them, what is being closed. */
  private readonly closings = new Set<Promise<void>>()
  /** Of both, those that may still be read. */
  private unclosed = 0
  /** How often the raw file was opened anew under sessions; units of an earlier count read what is retired. */
  swaps = 0
  readonly generations: Generations

  constructor(options: ImageOptions) {
    this.options = options
    this.path = options.located.path
    this.uuid = options.uuid
    this.backupUuid = options.backupUuid
    const { uuid, state, clock, log, together } = options
    this.generations = new Generations({ uuid, path: this.path, state, now: () => clock.now(), log, together })
  }

  async open(): Promise<void> {
    this.merging = (await this.options.together?.isMerging(this.uuid)) ?? false
    if (!this.shared) await this.generations.load()
    await this.openRaw(!this.merging)
    if (this.generations.trouble !== undefined) this.options.log.error(this.generations.trouble)
    if (!this.shared) this.watchLater()
  }

  private watchLater(): void {
    this.watch = this.options.clock.setTimer(RAW_WATCH_MS, () => {
      void this.lookAtRaw().finally(() => this.watch && this.watchLater())
    })
  }

  /** Another program may write into it, whatever it does with locks: nobody new gets in then, and the log says why. */
  private async lookAtRaw(): Promise<void> {
    const { generations, seen } = this
    if (this.author || this.merging || !this.stored || generations.trouble !== undefined) return
    const now = await this.rawIdentity().catch(() => undefined)
    if (this.author || this.merging || this.seen !== seen || isSameFile(now, seen)) return
    generations.trouble =
      `${this.path} was changed, moved or exchanged by another program while it is served: what clients see of it is not ` +
      'to be relied on, and nobody new is let in. Find out which program does that, put the file back, and start again'
    this.options.log.error(generations.trouble)
  }

  /** @param lock - false while another process of this server has it for writing */
  private async openRaw(lock = true): Promise<void> {
    this.stored = await this.openStored(!this.shared || this.options.readOnly, lock)
    this.seen = await this.rawIdentity()
    await this.generations.attach(this.stored, this.seen)
  }

  /**
   * At the start of the server: an author that was writing when it ended has the image reserved, as after a lost
   * connection. Otherwise the first client would get half of its work and shut it out.
   */
  async recallAuthor(): Promise<void> {
    const { state } = this.options
    const found = await state.activeAuthor(this.uuid)
    if (!found) return
    this.author = { ...found, key: keyOf(found), hold: undefined }
    this.holdFor(this.author)
  }

  /** Before a login: an image that could not be opened again after its author's session is tried once more. */
  ready(): Promise<void> {
    return this.steps.run(() => (this.stored || this.author ? Promise.resolve() : this.reopen()))
  }

  async close(): Promise<void> {
    await this.steps.idle()
    this.watch?.cancel()
    this.watch = undefined
    this.author?.hold?.cancel()
    await this.authored?.close()
    await this.generations.detach()
    await this.stored?.close()
    this.authored = this.stored = undefined
    for (const { close } of this.retired) await close()
    this.retired.clear()
    await Promise.all(this.closings)
  }

  /** Written by all initiators of one target; nobody has a delta over it, and it has no author. */
  get shared(): boolean {
    return this.options.shared
  }

  /** What a delta over this generation is written over, with the size of the whole disk. */
  fingerprint(generation: number): BaseFingerprint {
    return this.generations.fingerprint(generation)
  }

  /** Opens a view of what new logins get: the whole image, or a disk that holds one partition of it. */
  async addView(partition: number | undefined, blockSize: number): Promise<Volume> {
    const { trouble, current } = this.generations
    // Nobody is let in then, but the server has other images.
    const view = await (trouble === undefined
      ? this.view(current, partition, blockSize)
      : this.opened.view(partition, blockSize))
    this.wanted.set(viewKey(partition, blockSize), { partition, blockSize, size: view.size })
    return view
  }

  /** The read-only base that deltas are put over; shared by all. */
  view(generation: number, partition: number | undefined, blockSize: number): Promise<Volume> {
    if (!this.stored) return Promise.reject(new TargetError('ERR_ISCSI_IMAGE_CLOSED', `${this.path} is not open`))
    return this.generations.view(generation, partition, blockSize)
  }

  /** Where its generations are. */
  get statePath(): string {
    return this.options.state.path
  }

  /** For the log, about this image. */
  tell(sentence: string): void {
    this.options.log.info(`${this.path}: ${sentence}`)
  }

  /** A generation, or what differs in it; it stays for as long as that takes. */
  async *copy(generation: number, key: string, { fromBytes, since }: CopyRange): AsyncGenerator<CopyPart> {
    const { generations } = this
    generations.require(generation)
    if (since !== undefined) generations.requireOver(generation, since)
    this.hold(key, { targetName: '', initiatorName: 'an export' })
    try {
      this.use(key, generation)
      const volume = await generations.whole(generation)
      if (since === undefined) yield* copyOf(volume, fromBytes)
      else yield* changesOf(volume, await generations.touchedSince(generation, since), fromBytes)
    } finally {
      this.release(key)
    }
  }

  /**
   * Holds a generation against the hash tree that was noted of it, or notes one. When it differs nobody new gets in.
   * @returns what was found, in one sentence
   */
  async verify(generation: number, key: string, progress: JobProgress): Promise<string> {
    const { generations } = this
    const { hash } = generations.require(generation)
    this.hold(key, { targetName: '', initiatorName: 'a verification' })
    try {
      this.use(key, generation)
      const volume = await generations.whole(generation)
      const below = hash === undefined ? await generations.leavesBelow(generation) : undefined
      const leaves = await hashLeaves(volume, below, progress)
      if (hash === undefined)
        return `generation ${generation}: SHA-256 ${await generations.noteLeaves(generation, leaves)} noted`
      if (rootOf(leaves, volume.size) === hash) return `generation ${generation} is what it was: SHA-256 ${hash}`
      throw this.differs(generation, await generations.knownLeaves(generation), leaves)
    } finally {
      this.release(key)
    }
  }

  private differs(generation: number, known: Buffer | undefined, leaves: Buffer): TargetError {
    const at = known && firstDifference(known, leaves)
    this.generations.trouble =
      `${this.path}: generation ${generation} is not what it was` +
      (at === undefined ? '' : `, from byte ${at} on`) +
      ': another program or a failing disk has changed it, and nobody new is let in. Restore it from a copy'
    this.options.log.error(this.generations.trouble)
    void this.tellOthers({ kind: 'trouble', text: this.generations.trouble })
    return new TargetError('ERR_ISCSI_HASH', this.generations.trouble)
  }

  /** A generation that is larger than the current one, by zeroes at its end. */
  async grow(sizeBytes: number): Promise<Generation> {
    if (this.options.located.kind !== 'file') {
      throw new TargetError('ERR_ISCSI_GROW', `${this.path} is no file, so it has the size of its device`)
    }
    const made = await this.generations.grow(sizeBytes)
    await this.addWantedViews()
    return made
  }

  /** One partition of a disk that lies over this image. */
  async partitionOver(disk: Volume, partition: number, blockSize: number): Promise<Volume> {
    const options = { partition, blockSize, imageUuid: this.uuid }
    const view = partitionOver(new BorrowedVolume(disk), this.opened.bottom, options)
    await view.open()
    return view
  }

  /** The image as it is written: that of a shared unit. */
  rawView(partition: number | undefined, blockSize: number): Volume {
    const view = this.opened.openView(partition, blockSize)
    if (!view) throw new TargetError('ERR_ISCSI_IMAGE_CLOSED', `${this.path} is not open in this form`)
    return view
  }

  /** Bytes of a view that {@link addView} made, also while an author has the image. */
  sizeOf(partition: number | undefined, blockSize: number): number {
    return this.wanted.get(viewKey(partition, blockSize))?.size ?? 0
  }

  /** Initiators with a session or a delta over this image. */
  get holders(): readonly Reader[] {
    return [...this.readers.values()]
  }

  /** What the initiator sees of it; undefined for one that does not only read it. */
  generationOf(key: string): number | undefined {
    return this.readers.get(key)?.generation
  }

  get authorName(): string | undefined {
    return this.author?.initiatorName
  }

  /** The initiator reads this image from now on, until {@link release}; throws LoginError while an author has it. */
  hold(key: string, initiator: InitiatorKey): void {
    const { author } = this
    const { trouble } = this.generations
    if (trouble !== undefined) throw new LoginError(LoginStatus.ServiceUnavailable, trouble)
    if (author) {
      throw new LoginError(
        LoginStatus.ServiceUnavailable,
        `${author.initiatorName} is writing to ${this.path} as its author`
      )
    }
    const { targetName, initiatorName } = initiator
    const { generation } = this.readers.get(key) ?? {}
    this.readers.set(key, { targetName, initiatorName, generation })
  }

  /** The initiator that holds the image sees this generation of it. */
  use(key: string, generation: number): void {
    const reader = this.readers.get(key)
    if (reader) reader.generation = generation
  }

  release(key: string): void {
    this.readers.delete(key)
    for (const one of this.retired) {
      one.keys.delete(key)
      if (one.keys.size === 0) this.closeRetired(one)
    }
  }

  private closeRetired(one: Retired): void {
    this.retired.delete(one)
    const closed = one
      .close()
      .catch((error: unknown) => this.options.log.error(`${this.path}: ${messageOf(error)}`))
      .then(() => void this.unclosed--)
      // A file that somebody reads is not to be cut down.
      .then(() => (this.retired.size === 0 && this.stored ? this.removeUnused() : undefined))
      .finally(() => this.closings.delete(closed))
    this.closings.add(closed)
  }

  /**
   * Merges layers into the raw file; see {@link copyLayers}. Sessions go on meanwhile and afterwards.
   * @param number - the generation that the raw file holds then; every session and delta lies over it
   * @returns bytes that were copied
   */
  async flatten(number: number, progress: JobProgress): Promise<number> {
    const { generations } = this
    await generations.beginFlatten(number)
    const top = await generations.whole(number)
    let copied = 0
    this.merging = true
    try {
      await this.haveUnlocked()
      copied = await this.writeRaw(top.size, (raw) => copyLayers(top, raw, progress))
      await generations.endFlatten(number, await this.rawIdentity())
    } finally {
      await this.swap()
      await this.tellOthers({ kind: 'merged' })
    }
    await Promise.all(this.closings)
    return copied
  }

  /** Other processes let go of the lock on the raw file, also those that are about to open it. */
  private async haveUnlocked(): Promise<void> {
    await this.options.together?.change(this.uuid, () => this.tellOthers({ kind: 'merging' }))
  }

  private async tellOthers(news: ImageNews): Promise<void> {
    await this.options.together?.tell(this.uuid, news)
  }

  /** What another process of this server has done with the image. */
  async hear(news: ImageNews): Promise<void> {
    if (!this.stored) return
    switch (news.kind) {
      case 'changed':
        await this.generations.reread()
        // A merge is done as soon as the record says so; from then on its layers are not to be opened any more.
        if (this.merging && this.generations.record.flattening === undefined) return this.swap()
        return this.addWantedViews()
      case 'merging':
        this.merging = true
        return this.stored.unlock()
      case 'merged':
        if (this.merging) await this.swap()
        return
      case 'trouble':
        this.generations.trouble = news.text
    }
  }

  private async addWantedViews(): Promise<void> {
    for (const { partition, blockSize } of this.wanted.values()) await this.addView(partition, blockSize)
  }

  /** Somebody reads layers that were merged, or may. */
  get readsMerged(): boolean {
    return this.merging || this.unclosed > 0
  }

  /** Has the raw file to itself, among servers, for as long as `write` takes. All of it is on the medium behind it. */
  private async writeRaw<T>(sizeBytes: number, write: (raw: Volume) => Promise<T>): Promise<T> {
    const { located } = this.options
    await this.opened.unlock()
    if (located.kind === 'file') await enlarge(located.path, sizeBytes)
    const writable = await this.openStored(false)
    let result: T
    try {
      result = await write(writable.whole)
    } finally {
      await writable.close()
    }
    // Also its times: they tell whether it is still the same.
    if (located.kind === 'file') await syncFile(located.path)
    return result
  }

  /** Opens the raw file anew for those who come; who is there goes on with what was open. */
  private async swap(): Promise<void> {
    const old = this.stored!
    const volumes = this.generations.takeVolumes()
    const close = async () => {
      await closeAll(volumes)
      await old.close()
    }
    this.swaps++
    await this.openRaw()
    await this.addWantedViews()
    this.merging = false
    this.unclosed++
    const one = { keys: new Set(this.readers.keys()), close }
    this.retired.add(one)
    if (one.keys.size === 0) this.closeRetired(one)
  }

  async idle(): Promise<void> {
    await Promise.all(this.closings)
  }

  /** The layers that were merged. */
  private removeUnused(): Promise<void> {
    return this.generations.removeGone().catch((error: unknown) => {
      this.options.log.warn(`${this.path}: merged layers are removed at the next start: ${messageOf(error)}`)
    })
  }

  /** The initiator is the author from now on, until {@link leaveAuthor}; throws LoginError while anybody reads. */
  claim(key: string, initiator: InitiatorKey): void {
    if (this.author && this.author.key !== key) {
      throw new LoginError(
        LoginStatus.ServiceUnavailable,
        `${this.author.initiatorName} is writing to ${this.path} already`
      )
    }
    if (this.readers.size > 0) throw new LoginError(LoginStatus.ServiceUnavailable, `${this.path} is in use`)
    if (this.generations.hasLayers) throw new LoginError(LoginStatus.ServiceUnavailable, this.underLayers(initiator))
    this.author?.hold?.cancel()
    const { targetName, initiatorName } = initiator
    this.author = { key, targetName, initiatorName, hold: undefined }
  }

  /** The writable image, or its partition, for the author that claimed it. What it may spoil is saved before. */
  enterAuthor(key: string, partition: number | undefined, blockSize: number): Promise<Volume> {
    return this.steps.run(async () => {
      if (this.author?.key !== key) throw new TargetError('ERR_ISCSI_AUTHOR', `${this.path} was not claimed`)
      if (!this.authored) await this.openWritable()
      return this.authored!.view(partition, blockSize)
    })
  }

  /**
   * The author's last session has ended.
   * @param clean - it logged out; otherwise the image stays reserved for a while
   */
  leaveAuthor(key: string, clean: boolean): Promise<void> {
    const { author } = this
    if (author?.key !== key) return Promise.resolve()
    author.hold?.cancel()
    author.hold = undefined
    return this.steps.run(async () => {
      await this.closeWritable()
      // It may have claimed the image again meanwhile.
      if (this.author !== author) return
      if (!clean) return this.holdFor(author)
      this.author = undefined
      await this.forgetAuthor()
    })
  }

  /** A step, so that it does not take the note of the next author away. */
  private async forgetAuthor(): Promise<void> {
    await this.options.state.forgetAuthor(this.uuid).catch((error: unknown) => {
      this.options.log.warn(`${this.path}: the end of its author's session cannot be noted: ${messageOf(error)}`)
    })
  }

  private holdFor(author: Author): void {
    this.options.log.warn(
      `${author.initiatorName} went away without logout while it wrote to ${this.path}: its file system may not be ` +
        'clean; the image stays reserved for it a moment longer'
    )
    author.hold = this.options.clock.setTimer(AUTHOR_HOLD_MS, () => {
      if (this.author !== author) return
      this.author = undefined
      void this.steps.run(() => this.forgetAuthor())
    })
  }

  private async openWritable(): Promise<void> {
    const { state, clock, log } = this.options
    await state.saveActiveAuthor(this.uuid, this.author!)
    await this.generations.detach()
    await this.stored?.close()
    this.stored = undefined
    try {
      this.authored = await this.openStored(false)
      const saved = await saveEnds(this.authored.whole, await state.makeAuthorDirectory(this.uuid), clock.now())
      log.info(`${this.path}: an author writes to it now; its partition table and ends are saved in ${saved}`)
    } catch (error) {
      await this.closeWritable()
      throw error
    }
  }

  private async closeWritable(): Promise<void> {
    const { authored } = this
    this.authored = undefined
    try {
      await authored?.close()
    } catch (error) {
      this.options.log.error(`${this.path}: what its author wrote last may be lost: ${messageOf(error)}`)
    }
    if (this.stored) return
    try {
      await this.reopen()
    } catch (error) {
      this.options.log.error(`${this.path} cannot be opened again after its author's session: ${messageOf(error)}`)
    }
  }

  /** The base may be another one now: its fingerprint is taken anew, and its views know nothing of the old one. */
  private async reopen(): Promise<void> {
    try {
      await this.openRaw()
      await this.addWantedViews()
    } catch (error) {
      // Half of it would be taken for all of it: the next login tries again.
      const { stored } = this
      this.stored = undefined
      await stored?.close()
      throw error
    }
  }

  private openStored(readOnly: boolean, lock = true): Promise<StoredImage> {
    const { storage, located, partition } = this.options
    return storage.open(located, { readOnly, imageUuid: this.uuid, partition, lock })
  }

  private async rawIdentity(): Promise<RawIdentity | undefined> {
    const { located } = this.options
    if (located.kind !== 'file') return undefined
    const { size, mtimeNs, ino } = await stat(located.path, { bigint: true })
    return { size: Number(size), mtimeNs, inode: ino }
  }

  private underLayers({ initiatorName }: InitiatorKey): string {
    return (
      `${this.path} has generations above the raw file, so nobody writes into that itself: start with ` +
      `--policy ${initiatorName}=author and publish what it wrote (cloudx image publish), or merge them first ` +
      '(cloudx image flatten)'
    )
  }

  private get opened(): StoredImage {
    if (!this.stored) throw new TargetError('ERR_ISCSI_IMAGE_CLOSED', `${this.path} is not open for reading`)
    return this.stored
  }
}

interface CopyRange {
  readonly fromBytes: number
  /** Only what may differ from this generation. */
  readonly since: number | undefined
}

interface Retired {
  /** Of those who may read it. */
  readonly keys: Set<string>
  readonly close: () => Promise<void>
}

function isSameFile(one: RawIdentity | undefined, other: RawIdentity | undefined): boolean {
  return one?.size === other?.size && one?.mtimeNs === other?.mtimeNs && one?.inode === other?.inode
}

/** A raw file grows by zeroes, which take no space. */
async function enlarge(path: string, sizeBytes: number): Promise<void> {
  const { size } = await stat(path)
  if (size < sizeBytes) await truncate(path, sizeBytes)
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r+')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}

/** An initiator with a session or a delta over the image. */
export interface Reader extends InitiatorKey {
  /** That it sees; undefined until its units are open. */
  generation: number | undefined
}

interface ViewSpec {
  readonly partition: number | undefined
  readonly blockSize: number
  /** Bytes. */
  readonly size: number
}

function viewKey(partition: number | undefined, blockSize: number): string {
  return `${partition ?? 'whole'}/${blockSize}`
}

function privateAndShared(path: string): TargetError {
  return new TargetError(
    'ERR_ISCSI_IMAGE_SHARED',
    `${path} is shared: it can be one disk of one target, and nobody else can have a private view of what others write`
  )
}
