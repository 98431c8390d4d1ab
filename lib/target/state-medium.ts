import { readFile } from 'node:fs/promises'
import { kindOfFileSystem, mountOf, type FileSystemKind } from '../util/file-systems.js'
import { parseMountInfo } from '../util/mount-info.js'

/** What a state directory lies on, as far as the system tells. */
export interface StateMedium {
  readonly kind: FileSystemKind
  /** For people, such as `btrfs`. */
  readonly name: string
}

/**
 * @param path - real
 * @param mountInfo - where Linux lists its mounts
 */
export async function stateMedium(path: string, mountInfo = '/proc/self/mountinfo'): Promise<StateMedium> {
  // A path with two backslashes and no device behind them is a share of another machine.
  if (/^\\\\(?![?.]\\)/.test(path)) return { kind: 'network', name: 'a network share' }
  const mount = mountOf(path, parseMountInfo(await readFile(mountInfo, 'utf8').catch(() => '')))
  return mount ? { kind: kindOfFileSystem(mount.type), name: mount.type } : { kind: 'local', name: 'unknown' }
}

/** What the operator should know of it; undefined when there is nothing to say. */
export function mediumWarning({ kind, name }: StateMedium, path: string): string | undefined {
  if (kind === 'network') {
    return (
      `${path} lies on ${name}, where a full or absent disk may show only when a write is flushed: private disks are ` +
      'write-through, so that nothing is answered before it is there, and slow; --state-dir names a local folder'
    )
  }
  if (kind !== 'copy-on-write') return undefined
  return (
    `${path} lies on ${name}, which needs room also for what is written again: when it is full, clients cannot even ` +
    'write where they have written already; keep some of it free, or name a folder on another disk with --state-dir'
  )
}
