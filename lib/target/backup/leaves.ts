import type { FileHandle } from 'node:fs/promises'
import type { CopyPart } from '../delta-copy.js'
import { LEAF_BYTES, hashAt, hashOfLeaf, leafCountOf, leafLength } from '../generations/hash-tree.js'

/** A disk that lies in files leaf by leaf, and the hashes of all of them. */
export interface StoredLeaves {
  readonly sizeBytes: number
  readonly leaves: Buffer
}

/**
 * Reads a leaf from its place in a file.
 * @param place - offset in leaves
 * @param buffer - a leaf of room
 * @returns undefined when what lies there is not what was stored
 */
export async function readLeaf(
  file: FileHandle,
  { sizeBytes, leaves }: StoredLeaves,
  index: number,
  place: number,
  buffer: Buffer
): Promise<Buffer | undefined> {
  const bytes = buffer.subarray(0, leafLength(sizeBytes, index))
  const { bytesRead } = await file.read(bytes, 0, bytes.length, place * LEAF_BYTES)
  return bytesRead === bytes.length && hashOfLeaf(bytes).equals(hashAt(leaves, index)) ? bytes : undefined
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
