import type { MountInfo } from './mount-info.js'

/**
 * What kind of file system a type is, as mount(8) and others call it. `network`: the medium is another machine's, and
 * that it is full may show only at a sync. `copy-on-write`: also what is there already needs room to be written again.
 */
export type FileSystemKind = 'local' | 'fat' | 'network' | 'copy-on-write' | 'memory'

const KINDS: readonly (readonly [FileSystemKind, RegExp])[] = [
  ['fat', /^(vfat|msdos|fat\d*|exfat|fuse\.exfat(-fuse)?)$/i],
  [
    'network',
    /^(nfs\d?|cifs|smb\d?|smbfs|9p|afpfs|webdav|davfs|ceph|glusterfs|fuse\.(sshfs|rclone|davfs.*|s3fs|glusterfs|ceph))$/i
  ],
  ['copy-on-write', /^(btrfs|zfs|bcachefs|fuse\.zfs|apfs|refs)$/i],
  ['memory', /^(tmpfs|ramfs)$/i]
]

export function kindOfFileSystem(type: string): FileSystemKind {
  return KINDS.find(([, pattern]) => pattern.test(type))?.[0] ?? 'local'
}

/** The mount that a path lies on: the deepest, and of those at one place the last, which hides the others. */
export function mountOf<T extends Pick<MountInfo, 'mountPoint'>>(path: string, mounts: readonly T[]): T | undefined {
  const holding = mounts.filter(
    ({ mountPoint }) => path === mountPoint || path.startsWith(mountPoint === '/' ? '/' : `${mountPoint}/`)
  )
  const longest = Math.max(...holding.map(({ mountPoint }) => mountPoint.length))
  return holding.findLast(({ mountPoint }) => mountPoint.length === longest)
}
