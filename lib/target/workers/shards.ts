import { createHash } from 'node:crypto'
import { realpathSync } from 'node:fs'
import { resolve } from 'node:path'
import { BlockDeviceVolume } from '../../volume/drivers/block-device.js'
import { openDriver } from '../../volume/drivers/index.js'
import type { TargetOptions } from '../options.js'
import { keyOf, type InitiatorKey } from '../owner.js'

/**
 * Which worker has an initiator. Private views share nothing, so the initiators of a target are spread by their names.
 * Where they do share something, a unit or an image that an author writes into, one worker has all of them: it has
 * everything that such an image is used for, whatever the targets. A device is open once, so that nothing else on this
 * PC uses it: it has one worker too.
 */
export class Shards {
  /** Workers of the targets that are not spread, by name. */
  private readonly whole = new Map<string, number>()
  private readonly names: ReadonlySet<string>

  constructor(
    targets: readonly TargetOptions[],
    readonly workerCount: number
  ) {
    this.names = new Set(targets.map(({ name }) => name))
    for (const group of groupsOf(targets)) {
      if (!group.some(sharesSomething)) continue
      const worker = indexOf(group[0]!.name, workerCount)
      for (const { name } of group) this.whole.set(name, worker)
    }
  }

  /** The worker that has this initiator. */
  ownerOf(key: InitiatorKey): number {
    return this.whole.get(key.targetName) ?? indexOf(keyOf(key), this.workerCount)
  }

  /** Whether a worker has initiators of this target, and so its images. */
  serves(worker: number, targetName: string): boolean {
    return this.names.has(targetName) && (this.whole.get(targetName) ?? worker) === worker
  }

  /** Whether one worker has all initiators of this target. */
  isWhole(targetName: string): boolean {
    return this.whole.has(targetName)
  }

  /** The one worker that does what concerns the images of a target as a whole. */
  keeperOf(targetName: string): number {
    return this.whole.get(targetName) ?? 0
  }
}

/** Targets that have an image in common, directly or by way of others. */
function groupsOf(targets: readonly TargetOptions[]): TargetOptions[][] {
  let groups: { targets: TargetOptions[]; images: Set<string> }[] = []
  for (const target of targets) {
    const images = new Set(target.units.map(({ path }) => realPath(path)))
    const joined = groups.filter((group) => [...images].some((image) => group.images.has(image)))
    groups = groups.filter((group) => !joined.includes(group))
    groups.push({
      targets: [...joined.flatMap((group) => group.targets), target],
      images: new Set([...joined.flatMap((group) => [...group.images]), ...images])
    })
  }
  return groups.map((group) => group.targets)
}

function sharesSomething({ units, authors }: TargetOptions): boolean {
  return units.some(({ shared, path }) => shared || isDevice(path)) || authors.length > 0
}

function indexOf(text: string, count: number): number {
  return createHash('sha256').update(text).digest().readUInt32BE(0) % count
}

function isDevice(path: string): boolean {
  try {
    return openDriver(path, { readOnly: true }) instanceof BlockDeviceVolume
  } catch {
    // Whoever opens it says what is wrong with it.
    return false
  }
}

/** Two names of one file are one image; what is no file keeps its name. */
function realPath(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return resolve(path)
  }
}
