import { IscsiError } from '../util/errors.js'
import { BlockDeviceVolume } from './drivers/block-device.js'
import { SECTOR_LENGTH } from './drivers/file.js'
import { openDriver, type Driver } from './drivers/index.js'
import { CacheVolume, type SharedCache } from './layers/cache.js'
import { PartitionVolume } from './layers/partition.js'
import type { Volume } from './volume.js'

/**
 * From a description to the base of a unit: driver, then one partition of it, then the read cache. The overlay of each
 * initiator goes on top of what comes out of here; several share one base.
 */
export interface BaseDescription {
  /** `SCHEME:LOCATION` or a path; see {@link openDriver}. */
  readonly driver: string
  /** Show this partition as a disk of its own. */
  readonly partition?: number
}

export interface BaseOptions {
  readonly readOnly: boolean
  /** Bytes a logical block of the unit, 512 or 4096. */
  readonly blockSize: number
  readonly imageUuid: string
  /** Given by the owner of the process; used when `useCache` says so. */
  readonly cache?: { readonly shared: SharedCache; readonly layerId: number } | undefined
  /** `auto`: for drivers that call themselves slow. Never for a writable base: a cache holds base bytes only. */
  readonly useCache?: 'auto' | 'always'
  /** Drivers of one's own. */
  readonly drivers?: readonly Driver[]
}

/** Reads `disk.img,partition=2`. What follows the last comma counts as an option only when it looks like one. */
export function parseBase(text: string): BaseDescription {
  const [, driver, name, value] = /^(.*),([a-z][a-z-]*)=([^,/\\]*)$/s.exec(text) ?? []
  if (name === undefined) return { driver: text }
  if (name !== 'partition') {
    throw new IscsiError('ERR_ISCSI_BAD_LUN', `'${text}': there is no option '${name}', only partition=N`)
  }
  if (!/^[1-9]\d{0,3}$/.test(value!)) {
    throw new IscsiError('ERR_ISCSI_BAD_LUN', `'${text}': partition is a number from 1, for instance partition=2`)
  }
  return { driver: driver!, partition: Number(value) }
}

/** The base, not open yet; closing it closes all of it. */
export function buildBase(description: BaseDescription, options: BaseOptions): Volume {
  const volume =
    description.partition === undefined ? openBase(description, options) : openPartition(description, options)
  return withCache(volume, options)
}

function openBase({ driver, partition }: BaseDescription, options: BaseOptions): Volume {
  const chosen = partition === undefined ? {} : { partition }
  return openDriver(driver, { readOnly: options.readOnly, ...chosen }, options.drivers)
}

/**
 * One partition of a disk, shown as a disk of its own. Closing it closes the disk.
 * @param bottom - what the disk's bytes come from in the end, which knows the blocks that its table counts in
 */
export function partitionOver(
  disk: Volume,
  bottom: Volume,
  options: Pick<BaseOptions, 'blockSize' | 'imageUuid'> & { readonly partition: number }
): Volume {
  const sourceBlockSize = bottom instanceof BlockDeviceVolume ? () => bottom.logicalBlockSize : () => SECTOR_LENGTH
  return new PartitionVolume(disk, { ...options, sourceBlockSize })
}

/** Puts the read cache over a volume where it pays. */
export function withCache(volume: Volume, options: BaseOptions): Volume {
  if (!options.cache || !wantsCache(volume, options)) return volume
  return new CacheVolume(volume, options.cache.shared, options.cache.layerId)
}

function openPartition(description: BaseDescription, options: BaseOptions): Volume {
  const { blockSize, imageUuid } = options
  const disk = openBase(description, options)
  return partitionOver(disk, disk, { partition: description.partition!, blockSize, imageUuid })
}

function wantsCache(volume: Volume, options: BaseOptions): boolean {
  return volume.readOnly && (volume.slow || options.useCache === 'always')
}
