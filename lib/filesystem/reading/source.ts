import { setImmediate as nextTurn } from 'node:timers/promises'

/** Bytes that a file system lies in. */
export interface ByteSource {
  /** In bytes. */
  readonly size: number
  /** Fills the buffer; the range lies inside. */
  read(buffer: Buffer, offset: number): Promise<void>
}

/** A file or directory as its file system tells of it. */
export interface FoundFile {
  /** From the root, with `/` between names and in front. */
  readonly path: string
  readonly directory: boolean
  /** Bytes of its content; of a directory, what its entries take. */
  readonly lengthBytes: number
  /** Where its content lies. What no extent covers is zero. */
  readonly extents: readonly FileExtent[]
  /** Its content, when it cannot be taken from where it lies. */
  readonly inline?: Buffer
  /** Why its content cannot be read, in words; undefined when it can. */
  readonly unreadable?: string
}

export interface FileExtent {
  /** In the file. */
  readonly at: number
  /** In the source. */
  readonly offset: number
  readonly lengthBytes: number
}

/** A file system that is only read: names and places, nothing else. It never believes what it has not checked. */
export interface FileSystemReader {
  /** `NTFS`, `exFAT`, `FAT32`, `ext4` … */
  readonly kind: string
  /** What a person should know of it, in words: a journal that was not replayed, say. */
  readonly notes: readonly string[]
  /** All that have a name, directories too, in any order. Damaged ones are left out. */
  files(): AsyncGenerator<FoundFile>
}

/** Of one file or directory. A file that is cut into more pieces is told of in part. */
export const EXTENT_COUNT_MAX = 1 << 16
/** Bytes of the entries of one directory; 2^20 names or so. */
export const DIRECTORY_BYTES_MAX = 64 * 2 ** 20
export const DEPTH_MAX = 128

/** Pages that stay in memory, least recently read first. */
const PAGE_BYTES = 64 * 1024
const PAGE_COUNT_MAX = 128
/** Small reads between two turns of everybody else. */
const READS_A_TURN = 256

/** Small reads of a part of a source, which are near each other more often than not. */
export class PagedSource implements ByteSource {
  private readonly pages = new Map<number, Buffer>()
  private reads = 0

  /**
   * @param offset - of the part in the source
   * @param size - of the part, in bytes
   */
  constructor(
    private readonly source: ByteSource,
    readonly offset: number,
    readonly size: number
  ) {}

  async read(buffer: Buffer, offset: number): Promise<void> {
    for (let done = 0; done < buffer.length;) {
      const page = Math.floor((offset + done) / PAGE_BYTES)
      const bytes = await this.page(page)
      const within = offset + done - page * PAGE_BYTES
      done += bytes.copy(buffer, done, within, Math.min(bytes.length, within + buffer.length - done))
    }
  }

  /** Fewer bytes than asked for where the source ends; a pointer that leads out of it gives none. */
  async bytes(offset: number, length: number): Promise<Buffer> {
    const known = Math.max(0, Math.min(length, this.size - offset))
    if (!(offset >= 0) || !Number.isSafeInteger(offset) || known === 0) return Buffer.alloc(0)
    const buffer = Buffer.alloc(known)
    await this.read(buffer, offset)
    return buffer
  }

  private async page(number: number): Promise<Buffer> {
    // Pages that are known are read without a wait, and somebody else may be waiting for the processor.
    if (++this.reads % READS_A_TURN === 0) await nextTurn()
    const known = this.pages.get(number)
    this.pages.delete(number)
    const page = known ?? (await this.load(number))
    this.pages.set(number, page)
    if (this.pages.size > PAGE_COUNT_MAX) this.pages.delete(this.pages.keys().next().value!)
    return page
  }

  private async load(number: number): Promise<Buffer> {
    const start = number * PAGE_BYTES
    const page = Buffer.allocUnsafe(Math.min(PAGE_BYTES, this.size - start))
    await this.source.read(page, this.offset + start)
    return page
  }
}

/** The bytes of a directory or table, put together; what lies behind {@link DIRECTORY_BYTES_MAX} is left out. */
export async function gather(
  source: PagedSource,
  extents: readonly FileExtent[],
  lengthBytes: number
): Promise<Buffer> {
  const bytes = Buffer.alloc(Math.min(lengthBytes, DIRECTORY_BYTES_MAX))
  for (const { at, offset, lengthBytes: length } of extents) {
    if (at >= bytes.length) continue
    const part = await source.bytes(offset, Math.min(length, bytes.length - at))
    part.copy(bytes, at)
  }
  return bytes
}

/** Puts a run behind the others; one that goes on where the last one ends makes it longer. */
export function addExtent(extents: FileExtent[], at: number, offset: number, lengthBytes: number): void {
  const last = extents[extents.length - 1]
  if (last && last.at + last.lengthBytes === at && last.offset + last.lengthBytes === offset) {
    extents[extents.length - 1] = { ...last, lengthBytes: last.lengthBytes + lengthBytes }
  } else if (extents.length < EXTENT_COUNT_MAX) extents.push({ at, offset, lengthBytes })
}

/** Names come from a disk that anybody may have written: none may leave its directory. */
export function isName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !name.includes('/') && !name.includes('\0')
}
