import { IscsiError } from '../util/errors.js'
import { formatSize } from '../util/units.js'
import { bootRegion } from './boot-region.js'
import {
  bitmapEntry,
  ENTRY_BYTES,
  entrySet,
  entrySetBytes,
  labelEntry,
  upcaseTableEntry,
  type Extent
} from './directory-entries.js'
import {
  alignUp,
  BOOT_SECTORS,
  FAT_ENTRY_BYTES,
  FIRST_CLUSTER,
  geometryOf,
  offsetOf,
  type Geometry
} from './geometry.js'
import { isDirectory, type FileNode, type TreeNode } from './tree.js'
import { upcaseTable } from './upcase-table.js'

/**
 * A new exFAT volume, laid out as a whole before a byte is written: allocation bitmap, up-case table, root directory,
 * all other directories, then the files in the order of their directories, each without a gap. So the used clusters
 * are the first ones, nothing but the three system structures needs the FAT, and everything that is not listed in
 * {@link ExfatVolume.pieces} and {@link ExfatVolume.files} stays a hole of zeroes.
 */
export interface ExfatVolume<S> {
  readonly geometry: Geometry
  /** Bytes that are not zero, by offset in the volume; made while they are taken. */
  pieces(): Iterable<Piece>
  /** Where the content of each file belongs, by rising offset; empty files are left out. */
  readonly files: readonly PlacedFile<S>[]
  /** Bytes of all clusters in use, with what lies before them. */
  readonly usedBytes: number
}

export interface Piece {
  readonly offset: number
  readonly bytes: Buffer
}

export interface PlacedFile<S> {
  readonly file: FileNode<S>
  /** In the volume. */
  readonly offset: number
}

export interface VolumeOptions<S> {
  readonly volumeBytes: number
  /** 512 or 4096. */
  readonly sectorBytes: number
  readonly partitionOffset: number
  readonly label: string
  readonly serialNumber: number
  /** Content of the root directory. */
  readonly children: readonly TreeNode<S>[]
}

/** Label, bitmap and up-case table stand at the top of the root directory. */
const ROOT_ENTRIES_BYTES = 3 * ENTRY_BYTES
/** §7.4: a directory has at most 2^23 entries of 32 bytes. */
export const DIRECTORY_BYTES_MAX = 2 ** 28
/** The bitmap of a large volume is made in pieces of this many bytes. */
const BITMAP_PIECE_BYTES = 2 ** 20

/** @throws IscsiError `ERR_ISCSI_FILE_SYSTEM_SIZE`, `ERR_ISCSI_FILE_SYSTEM_FULL` with figures */
export function planVolume<S>(options: VolumeOptions<S>): ExfatVolume<S> {
  const geometry = geometryOf(options.volumeBytes, options.sectorBytes)
  const heap = new Heap(geometry)
  const upcase = upcaseTable()
  const bitmap = heap.take(Math.ceil(geometry.clusterCount / 8))
  const table = heap.take(upcase.bytes.length)
  const directories = placeDirectories(heap, options.children)
  const systemClusters = directories[0]!.firstCluster + heap.clustersOf(directories[0]!.lengthBytes) - FIRST_CLUSTER
  const placed = placeFiles(heap, directories)
  heap.expectRoom()

  const facts = {
    geometry,
    partitionOffset: options.partitionOffset,
    rootCluster: directories[0]!.firstCluster,
    serialNumber: options.serialNumber,
    percentInUse: Math.floor((heap.used * 100) / geometry.clusterCount)
  }
  const rootEntries = [labelEntry(options.label), bitmapEntry(bitmap), upcaseTableEntry(table, upcase.checksum)]
  const files = directories.flatMap(({ node }) => node.children.flatMap((child) => fileAt(child, placed, geometry)))

  function* pieces(): Generator<Piece> {
    const boot = bootRegion(facts)
    yield { offset: 0, bytes: boot }
    yield { offset: BOOT_SECTORS * geometry.sectorBytes, bytes: boot }
    yield { offset: geometry.fatOffset, bytes: fatOf([bitmap, table, directories[0]!], systemClusters, geometry) }
    yield* bitmapPieces(offsetOf(bitmap.firstCluster, geometry), heap.used)
    yield { offset: offsetOf(table.firstCluster, geometry), bytes: upcase.bytes }
    for (const [i, { node, firstCluster }] of directories.entries()) {
      const sets = node.children.map((child) => setOf(child, placed))
      yield {
        offset: offsetOf(firstCluster, geometry),
        bytes: Buffer.concat(i === 0 ? [...rootEntries, ...sets] : sets)
      }
    }
  }
  return { geometry, pieces, files, usedBytes: offsetOf(FIRST_CLUSTER + heap.used, geometry) }
}

/**
 * Bytes of a volume that holds the tree with `spare` bytes left free; a multiple of `step`.
 * @throws IscsiError `ERR_ISCSI_FILE_SYSTEM_SIZE` when no volume can be that large
 */
export function volumeBytesFor<S>(
  children: readonly TreeNode<S>[],
  { sectorBytes, spare, step, least }: { sectorBytes: number; spare: number; step: number; least: number }
): number {
  // A larger volume can have larger clusters, which need more room; sizes only rise, so this comes to its end.
  for (let volumeBytes = least; ;) {
    const geometry = geometryOf(volumeBytes, sectorBytes)
    const heap = new Heap(geometry)
    heap.take(Math.ceil(geometry.clusterCount / 8))
    heap.take(upcaseTable().bytes.length)
    placeFiles(heap, placeDirectories(heap, children))
    const needed = geometry.heapOffset + heap.used * geometry.clusterBytes + spare
    if (needed <= volumeBytes) return volumeBytes
    volumeBytes = alignUp(Math.max(needed, volumeBytes + step), step)
  }
}

/** Hands out clusters one behind the other. */
class Heap {
  used = 0

  constructor(private readonly geometry: Geometry) {}

  clustersOf(lengthBytes: number): number {
    return Math.ceil(lengthBytes / this.geometry.clusterBytes)
  }

  take(lengthBytes: number): Extent {
    if (lengthBytes === 0) return { firstCluster: 0, lengthBytes }
    const firstCluster = FIRST_CLUSTER + this.used
    this.used += this.clustersOf(lengthBytes)
    return { firstCluster, lengthBytes }
  }

  /** The same for a directory, whose length is in whole clusters. */
  takeDirectory(lengthBytes: number): Extent {
    if (lengthBytes > DIRECTORY_BYTES_MAX) {
      throw new IscsiError('ERR_ISCSI_FILE_SYSTEM_FULL', 'a folder has more files than exFAT allows in one')
    }
    return this.take(Math.max(this.clustersOf(lengthBytes), 1) * this.geometry.clusterBytes)
  }

  expectRoom(): void {
    const { clusterCount, clusterBytes } = this.geometry
    if (this.used <= clusterCount) return
    throw new IscsiError(
      'ERR_ISCSI_FILE_SYSTEM_FULL',
      `the content needs ${formatSize(this.used * clusterBytes)} in clusters of ${formatSize(clusterBytes)}, and the ` +
        `file system has room for ${formatSize(clusterCount * clusterBytes)}`
    )
  }
}

interface PlacedDirectory<S> extends Extent {
  readonly node: { readonly children: readonly TreeNode<S>[] }
}

/** The root first, then level by level. */
function placeDirectories<S>(heap: Heap, children: readonly TreeNode<S>[]): PlacedDirectory<S>[] {
  const placed: PlacedDirectory<S>[] = [
    { node: { children }, ...heap.takeDirectory(ROOT_ENTRIES_BYTES + setsBytes(children)) }
  ]
  for (let i = 0; i < placed.length; i++) {
    for (const child of placed[i]!.node.children) {
      if (isDirectory(child)) placed.push({ node: child, ...heap.takeDirectory(setsBytes(child.children)) })
    }
  }
  return placed
}

function setsBytes<S>(children: readonly TreeNode<S>[]): number {
  return children.reduce((sum, { name }) => sum + entrySetBytes(name), 0)
}

/** Where each directory and file of the tree lies. */
type Placed = ReadonlyMap<object, Extent>

function placeFiles<S>(heap: Heap, directories: readonly PlacedDirectory<S>[]): Placed {
  const placed = new Map<object, Extent>()
  for (const { node, firstCluster, lengthBytes } of directories) {
    placed.set(node, { firstCluster, lengthBytes })
    for (const child of node.children) {
      if (!isDirectory(child)) placed.set(child, heap.take(child.lengthBytes))
    }
  }
  return placed
}

function fileAt<S>(child: TreeNode<S>, placed: Placed, geometry: Geometry): PlacedFile<S>[] {
  if (isDirectory(child) || child.lengthBytes === 0) return []
  return [{ file: child, offset: offsetOf(placed.get(child)!.firstCluster, geometry) }]
}

function setOf<S>(child: TreeNode<S>, placed: Placed): Buffer {
  const { name, times } = child
  return entrySet({ name, times, directory: isDirectory(child), ...placed.get(child)! })
}

/** The start of the FAT: two reserved places, then a chain for each system structure, §4.1. */
function fatOf(chains: readonly Extent[], systemClusters: number, { clusterBytes }: Geometry): Buffer {
  const fat = Buffer.alloc((FIRST_CLUSTER + systemClusters) * FAT_ENTRY_BYTES)
  fat.writeUInt32LE(MEDIA_TYPE, 0)
  fat.writeUInt32LE(END_OF_CHAIN, FAT_ENTRY_BYTES)
  for (const { firstCluster, lengthBytes } of chains) {
    const last = firstCluster + Math.ceil(lengthBytes / clusterBytes) - 1
    for (let cluster = firstCluster; cluster < last; cluster++)
      fat.writeUInt32LE(cluster + 1, cluster * FAT_ENTRY_BYTES)
    fat.writeUInt32LE(END_OF_CHAIN, last * FAT_ENTRY_BYTES)
  }
  return fat
}

const MEDIA_TYPE = 0xfffffff8
const END_OF_CHAIN = 0xffffffff

/** `used` bits that are one; the lowest bit of the first byte is cluster 2, §7.1.5. */
function* bitmapPieces(start: number, used: number): Generator<Piece> {
  const whole = Math.floor(used / 8)
  for (let at = 0; at < whole; at += BITMAP_PIECE_BYTES) {
    yield { offset: start + at, bytes: Buffer.alloc(Math.min(BITMAP_PIECE_BYTES, whole - at), 0xff) }
  }
  if (used % 8 > 0) yield { offset: start + whole, bytes: Buffer.of((1 << (used % 8)) - 1) }
}
