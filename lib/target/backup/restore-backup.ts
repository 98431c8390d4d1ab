import { chmod, open, realpath, rename, stat, unlink } from 'node:fs/promises'
import { dirname, relative } from 'node:path'
import { syncDirectory } from '../../util/directory.js'
import { codeOf } from '../../util/errors.js'
import type { Logger } from '../../util/log.js'
import { acquireLock, type Lock } from '../../volume/lock.js'
import { writeAll } from '../creation/copy.js'
import { makeFile, PART_SUFFIX } from '../creation/new-file.js'
import { TargetError } from '../errors.js'
import { LEAF_BYTES } from '../generations/hash-tree.js'
import { StateDirectory } from '../state-directory.js'
import { findState } from '../state-place.js'
import { BackupDisk } from './backup-disk.js'
import { damaged, type Backup, type BackupFolder } from './backup-folder.js'
import { readLeaf } from './leaves.js'
import type { Report } from './make-backup.js'

const ZEROES = Buffer.alloc(LEAF_BYTES)

/** Writes a backup into a new file, sparse, which appears when all of it has been read again and is right. */
export async function restoreToFile(folder: BackupFolder, backup: Backup, path: string, report: Report): Promise<void> {
  const disk = await BackupDisk.open(folder, backup)
  const buffer = Buffer.allocUnsafeSlow(LEAF_BYTES)
  const total = 2 * backup.sizeBytes
  try {
    await makeFile(path, backup.sizeBytes, async (handle) => {
      for (let index = 0; index < disk.leafCount; index++) {
        const bytes = await disk.read(index, buffer)
        if (!bytes.equals(ZEROES.subarray(0, bytes.length))) await writeAll(handle, bytes, index * LEAF_BYTES, path)
        report(index * LEAF_BYTES + bytes.length, total)
      }
      await handle.sync()
      await compare(path + PART_SUFFIX, disk, (done) => report(backup.sizeBytes + done, total))
    })
  } finally {
    await disk.close()
  }
}

async function compare(path: string, disk: BackupDisk, report: (done: number) => void): Promise<void> {
  const file = await open(path, 'r')
  const buffer = Buffer.allocUnsafeSlow(LEAF_BYTES)
  try {
    for (let index = 0; index < disk.leafCount; index++) {
      const bytes = await readLeaf(file, disk, index, index, buffer)
      if (!bytes) throw damaged(path)
      report(index * LEAF_BYTES + bytes.length)
    }
  } finally {
    await file.close()
  }
}

/**
 * Puts a backup in the place of an image that no server shares. All of it is written and right before the image goes. The
 * generations that lay over the old file do not fit the new one; they are put aside in the state directory. And the image
 * has another UUID, so that no client takes its disk for the one that it has mounted or reserved.
 * @returns where they are now; undefined when there were none
 * @throws TargetError ERR_ISCSI_LOCKED while a server runs with it, ERR_ISCSI_STATE when its state is not to be found
 */
export async function restoreOver(
  folder: BackupFolder,
  backup: Backup,
  { image, stateDirectory, log, now }: RestorePlace,
  report: Report
): Promise<string | undefined> {
  const path = await realpath(image)
  const { mode } = await stat(path)
  const locks: Lock[] = []
  try {
    locks.push(await locked(path, path))
    const found = await findState(image, stateDirectory)
    const state = found === undefined ? undefined : await openState(found, path, locks, log)
    const made = `${path}.restored`
    // Of a restore that was cut short.
    await unlink(made).catch(() => undefined)
    await restoreToFile(folder, backup, made, report)
    await chmod(made, mode & 0o777).catch(() => undefined)
    const name = state && relative(state.path, path)
    const uuid = name && (await state.imageUuid(name))
    if (name) await state.renewImageUuid(name, made)
    await rename(made, path)
    await syncDirectory(dirname(path)).catch(() => undefined)
    if (!uuid) return undefined
    // Behind the image: until then they are those of the old file, which is there.
    const aside = await putAside(state, uuid, now)
    await state.imageUuid(name)
    return aside
  } finally {
    for (const lock of locks) await lock.release()
  }
}

export interface RestorePlace {
  readonly image: string
  /** Where its server keeps its state; undefined = beside it, if it has any. */
  readonly stateDirectory: string | undefined
  readonly log: Logger
  /** Wall clock, ms since 1970. */
  readonly now: number
}

async function openState(path: string, image: string, locks: Lock[], log: Logger): Promise<StateDirectory> {
  const state = await StateDirectory.open(path, log)
  locks.push(await locked(state.lockPath, image, true))
  return state
}

async function putAside(state: StateDirectory, uuid: string, now: number): Promise<string | undefined> {
  const ending = `.before-restore-${new Date(now).toISOString().replace(/[:.]/g, '-')}`
  let aside: string | undefined
  for (const path of [state.generationsPath(uuid), state.layersPath(uuid)]) {
    const moved = await rename(path, path + ending).then(
      () => true,
      (error: unknown) => {
        if (codeOf(error) !== 'ENOENT') throw error
        return false
      }
    )
    if (moved) aside = path + ending
  }
  return aside
}

function locked(path: string, image: string, create = false): Promise<Lock> {
  return acquireLock(path, { exclusive: true, create }).catch((error: unknown) => {
    if (codeOf(error) !== 'ERR_ISCSI_LOCKED') throw error
    throw new TargetError('ERR_ISCSI_LOCKED', `a server shares ${image}: stop it first, then restore`, { cause: error })
  })
}
