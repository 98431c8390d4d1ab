import { readVolume } from '../volume/promises.js'
import type { Volume } from '../volume/volume.js'
import { PIECE_BYTES, firstDifference } from './pieces.js'

// What the medium says, for the moment of one comparison; synchronous, so one for all is enough.
const scratch = Buffer.allocUnsafe(PIECE_BYTES)

/** Is [start, start + length) of `buffer` on the medium at `offset`? Undefined when the disk has to be asked first. */
export function equalsMediumNow(
  volume: Volume,
  buffer: Buffer,
  start: number,
  length: number,
  offset: number
): boolean | undefined {
  for (let at = 0; at < length; at += PIECE_BYTES) {
    const count = Math.min(PIECE_BYTES, length - at)
    if (!volume.tryRead(scratch, 0, count, offset + at)) return undefined
    if (scratch.compare(buffer, start + at, start + at + count, 0, count) !== 0) return false
  }
  return true
}

/** First byte of `expected` that differs from the medium at `offset`, or -1. */
export async function firstMediumDifference(volume: Volume, expected: Buffer, offset: number): Promise<number> {
  const actual = Buffer.allocUnsafe(Math.min(PIECE_BYTES, expected.length))
  for (let at = 0; at < expected.length; at += PIECE_BYTES) {
    const part = expected.subarray(at, at + PIECE_BYTES)
    await readVolume(volume, actual.subarray(0, part.length), offset + at)
    const difference = firstDifference(part, actual.subarray(0, part.length))
    if (difference >= 0) return at + difference
  }
  return -1
}
