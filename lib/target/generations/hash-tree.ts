import { createHash } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { readVolume } from '../../volume/promises.js'
import type { Volume } from '../../volume/volume.js'
import { TargetError } from '../errors.js'
import type { JobProgress } from '../jobs.js'

/**
 * The hash tree of a disk, of two levels: SHA-256 over each MiB (the leaves), and over the disk's length and all leaves
 * (the root). With the leaves of the generation below only those have to be read that a layer touches.
 */
export const LEAF_BYTES = 1 << 20
/** Bytes of a leaf's hash. */
export const HASH_LENGTH = 32

/** It works at most half of the time, so that clients of the same disk have the other half. */
const REST_SHARE = 1

/** Leaves of another disk, and where this one differs from it. */
export interface KnownLeaves {
  readonly leaves: Buffer
  /** Bytes of that disk. */
  readonly size: number
  /** Whether the range can differ. */
  readonly touched: (offset: number, length: number) => boolean
}

/** The hashes of all leaves, one behind the other. */
export async function hashLeaves(
  volume: Volume,
  known: KnownLeaves | undefined,
  progress: JobProgress
): Promise<Buffer> {
  const count = leafCountOf(volume.size)
  const leaves = Buffer.alloc(count * HASH_LENGTH)
  const buffer = Buffer.allocUnsafeSlow(LEAF_BYTES)
  for (let index = 0; index < count; index++) {
    if (progress.signal.aborted) throw new TargetError('ERR_ISCSI_STOPPED', 'the server was stopped')
    const offset = index * LEAF_BYTES
    const length = leafLength(volume.size, index)
    const began = performance.now()
    const same =
      known &&
      offset + length <= known.size &&
      length === leafLength(known.size, index) &&
      !known.touched(offset, length)
    if (same) hashAt(known.leaves, index).copy(leaves, index * HASH_LENGTH)
    else (await hashLeaf(volume, buffer.subarray(0, length), offset)).copy(leaves, index * HASH_LENGTH)
    progress.report(offset + length, volume.size)
    if (!same) await pause((performance.now() - began) * REST_SHARE)
  }
  return leaves
}

/** Leaves of a disk of so many bytes; the last one may be short. */
export function leafCountOf(size: number): number {
  return Math.ceil(size / LEAF_BYTES)
}

export function leafLength(size: number, index: number): number {
  return Math.min(LEAF_BYTES, size - index * LEAF_BYTES)
}

export function hashOfLeaf(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest()
}

/** The hash of one leaf in a list of them; empty when the list ends before. */
export function hashAt(leaves: Buffer, index: number): Buffer {
  return leaves.subarray(index * HASH_LENGTH, (index + 1) * HASH_LENGTH)
}

async function hashLeaf(volume: Volume, buffer: Buffer, offset: number): Promise<Buffer> {
  const { length, mapped } = volume.extent(offset, buffer.length)
  if (!mapped && length === buffer.length) buffer.fill(0)
  else await readVolume(volume, buffer, offset)
  return hashOfLeaf(buffer)
}

/** The root, in hex. */
export function rootOf(leaves: Buffer, size: number): string {
  const length = Buffer.alloc(8)
  length.writeBigUInt64BE(BigInt(size))
  return createHash('sha256').update(length).update(leaves).digest('hex')
}

/** Offset of the first leaf that differs; undefined when none does. */
export function firstDifference(one: Buffer, other: Buffer): number | undefined {
  for (let at = 0; at < Math.max(one.length, other.length); at += HASH_LENGTH) {
    if (!one.subarray(at, at + HASH_LENGTH).equals(other.subarray(at, at + HASH_LENGTH))) {
      return (at / HASH_LENGTH) * LEAF_BYTES
    }
  }
  return undefined
}
