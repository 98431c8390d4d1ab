import { randomBytes } from 'node:crypto'
import { planVolume, volumeBytesFor, type ExfatVolume, type Piece } from '../../filesystem/exfat-volume.js'
import { VOLUME_BYTES_MIN } from '../../filesystem/geometry.js'
import type { TreeNode } from '../../filesystem/tree.js'
import { ALIGNMENT, basicDisk } from '../../volume/partition-table.js'
import { formatSize } from '../../util/units.js'
import { TargetError } from '../errors.js'

/** A disk that an operating system shows as a drive: a GPT with one partition, and exFAT in it. */
export interface Drive<S> {
  readonly sizeBytes: number
  /** What is not zero, by offset on the disk, without the content of files. */
  pieces(): Iterable<Piece>
  /** Where the content of files belongs on the disk, by rising offset. */
  readonly files: ExfatVolume<S>['files']
}

export interface DriveOptions<S> {
  readonly sizeBytes: number
  /** Bytes of a logical block: 512 or 4096. */
  readonly blockSize: number
  readonly label: string
  readonly children: readonly TreeNode<S>[]
  /** That many random bytes, for identifiers. */
  readonly random?: (length: number) => Buffer
}

/** The partition begins at the first of these and ends before the last. */
export const DRIVE_BYTES_MIN = ALIGNMENT + VOLUME_BYTES_MIN + ALIGNMENT

/** @throws IscsiError `ERR_ISCSI_FILE_SYSTEM_SIZE` when it is too small for any, `ERR_ISCSI_FILE_SYSTEM_FULL` */
export function planDrive<S>(options: DriveOptions<S>): Drive<S> {
  const { sizeBytes, blockSize, label, children, random = randomBytes } = options
  const [diskGuid, partitionGuid, serial] = [random(16), random(16), random(4)]
  const disk = basicDisk({ size: sizeBytes, blockSize, name: label, diskGuid, partitionGuid })
  if (!disk) throw tooSmall(sizeBytes)
  const { offset, lengthBytes } = disk.partition
  const volume = planVolume({
    volumeBytes: lengthBytes,
    sectorBytes: blockSize,
    partitionOffset: offset,
    label,
    serialNumber: serial.readUInt32LE(),
    children
  })
  function* pieces(): Generator<Piece> {
    yield { offset: 0, bytes: disk!.head }
    for (const piece of volume.pieces()) yield moved(piece, offset)
    yield { offset: sizeBytes - disk!.tail.length, bytes: disk!.tail }
  }
  return { sizeBytes, pieces, files: volume.files.map((placed) => moved(placed, offset)) }
}

/** Bytes of a drive that holds the tree and has `spare` bytes left; whole MiB. */
export function driveBytesFor<S>(children: readonly TreeNode<S>[], blockSize: number, spare: number): number {
  const options = { sectorBytes: blockSize, spare, step: ALIGNMENT, least: VOLUME_BYTES_MIN }
  return ALIGNMENT + volumeBytesFor(children, options) + ALIGNMENT
}

function moved<T extends { readonly offset: number }>(placed: T, by: number): T {
  return { ...placed, offset: placed.offset + by }
}

function tooSmall(sizeBytes: number): TargetError {
  return new TargetError(
    'ERR_ISCSI_FILE_SYSTEM_SIZE',
    `${formatSize(sizeBytes)} is too small for a drive with a file system: take --size ${DRIVE_BYTES_MIN / ALIGNMENT}M or ` +
      'more, or --blank for a disk of zeroes'
  )
}
