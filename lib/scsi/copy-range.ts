import { readVolume, writeVolume, zeroVolume } from '../volume/promises.js'
import type { Volume } from '../volume/volume.js'
import { PIECE_BYTES, ZERO_PIECE_BYTES, turn } from './pieces.js'

/** A stretch of bytes on a volume, and where it goes. */
export interface CopyRange {
  readonly source: Volume
  readonly sourceOffset: number
  readonly destination: Volume
  readonly destinationOffset: number
  readonly length: number
}

/**
 * Copies a range in pieces, so that others get their turn. What is not stored in the source is made so in the
 * destination, what the volume can copy without moving data is copied so, the rest is read and written. Ranges of one
 * volume that overlap come out as if all had been read first.
 * @param goesOn - asked before every piece and told what is done; false ends the copy there
 * @returns the bytes that were copied
 */
export async function copyRange(range: CopyRange, goesOn: (doneBytes: number) => boolean): Promise<number> {
  const { length } = range
  const backwards = isBackwards(range)
  const buffer = Buffer.allocUnsafe(Math.min(PIECE_BYTES, length))
  let done = 0
  while (done < length && goesOn(done)) {
    const left = length - done
    const piece = backwards ? await copyLast(range, left, buffer) : await copyFirst(range, done, left, buffer)
    done += piece
    if (done < length) await turn()
  }
  return done
}

/** The destination begins inside the source, so the copy begins at their ends: what is done first is what comes last. */
export function isBackwards({ source, sourceOffset, destination, destinationOffset, length }: CopyRange): boolean {
  return source === destination && destinationOffset > sourceOffset && destinationOffset < sourceOffset + length
}

/** Copies what begins `done` bytes in. Returns how much. */
async function copyFirst(range: CopyRange, done: number, left: number, buffer: Buffer): Promise<number> {
  const { source, destination } = range
  const from = range.sourceOffset + done
  const to = range.destinationOffset + done
  const extent = source.extent(from, Math.min(left, ZERO_PIECE_BYTES))
  if (!extent.mapped) {
    await zeroVolume(destination, to, extent.length, true)
    return extent.length
  }
  const moved = await copyInside(range, from, to, extent.length)
  if (moved > 0) return moved
  const part = buffer.subarray(0, Math.min(extent.length, toGranule(range, from), buffer.length))
  await readVolume(source, part, from)
  await writeVolume(destination, part, to)
  return part.length
}

/** Lets the volume copy inside itself. Returns how much it has, 0 when it cannot. */
async function copyInside(range: CopyRange, from: number, to: number, length: number): Promise<number> {
  const granularity = granularityOf(range)
  if (granularity === 0 || from % granularity !== 0) return 0
  const whole = length - (length % granularity)
  return whole === 0 ? 0 : range.source.copy(from, to, whole)
}

/** Bytes from there to where the volume could copy inside itself. */
function toGranule(range: CopyRange, from: number): number {
  const granularity = granularityOf(range)
  return granularity === 0 || from % granularity === 0 ? Infinity : granularity - (from % granularity)
}

/** What the volume can copy inside itself is a multiple of it; 0 when nothing of this range is. */
function granularityOf({ source, sourceOffset, destination, destinationOffset, length }: CopyRange): number {
  const granularity = source === destination ? source.copyGranularity : 0
  const apart = Math.abs(sourceOffset - destinationOffset)
  return granularity > 0 && apart >= length && apart % granularity === 0 ? granularity : 0
}

/** The destination begins inside the source: from the end, so that nothing is overwritten before it was read. */
async function copyLast(
  { source, sourceOffset, destinationOffset }: CopyRange,
  left: number,
  buffer: Buffer
): Promise<number> {
  const part = buffer.subarray(0, Math.min(left, buffer.length))
  const at = left - part.length
  await readVolume(source, part, sourceOffset + at)
  await writeVolume(source, part, destinationOffset + at)
  return part.length
}
