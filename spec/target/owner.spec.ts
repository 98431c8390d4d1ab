import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from '@jest/globals'
import { keyOf, MAX_IDLE_OPEN } from '../../lib/target/owner.js'
import { BASE_BYTE, LOGOUT, SILENCE, TargetBench } from '../support/target-bench.js'

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

describe('keyOf', () => {
  it('keeps target and initiator apart', () => {
    expect(keyOf({ targetName: 'a', initiatorName: 'bc' })).not.toBe(keyOf({ targetName: 'ab', initiatorName: 'c' }))
  })
})
