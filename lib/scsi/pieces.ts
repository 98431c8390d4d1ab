import { readVolume } from '../volume/promises.js'
import type { Volume } from '../volume/volume.js'
import type { Task } from './task.js'

/** Bytes that are read, compared or written between two looks at the rest of the world. */
export const PIECE_BYTES = 256 * 1024
/** Zeroing is a matter of a map or of the file system, not of data: larger pieces. */
export const ZERO_PIECE_BYTES = 16 * 1024 * 1024

/**
 * Long work of one command in pieces: between two of them other work of the process gets its turn, and an aborted
 * task stops there.
 * @param work - is given byte offsets relative to the start of the range, and lengths in bytes
 */
export async function inPieces(
  task: Task,
  length: number,
  pieceBytes: number,
  work: (at: number, length: number) => Promise<void>
): Promise<void> {
  for (let at = 0; at < length; at += pieceBytes) {
    if (at > 0) await turn()
    if (task.aborted) return
    await work(at, Math.min(pieceBytes, length - at))
  }
}

/** Reads a range of the medium for nothing but to see that it can be read (a verify medium operation). */
export async function readThrough(task: Task, volume: Volume, offset: number, length: number): Promise<void> {
  const buffer = Buffer.allocUnsafe(Math.min(PIECE_BYTES, length))
  await inPieces(task, length, PIECE_BYTES, (at, count) => readVolume(volume, buffer.subarray(0, count), offset + at))
}

/** First byte at which both differ, or -1. The buffers have equal lengths. */
export function firstDifference(left: Buffer, right: Buffer): number {
  if (left.equals(right)) return -1
  let at = 0
  while (left[at] === right[at]) at++
  return at
}

/** Lets all else that waits in this process have its turn. */
export function turn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve))
}
