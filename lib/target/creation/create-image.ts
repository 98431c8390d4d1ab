import { statfs } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import type { FileHandle } from 'node:fs/promises'
import { codeOf, messageOf } from '../../util/errors.js'
import { formatSize } from '../../util/units.js'
import { TargetError } from '../errors.js'
import { copyFile, writeAll } from './copy.js'
import { driveBytesFor, planDrive, type Drive } from './drive.js'
import { readFolder, type FolderContent } from './folder.js'
import { DEFAULT_LABEL } from './label.js'
import { makeFile, PART_SUFFIX } from './new-file.js'
import { SourceReader } from './source-reader.js'
import { welcomeFiles } from './welcome.js'

/** Room that is left on a drive whose size was not ordered: this, or the share of its content, whichever is more. */
const SPARE_BYTES_MIN = 2 ** 30
const SPARE_SHARE = 0.25
/** What the file system itself takes beside the content, at most: for each name, for each folder, for the rest. */
const METADATA_BYTES_PER_NAME = 608
const METADATA_BYTES_PER_DIRECTORY = 2 ** 13
const METADATA_BYTES = 2 ** 24

export interface ImageShape {
  readonly sizeBytes: number
  /** Bytes of a logical block: 512 or 4096. */
  readonly blockSize: number
}

/** A disk of zeroes. */
export async function createBlankImage(path: string, { sizeBytes }: ImageShape): Promise<void> {
  await makeFile(path, sizeBytes, () => Promise.resolve())
}

/** A drive with two texts that explain it. */
export async function createWelcomeImage(
  path: string,
  shape: ImageShape,
  nowMs: number,
  label = DEFAULT_LABEL
): Promise<void> {
  const drive = planDrive({ ...shape, label, children: welcomeFiles(nowMs) })
  await makeFile(path, shape.sizeBytes, async (handle) => {
    await writePieces(handle, drive)
    for (const { file, offset } of drive.files) await writeAll(handle, file.source, offset)
  })
}

export interface FolderImageOptions {
  readonly path: string
  readonly folder: string
  /** undefined = as the content needs it. */
  readonly sizeBytes: number | undefined
  readonly blockSize: number
  readonly label: string
  readonly signal?: AbortSignal
  /** The folder has been looked through; `sizeBytes` is what the image will have. */
  readonly found?: (content: FolderContent, sizeBytes: number) => void
  readonly progress?: (doneBytes: number, contentBytes: number) => void
  readonly statfs?: (path: string) => Promise<{ bavail: number; bsize: number }>
}

/**
 * A drive with what is in a folder. Everything is checked before the image is begun, and whatever fails later leaves
 * none behind.
 * @throws ConfigError, TargetError `ERR_ISCSI_FILE_SYSTEM_FULL`, `ENOSPC`, `ERR_ISCSI_SOURCE`, those of makeFile; the
 *   reason of the signal when it is aborted
 */
export async function createFolderImage(options: FolderImageOptions): Promise<void> {
  const { path, blockSize, label, signal } = options
  const folder = resolve(options.folder)
  const except = [resolve(path + PART_SUFFIX)]
  const content = await readFolder(folder, signal ? { except, signal } : { except })
  const spare = Math.max(SPARE_BYTES_MIN, Math.ceil(content.contentBytes * SPARE_SHARE))
  const fitting = () => driveBytesFor(content.children, blockSize, spare)
  const sizeBytes = options.sizeBytes ?? fitting()
  const drive = planned(() => planDrive({ sizeBytes, blockSize, label, children: content.children }), folder, fitting)
  await expectFreeSpace(path, content, options.statfs ?? statfs)
  options.found?.(content, sizeBytes)
  await makeFile(path, sizeBytes, async (handle) => {
    await writePieces(handle, drive, signal)
    const reader = new SourceReader()
    let doneBytes = 0
    const moved = (bytes: number) => options.progress?.((doneBytes += bytes), content.contentBytes)
    for (const { file, offset } of drive.files) await copyFile(file.source, handle, offset, { reader, signal, moved })
  })
}

/** Adds to a refusal for want of room which folder it was and what size would do. */
function planned<S>(plan: () => Drive<S>, folder: string, fitting: () => number): Drive<S> {
  try {
    return plan()
  } catch (error) {
    if (codeOf(error) !== 'ERR_ISCSI_FILE_SYSTEM_FULL') throw error
    const advice = `leave --size out for ${formatSize(fitting())}, or name a larger one`
    throw new TargetError('ERR_ISCSI_FILE_SYSTEM_FULL', `${folder} does not fit: ${messageOf(error)}; ${advice}`, {
      cause: error
    })
  }
}

async function writePieces<S>(handle: FileHandle, drive: Drive<S>, signal?: AbortSignal): Promise<void> {
  for (const { offset, bytes } of drive.pieces()) {
    signal?.throwIfAborted()
    await writeAll(handle, bytes, offset)
  }
}

/** Holes take no space, so the image may well be larger than what is free. */
async function expectFreeSpace(
  path: string,
  { allocatedBytes, fileCount, directoryCount }: FolderContent,
  ask: NonNullable<FolderImageOptions['statfs']>
): Promise<void> {
  const folder = dirname(resolve(path))
  // A folder that is not there is told by whoever makes the file in it.
  const found = await ask(folder).catch(() => undefined)
  if (!found) return
  const free = found.bavail * found.bsize
  const names = (fileCount + directoryCount) * METADATA_BYTES_PER_NAME
  const needed = allocatedBytes + names + directoryCount * METADATA_BYTES_PER_DIRECTORY + METADATA_BYTES
  if (needed <= free) return
  throw new TargetError(
    'ENOSPC',
    `the image needs ${formatSize(needed)} on disk, and ${folder} has ${formatSize(free)} free`
  )
}
