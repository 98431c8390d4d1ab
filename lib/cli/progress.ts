import { formatSize } from '../util/units.js'

/** A stream as it concerns a progress bar. */
export type ProgressStream = NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number }

/** Redraws of a bar are this far apart; a person sees no more. */
export const REDRAW_MS = 100
/** Without a terminal: a line for each of these shares. */
const LINE_SHARE = 0.1
const BAR_WIDTH_MAX = 40
/** What stands beside the bar, at most. */
const FACTS_WIDTH = 40
const COLUMNS_WHEN_UNKNOWN = 80
const CLEAR_LINE = '\r\u001b[K'

/** How far a long work is: a bar that is drawn over itself on a terminal, else a line for each tenth. */
export class Progress {
  private drawnAt = -Infinity
  private lines = 0
  private isDrawn = false

  constructor(
    private readonly stream: ProgressStream,
    private readonly monotonic: () => number = () => performance.now(),
    /** How an amount is written. */
    private readonly format: (amount: number) => string = formatSize
  ) {}

  update(done: number, total: number): void {
    if (this.stream.isTTY === true) this.draw(done, total)
    else this.write(done, total)
  }

  /** Takes the bar away, so that what is printed next stands on a line of its own. */
  end(): void {
    if (this.isDrawn) this.stream.write(CLEAR_LINE)
    this.isDrawn = false
  }

  private draw(done: number, total: number): void {
    const now = this.monotonic()
    if (now - this.drawnAt < REDRAW_MS) return
    this.drawnAt = now
    this.isDrawn = true
    const columns = this.stream.columns || COLUMNS_WHEN_UNKNOWN
    const width = Math.max(0, Math.min(BAR_WIDTH_MAX, columns - FACTS_WIDTH))
    const filled = Math.floor(width * shareOf(done, total))
    const bar = width > 0 ? `[${'#'.repeat(filled)}${'.'.repeat(width - filled)}] ` : ''
    this.stream.write(`${CLEAR_LINE}${bar}${this.facts(done, total)}`)
  }

  private write(done: number, total: number): void {
    const tenths = Math.floor(shareOf(done, total) / LINE_SHARE + Number.EPSILON)
    if (tenths <= this.lines) return
    this.lines = tenths
    this.stream.write(`${this.facts(done, total)}\n`)
  }

  private facts(done: number, total: number): string {
    return `${Math.floor(shareOf(done, total) * 100)} %, ${this.format(done)} of ${this.format(total)}`
  }
}

function shareOf(done: number, total: number): number {
  return total === 0 ? 1 : Math.min(done / total, 1)
}

/**
 * Does the work with a bar, which goes however it ends.
 * @param format - how an amount is written; bytes when absent
 */
export async function withProgress<T>(
  stream: ProgressStream,
  work: (update: (done: number, total: number) => void) => Promise<T>,
  format?: (amount: number) => string
): Promise<T> {
  const progress = new Progress(stream, undefined, format)
  try {
    return await work((done, total) => progress.update(done, total))
  } finally {
    progress.end()
  }
}
