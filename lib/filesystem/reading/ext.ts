import { clipped } from './fat.js'
import type { PagedSource } from './source.js'
import {
  addExtent,
  DEPTH_MAX,
  EXTENT_COUNT_MAX,
  gather,
  isName,
  type FileExtent,
  type FileSystemReader,
  type FoundFile
} from './source.js'

/** ext2, ext3 and ext4 (the kernel's Documentation/filesystems/ext4). */
const SUPERBLOCK_OFFSET = 1024
const SUPERBLOCK_BYTES = 1024
const MAGIC = 0xef53
const COMPAT_HAS_JOURNAL = 0x4
const INCOMPAT_RECOVER = 0x4
const INCOMPAT_META_BG = 0x10
const INCOMPAT_EXTENTS = 0x40
const INCOMPAT_64BIT = 0x80
const INCOMPAT_ENCRYPT = 0x10000
const ROOT_INODE = 2
const MODE_TYPE = 0xf000
const MODE_DIRECTORY = 0x4000
const MODE_REGULAR = 0x8000
const FLAG_ENCRYPTED = 0x800
const FLAG_EXTENTS = 0x80000
const FLAG_INLINE = 0x10000000
const EXTENT_MAGIC = 0xf30a
const EXTENT_DEPTH_MAX = 5
/** A longer one is allocated and not written: it reads as zeroes. */
const WRITTEN_BLOCKS_MAX = 32768
const BLOCK_AT = 40
const BLOCK_BYTES = 60
const DIRECT_BLOCKS = 12

interface Shape {
  readonly blockBytes: number
  readonly blockCount: number
  readonly inodeCount: number
  readonly inodesPerGroup: number
  readonly inodeBytes: number
  readonly descriptorBytes: number
  readonly descriptorsOffset: number
}

/** The volume when the source holds one, else undefined. */
export async function openExt(source: PagedSource): Promise<FileSystemReader | undefined> {
  const block = await source.bytes(SUPERBLOCK_OFFSET, SUPERBLOCK_BYTES)
  if (block.length < SUPERBLOCK_BYTES || block.readUInt16LE(56) !== MAGIC) return undefined
  const shift = block.readUInt32LE(24)
  const incompat = block.readUInt32LE(96)
  if (shift > 6) return undefined
  const blockBytes = 1024 * 2 ** shift
  const is64 = (incompat & INCOMPAT_64BIT) !== 0
  const inodeBytes = block.readUInt32LE(76) === 0 ? 128 : block.readUInt16LE(88)
  const shape: Shape = {
    blockBytes,
    blockCount: block.readUInt32LE(4) + (is64 ? block.readUInt32LE(336) * 2 ** 32 : 0),
    inodeCount: block.readUInt32LE(0),
    inodesPerGroup: block.readUInt32LE(40),
    inodeBytes,
    descriptorBytes: is64 ? Math.max(32, block.readUInt16LE(254)) : 32,
    descriptorsOffset: (block.readUInt32LE(20) + 1) * blockBytes
  }
  if (shape.inodesPerGroup === 0 || inodeBytes < 128 || inodeBytes > blockBytes) return undefined
  return new ExtReader(source, shape, kindOf(block.readUInt32LE(92), incompat), notesOf(incompat))
}

function kindOf(compat: number, incompat: number): string {
  if ((incompat & INCOMPAT_EXTENTS) !== 0) return 'ext4'
  return (compat & COMPAT_HAS_JOURNAL) === 0 ? 'ext2' : 'ext3'
}

function notesOf(incompat: number): string[] {
  const notes: string[] = []
  if ((incompat & INCOMPAT_RECOVER) !== 0)
    notes.push('its journal has not been replayed: the newest names may be missing')
  if ((incompat & INCOMPAT_ENCRYPT) !== 0) notes.push('names in encrypted directories cannot be read')
  if ((incompat & INCOMPAT_META_BG) !== 0) notes.push('its layout (meta_bg) is not known here: names are missing')
  return notes
}

interface Inode {
  readonly mode: number
  readonly flags: number
  readonly lengthBytes: number
  /** In the source. */
  readonly offset: number
  readonly block: Buffer
}

class ExtReader implements FileSystemReader {
  /** Directories that have been read: a ring ends here. */
  private readonly seen = new Set<number>()

  constructor(
    private readonly source: PagedSource,
    private readonly shape: Shape,
    readonly kind: string,
    readonly notes: readonly string[]
  ) {}

  async *files(): AsyncGenerator<FoundFile> {
    this.seen.clear()
    this.seen.add(ROOT_INODE)
    const root = await this.inode(ROOT_INODE)
    if (root) yield* this.directory('', root, 0)
  }

  private async *directory(path: string, inode: Inode, depth: number): AsyncGenerator<FoundFile> {
    if (depth > DEPTH_MAX || (inode.flags & FLAG_ENCRYPTED) !== 0) return
    const extents = await this.extentsOf(inode)
    const { lengthBytes } = inode
    if (path !== '') yield { path, directory: true, lengthBytes, extents }
    for (const { name, number } of entriesOf(await this.entryBytes(inode, extents))) {
      const below = `${path}/${name}`
      const found = await this.inode(number)
      const type = found ? found.mode & MODE_TYPE : 0
      if (type === MODE_REGULAR) yield await this.file(below, found!)
      else if (type === MODE_DIRECTORY && !this.seen.has(number)) {
        this.seen.add(number)
        yield* this.directory(below, found!, depth + 1)
      }
    }
  }

  private async file(path: string, inode: Inode): Promise<FoundFile> {
    const { lengthBytes } = inode
    const extents = clipped(await this.extentsOf(inode), lengthBytes)
    const found = { path, directory: false, lengthBytes, extents }
    if ((inode.flags & FLAG_ENCRYPTED) !== 0) return { ...found, unreadable: 'it is encrypted by its file system' }
    const inline = (inode.flags & FLAG_INLINE) !== 0 && lengthBytes > BLOCK_BYTES
    return inline ? { ...found, unreadable: 'a part of it lies in its attributes' } : found
  }

  /** A directory that is stored in its inode begins with the number of its parent. */
  private async entryBytes(inode: Inode, extents: readonly FileExtent[]): Promise<Buffer> {
    if ((inode.flags & FLAG_INLINE) !== 0) return inode.block.subarray(4)
    return gather(this.source, extents, inode.lengthBytes)
  }

  private async inode(number: number): Promise<Inode | undefined> {
    const { inodeCount, inodesPerGroup, inodeBytes, descriptorBytes, descriptorsOffset, blockBytes } = this.shape
    if (number < 1 || number > inodeCount) return undefined
    const group = Math.floor((number - 1) / inodesPerGroup)
    const descriptor = await this.source.bytes(descriptorsOffset + group * descriptorBytes, descriptorBytes)
    if (descriptor.length < descriptorBytes) return undefined
    const table = descriptor.readUInt32LE(8) + (descriptorBytes >= 64 ? descriptor.readUInt32LE(40) * 2 ** 32 : 0)
    const offset = table * blockBytes + ((number - 1) % inodesPerGroup) * inodeBytes
    const bytes = await this.source.bytes(offset, 128)
    if (bytes.length < 128 || bytes.readUInt16LE(26) === 0) return undefined
    return {
      mode: bytes.readUInt16LE(0),
      flags: bytes.readUInt32LE(32),
      lengthBytes: Math.min(bytes.readUInt32LE(4) + bytes.readUInt32LE(108) * 2 ** 32, Number.MAX_SAFE_INTEGER),
      offset,
      block: bytes.subarray(BLOCK_AT, BLOCK_AT + BLOCK_BYTES)
    }
  }

  private async extentsOf(inode: Inode): Promise<FileExtent[]> {
    const extents: FileExtent[] = []
    if ((inode.flags & FLAG_INLINE) !== 0) {
      addExtent(extents, 0, inode.offset + BLOCK_AT, Math.min(BLOCK_BYTES, inode.lengthBytes))
    } else if ((inode.flags & FLAG_EXTENTS) !== 0) await this.extentTree(inode.block, EXTENT_DEPTH_MAX, extents)
    else await this.blockMap(inode, extents)
    return extents
  }

  /** A node: its head, then leaves or the numbers of other nodes. */
  private async extentTree(node: Buffer, depthLeft: number, extents: FileExtent[]): Promise<void> {
    if (node.length < 12 || node.readUInt16LE(0) !== EXTENT_MAGIC || depthLeft < 0) return
    const { blockBytes } = this.shape
    const count = Math.min(node.readUInt16LE(2), Math.floor(node.length / 12) - 1)
    const depth = node.readUInt16LE(6)
    for (let index = 0; index < count && extents.length < EXTENT_COUNT_MAX; index++) {
      const at = 12 * (index + 1)
      if (depth > 0) {
        const child = node.readUInt32LE(at + 4) + node.readUInt16LE(at + 8) * 2 ** 32
        await this.extentTree(await this.source.bytes(child * blockBytes, blockBytes), depthLeft - 1, extents)
        continue
      }
      const length = node.readUInt16LE(at + 4)
      const start = node.readUInt32LE(at + 8) + node.readUInt16LE(at + 6) * 2 ** 32
      if (length <= WRITTEN_BLOCKS_MAX) this.add(extents, node.readUInt32LE(at), start, length)
    }
  }

  /** ext2 and ext3: twelve numbers of blocks, then trees of one, two and three levels. */
  private async blockMap({ block, lengthBytes }: Inode, extents: FileExtent[]): Promise<void> {
    const { blockBytes } = this.shape
    const count = Math.ceil(lengthBytes / blockBytes)
    const perBlock = blockBytes / 4
    for (let index = 0; index < Math.min(count, DIRECT_BLOCKS); index++) {
      this.add(extents, index, block.readUInt32LE(index * 4), 1)
    }
    let first = DIRECT_BLOCKS
    for (let level = 1; level <= 3 && first < count; level++) {
      await this.indirect(block.readUInt32LE((DIRECT_BLOCKS + level - 1) * 4), level, first, count, extents)
      first += perBlock ** level
    }
  }

  private async indirect(
    number: number,
    level: number,
    first: number,
    count: number,
    extents: FileExtent[]
  ): Promise<void> {
    const { blockBytes } = this.shape
    if (number === 0 || extents.length >= EXTENT_COUNT_MAX) return
    const numbers = await this.source.bytes(number * blockBytes, blockBytes)
    const span = (blockBytes / 4) ** (level - 1)
    for (let index = 0; index * 4 + 4 <= numbers.length && first + index * span < count; index++) {
      const below = numbers.readUInt32LE(index * 4)
      if (level === 1) this.add(extents, first + index, below, 1)
      else await this.indirect(below, level - 1, first + index * span, count, extents)
    }
  }

  private add(extents: FileExtent[], block: number, start: number, count: number): void {
    const { blockBytes, blockCount } = this.shape
    if (start === 0 || start + count > blockCount) return
    addExtent(extents, block * blockBytes, start * blockBytes, count * blockBytes)
  }
}

/** Linear entries; the nodes of a hashed directory look like empty ones. */
function* entriesOf(bytes: Buffer): Generator<{ readonly name: string; readonly number: number }> {
  for (let at = 0; at + 8 <= bytes.length;) {
    const length = bytes.readUInt16LE(at + 4)
    if (length < 8 || at + length > bytes.length) return
    const nameLength = bytes[at + 6]!
    const number = bytes.readUInt32LE(at)
    const name = bytes.toString('utf8', at + 8, Math.min(at + 8 + nameLength, at + length))
    if (number !== 0 && isName(name)) yield { name, number }
    at += length
  }
}
