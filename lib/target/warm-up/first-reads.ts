import type { ReadWatch } from '../../scsi/logical-unit.js'

/** Smaller than what a disk turns past while its head moves, so that what lies between two reads costs nothing. */
export const PIECE_BYTES = 64 * 1024

/** Pieces of a disk that clients have read, each once, in the order in which they were read first. */
export class FirstReads implements ReadWatch {
  private readonly read = new Set<number>()

  /** @param piecesMax - further ones are not remembered */
  constructor(private readonly piecesMax: number) {}

  /** Data path, in the first minute of a session alone. */
  note(offset: number, length: number): void {
    const end = Math.ceil((offset + length) / PIECE_BYTES)
    for (let piece = Math.floor(offset / PIECE_BYTES); piece < end && this.read.size < this.piecesMax; piece++) {
      this.read.add(piece)
    }
  }

  get count(): number {
    return this.read.size
  }

  /** These, and behind them what was read at earlier times: what nobody reads any more falls off the end. */
  before(earlier: readonly number[]): number[] {
    const all = new Set(this.read)
    for (const piece of earlier) {
      if (all.size >= this.piecesMax) break
      all.add(piece)
    }
    return [...all]
  }
}
