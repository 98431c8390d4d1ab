import { CROWDED_READS, CROWD_MIN, YIELD_EVERY } from './limits.js'

/** What is kept of one who reads. */
export class Reader {
  /** Number of its last read among those of all. */
  lastRead = -Infinity
}

/**
 * The order in which connections have their turns, which one thread does for all of them.
 *
 * The kernel tells who has sent something in an order that hardly changes: whoever is behind is answered last, so what
 * it sends next comes last, often too late for the next round, and it stays behind. Of 16 sessions that keep four
 * commands open some had three quarters of the turns of others for as long as one looked. So now and then the one
 * whose turn it is lets all others go first: the next to miss a round is another.
 */
export class ReadingOrder {
  private reads = 0
  private last: Reader | undefined
  private inARow = 0

  /**
   * Somebody has received something.
   * @returns whether it should let the others go first, this once
   */
  next(reader: Reader): boolean {
    const others = ++this.reads - reader.lastRead - 1
    reader.lastRead = this.reads
    this.inARow = this.last === reader ? this.inARow + 1 : 0
    this.last = reader
    return this.reads % YIELD_EVERY === 0 && others >= CROWD_MIN
  }

  /** Whether others have received something lately too. */
  crowded(reader: Reader): boolean {
    return this.last !== reader || this.inARow < CROWDED_READS
  }
}
