/**
 * What becomes of what an initiator writes, for each initiator of a target.
 *
 * restore: its delta is dropped, when `restore-on` says. keep: its delta stays until the operator drops it. author: its
 * delta is kept until the operator publishes it as the next generation of the image, or drops it. read-only: its writes
 * are refused; a delta that it has already is shown to it as it is, and goes as with restore.
 */
export const POLICIES = ['restore', 'keep', 'author', 'read-only'] as const
export type Policy = (typeof POLICIES)[number]

/**
 * When a delta is restored. logout: at its client's own logout. boot: at the next boot of its client by iPXE. manual: by
 * the operator alone.
 */
export const RESTORE_ON = ['logout', 'boot', 'manual'] as const
export type RestoreOn = (typeof RESTORE_ON)[number]

/** One line of the list of a target, or an order of the operator. */
export interface InitiatorRule {
  /** A normalised initiator name, with `*` at the end as a wild card. */
  readonly match: string
  /** For this LUN alone; undefined = for all. */
  readonly lun?: number | undefined
  /** Undefined = what the next rule that fits says. */
  readonly policy?: Policy | undefined
  readonly restoreOn?: RestoreOn | undefined
}

/** What a unit says for all initiators. */
export interface UnitPolicy {
  readonly lun: number
  /** Each initiator has a disk here that is kept, whatever its policy. */
  readonly personal: boolean
  readonly restoreOn: RestoreOn
}

/** What ends a delta without an accident: the column of the table in restore-policy.ts. */
export type Keeping = RestoreOn | 'kept' | 'author'

/** The policy of an initiator: that of the first rule whose pattern fits its name, else restore. */
export function policyOf(rules: readonly InitiatorRule[], initiatorName: string, lun?: number): Policy {
  return firstThatSays(rules, initiatorName, lun, 'policy') ?? 'restore'
}

/** What ends the delta of one LUN of an initiator. */
export function keepingOf(rules: readonly InitiatorRule[], initiatorName: string, unit: UnitPolicy): Keeping {
  if (unit.personal) return 'kept'
  const policy = policyOf(rules, initiatorName, unit.lun)
  if (policy === 'author') return 'author'
  if (policy === 'keep') return 'kept'
  return firstThatSays(rules, initiatorName, unit.lun, 'restoreOn') ?? unit.restoreOn
}

/** As the option `--policy` has it: `iqn.…=restore,restore-on=boot,lun=1`. */
export function formatRule({ match, lun, policy, restoreOn }: InitiatorRule): string {
  const words = [
    ...(policy === undefined ? [] : [policy]),
    ...(restoreOn === undefined ? [] : [`restore-on=${restoreOn}`]),
    ...(lun === undefined ? [] : [`lun=${lun}`])
  ]
  return `${match}=${words.join(',')}`
}

/** @param lun - undefined asks for what holds for all of them */
function firstThatSays<K extends 'policy' | 'restoreOn'>(
  rules: readonly InitiatorRule[],
  initiatorName: string,
  lun: number | undefined,
  key: K
): InitiatorRule[K] {
  return rules.find(
    (rule) =>
      rule[key] !== undefined && (rule.lun === undefined || rule.lun === lun) && matches(rule.match, initiatorName)
  )?.[key]
}

/** @param pattern - a name, or the beginning of names with `*` behind it */
export function matches(pattern: string, name: string): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern
}
