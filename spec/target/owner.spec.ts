import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from '@jest/globals'
import { keyOf, MAX_IDLE_OPEN } from '../../lib/target/owner.js'
import { BASE_BYTE, HOUR_MS, LOGOUT, SILENCE, TargetBench } from '../support/target-bench.js'

let bench: TargetBench
afterEach(() => bench.remove())

describe('LocalOwners', () => {
  it('closes the deltas of those who are absent longest, and opens them again with what they hold', async () => {
    bench = await TargetBench.make()
    await bench.start()
    const names = Array.from({ length: MAX_IDLE_OPEN + 3 }, (_, index) => `iqn.2000-01.x:pc-${index}`)
    for (const [index, initiatorName] of names.entries()) {
      await bench.visit(index + 1, SILENCE, { initiatorName })
      await bench.settled()
    }
    const views = await bench.server!.control.initiators()
    const closed = views.filter(({ units }) => !units[0]!.open).map(({ initiatorName }) => initiatorName)
    expect(closed).toEqual(names.slice(0, 3))
    for (const [index, initiatorName] of names.entries()) {
      expect(await bench.read(await bench.login({ initiatorName, isid: `40000137${1000 + index}` }), 0)).toBe(index + 1)
      if (index >= 4) break
    }
  })

  it('forgets initiators that leave nothing', async () => {
    bench = await TargetBench.make()
    await bench.start()
    for (let index = 0; index < 5; index++) {
      await bench.visit(0xaa, LOGOUT, { initiatorName: `iqn.2000-01.x:pc-${index}` })
    }
    await bench.settled()
    expect(await bench.server!.control.initiators()).toEqual([])
    expect(await readdir(join(bench.state, 'initiators'))).toEqual([])
    expect(await bench.imageByte(0)).toBe(BASE_BYTE)
  })
})

describe('a target that remembers as many initiators as it may', () => {
  const pc = (index: number) => `iqn.2000-01.x:pc-${index}`

  /** Its delta outlives its grace time, so it has another identity from then on. */
  async function lose(index: number): Promise<void> {
    await bench.visit(index, SILENCE, { initiatorName: pc(index) })
    bench.clock.advance(100 * HOUR_MS)
    await bench.settled()
  }
  const names = async () => (await bench.server!.control.initiators()).map(({ initiatorName }) => initiatorName).sort()
  const serialOf = async (initiatorName: string) => {
    const nexus = await bench.login({ initiatorName })
    const { serial } = nexus.units.get(0)!.unit.identity
    await bench.end(nexus, LOGOUT)
    return serial
  }

  it('forgets those that have no delta, and never gives its old identity out again', async () => {
    bench = await TargetBench.make()
    await bench.start({}, { maxInitiators: 3 })
    const before = await serialOf(pc(1))
    await lose(1)
    await lose(2)
    const session = await bench.login({ initiatorName: pc(3) })
    expect(await names()).toEqual([1, 2, 3].map(pc))
    const after = await serialOf(pc(1))
    expect(after).not.toBe(before)
    await bench.settled()

    // Both have no delta and no session, so both may go; the one with a session stays.
    await bench.visit(4, SILENCE, { initiatorName: pc(4) })
    await bench.settled()
    expect(await names()).toEqual([3, 4].map(pc))
    expect(await readdir(join(bench.state, 'initiators'))).toHaveLength(2)
    expect(await serialOf(pc(1))).toBe(after)
    await bench.end(session, LOGOUT)

    await bench.start({}, { maxInitiators: 3 })
    expect(await serialOf(pc(2))).not.toBe(before)
    expect(await serialOf(pc(1))).toBe(after)
    expect(await bench.read(await bench.login({ initiatorName: pc(4) }), 0)).toBe(4)
  })

  it('refuses a new one when all of them have a session or a delta', async () => {
    bench = await TargetBench.make()
    await bench.start({}, { maxInitiators: 2 })
    await bench.login({ initiatorName: pc(1) })
    await bench.visit(2, SILENCE, { initiatorName: pc(2) })
    await expect(bench.login({ initiatorName: pc(3) })).rejects.toMatchObject({ status: 0x0302 })
    expect(await bench.read(await bench.login({ initiatorName: pc(2) }), 0)).toBe(2)
    expect(await names()).toEqual([1, 2].map(pc))
  })
})

describe('keyOf', () => {
  it('keeps target and initiator apart', () => {
    expect(keyOf({ targetName: 'a', initiatorName: 'bc' })).not.toBe(keyOf({ targetName: 'ab', initiatorName: 'c' }))
  })
})
