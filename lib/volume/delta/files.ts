import { randomBytes } from 'node:crypto'
import { rename, stat, truncate, unlink } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { namesIn } from '../../util/directory.js'
import { codeOf } from '../../util/errors.js'

/** Names and removal of the files of a delta: `NAME-EPOCH.map` and `NAME-EPOCH.slots`. */

export interface DeltaPaths {
  readonly map: string
  readonly slots: string
  /** Of a delta that is encrypted. */
  readonly key: string
}

export function deltaPaths(directory: string, name: string, epoch: number): DeltaPaths {
  const stem = join(directory, `${name}-${epoch}`)
  return { map: `${stem}.map`, slots: `${stem}.slots`, key: `${stem}.key` }
}

/** What lies in the directory under this name. */
export interface DeltaListing {
  /** The newest epoch that has a map. */
  readonly epoch: number | undefined
  /** The highest number that any file carries; 0 if there is none. */
  readonly epochMax: number
  /** Files that belong to no live delta: the rest of a restore or of a compaction that a crash cut short. */
  readonly leftovers: readonly string[]
}

export async function listDelta(directory: string, name: string): Promise<DeltaListing> {
  const found = (await namesIn(directory)).flatMap((file) => {
    const match = file.startsWith(`${name}-`)
      ? /^(\d+)\.(map|slots|key|map\.new)$/.exec(file.slice(name.length + 1))
      : null
    return match ? [{ path: join(directory, file), epoch: Number(match[1]), kind: match[2] }] : []
  })
  const maps = found.filter((file) => file.kind === 'map').map((file) => file.epoch)
  const epoch = maps.length > 0 ? Math.max(...maps) : undefined
  return {
    epoch,
    epochMax: Math.max(0, ...found.map((file) => file.epoch)),
    leftovers: found.filter((file) => file.epoch !== epoch || file.kind === 'map.new').map((file) => file.path)
  }
}

/**
 * Moves both files into another directory of the same file system, under names that no other has there. The map goes
 * first: without it the slots are nobody's, whereas a map without slots would be a lost delta.
 * @returns where they are now
 */
export async function moveIntoBin(from: DeltaPaths, binDirectory: string, encrypted = false): Promise<DeltaPaths> {
  const to = binPaths(binDirectory, from)
  await rename(from.map, to.map)
  try {
    await rename(from.slots, to.slots)
    if (encrypted) await rename(from.key, to.key)
  } catch (error) {
    await rename(to.map, from.map)
    await rename(to.slots, from.slots).catch(undefinedIfMissing)
    throw error
  }
  return to
}

/** Names that say what it was and when it came, and that a second restore in the same millisecond does not take. */
function binPaths(binDirectory: string, paths: DeltaPaths): DeltaPaths {
  const unique = `${Date.now()}-${randomBytes(4).toString('hex')}`
  const stem = join(binDirectory, `${basename(paths.map, '.map')}.${unique}`)
  return { map: `${stem}.map`, slots: `${stem}.slots`, key: `${stem}.key` }
}

/**
 * Removes a file that nobody has open, however large: a file system frees the blocks of a big file in one go, which
 * holds up everybody's writes, so it is cut down step by step from the end first.
 * Only for files in the bin: a truncation that is under way may swallow a write.
 */
export async function removeInSteps(path: string, stepBytes = REMOVE_STEP_BYTES): Promise<void> {
  const status = await stat(path).catch(undefinedIfMissing)
  if (!status) return
  for (let left = status.size - stepBytes; left > 0; left -= stepBytes) await truncate(path, left)
  await unlink(path).catch(undefinedIfMissing)
}

export function undefinedIfMissing(error: unknown): undefined {
  if (codeOf(error) !== 'ENOENT') throw error
}

const REMOVE_STEP_BYTES = 256 << 20
