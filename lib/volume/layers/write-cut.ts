import { ZERO } from '../delta/delta-map.js'
import { ZEROES } from '../drivers/transfer.js'

/** What becomes of a piece of a write. */
export const PIECE = {
  /** The bytes are to be stored. */
  data: 0,
  /** Whole chunks that are all zeroes: the map can say so. */
  zeroes: 1,
  /** The client reads the same bytes already. */
  same: 2
} as const

/** What is known of a chunk that is written in part and will get a slot: its content now. */
export interface KnownChunk {
  readonly buffer: Buffer
}

/**
 * Cuts a write into pieces that need to be stored and such that need not, as far as that is cheap to know: chunks of
 * zeroes, and parts of chunks whose rest has been read anyway. For what is neither, a look at three bytes of each chunk
 * is all it costs. One object that is used again and again.
 */
export class WriteCut {
  /** After {@link next}: one of {@link PIECE}. */
  piece: number = PIECE.data

  /**
   * @param chunkSize - bytes
   * @param size - bytes of the disk, whose last chunk may be short
   */
  constructor(
    private readonly chunkSize: number,
    private readonly size: number
  ) {}

  /**
   * Looks at `length` bytes for a place on the disk, which the map has under one kind of entry.
   * @param entry - of the first chunk
   * @param known - what a chunk that is covered in part holds; undefined for one that is written where it is
   * @returns bytes of the first piece
   */
  next(
    buffer: Buffer,
    start: number,
    length: number,
    offset: number,
    entry: number,
    known: (chunk: number) => KnownChunk | undefined
  ): number {
    let done = this.pieceAt(buffer, start, length, offset, entry, known)
    const { piece } = this
    while (done < length) {
      const more = this.pieceAt(buffer, start + done, length - done, offset + done, entry, known)
      if (this.piece !== piece) break
      done += more
    }
    this.piece = piece
    return done
  }

  /** The same for what lies in one chunk. */
  private pieceAt(
    buffer: Buffer,
    start: number,
    length: number,
    offset: number,
    entry: number,
    known: (chunk: number) => KnownChunk | undefined
  ): number {
    const chunk = Math.floor(offset / this.chunkSize)
    const chunkStart = chunk * this.chunkSize
    const chunkEnd = Math.min(chunkStart + this.chunkSize, this.size)
    const end = Math.min(offset + length, chunkEnd)
    const bytes = end - offset
    if (offset === chunkStart && end === chunkEnd) {
      if (!isZero(buffer, start, bytes)) this.piece = PIECE.data
      else this.piece = entry === ZERO ? PIECE.same : PIECE.zeroes
      return bytes
    }
    const content = known(chunk)?.buffer
    const within = offset - chunkStart
    const same = content !== undefined && equal(buffer, start, content, within, bytes)
    this.piece = same ? PIECE.same : PIECE.data
    return bytes
  }
}

function equal(left: Buffer, leftStart: number, right: Buffer, rightStart: number, length: number): boolean {
  if (left[leftStart] !== right[rightStart]) return false
  return right.compare(left, leftStart, leftStart + length, rightStart, rightStart + length) === 0
}

function isZero(buffer: Buffer, start: number, length: number): boolean {
  if (buffer[start]! | buffer[start + (length >>> 1)]! | buffer[start + length - 1]!) return false
  return ZEROES.compare(buffer, start, start + length, 0, length) === 0
}
