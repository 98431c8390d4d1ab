import type { Random } from '../../spec/support/random.js'

/** One way to ill-treat the target. */
export interface Fuzzer {
  readonly name: string
  /** What it looks at, for the report. */
  readonly about: string
  /** Its share of the time, against those of the others. */
  readonly share: number
  open(): Promise<FuzzerRun> | FuzzerRun
}

/** A fuzzer at work. What it finds it throws. */
export interface FuzzerRun {
  /** One round: the same generator state gives the same round. Answers how many PDUs (or texts) it has sent. */
  round(random: Random): Promise<number> | number
  /** Ends, and looks that nothing was left behind. */
  close(): Promise<void> | void
}

/** Something that the target must not do. */
export class Finding extends Error {
  override name = 'Finding'
}

export function demand(condition: boolean, what: string | (() => string)): asserts condition {
  if (!condition) throw new Finding(typeof what === 'string' ? what : what())
}

export function demandEqual(what: string, seen: unknown, expected: unknown): void {
  if (seen !== expected) throw new Finding(`${what} is ${String(seen)} and should be ${String(expected)}`)
}
