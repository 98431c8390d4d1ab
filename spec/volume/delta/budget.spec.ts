import { describe, expect, it } from '@jest/globals'
import { SpaceBudget } from '../../../lib/volume/delta/budget.js'

describe('SpaceBudget', () => {
  it('gives up to its limit and not a byte more', () => {
    const budget = new SpaceBudget(100)
    expect([budget.take(60), budget.take(41), budget.take(40), budget.take(1)]).toEqual([true, false, true, false])
    expect(budget.usedBytes).toBe(100)
  })

  it('takes nothing anywhere when the larger one refuses', () => {
    const total = new SpaceBudget(100)
    const one = new SpaceBudget(80, total)
    const other = new SpaceBudget(80, total)
    expect([one.take(80), other.take(30)]).toEqual([true, false])
    expect([total.usedBytes, other.usedBytes]).toEqual([80, 0])
    one.give(50)
    expect(other.take(30)).toBe(true)
  })

  it('asks nothing of the larger one when it refuses itself', () => {
    const total = new SpaceBudget(100)
    expect(new SpaceBudget(10, total).take(20)).toBe(false)
    expect(total.usedBytes).toBe(0)
  })

  it('counts what is there already, also over the limit, and then refuses', () => {
    const budget = new SpaceBudget(100)
    budget.occupy(150)
    expect([budget.usedBytes, budget.take(1), budget.nearlyFull]).toEqual([150, false, true])
  })

  it('is nearly full from four fifths on, its own or those of the larger one', () => {
    const total = new SpaceBudget(100)
    const budget = new SpaceBudget(90, total)
    budget.take(71)
    expect(budget.nearlyFull).toBe(false)
    budget.take(1)
    expect(budget.nearlyFull).toBe(true)
    budget.give(2)
    new SpaceBudget(90, total).take(10)
    expect(budget.nearlyFull).toBe(true)
  })

  it('refuses what is new when its limit was moved below the use', () => {
    const budget = new SpaceBudget(100)
    budget.take(50)
    budget.limitBytes = 20
    expect(budget.take(1)).toBe(false)
    budget.limitBytes = 51
    expect(budget.take(1)).toBe(true)
  })

  it('has no limit unless it is given one', () => {
    const budget = new SpaceBudget()
    expect([budget.take(2 ** 50), budget.nearlyFull]).toEqual([true, false])
  })
})
