/** Thrown by {@link assert}: a mistake of ours, never of a peer. It ends the sessions of one initiator alone. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError'
}

/** States a fact that only a mistake of ours can break. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message)
}
