import type { PagedSource } from './source.js'
import {
  addExtent,
  DEPTH_MAX,
  DIRECTORY_BYTES_MAX,
  gather,
  isName,
  type FileExtent,
  type FileSystemReader,
  type FoundFile
} from './source.js'

/** FAT12, FAT16 and FAT32 (Microsoft's FAT specification 1.03). */
const ENTRY_BYTES = 32
const DELETED = 0xe5
const ATTRIBUTE_VOLUME = 0x08
const ATTRIBUTE_DIRECTORY = 0x10
const ATTRIBUTE_LONG_NAME = 0x0f
const LAST_LONG_ENTRY = 0x40
const LONG_ENTRIES_MAX = 20
/** NT keeps in byte 12 that the name, or its ending, is in lower case. */
const LOWER_NAME = 0x08
const LOWER_ENDING = 0x10

interface Shape {
  readonly bits: 12 | 16 | 32
  readonly clusterBytes: number
  readonly clusterCount: number
  readonly fatOffset: number
  readonly dataOffset: number
  /** FAT32. */
  readonly rootCluster: number
  /** FAT12 and FAT16. */
  readonly rootOffset: number
  readonly rootBytes: number
}

/** The volume when the source begins with one, else undefined. */
export function openFat(source: PagedSource, boot: Buffer): FileSystemReader | undefined {
  const shape = shapeOf(boot, source.size)
  return shape && new FatReader(source, shape)
}

function shapeOf(boot: Buffer, size: number): Shape | undefined {
  if (boot.length < 512 || boot.readUInt16LE(510) !== 0xaa55) return undefined
  const sector = boot.readUInt16LE(11)
  const perCluster = boot[13]!
  const reserved = boot.readUInt16LE(14)
  const fats = boot[16]!
  if (![512, 1024, 2048, 4096].includes(sector) || perCluster === 0 || (perCluster & (perCluster - 1)) !== 0)
    return undefined
  if (reserved === 0 || fats === 0 || fats > 4) return undefined
  const rootEntries = boot.readUInt16LE(17)
  const fatSectors = boot.readUInt16LE(22) || boot.readUInt32LE(36)
  const sectors = boot.readUInt16LE(19) || boot.readUInt32LE(32)
  const rootBytes = Math.ceil((rootEntries * ENTRY_BYTES) / sector) * sector
  const rootOffset = (reserved + fats * fatSectors) * sector
  const dataOffset = rootOffset + rootBytes
  const clusterBytes = sector * perCluster
  const clusterCount = Math.floor((sectors * sector - dataOffset) / clusterBytes)
  if (fatSectors === 0 || clusterCount < 1 || sectors * sector > size) return undefined
  // The count of clusters alone says which it is.
  const bits = clusterCount < 4085 ? 12 : clusterCount < 65525 ? 16 : 32
  if ((bits === 32) !== (rootEntries === 0)) return undefined
  if ((fatSectors * sector * 8) / bits < clusterCount) return undefined
  return {
    bits,
    clusterBytes,
    clusterCount,
    fatOffset: reserved * sector,
    dataOffset,
    rootCluster: bits === 32 ? boot.readUInt32LE(44) : 0,
    rootOffset,
    rootBytes
  }
}

class FatReader implements FileSystemReader {
  readonly kind: string
  readonly notes: readonly string[] = []
  /** First clusters of directories that have been read: a ring ends here. */
  private readonly seen = new Set<number>()

  constructor(
    private readonly source: PagedSource,
    private readonly shape: Shape
  ) {
    this.kind = `FAT${shape.bits}`
  }

  async *files(): AsyncGenerator<FoundFile> {
    const { bits, rootCluster, rootOffset, rootBytes } = this.shape
    this.seen.clear()
    const extents =
      bits === 32
        ? await this.chain(rootCluster, DIRECTORY_BYTES_MAX)
        : [{ at: 0, offset: rootOffset, lengthBytes: rootBytes }]
    yield* this.directory('', extents, 0)
  }

  private async *directory(path: string, extents: readonly FileExtent[], depth: number): AsyncGenerator<FoundFile> {
    if (depth > DEPTH_MAX) return
    const length = extents.reduce((sum, extent) => sum + extent.lengthBytes, 0)
    if (path !== '') yield { path, directory: true, lengthBytes: length, extents }
    for (const entry of entriesOf(await gather(this.source, extents, length))) {
      const below = `${path}/${entry.name}`
      if (!entry.directory) {
        const { lengthBytes } = entry
        yield {
          path: below,
          directory: false,
          lengthBytes,
          extents: clipped(await this.chain(entry.cluster, lengthBytes), lengthBytes)
        }
      } else if (!this.seen.has(entry.cluster)) {
        this.seen.add(entry.cluster)
        yield* this.directory(below, await this.chain(entry.cluster, DIRECTORY_BYTES_MAX), depth + 1)
      }
    }
  }

  /** A ring in a damaged table ends at the length that was told. */
  private async chain(first: number, lengthBytes: number): Promise<FileExtent[]> {
    const { clusterBytes, clusterCount, dataOffset } = this.shape
    const extents: FileExtent[] = []
    let cluster = first
    const count = Math.min(clusterCount, Math.ceil(lengthBytes / clusterBytes))
    for (let index = 0; index < count && cluster >= 2 && cluster < clusterCount + 2; index++) {
      addExtent(extents, index * clusterBytes, dataOffset + (cluster - 2) * clusterBytes, clusterBytes)
      cluster = await this.next(cluster)
    }
    return extents
  }

  /** Anything outside of the volume ends a chain. */
  private async next(cluster: number): Promise<number> {
    const { bits, fatOffset } = this.shape
    const at = fatOffset + Math.floor((cluster * bits) / 8)
    const entry = await this.source.bytes(at, bits === 32 ? 4 : 2)
    if (entry.length < 2) return 0
    if (bits === 32) return entry.length < 4 ? 0 : entry.readUInt32LE(0) & 0x0fffffff
    const word = entry.readUInt16LE(0)
    if (bits === 16) return word
    return cluster % 2 === 0 ? word & 0xfff : word >> 4
  }
}

interface Entry {
  readonly name: string
  readonly directory: boolean
  readonly cluster: number
  readonly lengthBytes: number
}

function* entriesOf(bytes: Buffer): Generator<Entry> {
  let long: Buffer[] = []
  for (let at = 0; at + ENTRY_BYTES <= bytes.length && bytes[at] !== 0; at += ENTRY_BYTES) {
    const entry = bytes.subarray(at, at + ENTRY_BYTES)
    const attributes = entry[11]!
    if (entry[0] === DELETED) long = []
    else if ((attributes & 0x3f) === ATTRIBUTE_LONG_NAME) long = longEntries(long, entry)
    else {
      const name = longName(long, entry) ?? shortName(entry)
      long = []
      if ((attributes & ATTRIBUTE_VOLUME) !== 0 || !isName(name)) continue
      yield {
        name,
        directory: (attributes & ATTRIBUTE_DIRECTORY) !== 0,
        cluster: entry.readUInt16LE(20) * 65536 + entry.readUInt16LE(26),
        lengthBytes: entry.readUInt32LE(28)
      }
    }
  }
}

/** They stand in front of the entry that they name, the last one first. */
function longEntries(before: readonly Buffer[], entry: Buffer): Buffer[] {
  const number = entry[0]! & 0x3f
  if ((entry[0]! & LAST_LONG_ENTRY) !== 0) return number <= LONG_ENTRIES_MAX ? [entry] : []
  const expected = before.length > 0 ? (before[before.length - 1]![0]! & 0x3f) - 1 : -1
  return number === expected ? [...before, entry] : []
}

function longName(entries: readonly Buffer[], short: Buffer): string | undefined {
  const last = entries[entries.length - 1]
  if (!last || (last[0]! & 0x3f) !== 1 || entries.some((entry) => entry[13] !== checksumOf(short))) return undefined
  const units = entries.toReversed().map((entry) => {
    return entry.toString('utf16le', 1, 11) + entry.toString('utf16le', 14, 26) + entry.toString('utf16le', 28, 32)
  })
  return units.join('').split('\0', 1)[0]!
}

function checksumOf(short: Buffer): number {
  let sum = 0
  for (let at = 0; at < 11; at++) sum = (((sum & 1) << 7) + (sum >> 1) + short[at]!) & 0xff
  return sum
}

function shortName(entry: Buffer): string {
  const bytes = Buffer.from(entry.subarray(0, 11))
  // A name that begins with E5h would look deleted.
  if (bytes[0] === 0x05) bytes[0] = DELETED
  const lower = (text: string, flag: number) => ((entry[12]! & flag) === 0 ? text : text.toLowerCase())
  const name = lower(bytes.toString('latin1', 0, 8).trimEnd(), LOWER_NAME)
  const ending = lower(bytes.toString('latin1', 8, 11).trimEnd(), LOWER_ENDING)
  return ending === '' ? name : `${name}.${ending}`
}

/** What is allocated behind the end of a file is not its content. */
export function clipped(extents: readonly FileExtent[], lengthBytes: number): FileExtent[] {
  return extents
    .filter(({ at }) => at < lengthBytes)
    .map((extent) => ({ ...extent, lengthBytes: Math.min(extent.lengthBytes, lengthBytes - extent.at) }))
}
