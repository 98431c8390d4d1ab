import { readFile, realpath, statfs } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/**
 * File systems whose reads may take seconds although the file was quick a moment ago: the magic numbers of
 * linux/magic.h and statfs(2).
 */
const REMOTE_FILE_SYSTEMS: ReadonlySet<number> = new Set([
  0x6969, // NFS
  0x517b, // SMB
  0xfe534d42, // SMB2
  0xff534d42, // CIFS
  0x01021997, // 9P, also the Windows drives under WSL
  0x65735546, // FUSE: sshfs, ntfs-3g, virtiofs and whatever else somebody wrote
  0x00c36400, // Ceph
  0x5346414f, // AFS
  0x73757245, // Coda
  0x0bd00bd0, // Lustre
  0x01161970, // GFS2
  0x7461636f // OCFS2
])

/** Root of sysfs; a parameter, so that a spec can show a machine of its own. */
export const SYS_ROOT = '/sys'

/**
 * Whether a synchronous access to this path could hold the event loop for long: it lies on a network file system or on
 * a disk that can be pulled out. What cannot be found out counts as local.
 * @param device - `st_dev` of the file
 */
export async function mayStall(path: string, device: number, sysRoot = SYS_ROOT): Promise<boolean> {
  // A UNC path is Windows' only sign; \\.\ and \\?\ name local objects.
  if (process.platform === 'win32') return /^[\\/]{2}[^.?\\/]/.test(path)
  if (process.platform !== 'linux') return false
  const { type } = await statfs(path).catch(() => ({ type: 0 }))
  return REMOTE_FILE_SYSTEMS.has(type >>> 0) || (await isRemovable(device, sysRoot))
}

/** Whether a block device, by its number, is removable or hangs on USB. */
export async function isRemovable(device: number, sysRoot = SYS_ROOT): Promise<boolean> {
  const link = join(sysRoot, 'dev/block', `${major(device)}:${minor(device)}`)
  const directory = await realpath(link).catch(() => undefined)
  if (directory === undefined) return false
  if (directory.includes('/usb')) return true
  // A partition has no such file, its disk, one directory up, has.
  const flags = await Promise.all([directory, dirname(directory)].map((at) => readWord(join(at, 'removable'))))
  return flags.includes('1')
}

/** Linux packs a device number in 12 + 20 bits; Node hands it on as it is. */
export function major(device: number): number {
  return Math.floor(device / 256) & 0xfff
}

export function minor(device: number): number {
  return (device & 0xff) | ((device >>> 12) & 0xfff00)
}

/** The trimmed text of a small file, or undefined. */
export async function readWord(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').then(
    (text) => text.trim(),
    () => undefined
  )
}
