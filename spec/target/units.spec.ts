import { afterEach, describe, expect, it } from '@jest/globals'
import { cp, readdir, rename, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Nexus } from '../../lib/scsi/nexus.js'
import type { ServerOptions } from '../../lib/target/options.js'
import { flushVolume } from '../../lib/volume/promises.js'
import { ALICE, BASE_BYTE, BOB, LOGOUT, SILENCE, TargetBench } from '../support/target-bench.js'

let bench: TargetBench
afterEach(() => bench.remove())

async function started(changes: Partial<ServerOptions> = {}): Promise<void> {
  bench = await TargetBench.make(changes)
  await bench.start()
}

describe('the units of an initiator', () => {
  describe('persistent reservations', () => {
    const OTHER = '400001370099'
    const persistentOf = (nexus: Nexus) => nexus.units.get(0)!.unit.reservations.persistent
    /** What PERSISTENT RESERVE OUT does: REGISTER, and RESERVE for write exclusive. */
    async function reserve(nexus: Nexus, persists = true): Promise<void> {
      const persistent = persistentOf(nexus)
      const before = persistent.snapshot()
      persistent.register(nexus, 0n, 0xaan)
      persistent.reserve(nexus, 0xaan, 1)
      persistent.setPersists(persists)
      await persistent.keep(before)
    }

    it('that are to survive a restart hold against another session of the initiator afterwards', async () => {
      await started()
      const nexus = await bench.login()
      await bench.write(nexus, 0, 0xaa)
      await reserve(nexus)
      await bench.start()
      const other = await bench.login({ isid: OTHER })
      const found = persistentOf(other)
      expect([found.type, found.reservationKey, found.persists, found.isRegistered(other)]).toEqual([
        1,
        0xaan,
        true,
        false
      ])
      expect(found.isRegistered(await bench.login())).toBe(true)
      expect(persistentOf(await bench.login({ initiatorName: BOB })).empty).toBe(true)
    })

    it('survive one also when nothing was written, and are gone when they are cleared', async () => {
      await started()
      const first = await bench.login()
      await reserve(first)
      await bench.end(first, SILENCE)
      await bench.settled()
      await bench.start()
      const nexus = await bench.login()
      const found = persistentOf(nexus)
      expect(found.type).toBe(1)
      const before = found.snapshot()
      found.clear(nexus, 0xaan)
      await found.keep(before)
      await bench.start()
      expect(persistentOf(await bench.login()).empty).toBe(true)
    })

    it('that do not ask for it are gone', async () => {
      await started()
      const nexus = await bench.login()
      await bench.write(nexus, 0, 0xaa)
      await reserve(nexus, false)
      await bench.start()
      expect(persistentOf(await bench.login()).empty).toBe(true)
    })

    it.each([
      ['something was written', 0xaa],
      ['nothing was written', undefined]
    ])('end with the epoch when the client logs out, at once and behind a restart: %s', async (_what, fill) => {
      await started()
      const nexus = await bench.login()
      if (fill !== undefined) await bench.write(nexus, 0, fill)
      await reserve(nexus)
      await bench.end(nexus, LOGOUT)
      // A diskless PC comes from another ISID each time: nobody could clear what it left.
      expect(persistentOf(await bench.login({ isid: OTHER })).empty).toBe(true)
      await bench.start()
      expect(persistentOf(await bench.login()).empty).toBe(true)
    })

    it('end with a delta that is lost', async () => {
      await started()
      await bench.visit(0xaa, SILENCE)
      const nexus = await bench.login()
      await reserve(nexus)
      await bench.end(nexus, SILENCE)
      await bench.server!.control.restore({ initiator: ALICE })
      expect(persistentOf(await bench.login()).empty).toBe(true)
    })
  })

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

  describe('after a power cut', () => {
    const THIS_BOOT = Buffer.alloc(16, 1)
    const NEXT_BOOT = Buffer.alloc(16, 2)

    /** What lies on the disk while the server runs, as the one that the next server starts from. */
    async function cutPower(): Promise<void> {
      const copy = join(bench.directory, 'copy')
      await cp(bench.state, copy, { recursive: true })
      await bench.stop()
      await rm(bench.state, { recursive: true })
      await rename(copy, bench.state)
    }

    async function startedInThisBoot(): Promise<void> {
      bench = await TargetBench.make()
      await bench.start({}, { bootId: THIS_BOOT })
    }

    it('gives a client that was there its flushed bytes under a new identity, fences it and names it', async () => {
      await startedInThisBoot()
      const nexus = await bench.login()
      const { serial } = nexus.units.get(0)!.unit.identity
      await bench.write(nexus, 0, 0xaa)
      await flushVolume(nexus.units.get(0)!.unit.volume)
      await bench.write(nexus, 8192, 0xbb)
      await cutPower()
      await bench.start({}, { bootId: NEXT_BOOT })
      const again = await bench.login()
      expect(await bench.read(again, 0)).toBe(0xaa)
      expect(await bench.read(again, 8192)).toBe(BASE_BYTE)
      expect(again.units.get(0)!.fenced).toBe(true)
      const renewed = again.units.get(0)!.unit.identity.serial
      expect(renewed).not.toBe(serial)
      expect(bench.log.with('warn:', ALICE, 'LUN 0', 'power cut', 'new identity')).toHaveLength(1)
      // It keeps that identity and content over another restart, and is told once.
      await bench.end(again, SILENCE)
      await bench.settled()
      await bench.start({}, { bootId: NEXT_BOOT })
      const third = await bench.login()
      expect(await bench.read(third, 0)).toBe(0xaa)
      expect(third.units.get(0)!.unit.identity.serial).toBe(renewed)
      expect(bench.log.with('warn:', ALICE, 'power cut')).toHaveLength(1)
      // And over a restore: what comes behind it belongs to the new disk.
      await bench.end(third, LOGOUT)
      await bench.visit(0xcc, SILENCE)
      await bench.start({}, { bootId: NEXT_BOOT })
      const fourth = await bench.login()
      expect(await bench.read(fourth, 0)).toBe(0xcc)
      expect(fourth.units.get(0)!.unit.identity.serial).toBe(renewed)
    })

    it('gives a client that was absent, and whose delta had been flushed, the same disk with exactly its bytes', async () => {
      await startedInThisBoot()
      const { serial } = (await bench.login()).units.get(0)!.unit.identity
      await bench.visit(0xaa, SILENCE, { isid: '400001370002' })
      for (const nexus of bench.nexuses) await bench.end(nexus, SILENCE)
      await bench.settled()
      await cutPower()
      await bench.start({}, { bootId: NEXT_BOOT })
      const again = await bench.login()
      expect(await bench.read(again, 0)).toBe(0xaa)
      expect(again.units.get(0)!.fenced).toBe(false)
      expect(again.units.get(0)!.unit.identity.serial).toBe(serial)
      expect(bench.log.with('power cut')).toEqual([])
    })

    it('suspects nobody when only the process died', async () => {
      await startedInThisBoot()
      const nexus = await bench.login()
      await bench.write(nexus, 0, 0xaa)
      await cutPower()
      await bench.start({}, { bootId: THIS_BOOT })
      const again = await bench.login()
      expect(await bench.read(again, 0)).toBe(0xaa)
      expect(again.units.get(0)!.fenced).toBe(false)
      expect(bench.log.with('power cut')).toEqual([])
    })

    it('bounds what a client without flushes loses by the flush interval', async () => {
      await startedInThisBoot()
      const nexus = await bench.login()
      await bench.write(nexus, 0, 0xaa)
      bench.clock.advance(1000)
      const { volume } = nexus.units.get(0)!.unit as unknown as { volume: { dirty: boolean } }
      // A flush that finds nothing to do waits for the one under way, and makes none itself.
      while (volume.dirty) await new Promise((resolve) => setImmediate(resolve))
      await bench.settled()
      await cutPower()
      await bench.start({}, { bootId: NEXT_BOOT })
      expect(await bench.read(await bench.login(), 0)).toBe(0xaa)
    })
  })
})
