import { describe, expect, it } from '@jest/globals'
import { LeasedBudget, SpaceBudget } from '../../../lib/volume/delta/budget.js'
import { Rooms, type Tenant } from '../../../lib/target/workers/rooms.js'
import { Random, seedOf } from '../../support/random.js'

const TOTAL = 1_000_000

interface Process {
  readonly budget: LeasedBudget
  readonly tenant: Tenant
}

/** Processes that share a total; what they say crosses a channel, so it arrives in a later turn. */
function house(count: number): { rooms: Rooms; processes: (Process | undefined)[]; add: (index: number) => Process } {
  const processes: (Process | undefined)[] = []
  const rooms = new Rooms(TOTAL, () => processes.map((one) => one?.tenant))
  const add = (index: number) => {
    const budget = new LeasedBudget(TOTAL, new SpaceBudget(), (bytes) => rooms.divide({ index, bytes }))
    const tenant: Tenant = {
      yieldRoom: async () => {
        await later()
        return budget.yield()
      },
      lease: async (leaseBytes, usedElsewhereBytes) => {
        await later()
        Object.assign(budget, { leaseBytes, usedElsewhereBytes })
      }
    }
    return (processes[index] = { budget, tenant })
  }
  for (let index = 0; index < count; index++) add(index)
  return { rooms, processes, add }
}

const later = () => new Promise((resolve) => setImmediate(resolve))

async function take(budget: LeasedBudget, bytes: number): Promise<boolean> {
  if (budget.take(bytes)) return true
  await budget.refill(bytes)
  return budget.take(bytes)
}

describe('a total that processes share', () => {
  it('is there to its last byte for one of them when the others use nothing', async () => {
    const { rooms, processes } = house(4)
    await rooms.divide()
    expect(await take(processes[2]!.budget, TOTAL)).toBe(true)
    expect(await take(processes[2]!.budget, 1)).toBe(false)
    expect(await take(processes[0]!.budget, 1)).toBe(false)
  })

  it('is never used twice, and nobody is refused while there is room', async () => {
    const seed = seedOf(18)
    const random = new Random(seed)
    const { rooms, processes } = house(3)
    await rooms.divide()
    const used = () => processes.reduce((sum, one) => sum + one!.budget.usedBytes, 0)
    let wrong = 0
    for (let step = 0; step < 400; step++) {
      const { budget } = processes[random.int(3)]!
      const bytes = 1 + random.int(60_000)
      if (random.int(3) === 0) budget.give(Math.min(bytes, budget.usedBytes))
      else {
        const fits = used() + bytes <= TOTAL
        if ((await take(budget, bytes)) !== fits) wrong++
      }
      if (used() > TOTAL) wrong++
    }
    expect([seed, wrong]).toEqual([seed, 0])
  })

  it('holds when many ask at once', async () => {
    const { rooms, processes } = house(4)
    await rooms.divide()
    const asked = Array.from({ length: 40 }, (_, index) => take(processes[index % 4]!.budget, TOTAL / 20))
    const granted = (await Promise.all(asked)).filter(Boolean).length
    expect(granted).toBeLessThanOrEqual(20)
    expect(processes.reduce((sum, one) => sum + one!.budget.usedBytes, 0)).toBe((granted * TOTAL) / 20)
  })

  it('keeps the place of one that has ended, as much as it can have used', async () => {
    const { rooms, processes, add } = house(2)
    await rooms.divide()
    processes[0]!.budget.take(TOTAL / 2)
    processes[0] = undefined
    expect(await take(processes[1]!.budget, TOTAL / 2 + 1)).toBe(false)
    const again = add(0)
    again.budget.occupy(TOTAL / 4)
    expect(await take(processes[1]!.budget, (TOTAL * 3) / 4)).toBe(true)
  })

  it('is nearly full when all together have used four fifths of it', async () => {
    const { rooms, processes } = house(2)
    await rooms.divide()
    await take(processes[0]!.budget, TOTAL * 0.5)
    await take(processes[1]!.budget, TOTAL * 0.29)
    await rooms.divide()
    expect(processes.map((one) => one!.budget.nearlyFull)).toEqual([false, false])
    await take(processes[1]!.budget, TOTAL * 0.02)
    await rooms.divide()
    expect(processes.map((one) => one!.budget.nearlyFull)).toEqual([true, true])
  })
})
