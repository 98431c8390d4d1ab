import { IscsiError } from '../util/errors.js'

/**
 * Where everything of an exFAT volume lies. Offsets and lengths in bytes; clusters are counted from 2 on, as the
 * volume does.
 */
export interface Geometry {
  readonly volumeBytes: number
  /** Bytes of a sector, which is the logical block of the disk: 512 or 4096. */
  readonly sectorBytes: number
  readonly clusterBytes: number
  readonly fatOffset: number
  readonly fatBytes: number
  readonly heapOffset: number
  readonly clusterCount: number
}

const KIB = 2 ** 10
const MIB = 2 ** 20
const GIB = 2 ** 30

/** §3.1.5: VolumeLength is at least 1 MiB. */
export const VOLUME_BYTES_MIN = MIB
/** §3.1.15: the largest cluster. */
const CLUSTER_BYTES_MAX = 32 * MIB
/** Below 2^32 - 11 (§3.1.9), and a bitmap of 256 MiB at most, which a mount reads as a whole. */
const CLUSTER_COUNT_MAX = 2 ** 31
/** Main and backup boot region, §2: twelve sectors each. */
export const BOOT_SECTORS = 12
/** The first two places of a FAT stand for no cluster, §4.1. */
export const FIRST_CLUSTER = 2
export const FAT_ENTRY_BYTES = 4

/** Cluster sizes as Microsoft's formatter chooses them: up to this volume size, this cluster. */
const CLUSTER_SIZES: readonly (readonly [volumeBytesMax: number, clusterBytes: number])[] = [
  [256 * MIB, 4 * KIB],
  [32 * GIB, 32 * KIB],
  [CLUSTER_COUNT_MAX * 128 * KIB, 128 * KIB]
]
/** From this size on FAT and cluster heap begin at whole MiB, as flash media and RAIDs want it. */
const ALIGNED_FROM_BYTES = 256 * MIB

/** @throws IscsiError `ERR_ISCSI_FILE_SYSTEM_SIZE` where no volume of this size is possible */
export function geometryOf(volumeBytes: number, sectorBytes: number): Geometry {
  if (volumeBytes < VOLUME_BYTES_MIN || volumeBytes % sectorBytes !== 0) {
    throw new IscsiError('ERR_ISCSI_FILE_SYSTEM_SIZE', `an exFAT volume cannot have ${volumeBytes} bytes`)
  }
  const clusterBytes = clusterBytesOf(volumeBytes)
  const boundary = volumeBytes < ALIGNED_FROM_BYTES ? clusterBytes : MIB
  const fatOffset = alignUp(2 * BOOT_SECTORS * sectorBytes, boundary)
  const most = Math.floor((volumeBytes - fatOffset) / clusterBytes)
  const heapOffset = alignUp(fatOffset + fatBytesOf(most, sectorBytes), boundary)
  const clusterCount = Math.floor((volumeBytes - heapOffset) / clusterBytes)
  const fatBytes = fatBytesOf(clusterCount, sectorBytes)
  return { volumeBytes, sectorBytes, clusterBytes, fatOffset, fatBytes, heapOffset, clusterCount }
}

/** Byte offset of a cluster in the volume. */
export function offsetOf(cluster: number, { heapOffset, clusterBytes }: Geometry): number {
  return heapOffset + (cluster - FIRST_CLUSTER) * clusterBytes
}

function clusterBytesOf(volumeBytes: number): number {
  const row = CLUSTER_SIZES.find(([volumeBytesMax]) => volumeBytes <= volumeBytesMax)
  if (row) return row[1]
  let clusterBytes = 128 * KIB
  while (volumeBytes / clusterBytes > CLUSTER_COUNT_MAX && clusterBytes < CLUSTER_BYTES_MAX) clusterBytes *= 2
  return clusterBytes
}

export function alignUp(value: number, boundary: number): number {
  return Math.ceil(value / boundary) * boundary
}

function fatBytesOf(clusterCount: number, sectorBytes: number): number {
  return alignUp((clusterCount + FIRST_CLUSTER) * FAT_ENTRY_BYTES, sectorBytes)
}
