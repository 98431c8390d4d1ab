import { afterEach, describe, expect, it } from '@jest/globals'
import { readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ServerOptions } from '../../lib/target/options.js'
import { ALICE, BASE_BYTE, BOB, SILENCE, TargetBench } from '../support/target-bench.js'

let bench: TargetBench
afterEach(() => bench.remove())

async function started(changes: Partial<ServerOptions> = {}): Promise<void> {
  bench = await TargetBench.make(changes)
  await bench.start()
}

describe('the units of an initiator', () => {
  describe('a delta that cannot be attached', () => {
    async function deltaFiles(): Promise<string[]> {
      const [hash] = await readdir(join(bench.state, 'deltas'))
      const path = join(bench.state, 'deltas', hash!)
      return (await readdir(path)).map((name) => join(path, name))
    }

    async function expectLost(reason: string): Promise<void> {
      expect(bench.log.with('error:', 'lost its delta', ALICE, reason)).toHaveLength(1)
      const nexus = await bench.login()
      expect(await bench.read(nexus, 0)).toBe(BASE_BYTE)
      expect(nexus.units.get(0)!.fenced).toBe(true)
    }

    it('is lost when its files were removed while the server was off', async () => {
      await started()
      await bench.visit(0xaa, SILENCE)
      await bench.stop()
      for (const path of await deltaFiles()) await rm(path)
      await bench.start()
      await expectLost('removed')
    })

    it('is lost when the image was changed by another program', async () => {
      await started()
      await bench.visit(0xaa, SILENCE)
      await bench.stop()
      await utimes(bench.image, new Date(), new Date(1_000_000_000))
      await bench.start()
      await expectLost('not the one it was written over')
      expect((await bench.server!.control.bin())[0]).toMatchObject({ reason: 'base-changed' })
    })

    it('is lost when its journal is damaged', async () => {
      await started()
      await bench.visit(0xaa, SILENCE)
      await bench.stop()
      const map = (await deltaFiles()).find((path) => path.endsWith('.map'))!
      await writeFile(map, Buffer.alloc(4096, 7))
      await bench.start()
      await expectLost('cannot be read')
    })
  })

  it('loses a delta whose slots are gone, at the login of its client', async () => {
    await started()
    const nexus = await bench.login()
    for (let chunk = 0; chunk < 8; chunk++) await bench.write(nexus, chunk * 8192, 0xaa)
    await bench.end(nexus, SILENCE)
    await bench.stop()
    const [hash] = await readdir(join(bench.state, 'deltas'))
    const path = join(bench.state, 'deltas', hash!)
    const slots = (await readdir(path)).find((name) => name.endsWith('.slots'))!
    await rm(join(path, slots))
    await bench.start()
    const again = await bench.login()
    expect(bench.log.with('error:', 'lost its delta', 'cannot be read')).toHaveLength(1)
    expect(await bench.read(again, 0)).toBe(BASE_BYTE)
    expect(again.units.get(0)!.fenced).toBe(true)
  })

  it('attaches the delta again when only the record of its initiator is damaged, and fences', async () => {
    await started()
    await bench.visit(0xaa, SILENCE)
    await bench.stop()
    const [name] = await readdir(join(bench.state, 'initiators'))
    await writeFile(join(bench.state, 'initiators', name!), '{ "version": 1, ')
    await bench.start()
    expect(bench.log.with('error:', name!, 'damaged')).toHaveLength(1)
    const nexus = await bench.login()
    expect(await bench.read(nexus, 0)).toBe(0xaa)
    expect(nexus.units.get(0)!.fenced).toBe(true)
  })

  it('fails only new chunks at the limit, and says so at four fifths of it', async () => {
    await started({ deltaLimitBytes: 64 * 1024 })
    const nexus = await bench.login()
    const bob = await bench.login({ initiatorName: BOB })
    let written = 0
    const full = async () => {
      for (; written < 64; written++) await bench.write(nexus, written * 4096, 0xaa)
    }
    await expect(full()).rejects.toMatchObject({ code: 'ENOSPC' })
    expect(written).toBeGreaterThan(8)
    await bench.write(nexus, 0, 0xad)
    expect(await bench.read(nexus, 0)).toBe(0xad)
    expect(await bench.read(nexus, (written - 1) * 4096)).toBe(0xaa)
    await bench.write(bob, 0, 0xbb)
    expect(bench.log.with('warn:', ALICE, '80 %')).toHaveLength(1)
    expect(nexus.units.get(0)!.attention).toMatchObject({ asc: 0x38, ascq: 0x07 })
    expect(bob.units.get(0)!.attention).toBeUndefined()
  })
})
