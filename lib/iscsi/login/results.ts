/** The result functions of RFC 7143 §6.2: what a proposal and our own value give. */

/** §6.2.2: Yes only when both say Yes. */
export function and(theirs: boolean, ours: boolean): boolean {
  return theirs && ours
}

/** §6.2.2: Yes when either says Yes. */
export function or(theirs: boolean, ours: boolean): boolean {
  return theirs || ours
}

export function minimum(theirs: number, ours: number): number {
  return Math.min(theirs, ours)
}

export function maximum(theirs: number, ours: number): number {
  return Math.max(theirs, ours)
}

/** §6.2.1: the first of the proposer's list that the responder supports; undefined when there is none. */
export function firstSupported(theirs: readonly string[], ours: readonly string[]): string | undefined {
  return theirs.find((value) => ours.includes(value))
}
