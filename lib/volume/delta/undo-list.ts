/**
 * What the map said before each change since the last commit, so that the changes can be undone: triples of chunk,
 * count and the entry that was there.
 */
export class UndoList {
  private triples = new Float64Array(FIRST_LENGTH)
  private length = 0

  get empty(): boolean {
    return this.length === 0
  }

  push(chunk: number, count: number, entry: number): void {
    if (this.length === this.triples.length) {
      const larger = new Float64Array(this.triples.length * 2)
      larger.set(this.triples)
      this.triples = larger
    }
    this.triples[this.length] = chunk
    this.triples[this.length + 1] = count
    this.triples[this.length + 2] = entry
    this.length += 3
  }

  /** The newest first, as undoing needs them. */
  eachBackwards(visit: (chunk: number, count: number, entry: number) => void): void {
    for (let i = this.length - 3; i >= 0; i -= 3) visit(this.triples[i]!, this.triples[i + 1]!, this.triples[i + 2]!)
  }

  clear(): void {
    this.length = 0
    if (this.triples.length > LENGTH_KEPT_MAX) this.triples = new Float64Array(FIRST_LENGTH)
  }
}

/** Room for 64 changes before the list grows. */
const FIRST_LENGTH = 3 * 64
const LENGTH_KEPT_MAX = 3 * 8192
