import type { LogicalUnit } from './logical-unit.js'

/** Copies of one nexus that run at a time. */
export const MAX_CONCURRENT_COPIES = 16
/** Of the whole device; each nexus has its own bound. */
export const TOTAL_CONCURRENT_COPIES = 1024
/** Copies that one nexus can ask about; of those that have ended the oldest is forgotten first. */
export const MAX_COPY_RESULTS = 64

/** `partial`: without error, but there was less in the token than was asked for. */
export type CopyState = 'running' | 'good' | 'partial' | 'failed' | 'aborted'

/** Which third-party copy command it was: how its progress is counted and told depends on it. */
export interface CopyOrigin {
  readonly serviceAction: number
  /** The unit whose blocks are counted; KiB are, without. */
  readonly countedIn?: LogicalUnit
}

const EXTENDED_COPY_LID1: CopyOrigin = { serviceAction: 0x00 }

/** What became of one third-party copy command, by its list identifier (SPC-4 §6.24, §6.25). */
export class CopyResult {
  state: CopyState = 'running'
  segmentsDone = 0
  /** In the order of the command: nothing before it is missing. */
  bytesDone = 0
  /** Of a copy that failed: the status and the sense data that its command got. */
  status = 0
  sense: Buffer | undefined
  /** Of POPULATE TOKEN: the token, until it has been fetched. */
  token: Buffer | undefined
  /** COPY OPERATION ABORT: it ends at its next piece. */
  cancelled = false

  constructor(readonly origin: CopyOrigin) {}
}

/**
 * The copies of one nexus; list identifiers of other nexuses mean others (SPC-4 §5.17.4.2). They are 32-bit numbers for
 * all commands, those included that have room for eight bits of them.
 */
export class CopyResults {
  private readonly byListId = new Map<number, CopyResult>()
  private running = 0

  /** Whether as many run as may. */
  get full(): boolean {
    return this.running === MAX_CONCURRENT_COPIES
  }

  /** Undefined when the identifier is that of a copy under way, or too many are ({@link full}). */
  begin(listId: number | undefined, origin = EXTENDED_COPY_LID1): CopyResult | undefined {
    if (this.full) return undefined
    const result = new CopyResult(origin)
    if (listId !== undefined) {
      if (this.byListId.get(listId)?.state === 'running') return undefined
      this.byListId.delete(listId)
      if (this.byListId.size === MAX_COPY_RESULTS) this.forgetOldest()
      this.byListId.set(listId, result)
    }
    this.running++
    return result
  }

  end(result: CopyResult, state: Exclude<CopyState, 'running'>): void {
    result.state = state
    this.running--
  }

  get(listId: number): CopyResult | undefined {
    return this.byListId.get(listId)
  }

  private forgetOldest(): void {
    for (const [listId, { state }] of this.byListId) {
      if (state === 'running') continue
      this.byListId.delete(listId)
      return
    }
  }
}
