import { access, realpath, stat } from 'node:fs/promises'
import { codeOf, IscsiError } from '../util/errors.js'
import { openDriver, type Driver } from '../volume/drivers/index.js'
import { BlockDeviceVolume } from '../volume/drivers/block-device.js'
import { FileVolume } from '../volume/drivers/file.js'
import { SharedCache } from '../volume/layers/cache.js'
import { acquireLock, type Lock } from '../volume/lock.js'
import { createBlankImage, createWelcomeImage, type ImageShape } from './creation/create-image.js'
import { buildBase, withCache, type BaseOptions } from '../volume/stack.js'
import type { Volume } from '../volume/volume.js'
import type { LocatedImage } from './images.js'

/** Read cache of slow drivers when no size is given. Memory is taken as it fills. */
export const DEFAULT_CACHE_BYTES = 256 * 2 ** 20

/** Where images come from: the drivers, or what a spec puts in their place. */
export interface ImageStorage {
  /** The path of an image file that does not exist; undefined when it does, or when it is no file. */
  missing(spec: string): Promise<string | undefined>
  /** Makes an image file; false when somebody else has made it meanwhile. */
  create(path: string, options: CreateOptions): Promise<boolean>
  locate(spec: string): Promise<LocatedImage>
  open(located: LocatedImage, options: OpenImageOptions): Promise<StoredImage>
}

export interface CreateOptions extends ImageShape {
  /** Zeroes alone, instead of a drive. */
  readonly blank: boolean
  /** For the times of the files on a drive; milliseconds since 1970 UTC. */
  readonly nowMs: number
}

export interface OpenImageOptions {
  readonly readOnly: boolean
  readonly imageUuid: string
  /** The one partition that will be used, so that others of the same disk may be mounted. */
  readonly partition: number | undefined
  /** Another process of this server has it for writing; true when left out. */
  readonly lock?: boolean
}

/** An image that is open and locked: shared when it is read-only, else exclusively. */
export interface StoredImage {
  /** The image as a whole. */
  readonly whole: Volume
  /** What its bytes come from in the end, without a cache. */
  readonly bottom: Volume
  /** The whole image, or a disk that holds one of its partitions. Opened at the first call. */
  view(partition: number | undefined, blockSize: number): Promise<Volume>
  /** A view that has been opened. */
  openView(partition: number | undefined, blockSize: number): Volume | undefined
  /** Gives the lock back, so that {@link ImageStorage.open} can take it for writing; reads go on. */
  unlock(): Promise<void>
  /** Waits for requests under way. */
  close(): Promise<void>
}

/** @param cacheBytes - see ServerOptions */
export function fileStorage(cacheBytes: number | undefined, drivers: readonly Driver[] = []): ImageStorage {
  const shared = cacheBytes === 0 ? undefined : new SharedCache(cacheBytes ?? DEFAULT_CACHE_BYTES)
  const useCache = cacheBytes === undefined ? 'auto' : 'always'
  // A layer is never known by the number of an earlier one, so the cache of an image that changed finds nothing.
  let lastLayerId = 0
  const cache = () => shared && { shared, layerId: ++lastLayerId }
  return {
    missing: (spec) => missing(spec, drivers),
    create,
    locate: (spec) => locate(spec, drivers),
    open: async (located, options) => {
      const stored = new DriverImage(located, options, (extra) => ({ ...extra, cache: cache(), useCache, drivers }))
      await stored.open()
      return stored
    }
  }
}

async function locate(spec: string, drivers: readonly Driver[]): Promise<LocatedImage> {
  const volume = openDriver(spec, { readOnly: true }, drivers)
  if (!(volume instanceof FileVolume)) return { key: spec, spec, path: spec, kind: 'other' }
  if (volume instanceof BlockDeviceVolume) {
    const path = await realpath(volume.path)
    return { key: path, spec, path, kind: 'device' }
  }
  const path = await realpath(volume.path).catch((error: unknown) => {
    // The driver explains better than this what is wrong with a path.
    if (codeOf(error) !== 'ENOENT') return volume.path
    throw new IscsiError('ERR_ISCSI_IMAGE_MISSING', `${volume.path} does not exist`, { cause: error })
  })
  const { dev, ino } = await stat(path, { bigint: true })
  return { key: `${dev}:${ino}`, spec, path, kind: 'file' }
}

/** Devices are never made, nor is what the network has. */
async function missing(spec: string, drivers: readonly Driver[]): Promise<string | undefined> {
  const volume = openDriver(spec, { readOnly: true }, drivers)
  if (!(volume instanceof FileVolume) || volume instanceof BlockDeviceVolume) return undefined
  try {
    await access(volume.path)
    return undefined
  } catch (error) {
    return codeOf(error) === 'ENOENT' ? volume.path : undefined
  }
}

async function create(path: string, { blank, nowMs, ...shape }: CreateOptions): Promise<boolean> {
  try {
    await (blank ? createBlankImage(path, shape) : createWelcomeImage(path, shape, nowMs))
    return true
  } catch (error) {
    // Two targets can name one new image.
    if (codeOf(error) === 'ERR_ISCSI_IMAGE_EXISTS' && (await missing(path, [])) === undefined) return false
    throw error
  }
}

type Complete = (options: Pick<BaseOptions, 'readOnly' | 'blockSize' | 'imageUuid'>) => BaseOptions

/** Block size of a view in which it makes no difference. */
const ANY_BLOCK_SIZE = 512

class DriverImage implements StoredImage {
  private lock: Lock | undefined
  private raw: Volume | undefined
  private driver: Volume | undefined
  private readonly views = new Map<string, Promise<Volume>>()
  private readonly ready = new Map<string, Volume>()

  constructor(
    private readonly located: LocatedImage,
    private readonly options: OpenImageOptions,
    private readonly complete: Complete
  ) {}

  async open(): Promise<void> {
    const { located, options } = this
    // The driver explains better than a lock what is wrong with a path.
    this.raw = this.makeWhole()
    await this.raw.open()
    try {
      if (located.kind !== 'other' && options.lock !== false)
        this.lock = await acquireLock(located.path, { exclusive: !options.readOnly })
    } catch (error) {
      await this.raw.close()
      throw error
    }
  }

  get whole(): Volume {
    return this.raw!
  }

  get bottom(): Volume {
    return this.driver!
  }

  async view(partition: number | undefined, blockSize: number): Promise<Volume> {
    if (partition === undefined) return this.whole
    const key = `${partition}/${blockSize}`
    let view = this.views.get(key)
    if (!view) {
      view = this.openPartition(partition, blockSize)
      this.views.set(key, view)
      view.then(
        (volume) => this.ready.set(key, volume),
        () => this.views.delete(key)
      )
    }
    return view
  }

  openView(partition: number | undefined, blockSize: number): Volume | undefined {
    return partition === undefined ? this.whole : this.ready.get(`${partition}/${blockSize}`)
  }

  async unlock(): Promise<void> {
    await this.lock?.release()
  }

  async close(): Promise<void> {
    const views = await Promise.allSettled(this.views.values())
    const open = views.flatMap((view) => (view.status === 'fulfilled' ? [view.value] : []))
    try {
      for (const view of open) await view.close()
    } finally {
      try {
        await this.raw?.close()
      } finally {
        await this.lock?.release()
      }
    }
  }

  private makeWhole(): Volume {
    const { readOnly, imageUuid, partition } = this.options
    const options = this.complete({ readOnly, imageUuid, blockSize: ANY_BLOCK_SIZE })
    const chosen = partition === undefined ? {} : { partition }
    this.driver = openDriver(this.located.spec, { readOnly, ...chosen }, options.drivers)
    return withCache(this.driver, options)
  }

  private async openPartition(partition: number, blockSize: number): Promise<Volume> {
    const { readOnly, imageUuid } = this.options
    const volume = buildBase(
      { driver: this.located.spec, partition },
      this.complete({ readOnly, imageUuid, blockSize })
    )
    try {
      await volume.open()
    } catch (error) {
      // The layer does not know which of several images it lies over.
      if (!(error instanceof IscsiError) || error.message.includes(this.located.path)) throw error
      throw new IscsiError(error.code, `${this.located.path}: ${error.message}`, { cause: error })
    }
    return volume
  }
}
