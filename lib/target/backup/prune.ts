import { open } from 'node:fs/promises'
import { writeAll } from '../creation/copy.js'
import { HASH_LENGTH, LEAF_BYTES } from '../generations/hash-tree.js'
import { BackupDisk, changedPlaces } from './backup-disk.js'
import { damaged, hashesName, type Backup, type BackupFolder } from './backup-folder.js'
import { hashAt, hashOfLeaf, leafLength } from './leaves.js'
import type { Report } from './make-backup.js'

/**
 * Removes the oldest backups until so many are left, when all of those are whole. The changes of the one that is the
 * oldest then go into the raw file of the one that goes: each leaf that is written there is one that the changes hold, and
 * is read from them until all of it is there. So a crash at any point leaves a whole backup, and the next run goes on.
 * @returns how many were removed
 * @throws TargetError ERR_ISCSI_BACKUP_DAMAGED when one that would remain is not whole; nothing was removed then
 */
export async function pruneBackups(folder: BackupFolder, keep: number, report: Report): Promise<number> {
  await finishMerge(folder)
  const count = folder.backups.length - keep
  if (count <= 0) return 0
  await verifyRemaining(folder, folder.backups.slice(count), report)
  for (let removed = 0; removed < count; removed++) {
    const [oldest, next] = folder.backups as [Backup, Backup]
    if (next.over) {
      const merging = { ...next, over: { number: 0, raw: oldest.file, hashes: hashesName(oldest.number) } }
      await folder.note(merging)
      await folder.forget(oldest)
      await mergeIntoRaw(folder, merging)
    } else {
      await folder.forget(oldest)
      for (const name of [oldest.file, hashesName(oldest.number)]) await removeUnused(folder, name)
    }
  }
  return count
}

/** What a prune that was cut short has begun. */
async function finishMerge(folder: BackupFolder): Promise<void> {
  // The one that went is still listed when the crash came before its record was removed, or a power cut brought that back.
  // Its raw file is the next one's from the record of the merge on: it is nobody's to read as it was, or to remove.
  const superseded = folder.backups.filter((one) => {
    const raw = rawOf(one)
    return raw !== undefined && folder.backups.some((newer) => newer.number > one.number && rawOf(newer) === raw)
  })
  for (const backup of superseded) await folder.forget(backup)
  for (const backup of folder.backups) if (backup.over?.number === 0) await mergeIntoRaw(folder, backup)
}

/** The raw file that holds its disk, or shall; undefined when it is changes over another backup. */
function rawOf({ file, over }: Backup): string | undefined {
  if (!over) return file
  return over.number === 0 ? over.raw : undefined
}

/** A file that another backup reads from stays, whatever brought that about. */
async function removeUnused(folder: BackupFolder, name: string): Promise<void> {
  const isUsed = ({ number, file, over }: Backup) => [file, hashesName(number), over?.raw, over?.hashes].includes(name)
  if (!folder.backups.some(isUsed)) await folder.remove(name)
}

/** The oldest of them through the whole chain, of the others what each of them adds. */
async function verifyRemaining(folder: BackupFolder, remaining: readonly Backup[], report: Report): Promise<void> {
  for (const [index, backup] of remaining.entries()) {
    if (index > 0 && backup.over) {
      await eachChange(folder, backup, () => Promise.resolve())
      continue
    }
    const disk = await BackupDisk.open(folder, backup)
    try {
      await disk.verify(report)
    } finally {
      await disk.close()
    }
  }
}

/** Reads the leaves of a file of changes, each held against its hash. */
async function eachChange(
  folder: BackupFolder,
  backup: Backup,
  take: (index: number, bytes: Buffer) => Promise<void>
): Promise<void> {
  const own = await folder.hashesOf(backup)
  const places = changedPlaces(own, await folder.hashesBelow(backup))
  const path = folder.pathOf(backup.file)
  const file = await open(path, 'r').catch((error: unknown) => {
    throw Object.assign(damaged(path), { cause: error })
  })
  const buffer = Buffer.allocUnsafeSlow(LEAF_BYTES)
  try {
    for (let index = 0; index < places.length; index++) {
      if (places[index]! < 0) continue
      const bytes = buffer.subarray(0, leafLength(backup.sizeBytes, index))
      const { bytesRead } = await file.read(bytes, 0, bytes.length, places[index]! * LEAF_BYTES)
      if (bytesRead < bytes.length || !hashOfLeaf(bytes).equals(hashAt(own, index))) throw damaged(path)
      await take(index, bytes)
    }
  } finally {
    await file.close()
  }
}

async function mergeIntoRaw(folder: BackupFolder, backup: Backup): Promise<void> {
  const { raw, hashes } = backup.over!
  const path = folder.pathOf(raw)
  const file = await open(path, 'r+')
  try {
    await eachChange(folder, backup, (index, bytes) => writeAll(file, bytes, index * LEAF_BYTES, path))
    await file.truncate(backup.sizeBytes)
    await file.sync()
  } finally {
    await file.close()
  }
  const whole: Backup = { ...backup, file: raw, over: undefined }
  await verifyMerged(folder, backup, path)
  await folder.note(whole)
  await folder.remove(backup.file)
  await folder.remove(hashes)
}

/** What was written into the raw file is there. */
async function verifyMerged(folder: BackupFolder, backup: Backup, path: string): Promise<void> {
  const own = await folder.hashesOf(backup)
  const below = await folder.hashesBelow(backup)
  const file = await open(path, 'r')
  const buffer = Buffer.allocUnsafeSlow(LEAF_BYTES)
  try {
    for (let index = 0; index < own.length / HASH_LENGTH; index++) {
      if (hashAt(own, index).equals(hashAt(below, index))) continue
      const bytes = buffer.subarray(0, leafLength(backup.sizeBytes, index))
      await file.read(bytes, 0, bytes.length, index * LEAF_BYTES)
      if (!hashOfLeaf(bytes).equals(hashAt(own, index))) throw damaged(path)
    }
  } finally {
    await file.close()
  }
}
