import type { FileHandle } from 'node:fs/promises'

/**
 * Reads a file from front to back in large blocks, always one of them ahead of whoever takes them apart. What is left
 * of a block is found again in front of the next one, so that nothing that a block cuts has to be put together.
 */
export class ReadAhead {
  /** What was read lies between {@link at} and {@link end}; the reader moves `at`. */
  bytes: Buffer = Buffer.alloc(0)
  at = 0
  end = 0
  private spare: Buffer | undefined
  private ahead: Promise<number>

  /**
   * @param position - of the first byte
   * @param size - bytes of the file
   * @param carryMax - the most that is left of a block
   * @param blockBytes - of one read
   */
  constructor(
    private readonly file: FileHandle,
    private position: number,
    private readonly size: number,
    private readonly carryMax: number,
    private readonly blockBytes = BLOCK_BYTES
  ) {
    this.ahead = this.begin()
  }

  /** Moves on by a block. False at the end of the file; what is left is left there. */
  async next(): Promise<boolean> {
    const filled = await this.ahead
    if (filled === 0) return false
    const left = this.end - this.at
    const next = this.spare!
    this.bytes.copy(next, this.carryMax - left, this.at, this.end)
    this.spare = this.bytes
    this.bytes = next
    this.at = this.carryMax - left
    this.end = this.carryMax + filled
    this.position += filled
    this.ahead = this.begin()
    return true
  }

  /** Nobody asks for more; resolves when the file may be closed. */
  async stop(): Promise<void> {
    await this.ahead.catch(() => undefined)
  }

  private begin(): Promise<number> {
    const length = Math.max(0, Math.min(this.blockBytes, this.size - this.position))
    if (length === 0) return Promise.resolve(0)
    const wanted = this.carryMax + length
    if (!this.spare || this.spare.length < wanted) this.spare = Buffer.allocUnsafe(wanted)
    const reading = readAt(this.file, this.spare, this.carryMax, length, this.position)
    // Whoever asks for the block hears of it; until then it is nobody's.
    reading.catch(() => undefined)
    return reading
  }
}

/** Fills this part of the buffer as far as the file goes. */
export async function readAt(
  file: FileHandle,
  buffer: Buffer,
  start: number,
  length: number,
  position: number
): Promise<number> {
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await file.read(buffer, start + filled, length - filled, position + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return filled
}

const BLOCK_BYTES = 1 << 20
