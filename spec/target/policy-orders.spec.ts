import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { POLICY_ORDERS_MAX, PolicyOrders, type PolicyOrder } from '../../lib/target/policy-orders.js'
import { codeOf } from '../../lib/util/errors.js'

const TARGET = 'iqn.2025-01.org.example:disk'
const PC = 'iqn.2025-01.org.example:pc'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cloudx-orders-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const order = (changes: Partial<PolicyOrder> = {}): PolicyOrder => ({ targetName: TARGET, match: PC, ...changes })

describe('PolicyOrders', () => {
  it('has none at first, and finds what an earlier run was told, the newest first', async () => {
    const orders = await PolicyOrders.open(folder)
    expect(orders.of(TARGET)).toEqual([])
    await orders.set(order({ policy: 'keep' }))
    await orders.set(order({ match: '*', restoreOn: 'boot', lun: 1 }))
    const again = await PolicyOrders.open(folder)
    expect(again.of(TARGET)).toEqual([
      { targetName: TARGET, match: '*', lun: 1, restoreOn: 'boot' },
      { targetName: TARGET, match: PC, policy: 'keep' }
    ])
    expect(again.of('iqn.2025-01.org.example:other')).toEqual([])
    expect((await stat(join(folder, 'policies.json'))).mode & 0o777).toBe(0o600)
  })

  it('changes the rule for the same names and LUN, and leaves what is not said as it was', async () => {
    const orders = await PolicyOrders.open(folder)
    await orders.set(order({ policy: 'restore' }))
    await orders.set(order({ restoreOn: 'boot' }))
    expect(orders.of(TARGET)).toEqual([{ targetName: TARGET, match: PC, policy: 'restore', restoreOn: 'boot' }])
  })

  it('takes back what there is', async () => {
    const orders = await PolicyOrders.open(folder)
    await orders.set(order({ policy: 'keep', lun: 1 }))
    expect(await orders.remove(order())).toBe(false)
    expect(await orders.remove(order({ lun: 1 }))).toBe(true)
    expect(orders.of(TARGET)).toEqual([])
  })

  it('remembers no more than so many', async () => {
    const rules = Array.from({ length: POLICY_ORDERS_MAX }, (_, index) =>
      order({ match: `${PC}${index}`, policy: 'keep' })
    )
    await writeFile(join(folder, 'policies.json'), JSON.stringify({ version: 1, rules }))
    const orders = await PolicyOrders.open(folder)
    await expect(async () => orders.set(order({ policy: 'keep' }))).rejects.toMatchObject({
      code: 'ERR_ISCSI_POLICY_COUNT'
    })
    expect(orders.of(TARGET)).toHaveLength(POLICY_ORDERS_MAX)
  })

  it.each([
    ['{"version":2,"rules":[]}'],
    ['{"version":1}'],
    ['{"version":1,"rules":[{"targetName":"t","match":"m","policy":"burn"}]}'],
    ['{"version":1,"rules":[{"targetName":"t","match":"m","restoreOn":"sunday"}]}'],
    ['nonsense']
  ])('refuses a file that is damaged: %s', async (text) => {
    await writeFile(join(folder, 'policies.json'), text)
    expect(await PolicyOrders.open(folder).then(() => 'opened', codeOf)).toBe('ERR_ISCSI_STATE')
  })
})
