import { statfs, type FileHandle } from 'node:fs/promises'
import { nativeExtensions } from './native.js'

/**
 * Whether what is left out between two writes to this file takes no space of its medium. Elsewhere a write far behind
 * the end would first fill everything before it with zeroes. What cannot be found out counts as no.
 */
export async function keepsHoles(handle: FileHandle, path: string, platform = process.platform): Promise<boolean> {
  if (platform === 'win32') return becomesSparse(handle)
  const { type } = await statfs(path).catch(() => ({ type: 0 }))
  return (KEEPING[platform] ?? NONE).has(type >>> 0)
}

/** NTFS and ReFS keep holes in files that are marked so, others refuse the mark. */
async function becomesSparse(handle: FileHandle): Promise<boolean> {
  const native = nativeExtensions()
  if (!native) return false
  return native.sparse(handle.fd).then(
    () => true,
    () => false
  )
}

const NONE: ReadonlySet<number> = new Set()

/** By platform, what statfs(2) calls the file systems that do: linux/magic.h, and vfs numbers of macOS. */
const KEEPING: Readonly<Partial<Record<NodeJS.Platform, ReadonlySet<number>>>> = {
  linux: new Set([
    0xef53, // ext2 to ext4
    0x58465342, // XFS
    0x9123683e, // btrfs
    0xca451a4e, // bcachefs
    0x2fc12fc1, // ZFS
    0xf2f52010, // F2FS
    0x01021994, // tmpfs
    0x7366746e, // NTFS, the driver of the kernel
    0x794c7630 // overlayfs, which stands on one of these
  ]),
  darwin: new Set([
    0x1a // APFS
  ])
}
