import { access, chmod, mkdir, rename, stat, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { namesIn, syncDirectory } from '../../util/directory.js'
import { codeOf } from '../../util/errors.js'
import { deltaPaths, removeInSteps, type DeltaPaths } from '../../volume/delta/files.js'
import { readDeltaHeader } from '../../volume/delta/reissue.js'
import { TargetError } from '../errors.js'

/**
 * The files of layers, `<number>.map` and `<number>.slots` in one directory for each image, and `<number>.key` where the
 * slots are encrypted. A layer is the delta that
 * an author wrote, moved here. It belongs to the image from the moment that the record names it; until then it can go
 * back, because its header says whose delta it was.
 *
 * The map moves first and comes back last. So a slot file without its map is never met, and whatever a crash leaves
 * here can be put where it came from.
 */
export function layerPaths(directory: string, number: number): DeltaPaths {
  const stem = join(directory, String(number).padStart(4, '0'))
  return { map: `${stem}.map`, slots: `${stem}.slots`, key: `${stem}.key` }
}

/** The leaves of a generation's hash tree. */
export function leavesPath(directory: string, number: number): string {
  return join(directory, `${String(number).padStart(4, '0')}.hash`)
}

/** Numbers of layers that have a file here. */
export async function layerNumbers(directory: string): Promise<number[]> {
  const numbers = (await namesIn(directory)).flatMap((name) => {
    const match = /^(\d{4,})\.(map|slots|key)$/.exec(name)
    return match ? [Number(match[1])] : []
  })
  return [...new Set(numbers)].sort((left, right) => left - right)
}

/** Numbers of generations whose leaves lie here. */
export async function leavesNumbers(directory: string): Promise<number[]> {
  const names = await namesIn(directory)
  return names.flatMap((name) => {
    const match = /^(\d{4,})\.hash$/.exec(name)
    return match ? [Number(match[1])] : []
  })
}

export async function removeLeaves(directory: string, number: number): Promise<void> {
  await unlink(leavesPath(directory, number)).catch(unlessMissing)
}

/** Moves a delta in; the caller has closed it. It is all here, also after a power cut, when this resolves. */
export async function moveIn(from: DeltaPaths, directory: string, number: number): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const to = layerPaths(directory, number)
  if (await exists(to.map)) throw new TargetError('ERR_ISCSI_STATE', `${to.map} is there already`)
  await rename(from.map, to.map)
  await rename(from.slots, to.slots)
  await rename(from.key, to.key).catch(unlessMissing)
  await syncDirectory(directory)
  await syncDirectory(dirname(directory))
  await syncDirectory(dirname(from.map))
}

/** Puts a layer that was never published back. What has moved already is passed over. */
export async function moveBack(to: DeltaPaths, directory: string, number: number): Promise<void> {
  const from = layerPaths(directory, number)
  await mkdir(dirname(to.map), { recursive: true, mode: 0o700 })
  await rename(from.key, to.key).catch(unlessMissing)
  await rename(from.slots, to.slots).catch(unlessMissing)
  await rename(from.map, to.map).catch(unlessMissing)
}

/**
 * After a crash in the middle of a publish: the delta goes back to its owner.
 * @param deltaDirectory - where the deltas of an initiator are
 */
export async function returnUnpublished(
  directory: string,
  number: number,
  deltaDirectory: (targetName: string, initiatorName: string) => string
): Promise<string> {
  const { owner, epoch } = await readDeltaHeader(layerPaths(directory, number).map)
  const home = deltaDirectory(owner.target, owner.initiator)
  await moveBack(deltaPaths(home, `lun-${owner.lun}`, epoch), directory, number)
  return owner.initiator
}

/** Nobody writes into it any more, not even by mistake. */
export async function protectLayer(directory: string, number: number): Promise<void> {
  const { map, slots, key } = layerPaths(directory, number)
  for (const path of [map, slots, key]) await chmod(path, 0o400).catch(unlessMissing)
}

/** It was published: only then {@link protectLayer} is called. */
export async function isProtected(directory: string, number: number): Promise<boolean> {
  const { map, slots } = layerPaths(directory, number)
  const found = await Promise.all([map, slots].map((path) => stat(path).catch(unlessMissing)))
  return found.some((one) => one !== undefined && (one.mode & 0o200) === 0)
}

/** Nobody has it open; a large file goes in steps. */
export async function removeLayer(directory: string, number: number): Promise<void> {
  const { map, slots, key } = layerPaths(directory, number)
  for (const path of [key, map, slots]) {
    await chmod(path, 0o600).catch(unlessMissing)
    await removeInSteps(path)
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false
  )
}

function unlessMissing(error: unknown): undefined {
  if (codeOf(error) !== 'ENOENT') throw error
}
