import { constants, type Stats } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { codeOf } from '../../util/errors.js'

/**
 * Reads a file from its start to its end. Node cannot ask where the holes of a sparse file are, and reading them through
 * the page cache fills memory with zeroes at a few hundred MB/s. Past the cache (O_DIRECT, Linux) a hole costs almost
 * nothing: 25 GB/s were measured. That wants a place in memory at a multiple of the sector, which Node does not promise;
 * so the place is found by trying, and where none is taken the file is read as usual.
 */
export class SourceReader {
  private readonly memory = Buffer.alloc(BLOCK_BYTES + ALIGNMENT)
  /** Where in the memory a direct read is taken. */
  private shift = 0
  private handle: FileHandle | undefined
  private path = ''
  private direct = false

  /** @param sparse - the file has holes */
  async open(path: string, sparse: boolean): Promise<void> {
    this.path = path
    this.direct = false
    this.handle = sparse ? await this.openDirect() : undefined
    this.handle ??= await open(path, 'r')
  }

  stat(): Promise<Stats> {
    return this.handle!.stat()
  }

  async close(): Promise<void> {
    await this.handle?.close()
    this.handle = undefined
  }

  /**
   * The bytes from `offset` on, a multiple of {@link BLOCK_BYTES}: that many, or what is left of the file. They are
   * overwritten by the next read.
   */
  async read(offset: number): Promise<Buffer> {
    if (!this.direct) return this.fill(offset)
    for (let tried = 0; tried < ALIGNMENT / ALIGNMENT_STEP; tried++) {
      try {
        return await this.fill(offset)
      } catch (error) {
        if (codeOf(error) !== 'EINVAL') throw error
        this.shift = (this.shift + ALIGNMENT_STEP) % ALIGNMENT
      }
    }
    await this.close()
    await this.open(this.path, false)
    return this.fill(offset)
  }

  private async fill(offset: number): Promise<Buffer> {
    const place = this.memory.subarray(this.shift, this.shift + BLOCK_BYTES)
    let got = 0
    while (got < place.length) {
      const { bytesRead } = await this.handle!.read(place, got, place.length - got, offset + got)
      got += bytesRead
      // A direct read that ends in the middle of a sector has met the end of the file; going on there is refused.
      if (bytesRead === 0 || (this.direct && bytesRead % ALIGNMENT !== 0)) break
    }
    return place.subarray(0, got)
  }

  /** Undefined where the system or the file system has no such thing. */
  private async openDirect(): Promise<FileHandle | undefined> {
    if (process.platform !== 'linux') return undefined
    const handle = await open(this.path, constants.O_RDONLY | constants.O_DIRECT).catch(() => undefined)
    this.direct = handle !== undefined
    return handle
  }
}

/** Bytes of one read. */
export const BLOCK_BYTES = 2 ** 20
/** Of memory, offset and length; no disk wants more than its 4096-byte sectors. */
const ALIGNMENT = 4096
/** What memory of this size is at least aligned to. */
const ALIGNMENT_STEP = 16
