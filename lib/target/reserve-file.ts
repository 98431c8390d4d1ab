import { randomFillSync } from 'node:crypto'
import { truncateSync } from 'node:fs'
import { open, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * Room that is taken ahead: when the file system is full it is given back, so that what has been written can still be
 * put in order (records of journals, barriers, notes of logins). Random bytes, because some file systems store others
 * in no room at all.
 */
export class ReserveFile {
  private readonly path: string
  private held = false
  private filling: Promise<void> | undefined

  constructor(
    directory: string,
    private readonly lengthBytes = RESERVE_BYTES
  ) {
    this.path = join(directory, 'reserve')
  }

  /** Takes the room, unless it is taken. Without room for it there is none; that is tried again. */
  fill(): Promise<void> {
    if (this.held) return Promise.resolve()
    this.filling ??= this.write().finally(() => (this.filling = undefined))
    return this.filling
  }

  /** Gives the room back, at once. False when there is none to give. */
  release(): boolean {
    if (!this.held) return false
    this.held = false
    try {
      truncateSync(this.path)
      return true
    } catch {
      return false
    }
  }

  /** Resolves when nothing is being taken. */
  async settled(): Promise<void> {
    await this.filling
  }

  /** What is left of another run counts. */
  async find(): Promise<void> {
    const found = await stat(this.path).catch(() => undefined)
    this.held = found !== undefined && found.size >= this.lengthBytes
  }

  private async write(): Promise<void> {
    try {
      const file = await open(this.path, 'w', 0o600)
      try {
        const piece = Buffer.allocUnsafe(PIECE_BYTES)
        for (let at = 0; at < this.lengthBytes; at += piece.length) {
          await file.write(randomFillSync(piece), 0, Math.min(piece.length, this.lengthBytes - at), at)
        }
        // Where room is promised late, this is when it is taken.
        await file.sync()
        this.held = true
      } finally {
        await file.close()
      }
    } catch {
      await rm(this.path, { force: true }).catch(() => undefined)
    }
  }
}

/** The journals of a hundred clients write that in some minutes; by then somebody has read the log. */
export const RESERVE_BYTES = 16 << 20
const PIECE_BYTES = 1 << 20
