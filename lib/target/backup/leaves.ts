import { createHash } from 'node:crypto'
import type { CopyPart } from '../delta-copy.js'
import { HASH_LENGTH, LEAF_BYTES } from '../generations/hash-tree.js'

/** A disk in leaves, as the hash tree of its generation counts them: each is a MiB, the last one may be short. */
export function leafCountOf(sizeBytes: number): number {
  return Math.ceil(sizeBytes / LEAF_BYTES)
}

export function leafLength(sizeBytes: number, index: number): number {
  return Math.min(LEAF_BYTES, sizeBytes - index * LEAF_BYTES)
}

export function hashOfLeaf(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest()
}

/** The hash of one leaf in a list of them; empty when the list ends before. */
export function hashAt(leaves: Buffer, index: number): Buffer {
  return leaves.subarray(index * HASH_LENGTH, (index + 1) * HASH_LENGTH)
}

export interface Leaf {
  readonly index: number
  /** Used again for the next one. */
  readonly bytes: Buffer
}

/**
 * Puts the parts of a copy together into leaves, in the order of the disk.
 * @param from - the leaf that the copy begins with
 * @param onlyGiven - what no part covers is left out; otherwise it is zero
 */
export async function* leavesOf(
  parts: AsyncIterable<CopyPart>,
  sizeBytes: number,
  from: number,
  onlyGiven: boolean
): AsyncGenerator<Leaf> {
  const whole = Buffer.alloc(LEAF_BYTES)
  let index = from
  let given = false
  const leaf = () => ({ index, bytes: whole.subarray(0, leafLength(sizeBytes, index)) })
  for await (const part of parts) {
    if (part.kind === 'size') continue
    const start = part.offset
    // Everything before this part has come.
    while (index < Math.floor(start / LEAF_BYTES)) {
      if (given || !onlyGiven) yield leaf()
      if (given) whole.fill(0)
      given = false
      index++
    }
    if (part.kind === 'reached') continue
    for (let done = 0; done < part.bytes.length;) {
      const within = (start + done) % LEAF_BYTES
      const length = Math.min(LEAF_BYTES - within, part.bytes.length - done)
      part.bytes.copy(whole, within, done, done + length)
      given = true
      done += length
      if (within + length < LEAF_BYTES) continue
      yield leaf()
      whole.fill(0)
      given = false
      index++
    }
  }
  for (; index < leafCountOf(sizeBytes); index++) {
    if (given || !onlyGiven) yield leaf()
    if (given) whole.fill(0)
    given = false
  }
}
