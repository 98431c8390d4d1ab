import { clipped } from './fat.js'
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

/** exFAT file system specification 1.00; the numbers of sections are its own. */
const ENTRY_BYTES = 32
const TYPE_FILE = 0x85
const TYPE_STREAM_EXTENSION = 0xc0
const TYPE_FILE_NAME = 0xc1
const ATTRIBUTE_DIRECTORY = 0x10
const NO_FAT_CHAIN = 0x02
const SECONDARY_COUNT_MAX = 18

interface Shape {
  readonly fatOffset: number
  readonly heapOffset: number
  readonly clusterBytes: number
  readonly clusterCount: number
  readonly rootCluster: number
}

/** The volume when the source begins with one (§3.1), else undefined. */
export function openExfat(source: PagedSource, boot: Buffer): FileSystemReader | undefined {
  if (boot.length < 512 || boot.toString('latin1', 3, 11) !== 'EXFAT   ') return undefined
  const [sectorShift, clusterShift] = [boot[108]!, boot[109]!]
  if (sectorShift < 9 || sectorShift > 12 || sectorShift + clusterShift > 25) return undefined
  const sector = 2 ** sectorShift
  const shape: Shape = {
    fatOffset: boot.readUInt32LE(80) * sector,
    heapOffset: boot.readUInt32LE(88) * sector,
    clusterBytes: sector * 2 ** clusterShift,
    clusterCount: boot.readUInt32LE(92),
    rootCluster: boot.readUInt32LE(96)
  }
  return new ExfatReader(source, shape)
}

interface Stream {
  readonly first: number
  readonly lengthBytes: number
  readonly contiguous: boolean
}

class ExfatReader implements FileSystemReader {
  readonly kind = 'exFAT'
  readonly notes: readonly string[] = []
  /** First clusters of directories that have been read: a ring ends here. */
  private readonly seen = new Set<number>()

  constructor(
    private readonly source: PagedSource,
    private readonly shape: Shape
  ) {}

  async *files(): AsyncGenerator<FoundFile> {
    this.seen.clear()
    const root = await this.extentsOf({
      first: this.shape.rootCluster,
      lengthBytes: DIRECTORY_BYTES_MAX,
      contiguous: false
    })
    yield* this.directory('', root, 0)
  }

  private async *directory(path: string, extents: readonly FileExtent[], depth: number): AsyncGenerator<FoundFile> {
    if (depth > DEPTH_MAX) return
    const length = extents.reduce((sum, extent) => sum + extent.lengthBytes, 0)
    if (path !== '') yield { path, directory: true, lengthBytes: length, extents }
    for (const { name, directory, stream, validBytes } of entrySetsOf(await gather(this.source, extents, length))) {
      const below = `${path}/${name}`
      const found = await this.extentsOf(stream)
      if (!directory) {
        // §7.6.5: what lies behind the valid data reads as zeroes.
        const own = clipped(found, Math.min(stream.lengthBytes, validBytes))
        yield { path: below, directory: false, lengthBytes: stream.lengthBytes, extents: own }
      } else if (!this.seen.has(stream.first)) {
        this.seen.add(stream.first)
        yield* this.directory(below, found, depth + 1)
      }
    }
  }

  private async extentsOf({ first, lengthBytes, contiguous }: Stream): Promise<FileExtent[]> {
    const { clusterBytes, clusterCount, heapOffset, fatOffset } = this.shape
    const extents: FileExtent[] = []
    const count = Math.min(clusterCount, Math.ceil(lengthBytes / clusterBytes))
    let cluster = first
    if (contiguous && this.holds(cluster)) {
      const known = Math.min(count, clusterCount + 2 - cluster)
      addExtent(extents, 0, heapOffset + (cluster - 2) * clusterBytes, known * clusterBytes)
      return extents
    }
    for (let index = 0; index < count && this.holds(cluster); index++) {
      addExtent(extents, index * clusterBytes, heapOffset + (cluster - 2) * clusterBytes, clusterBytes)
      const entry = await this.source.bytes(fatOffset + cluster * 4, 4)
      cluster = entry.length < 4 ? 0 : entry.readUInt32LE(0)
    }
    return extents
  }

  private holds(cluster: number): boolean {
    return cluster >= 2 && cluster < this.shape.clusterCount + 2
  }
}

interface EntrySet {
  readonly name: string
  readonly directory: boolean
  readonly stream: Stream
  readonly validBytes: number
}

/** §6.3, §7.4, §7.6, §7.7. A set that is not whole names nothing. */
function* entrySetsOf(bytes: Buffer): Generator<EntrySet> {
  for (let at = 0; at + ENTRY_BYTES <= bytes.length && bytes[at] !== 0; at += ENTRY_BYTES) {
    if (bytes[at] !== TYPE_FILE) continue
    const count = bytes[at + 1]!
    const set = bytes.subarray(at, at + (count + 1) * ENTRY_BYTES)
    if (count < 2 || count > SECONDARY_COUNT_MAX || set.length < (count + 1) * ENTRY_BYTES) continue
    const stream = set.subarray(ENTRY_BYTES)
    if (stream[0] !== TYPE_STREAM_EXTENSION) continue
    const name = nameOf(set, stream[3]!)
    if (name === undefined || !isName(name)) continue
    yield {
      name,
      directory: (set.readUInt16LE(4) & ATTRIBUTE_DIRECTORY) !== 0,
      validBytes: Number(stream.readBigUInt64LE(8)),
      stream: {
        first: stream.readUInt32LE(20),
        lengthBytes: Number(stream.readBigUInt64LE(24)),
        contiguous: (stream[1]! & NO_FAT_CHAIN) !== 0
      }
    }
  }
}

function nameOf(set: Buffer, unitCount: number): string | undefined {
  let name = ''
  for (let at = 2 * ENTRY_BYTES; at < set.length; at += ENTRY_BYTES) {
    if (set[at] === TYPE_FILE_NAME) name += set.toString('utf16le', at + 2, at + ENTRY_BYTES)
  }
  return name.length < unitCount ? undefined : name.slice(0, unitCount)
}
