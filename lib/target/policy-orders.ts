import { dirname, join } from 'node:path'
import { TargetError } from './errors.js'
import { readJson, writeJson } from './json-file.js'
import { POLICIES, RESTORE_ON, type InitiatorRule } from './policy.js'
import { Serial } from './serial.js'
import { Fields } from './shape.js'

/** A rule that the operator gave while the server ran. */
export interface PolicyOrder extends InitiatorRule {
  readonly targetName: string
}

/** Rules that are remembered; whoever needs more writes patterns. */
export const POLICY_ORDERS_MAX = 1024
const VERSION = 1

/**
 * The rules that the operator gave by command, in `policies.json` of the state directory. They stand in front of those
 * of the configuration, the newest first, and survive a restart.
 */
export class PolicyOrders {
  /** Throws TargetError ERR_ISCSI_STATE for a file that is damaged: a disk that is to be kept must not be restored. */
  static async open(directory: string): Promise<PolicyOrders> {
    const path = join(directory, 'policies.json')
    const value = await readJson(path)
    if (value === undefined) return new PolicyOrders(path, [])
    const fields = new Fields(path, value)
    fields.version(VERSION)
    return new PolicyOrders(
      path,
      fields.records('rules', (one) => parseOrder(path, one))
    )
  }

  private readonly saves = new Serial()

  private constructor(
    private readonly path: string,
    private orders: readonly PolicyOrder[]
  ) {}

  /** Another process has written the file. */
  async reload(): Promise<void> {
    const { orders } = await PolicyOrders.open(dirname(this.path))
    this.orders = orders
  }

  of(targetName: string): readonly PolicyOrder[] {
    return this.orders.filter((order) => order.targetName === targetName)
  }

  /** Takes the place of the rule for the same names and LUN; what the new one leaves open stays as it was. */
  set(order: PolicyOrder): Promise<void> {
    const before = this.orders.find((one) => isSame(one, order))
    const { policy = before?.policy, restoreOn = before?.restoreOn } = order
    return this.save([{ ...order, policy, restoreOn }, ...this.orders.filter((one) => !isSame(one, order))])
  }

  /** @returns false when there was none */
  async remove(order: Pick<PolicyOrder, 'targetName' | 'match' | 'lun'>): Promise<boolean> {
    const rest = this.orders.filter((one) => !isSame(one, order))
    if (rest.length === this.orders.length) return false
    await this.save(rest)
    return true
  }

  private save(orders: readonly PolicyOrder[]): Promise<void> {
    if (orders.length > POLICY_ORDERS_MAX) {
      throw new TargetError('ERR_ISCSI_POLICY_COUNT', `there are ${POLICY_ORDERS_MAX} rules already; use patterns`)
    }
    return this.saves.run(async () => {
      await writeJson(this.path, { version: VERSION, rules: orders })
      this.orders = orders
    })
  }
}

function isSame(one: Pick<PolicyOrder, 'targetName' | 'match' | 'lun'>, other: typeof one): boolean {
  return one.targetName === other.targetName && one.match === other.match && one.lun === other.lun
}

function parseOrder(path: string, fields: Fields): PolicyOrder {
  return {
    targetName: fields.string('targetName'),
    match: fields.string('match'),
    lun: fields.optionalCount('lun'),
    policy: oneOf(path, POLICIES, fields.optionalString('policy')),
    restoreOn: oneOf(path, RESTORE_ON, fields.optionalString('restoreOn'))
  }
}

function oneOf<T extends string>(path: string, words: readonly T[], text: string | undefined): T | undefined {
  const word = words.find((one) => one === text)
  if (text === undefined || word !== undefined) return word
  throw new TargetError('ERR_ISCSI_STATE', `${path} is damaged: there is no "${text}"`)
}
