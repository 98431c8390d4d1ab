/** What a load generator is told, and what it tells; both cross a process boundary as they are. */

export interface LoadGroup {
  readonly name: string
  readonly sessions: number
  /** Commands that each session keeps open. */
  readonly depth: number
  readonly operation: 'read' | 'write'
  readonly blockLength: number
  /** `random` may meet a block twice; `shuffled` meets each of a power of two of blocks once before any again. */
  readonly order: 'random' | 'shuffled' | 'sequential'
  /** Bytes of the disk that are touched: [start, end). */
  readonly start: number
  readonly end: number
  /** Writes the range once, in sequence, before the clock starts. */
  readonly fillFirst?: boolean
  /** The run ends early when every block has been met once. */
  readonly once?: boolean
  /** Sessions of this group are private to it: the initiator's name ends in this and the session's number. */
  readonly initiator: string
}

/** The unit that a session works on. */
export interface LoadTarget {
  readonly host: string
  readonly port: number
  readonly target: string
  readonly lun: number
  readonly digests: boolean
}

export interface LoadJob extends LoadTarget {
  readonly warmUpMs: number
  readonly durationMs: number
  readonly groups: readonly LoadGroup[]
}

export interface GroupResult {
  readonly name: string
  readonly operations: number
  readonly seconds: number
  readonly averageMs: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly p999Ms: number
  readonly longestMs: number
  /** Operations of the slowest session divided by those of the fastest. */
  readonly fairness: number
}

export type LoadMessage =
  | { readonly kind: 'begun' }
  | { readonly kind: 'ended'; readonly groups: readonly GroupResult[]; readonly cpuSeconds: number }
  | { readonly kind: 'failed'; readonly message: string }
