import { setImmediate as nextTurn } from 'node:timers/promises'
import { openFileSystem } from '../filesystem/reading/open.js'
import type { ByteSource, FileSystemReader, FoundFile } from '../filesystem/reading/source.js'
import { codeOf } from '../util/errors.js'
import type { Changes } from '../volume/delta/changes.js'
import { readPartitionTable } from '../volume/partition-table.js'
import { readVolume } from '../volume/promises.js'
import type { Volume } from '../volume/volume.js'
import { TargetError } from './errors.js'

/** A file of which something lies in a changed area. */
export interface ChangedFile {
  readonly path: string
  readonly directory: boolean
  /** Of its content, in bytes. */
  readonly lengthBytes: number
  /** Bytes of it that lie in changed chunks; a small file shares its chunk with others. */
  readonly changedBytes: number
}

/** One partition, or a disk without any, and what is changed in it. */
export interface FileSystemChanges {
  /** As Linux counts; undefined when the file system takes the whole disk. */
  readonly partition: number | undefined
  readonly offset: number
  readonly lengthBytes: number
  readonly changedBytes: number
  /** `NTFS`, `ext4` …; undefined when it is none that is known here. */
  readonly kind: string | undefined
  /** Those with the most changed bytes, most first. */
  readonly files: readonly ChangedFile[]
  /** How many have changed bytes in all. */
  readonly fileCount: number
  /** What a person should know of it. */
  readonly notes: readonly string[]
}

export const FILES_TOLD_MAX = 1000
/** Looking at a disk with millions of files takes time, and somebody waits for the answer. */
export const LOOK_TIME_MS_MAX = 20_000
/** Files that are looked at between two turns of everybody else. */
const FILES_A_TURN = 256
const PARTITION_COUNT_MAX = 128

interface Place {
  readonly partition: number | undefined
  readonly offset: number
  readonly lengthBytes: number
}

/** @param monotonic - ms */
export async function changedFiles(
  volume: Volume,
  changes: Changes,
  monotonic: () => number = () => performance.now()
): Promise<FileSystemChanges[]> {
  const source = sourceOf(volume)
  const deadline = monotonic() + LOOK_TIME_MS_MAX
  const found: FileSystemChanges[] = []
  for (const place of await placesOf(volume, source)) {
    const changedBytes = changes.bytesIn(place.offset, place.lengthBytes)
    const reader = await openFileSystem(source, place.offset, place.lengthBytes)
    const looked = reader ? await look(reader, place, changes, () => monotonic() > deadline) : UNKNOWN
    found.push({ ...place, changedBytes, kind: reader?.kind, ...looked })
  }
  return found
}

const UNKNOWN = {
  files: [],
  fileCount: 0,
  notes: [
    'no file system that is known here (FAT, exFAT, NTFS, ext2 to ext4): areas alone. For others copy the disk with ' +
      '"cloudx delta export" and look with The Sleuth Kit (Debian, Ubuntu: apt install sleuthkit)'
  ]
}

async function look(reader: FileSystemReader, { offset }: Place, changes: Changes, late: () => boolean) {
  const files: ChangedFile[] = []
  const notes = [...reader.notes]
  let [fileCount, looked] = [0, 0]
  for await (const file of reader.files()) {
    const changedBytes = bytesChanged(file, offset, changes)
    if (changedBytes > 0) {
      const { path, directory, lengthBytes } = file
      fileCount++
      files.push({ path, directory, lengthBytes, changedBytes })
      if (files.length >= 2 * FILES_TOLD_MAX) keepMost(files)
    }
    if (++looked % FILES_A_TURN > 0) continue
    if (late()) {
      notes.push(`only the first ${looked} files were looked at, since that took so long`)
      break
    }
    await nextTurn()
  }
  keepMost(files)
  return { files, fileCount, notes }
}

function bytesChanged({ extents }: FoundFile, offset: number, changes: Changes): number {
  return extents.reduce((sum, extent) => sum + changes.bytesIn(offset + extent.offset, extent.lengthBytes), 0)
}

/** In place. */
function keepMost(files: ChangedFile[]): void {
  files.sort((left, right) => right.changedBytes - left.changedBytes || (left.path < right.path ? -1 : 1))
  files.length = Math.min(files.length, FILES_TOLD_MAX)
}

/** A file of a disk, and where its parts lie on it. */
export interface RescuedFile {
  readonly file: FoundFile
  /** Of its file system on the disk. */
  readonly offset: number
}

/**
 * Finds a file by its path; letter case counts only where it has to tell two files apart.
 * @param partition - undefined looks at all of them
 * @throws TargetError `ERR_ISCSI_FILE_…`
 */
export async function findFile(volume: Volume, path: string, partition: number | undefined): Promise<RescuedFile> {
  const wanted = normalized(path)
  const source = sourceOf(volume)
  const places = (await placesOf(volume, source)).filter(
    (place) => partition === undefined || place.partition === partition
  )
  const found: (RescuedFile & { exact: boolean; partition: number | undefined })[] = []
  let known = 0
  for (const place of places) {
    const reader = await openFileSystem(source, place.offset, place.lengthBytes)
    if (!reader) continue
    known++
    for await (const file of reader.files()) {
      if (normalized(file.path) !== wanted || file.directory) continue
      found.push({ file, offset: place.offset, exact: file.path === slashed(path), partition: place.partition })
    }
  }
  const exact = found.filter((one) => one.exact)
  const [first, second] = exact.length > 0 ? exact : found
  if (known === 0) throw new TargetError('ERR_ISCSI_FILE_SYSTEM', 'the disk has no file system that is known here')
  if (!first) throw new TargetError('ERR_ISCSI_FILE_NONE', `there is no file ${slashed(path)} on the disk`)
  if (second && second.partition !== first.partition) {
    throw new TargetError(
      'ERR_ISCSI_FILE_WHICH',
      `${slashed(path)} is on partition ${first.partition} and on ${second.partition}: say which with --partition`
    )
  }
  if (first.file.unreadable !== undefined) {
    throw new TargetError('ERR_ISCSI_FILE_UNREADABLE', `${first.file.path} cannot be copied: ${first.file.unreadable}`)
  }
  return first
}

/** As a person of Windows may write it, too. */
function slashed(path: string): string {
  const whole = path.replace(/^[A-Za-z]:/, '').replaceAll('\\', '/')
  return whole.startsWith('/') ? whole : `/${whole}`
}

function normalized(path: string): string {
  return slashed(path).normalize('NFC').toLowerCase()
}

function sourceOf(volume: Volume): ByteSource {
  return { size: volume.size, read: (buffer, offset) => readVolume(volume, buffer, offset) }
}

/** A file system on the bare disk, else the partitions; of a disk that has neither, the whole. */
async function placesOf(volume: Volume, source: ByteSource): Promise<Place[]> {
  const whole = { partition: undefined, offset: 0, lengthBytes: volume.size }
  if (await openFileSystem(source, 0, volume.size)) return [whole]
  const table = await readPartitionTable(volume).catch((error: unknown) => {
    if (codeOf(error).includes('PARTITION')) return undefined
    throw error
  })
  const inside = (table?.partitions ?? []).filter(
    ({ offset, lengthBytes }) => lengthBytes > 0 && offset + lengthBytes <= volume.size
  )
  if (inside.length === 0) return [whole]
  return inside
    .slice(0, PARTITION_COUNT_MAX)
    .map(({ number, offset, lengthBytes }) => ({ partition: number, offset, lengthBytes }))
}
