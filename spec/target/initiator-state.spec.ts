import { afterEach, describe, expect, it } from '@jest/globals'
import { BOB, SILENCE, TargetBench } from '../support/target-bench.js'

let bench: TargetBench
afterEach(() => bench.remove())

describe('the state of an initiator', () => {
  it('counts a delta against the limits while its client is absent, over a restart too', async () => {
    bench = await TargetBench.make({ deltaTotalBytes: 64 * 1024 })
    await bench.start()
    const nexus = await bench.login()
    for (let chunk = 0; chunk < 8; chunk++) await bench.write(nexus, chunk * 4096, 0xaa)
    await bench.end(nexus, SILENCE)
    await bench.start()
    const bob = await bench.login({ initiatorName: BOB })
    let written = 0
    const fill = async () => {
      for (; written < 16; written++) await bench.write(bob, written * 4096, 0xbb)
    }
    await expect(fill()).rejects.toMatchObject({ code: 'ENOSPC' })
    // 16 chunks in all: 8 are taken, and each map takes one for its leaf.
    expect(written).toBeLessThan(8)
    await bench.server!.control.restore({ initiator: (await bench.login()).initiatorName })
    await fill().catch(() => undefined)
    expect(written).toBeGreaterThan(8)
  })
})
