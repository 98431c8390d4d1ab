import { stat, unlink } from 'node:fs/promises'
import { relative } from 'node:path'
import { LoginError, LoginStatus } from '../iscsi/errors.js'
import type { Clock, Timer } from '../util/clock.js'
import { messageOf } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import { formatSize } from '../util/units.js'
import type { Volume } from '../volume/volume.js'
import { saveEnds } from './author-backup.js'
import { refuseDoubtful } from './creation/missing-image.js'
import type { BaseFingerprint } from './delta-disk.js'
import { TargetError } from './errors.js'
import type { UnitOptions } from './options.js'
import { keyOf, type InitiatorKey } from './owner.js'
import { Serial } from './serial.js'
import type { StateDirectory } from './state-directory.js'
import type { ImageStorage, StoredImage } from './image-storage.js'

/**
 * How long an image stays reserved for an author whose connection was lost: Windows resumes within a minute. Without
 * it the first client to log in would freeze the author out with dirty data in its cache.
 */
export const AUTHOR_HOLD_MS = 120_000

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

  /** Opens an image, or gives the one that is open already. */
  async open(request: ImageRequest, state: StateDirectory): Promise<Image> {
    const { path, partition, shared, readOnly } = request
    const located = await this.options.storage.locate(path)
    const known = this.images.get(located.key)
    if (known && (shared || known.shared)) throw privateAndShared(known.path)
    if (known) return known
    const uuid = await state.imageUuid(located.kind === 'file' ? relative(state.path, located.path) : located.path)
    const image = new Image({ ...this.options, located, uuid, state, partition, shared, readOnly })
    await image.open()
    if (!shared) await image.recallAuthor()
    this.images.set(located.key, image)
    return image
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

export interface ImagesOptions {
  readonly storage: ImageStorage
  readonly clock: Clock
  readonly log: Logger
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

interface ImageOptions extends ImagesOptions {
  readonly located: LocatedImage
  readonly uuid: string
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
  private readonly options: ImageOptions
  private readonly steps = new Serial()
  private readonly readers = new Map<string, InitiatorKey>()
  private readonly wanted = new Map<string, ViewSpec>()
  private stored: StoredImage | undefined
  private authored: StoredImage | undefined
  private author: Author | undefined
  private base: BaseFingerprint | undefined

  constructor(options: ImageOptions) {
    this.options = options
    this.path = options.located.path
    this.uuid = options.uuid
  }

  async open(): Promise<void> {
    this.stored = await this.openStored(!this.shared || this.options.readOnly)
    await this.takeFingerprint()
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
    this.author?.hold?.cancel()
    await this.authored?.close()
    await this.stored?.close()
    this.authored = this.stored = undefined
  }

  /** Written by all initiators of one target; nobody has a delta over it, and it has no author. */
  get shared(): boolean {
    return this.options.shared
  }

  /** What a delta over this image is written over, as of now. */
  get fingerprint(): BaseFingerprint {
    if (!this.base) throw new TargetError('ERR_ISCSI_IMAGE_CLOSED', `${this.path} is not open`)
    return this.base
  }

  /** Makes a view ready for {@link view}: the whole image, or a disk that holds one partition of it. */
  async addView(partition: number | undefined, blockSize: number): Promise<Volume> {
    const view = await this.opened.view(partition, blockSize)
    this.wanted.set(viewKey(partition, blockSize), { partition, blockSize, size: view.size })
    return view
  }

  /** The read-only base that deltas are put over; shared by all. */
  view(partition: number | undefined, blockSize: number): Volume {
    const view = this.opened.openView(partition, blockSize)
    if (!view) throw new TargetError('ERR_ISCSI_IMAGE_CLOSED', `${this.path} is not open in this form`)
    return view
  }

  /** Bytes of a view that {@link addView} made, also while an author has the image. */
  sizeOf(partition: number | undefined, blockSize: number): number {
    return this.wanted.get(viewKey(partition, blockSize))?.size ?? 0
  }

  /** Initiators with a session or a delta over this image. */
  get holders(): readonly InitiatorKey[] {
    return [...this.readers.values()]
  }

  get authorName(): string | undefined {
    return this.author?.initiatorName
  }

  /** The initiator reads this image from now on, until {@link release}; throws LoginError while an author has it. */
  hold(key: string, initiator: InitiatorKey): void {
    const { author } = this
    if (author) {
      throw new LoginError(
        LoginStatus.ServiceUnavailable,
        `${author.initiatorName} is writing to ${this.path} as its author`
      )
    }
    this.readers.set(key, { targetName: initiator.targetName, initiatorName: initiator.initiatorName })
  }

  release(key: string): void {
    this.readers.delete(key)
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
      await this.open()
      for (const { partition, blockSize } of this.wanted.values()) await this.opened.view(partition, blockSize)
    } catch (error) {
      // Half of it would be taken for all of it: the next login tries again.
      const { stored } = this
      this.stored = undefined
      await stored?.close()
      throw error
    }
  }

  private openStored(readOnly: boolean): Promise<StoredImage> {
    const { storage, located, partition } = this.options
    return storage.open(located, { readOnly, imageUuid: this.uuid, partition })
  }

  private async takeFingerprint(): Promise<void> {
    const { located } = this.options
    const { size } = this.opened.whole
    const identity = located.kind === 'file' ? await stat(located.path, { bigint: true }) : undefined
    this.base = {
      uuid: this.uuid,
      generation: 0,
      size,
      mtimeNs: identity?.mtimeNs ?? 0n,
      inode: identity?.ino ?? 0n
    }
  }

  private get opened(): StoredImage {
    if (!this.stored) throw new TargetError('ERR_ISCSI_IMAGE_CLOSED', `${this.path} is not open for reading`)
    return this.stored
  }
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
