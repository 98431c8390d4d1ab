/**
 * What becomes of what an initiator writes, for each initiator of a target.
 *
 * restore: its delta is dropped at its logout. author: its delta is kept until the operator publishes it as the next
 * generation of the image, or drops it.
 */
export const POLICIES = ['restore', 'author'] as const
export type Policy = (typeof POLICIES)[number]

/** One line of the list of a target. */
export interface InitiatorRule {
  /** A normalised initiator name, with `*` at the end as a wild card. */
  readonly match: string
  readonly policy: Policy
}

/** The policy of an initiator: that of the first rule whose pattern fits its name, else restore. */
export function policyOf(rules: readonly InitiatorRule[], initiatorName: string): Policy {
  return rules.find(({ match }) => matches(match, initiatorName))?.policy ?? 'restore'
}

/** The delta outlives the client's logout, without an end. */
export function isKept(policy: Policy): boolean {
  return policy === 'author'
}

function matches(pattern: string, name: string): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern
}
