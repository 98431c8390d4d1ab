import type { LoadGroup } from './load/job.js'

/** What one row measures. Goals are ours divided by tgtd's. */
export interface Row {
  readonly id: string
  readonly title: string
  readonly tool: Tool
  readonly goals: Goals
  readonly digests?: boolean
  /** Drops the image from the page cache before each run; `hot` stays in it. */
  readonly cold?: { readonly hotBytes: number }
  /** Lets the kernel hold so few dirty bytes that writers wait for the disk. */
  readonly dirtyBytes?: number
}

export type Tool =
  | { readonly kind: 'load'; readonly groups: readonly LoadGroup[] }
  | { readonly kind: 'iscsi-perf'; readonly depth: number; readonly blockLength: number; readonly random: boolean }
  | {
      readonly kind: 'qemu-img'
      readonly depth: number
      readonly blockLength: number
      readonly write: boolean
      /** Bytes from one request to the next; the program wraps around at the end of the image. */
      readonly step: number
      readonly count: number
    }

export interface Goals {
  /** Operations a second: at least. */
  readonly rate?: number
  /** CPU of the target for each operation: at most. */
  readonly cpu?: number
  /** Slowest session ÷ fastest, of ours: at least. */
  readonly fairness?: number
  /** 99th percentile of the group called `hot`: at most. */
  readonly hotP99?: number
}

const KIB = 1024
const MIB = 1024 * KIB
/** Length of the images in bytes. */
export const IMAGE_BYTES = 2048 * MIB
const OVERWRITTEN_BYTES = 256 * MIB
const HOT_BYTES = 64 * MIB
const INITIATOR_NAME = 'iqn.2010-04.local:load'

export const ROWS: readonly Row[] = [
  load('read-4k', '4 KiB random read, depth 32, 1 session', { rate: 3.5, cpu: 0.25 }, read(4 * KIB, 32)),
  load('write-4k', '4 KiB random write, depth 32, first touch', { rate: 2.5, cpu: 0.3 }, write(4 * KIB, 32)),
  load('overwrite-4k', '4 KiB random write, depth 32, overwrite', { rate: 2.5, cpu: 0.3 }, overwrite(4 * KIB, 32)),
  load('read-4k-d1', '4 KiB random read, depth 1', { rate: 1.2, cpu: 0.6 }, read(4 * KIB, 1)),
  load('read-64k', '64 KiB random read, depth 16', { rate: 1.8, cpu: 0.5 }, read(64 * KIB, 16)),
  load('write-64k', '64 KiB write, depth 16, first touch', { rate: 1.8, cpu: 0.5 }, write(64 * KIB, 16)),
  load('overwrite-64k', '64 KiB write, depth 16, overwrite', { rate: 1.8, cpu: 0.5 }, overwrite(64 * KIB, 16)),
  load('read-256k', '256 KiB random read, depth 8', { rate: 1.1, cpu: 0.8 }, read(256 * KIB, 8)),
  load('write-256k', '256 KiB write, depth 8, first touch', { rate: 1.1, cpu: 0.8 }, write(256 * KIB, 8)),
  load('overwrite-256k', '256 KiB write, depth 8, overwrite', { rate: 1.1, cpu: 0.8 }, overwrite(256 * KIB, 8)),
  load('read-1m', '1 MiB random read, depth 8', { rate: 1.1, cpu: 0.8 }, read(MIB, 8)),
  load('write-1m', '1 MiB write, depth 8, first touch', { rate: 1.1, cpu: 0.8 }, write(MIB, 8)),
  load('overwrite-1m', '1 MiB write, depth 8, overwrite', { rate: 1.1, cpu: 0.8 }, overwrite(MIB, 8)),
  load(
    'read-4k-16',
    '4 KiB random read, depth 4 × 16 sessions',
    { rate: 2.5, cpu: 0.25, fairness: 0.9 },
    { ...read(4 * KIB, 4), sessions: 16 }
  ),
  {
    ...load(
      'digests-4k-16',
      'the same with header and data digests',
      { rate: 2, cpu: 0.4 },
      { ...read(4 * KIB, 4), sessions: 16 }
    ),
    digests: true
  },
  {
    ...load('cold-4k', 'cold 4 KiB random read, depth 32', { rate: 0.9 }, read(4 * KIB, 32)),
    cold: { hotBytes: 0 }
  },
  {
    ...load('hot-beside-cold', 'p99 of a hot session, depth 1, beside a cold one, depth 32', { hotP99: 1 }, hot(), {
      ...read(4 * KIB, 32),
      name: 'cold',
      initiator: `${INITIATOR_NAME}-cold`,
      start: HOT_BYTES
    }),
    cold: { hotBytes: HOT_BYTES }
  },
  {
    ...load('hot-beside-writer', 'p99 of a hot session, depth 1, beside a throttled writer', { hotP99: 1 }, hot(), {
      ...write(64 * KIB, 16),
      once: false,
      name: 'writer',
      initiator: `${INITIATOR_NAME}-writer`,
      start: HOT_BYTES
    }),
    dirtyBytes: 64 * MIB
  },
  {
    id: 'iscsi-perf-4k',
    title: 'iscsi-perf: 4 KiB random read, depth 32',
    tool: { kind: 'iscsi-perf', depth: 32, blockLength: 4 * KIB, random: true },
    goals: {}
  },
  qemu('qemu-read-4k', 'qemu-img bench: 4 KiB read, depth 32', { write: false, blockLength: 4 * KIB, count: 60_000 }),
  qemu('qemu-write-4k', 'qemu-img bench: 4 KiB write, depth 32', { write: true, blockLength: 4 * KIB, count: 60_000 }),
  qemu('qemu-write-64k', 'qemu-img bench: 64 KiB write, depth 32', {
    write: true,
    blockLength: 64 * KIB,
    count: 12_000
  })
]

function load(id: string, title: string, goals: Goals, ...groups: readonly LoadGroup[]): Row {
  return { id, title, goals, tool: { kind: 'load', groups } }
}

function qemu(id: string, title: string, run: { write: boolean; blockLength: number; count: number }): Row {
  // A step of an odd number of blocks meets every block of the image before any again, far from its neighbours.
  return { id, title, goals: {}, tool: { kind: 'qemu-img', depth: 32, step: 257 * run.blockLength, ...run } }
}

function read(blockLength: number, depth: number): LoadGroup {
  return {
    name: 'all',
    sessions: 1,
    depth,
    operation: 'read',
    blockLength,
    order: 'random',
    start: 0,
    end: IMAGE_BYTES,
    initiator: INITIATOR_NAME
  }
}

/** Blocks that have not been written before: behind the last the run ends. */
function write(blockLength: number, depth: number): LoadGroup {
  const order = blockLength > 4 * KIB ? 'sequential' : 'shuffled'
  return { ...read(blockLength, depth), operation: 'write', order, once: true }
}

function overwrite(blockLength: number, depth: number): LoadGroup {
  return { ...write(blockLength, depth), order: 'shuffled', end: OVERWRITTEN_BYTES, once: false, fillFirst: true }
}

function hot(): LoadGroup {
  return { ...read(4 * KIB, 1), name: 'hot', end: HOT_BYTES }
}
