import type { FileHandle } from 'node:fs/promises'
import { codeOf, messageOf } from '../../util/errors.js'
import { TargetError } from '../errors.js'
import type { SourceFile } from './folder.js'
import type { SourceReader } from './source-reader.js'

/** Zeroes of this length, aligned in the file, are not written: the image is made of holes. */
export const HOLE_BYTES = 2 ** 16

const ZEROES = Buffer.alloc(HOLE_BYTES)

export interface CopyOptions {
  /** Used again for the next file. */
  readonly reader: SourceReader
  readonly signal?: AbortSignal | undefined
  /** Called after each transfer. */
  readonly moved: (bytes: number) => void
}

/**
 * Copies a file to its place in the image; zeroes stay holes.
 * @throws TargetError `ERR_ISCSI_SOURCE` when the file cannot be read or is no longer what it was
 */
export async function copyFile(
  source: SourceFile,
  target: FileHandle,
  offset: number,
  { reader, signal, moved }: CopyOptions
): Promise<void> {
  await readable(source, reader.open(source.path, source.sparse))
  try {
    for (let done = 0; done < source.lengthBytes;) {
      signal?.throwIfAborted()
      const bytes = await readable(source, reader.read(done))
      // What it has grown by would be written over the file behind it.
      if (bytes.length === 0 || done + bytes.length > source.lengthBytes) throw changed(source)
      await writeData(target, bytes, offset + done)
      done += bytes.length
      moved(bytes.length)
    }
    const { size, mtimeMs } = await reader.stat()
    if (size !== source.lengthBytes || mtimeMs !== source.modifiedMs) throw changed(source)
  } finally {
    await reader.close()
  }
}

function readable<T>(source: SourceFile, work: Promise<T>): Promise<T> {
  return work.catch((error: unknown) => {
    throw new TargetError('ERR_ISCSI_SOURCE', `${source.path} cannot be read: ${messageOf(error)}`, { cause: error })
  })
}

/** Writes the runs between zeroes. */
async function writeData(target: FileHandle, bytes: Buffer, offset: number): Promise<void> {
  let start = 0
  for (let at = 0; at < bytes.length; at += HOLE_BYTES) {
    const end = Math.min(at + HOLE_BYTES, bytes.length)
    if (!ZEROES.subarray(0, end - at).equals(bytes.subarray(at, end))) continue
    await writeAll(target, bytes.subarray(start, at), offset + start)
    start = end
  }
  await writeAll(target, bytes.subarray(start), offset + start)
}

/**
 * @param name - of the file, for the error
 * @throws TargetError with the errno, such as ENOSPC
 */
export async function writeAll(target: FileHandle, bytes: Buffer, offset: number, name = 'the image'): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await target
      .write(bytes, done, bytes.length - done, offset + done)
      .catch((error: unknown) => {
        throw new TargetError(codeOf(error), `${name} cannot be written: ${reasonOf(error)}`, { cause: error })
      })
    done += bytesWritten
  }
}

function reasonOf(error: unknown): string {
  if (codeOf(error) === 'ENOSPC') return 'there is no space left on its disk'
  if (codeOf(error) === 'EFBIG') return 'the file system that it lies on cannot have a file of this size'
  return messageOf(error)
}

function changed({ path }: SourceFile): TargetError {
  return new TargetError('ERR_ISCSI_SOURCE', `${path} changed while it was copied; try again when nobody writes to it`)
}
