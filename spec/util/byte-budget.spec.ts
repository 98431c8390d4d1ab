import { describe, expect, it } from '@jest/globals'
import { ByteBudget, ByteShare } from '../../lib/util/byte-budget.js'
import { Random, seedOf, steps } from '../support/random.js'

describe('a byte budget', () => {
  it('gives out what it has, to the last byte, and takes it back', () => {
    const budget = new ByteBudget(10)
    expect([budget.take(7), budget.take(4), budget.take(3), budget.take(1)]).toEqual([true, false, true, false])
    expect(budget.used).toBe(10)
    budget.give(4)
    expect(budget.take(4)).toBe(true)
  })

  it('takes no more back than it gave', () => {
    const budget = new ByteBudget(10)
    budget.take(2)
    expect(() => budget.give(3)).toThrow('came back to a budget')
  })
})

describe('shares of a budget', () => {
  it('have bytes of their own before they draw on what is common', () => {
    const budget = new ByteBudget(10)
    const [one, other] = [new ByteShare(budget, 5), new ByteShare(budget, 5)]
    expect(one.take(4)).toBe(true)
    expect(budget.used).toBe(0)
    expect(one.take(11)).toBe(true)
    expect(budget.used).toBe(10)
    expect(one.take(1)).toBe(false)
    expect(other.take(6)).toBe(false)
    expect(other.take(5)).toBe(true)
    one.give(15)
    expect([one.used, other.used, budget.used]).toEqual([0, 5, 0])
    expect(() => other.give(6)).toThrow('came back to a share')
  })

  const seed = seedOf(1)
  it(`never let the common part pass its end, and leave nothing in it (seed ${seed})`, () => {
    const random = new Random(seed)
    const budget = new ByteBudget(1000)
    const shares = Array.from({ length: 5 }, () => new ByteShare(budget, 100))
    const model = shares.map(() => 0)
    const common = (held: readonly number[]) => held.reduce((sum, bytes) => sum + Math.max(0, bytes - 100), 0)
    let right = true
    for (let step = steps(2000); step > 0 && right; step--) {
      const index = random.int(5)
      const bytes = random.int(300)
      if (random.chance(0.5)) {
        const after = model.map((held, at) => (at === index ? held + bytes : held))
        const fits = common(after) <= 1000
        right = shares[index]!.take(bytes) === fits
        if (fits) model[index]! += bytes
      } else {
        const back = Math.min(bytes, model[index]!)
        shares[index]!.give(back)
        model[index]! -= back
      }
      right &&= budget.used === common(model) && budget.used <= 1000
    }
    expect(right).toBe(true)
    for (const [index, held] of model.entries()) shares[index]!.give(held)
    expect(budget.used).toBe(0)
  })
})
