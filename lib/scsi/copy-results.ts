/** Copies that one nexus can ask about; of those that have ended the oldest is forgotten first. */
export const MAX_COPY_RESULTS = 16

export type CopyState = 'running' | 'good' | 'failed'

/** What became of one EXTENDED COPY, by its list identifier (SPC-4 §6.36, §6.38). */
export class CopyResult {
  state: CopyState = 'running'
  segmentsDone = 0
  bytesDone = 0
  /** Of a copy that failed: the status and the sense data that its command got. */
  status = 0
  sense: Buffer | undefined
}

/** The copies of one nexus; list identifiers of other nexuses mean others (SPC-4 §5.17.4.2). */
export class CopyResults {
  private readonly byListId = new Map<number, CopyResult>()
  private running = 0

  /** Undefined when the identifier is that of a copy under way, or too many are. */
  begin(listId: number | undefined): CopyResult | undefined {
    if (this.running === MAX_COPY_RESULTS) return undefined
    const result = new CopyResult()
    if (listId !== undefined) {
      if (this.byListId.get(listId)?.state === 'running') return undefined
      this.byListId.delete(listId)
      if (this.byListId.size === MAX_COPY_RESULTS) this.forgetOldest()
      this.byListId.set(listId, result)
    }
    this.running++
    return result
  }

  end(result: CopyResult, state: 'good' | 'failed'): void {
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
