import { openExfat } from './exfat.js'
import { openExt } from './ext.js'
import { openFat } from './fat.js'
import { openNtfs } from './ntfs.js'
import { PagedSource, type ByteSource, type FileSystemReader } from './source.js'

const BOOT_BYTES = 512

/**
 * The file system that lies there; undefined when it is none that is known here.
 * @param offset - of its partition in the source
 * @param lengthBytes - of its partition
 */
export async function openFileSystem(
  source: ByteSource,
  offset: number,
  lengthBytes: number
): Promise<FileSystemReader | undefined> {
  const paged = new PagedSource(source, offset, lengthBytes)
  const boot = await paged.bytes(0, BOOT_BYTES)
  // FAT has no name of its own that could be trusted, so it comes last.
  return openExfat(paged, boot) ?? (await openNtfs(paged, boot)) ?? (await openExt(paged)) ?? openFat(paged, boot)
}
