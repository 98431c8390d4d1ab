import type { PolicyView } from './control.js'
import { keepingOf, policyOf, type InitiatorRule, type Keeping, type Policy, type UnitPolicy } from './policy.js'
import type { PolicyOrders } from './policy-orders.js'

/** What is asked for at one target, by command and in the configuration. */
export class Policies {
  constructor(
    private readonly targetName: string,
    private readonly configured: readonly InitiatorRule[],
    private readonly orders: PolicyOrders
  ) {}

  of(initiatorName: string, lun?: number): Policy {
    return policyOf(this.rules, initiatorName, lun)
  }

  keepingOf(initiatorName: string, unit: UnitPolicy): Keeping {
    return keepingOf(this.rules, initiatorName, unit)
  }

  /** @returns false when there was nothing to take back */
  async order({ remove = false, match, lun, policy, restoreOn }: InitiatorRule & { remove?: boolean | undefined }) {
    const { targetName } = this
    if (remove) return this.orders.remove({ targetName, match, lun })
    await this.orders.set({ targetName, match, lun, policy, restoreOn })
    return true
  }

  view(units: readonly UnitPolicy[]): PolicyView {
    return {
      targetName: this.targetName,
      ordered: this.orders.of(this.targetName).map(({ match, lun, policy, restoreOn }) => ({
        match,
        lun,
        policy,
        restoreOn
      })),
      configured: this.configured,
      units: units.map(({ lun, personal, restoreOn }) => ({ lun, personal, restoreOn }))
    }
  }

  /** Somebody may write what can be published. */
  get mayPublish(): boolean {
    return this.rules.some(({ policy }) => policy === 'author')
  }

  private get rules(): readonly InitiatorRule[] {
    return [...this.orders.of(this.targetName), ...this.configured]
  }
}
