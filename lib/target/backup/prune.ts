import { open } from 'node:fs/promises'
import { writeAll } from '../creation/copy.js'
import { LEAF_BYTES } from '../generations/hash-tree.js'
import { BackupDisk, changedPlaces } from './backup-disk.js'
import { damaged, hashesName, type Backup, type BackupFolder } from './backup-folder.js'
import { readLeaf } from './leaves.js'
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
      await eachChange(folder, backup, false, noMore)
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

/**
 * Reads the leaves that a backup changes, each held against its hash.
 * @param merged - from the raw file that they were written into, not from the file of changes
 */
async function eachChange(
  folder: BackupFolder,
  backup: Backup,
  merged: boolean,
  take: (index: number, bytes: Buffer) => Promise<void>
): Promise<void> {
  const stored = { sizeBytes: backup.sizeBytes, leaves: await folder.hashesOf(backup) }
  const places = changedPlaces(stored.leaves, await folder.hashesBelow(backup))
  const name = merged ? backup.over!.raw : backup.file
  const file = await folder.openFile(name)
  const buffer = Buffer.allocUnsafeSlow(LEAF_BYTES)
  try {
    for (const [index, place] of places.entries()) {
      if (place < 0) continue
      const bytes = await readLeaf(file, stored, index, merged ? index : place, buffer)
      if (!bytes) throw damaged(folder.pathOf(name))
      await take(index, bytes)
    }
  } finally {
    await file.close()
  }
}

function noMore(): Promise<void> {
  return Promise.resolve()
}

async function mergeIntoRaw(folder: BackupFolder, backup: Backup): Promise<void> {
  const { raw, hashes } = backup.over!
  const path = folder.pathOf(raw)
  const file = await open(path, 'r+')
  try {
    await eachChange(folder, backup, false, (index, bytes) => writeAll(file, bytes, index * LEAF_BYTES, path))
    await file.truncate(backup.sizeBytes)
    await file.sync()
  } finally {
    await file.close()
  }
  // What was written is there.
  await eachChange(folder, backup, true, noMore)
  await folder.note({ ...backup, file: raw, over: undefined })
  await folder.remove(backup.file)
  await folder.remove(hashes)
}
