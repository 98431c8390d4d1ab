/** What the processes of a server tell each other of an image that several of them have open. */
export type ImageNews =
  /** The record of its generations is another one. */
  | { readonly kind: 'changed' }
  /** Layers are being merged into the raw file: whoever else reads it lets go of the lock. */
  | { readonly kind: 'merging' }
  /** That has ended, well or not. */
  | { readonly kind: 'merged' }
  /** Why nobody may log in any more. */
  | { readonly kind: 'trouble'; readonly text: string }

/** How one process does what concerns all that have an image open. */
export interface ImageTogether {
  /** Nobody else changes the generations of this image meanwhile; the others have read them again when it resolves. */
  change<T>(uuid: string, change: () => Promise<T>): Promise<T>
  /** Resolves when all others have heard it. */
  tell(uuid: string, news: ImageNews): Promise<void>
  /** Whether another process is merging layers into the raw file. */
  isMerging(uuid: string): Promise<boolean>
  /** Whether another process still reads layers that were merged. */
  isRead(uuid: string): Promise<boolean>
}

interface Turn {
  readonly process: number
  begin(): void
}

/**
 * Whose turn it is to change the generations of an image: one process at a time, in the order in which they asked. A
 * worker that was started again is another process, of which nothing counts that the one before it had.
 */
export class ImageTurns {
  /** By image; the first one has it. */
  private readonly turns = new Map<string, Turn[]>()
  private readonly merging = new Map<string, number>()

  /** @param tellOthers - resolves when all but this process have heard it, or have ended */
  constructor(private readonly tellOthers: (process: number, uuid: string, news: ImageNews) => Promise<void>) {}

  /** Resolves when it is the turn of this process. */
  take(process: number, uuid: string): Promise<void> {
    return new Promise((resolve) => {
      const turns = this.turns.get(uuid) ?? []
      turns.push({ process, begin: resolve })
      this.turns.set(uuid, turns)
      if (turns.length === 1) resolve()
    })
  }

  /** Its change is made. Resolves when the others know. */
  async end(process: number, uuid: string): Promise<void> {
    const turn = this.turns.get(uuid)?.[0]
    if (turn?.process !== process) return
    await this.tellOthers(process, uuid, { kind: 'changed' })
    const turns = this.turns.get(uuid)
    // It may have ended meanwhile.
    if (turns?.[0] !== turn) return
    turns.shift()
    if (turns.length === 0) this.turns.delete(uuid)
    else turns[0].begin()
  }

  /** @param worker - which of them the process is */
  async tell(process: number, worker: number, uuid: string, news: ImageNews): Promise<void> {
    if (news.kind === 'merging') this.merging.set(uuid, worker)
    await this.tellOthers(process, uuid, news)
    if (news.kind === 'merged') this.merging.delete(uuid)
  }

  /** A worker that was ended in the middle goes on with its merge when it is back, so that one still counts. */
  isMerging(worker: number, uuid: string): boolean {
    const by = this.merging.get(uuid)
    return by !== undefined && by !== worker
  }

  /** It asks for nothing any more; what it was doing may be done or not. */
  async ended(process: number): Promise<void> {
    const ends = [...this.turns].map(([uuid, [first, ...waiting]]) => {
      this.turns.set(uuid, [first!, ...waiting.filter((turn) => turn.process !== process)])
      return this.end(process, uuid)
    })
    await Promise.all(ends)
  }
}
