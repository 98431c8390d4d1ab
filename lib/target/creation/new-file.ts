import { link, lstat, open, rename, stat, unlink, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { codeOf, messageOf } from '../../util/errors.js'
import { nativeExtensions } from '../../volume/drivers/native.js'
import { acquireLock, type Lock } from '../../volume/lock.js'
import { TargetError } from '../errors.js'

/**
 * A file that appears under its name only when it is whole. It grows beside it as `<name>.part`, which is locked while
 * somebody works on it; one that nobody holds was left by a crash and is removed by the next who makes this file.
 */
export const PART_SUFFIX = '.part'

/**
 * Makes a sparse file and fills it.
 * @param path - nothing may be there
 * @param fill - writes what is not zero; the file is removed when it throws
 * @throws TargetError `ERR_ISCSI_IMAGE_EXISTS`, `ERR_ISCSI_IMAGE_MISSING` (its folder), `ERR_ISCSI_LOCKED`, or the errno
 *   that the system gave, always with the path
 */
export async function makeFile(
  path: string,
  sizeBytes: number,
  fill: (handle: FileHandle) => Promise<void>
): Promise<void> {
  await refuseExisting(path)
  const part = await claimPart(path)
  try {
    await setSize(part.handle, path, sizeBytes)
    await fill(part.handle)
    await part.handle.datasync()
    await publish(part.path, path)
  } finally {
    await part.handle.close()
    await part.lock.release()
    // After a rename there is none.
    await unlink(part.path).catch(() => undefined)
  }
  await syncFolder(dirname(path))
}

interface Part {
  readonly path: string
  readonly handle: FileHandle
  readonly lock: Lock
}

async function claimPart(path: string): Promise<Part> {
  const partPath = path + PART_SUFFIX
  await removeStale(partPath)
  const handle = await open(partPath, 'wx').catch((error: unknown) => {
    throw openError(path, error)
  })
  try {
    const lock = await acquireLock(partPath, { exclusive: true })
    try {
      // Somebody who met the new file before it was locked took it for a stale one.
      if ((await stat(partPath)).ino !== (await handle.stat()).ino) throw takenError(path)
      return { path: partPath, handle, lock }
    } catch (error) {
      await lock.release()
      throw error
    }
  } catch (error) {
    await handle.close()
    throw ['ERR_ISCSI_LOCKED', 'ENOENT'].includes(codeOf(error)) ? takenError(path) : error
  }
}

/** It is never written to: after an unlucky crash it can be another name of a whole image. */
async function removeStale(partPath: string): Promise<void> {
  const found = await lstat(partPath).catch(() => undefined)
  if (!found?.isFile()) return
  const lock = await acquireLock(partPath, { exclusive: true }).catch((error: unknown) => {
    throw codeOf(error) === 'ERR_ISCSI_LOCKED' ? takenError(partPath.slice(0, -PART_SUFFIX.length)) : error
  })
  await unlink(partPath).catch(() => undefined)
  await lock.release()
}

async function setSize(handle: FileHandle, path: string, sizeBytes: number): Promise<void> {
  try {
    await nativeExtensions()
      ?.sparse(handle.fd)
      .catch(() => undefined)
    await handle.truncate(sizeBytes)
  } catch (error) {
    throw new TargetError(codeOf(error), `${path} cannot be made ${sizeBytes} bytes long: ${messageOf(error)}`, {
      cause: error
    })
  }
}

/** A link never takes the place of a file that came meanwhile; file systems without links get a rename. */
async function publish(partPath: string, path: string): Promise<void> {
  try {
    await link(partPath, path)
  } catch (error) {
    await refuseExisting(path)
    if (codeOf(error) === 'ENOSPC') throw error
    await rename(partPath, path)
  }
}

async function refuseExisting(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined)
  if (!found) return
  const what = found.isSymbolicLink() ? 'is a link that leads to nothing' : 'exists already'
  throw new TargetError('ERR_ISCSI_IMAGE_EXISTS', `${path} ${what}; nothing was changed`)
}

/** The name itself has to survive a power failure too. Windows has no such thing. */
async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r').catch(() => undefined)
  await handle?.sync().catch(() => undefined)
  await handle?.close()
}

function takenError(path: string): TargetError {
  return new TargetError('ERR_ISCSI_LOCKED', `${path} is just being made by another process`)
}

function openError(path: string, error: unknown): TargetError {
  const code = codeOf(error)
  if (code === 'EEXIST') return takenError(path)
  if (code === 'ENOENT') {
    return new TargetError(
      'ERR_ISCSI_IMAGE_MISSING',
      `the folder ${dirname(path)} does not exist; make it first, or correct the path`,
      { cause: error }
    )
  }
  const words = WORDS[code] ?? messageOf(error)
  return new TargetError(code, `${path} cannot be made: ${words}`, { cause: error })
}

const WORDS: Readonly<Record<string, string>> = {
  EACCES: 'this user may not write to its folder',
  EPERM: 'this user may not write to its folder',
  EROFS: 'its folder is on a file system that cannot be written',
  ENOTDIR: 'a part of its path is no folder',
  ENOSPC: 'there is no space left',
  ENAMETOOLONG: 'its name is too long'
}
