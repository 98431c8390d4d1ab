import fs from 'node:fs'

/** Asked after an access that was slow: was it the medium, or was the processor somebody else's? */
export interface MediumWatch {
  /** Whether the medium has kept this process waiting; true where nobody can tell. */
  waited(): boolean
  /** What it said last holds for the next access too, until it says otherwise. False when left out. */
  readonly lasting?: boolean
}

/**
 * Whether this process has read from a medium since this was last asked. Costs 4 µs. Other files of the process count
 * too.
 */
class ReadWatch implements MediumWatch {
  private blocks = 0

  waited(): boolean {
    // Only Linux is known to count what a read of a file brings in, read-ahead included.
    if (process.platform !== 'linux') return true
    const { fsRead } = process.resourceUsage()
    const more = fsRead !== this.blocks
    this.blocks = fsRead
    return more
  }
}

/**
 * Whether the kernel holds writers back because too much of what was written has yet to reach a medium. To ask costs
 * some 100 µs, so all files share an answer for a while.
 */
export class WriteWatch implements MediumWatch {
  lasting = process.platform === 'linux'
  private answer = false
  private answeredAt = -Infinity

  /**
   * @param vmstat - gives the text of /proc/vmstat; throws where there is none
   * @param now - milliseconds
   */
  constructor(
    private readonly vmstat = () => fs.readFileSync('/proc/vmstat', 'latin1'),
    private readonly now = () => performance.now()
  ) {}

  waited(): boolean {
    if (!this.lasting) return true
    const now = this.now()
    if (now - this.answeredAt < ANSWER_MS) return this.answer
    this.answeredAt = now
    try {
      this.answer = holdsWritersBack(this.vmstat())
    } catch {
      this.lasting = false
      this.answer = true
    }
    return this.answer
  }
}

/**
 * Linux lets writers run freely up to the middle between the two limits of its dirty pages
 * (`dirty_freerun_ceiling` in mm/page-writeback.c); beyond it each write may have to wait.
 * @param vmstat - text of /proc/vmstat
 */
export function holdsWritersBack(vmstat: string): boolean {
  const pages = pagesOf(vmstat, 'nr_dirty') + pagesOf(vmstat, 'nr_writeback')
  const limits = pagesOf(vmstat, 'nr_dirty_threshold') + pagesOf(vmstat, 'nr_dirty_background_threshold')
  return pages > limits / 2
}

function pagesOf(vmstat: string, name: string): number {
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(vmstat)?.[1])
}

/** How long an answer on writers is good for. */
const ANSWER_MS = 20

export const READ_WATCH: MediumWatch = new ReadWatch()
export const WRITE_WATCH: MediumWatch = new WriteWatch()
