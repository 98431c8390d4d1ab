import { readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from '@jest/globals'
import type { Nexus } from '../../lib/scsi/nexus.js'
import type { ServerOptions, UnitOptions } from '../../lib/target/options.js'
import { ALICE, BASE_BYTE, BOB, LOGOUT, SILENCE, TargetBench } from '../support/target-bench.js'

let bench: TargetBench
afterEach(() => bench.remove())

async function started(unit: Partial<UnitOptions> = {}, changes: Partial<ServerOptions> = {}): Promise<void> {
  bench = await TargetBench.make()
  await bench.start({ targets: [bench.target({ units: [bench.unit({ shared: true, ...unit })] })], ...changes })
}

const unitOf = (nexus: Nexus) => nexus.units.get(0)!.unit
const alice = () => bench.login()
const bob = () => bench.login({ initiatorName: BOB, isid: '400001370002' })

describe('a shared unit', () => {
  it('is one for all initiators, who see what the others write; it is in the image and outlives logouts', async () => {
    await started()
    const [one, two] = [await alice(), await bob()]
    expect(unitOf(one)).toBe(unitOf(two))
    await bench.write(one, 8192, 0x41)
    expect(await bench.read(two, 8192)).toBe(0x41)
    expect(await bench.imageByte(8192)).toBe(0x41)
    await bench.end(one, LOGOUT)
    await bench.end(two, SILENCE)
    await bench.settled()
    expect(await bench.read(await alice(), 8192)).toBe(0x41)
    expect(await bench.read(await alice(), 0)).toBe(BASE_BYTE)
    expect(await bench.server!.control.initiators()).toMatchObject([{ initiatorName: ALICE, units: [] }])
  })

  it('has one identity for all, which is no private one and is there again after a restart', async () => {
    await started()
    const first = unitOf(await alice()).identity
    expect(unitOf(await bob()).identity).toBe(first)
    expect(first.product).toBe('SHARED DISK')
    await bench.start()
    expect(unitOf(await bob()).identity).toEqual(first)
    await bench.start({ targets: [bench.target({ units: [bench.unit()] })] })
    expect(unitOf(await bob()).identity.naa.equals(first.naa)).toBe(false)
  })

  it('is write-through, and no MODE SELECT changes that', async () => {
    await started()
    const unit = unitOf(await alice())
    expect([unit.writeCacheEnabled, unit.defaultModes.writeCacheEnabled, unit.atomicWrites]).toEqual([
      false,
      false,
      false
    ])
    unit.reset()
    expect(unit.writeCacheEnabled).toBe(false)
  })

  it('keeps registrations that ask for it over a restart, in files of its own', async () => {
    await started()
    const one = await alice()
    const { persistent } = unitOf(one).reservations
    const before = persistent.snapshot()
    persistent.register(one, 0n, 0xaan)
    persistent.reserve(one, 0xaan, 1)
    persistent.setPersists(true)
    await persistent.keep(before)
    const folder = join(bench.state, 'reservations')
    expect(await readdir(folder)).toHaveLength(1)
    await bench.start()
    const two = await bob()
    const after = unitOf(two).reservations.persistent
    expect([after.type, after.reservationKey, after.isRegistered(two)]).toEqual([1, 0xaan, false])
    expect(after.isRegistered(await alice())).toBe(true)
    const empty = after.snapshot()
    after.clear(await alice(), 0xaan)
    await after.keep(empty)
    expect(await readdir(folder)).toEqual([])
  })

  it.each([
    ['no JSON', '{'],
    ['a key that is none', '{"version":1,"registrations":[{"nexusId":"a","initiatorPort":"a","key":"xyz"}]}'],
    ['a later version', '{"version":2,"registrations":[]}']
  ])('is not served while what it kept is %s: a fence would silently be gone', async (_what, text) => {
    await started()
    const one = await alice()
    const { persistent } = unitOf(one).reservations
    const before = persistent.snapshot()
    persistent.register(one, 0n, 1n)
    persistent.setPersists(true)
    await persistent.keep(before)
    const folder = join(bench.state, 'reservations')
    const [name] = await readdir(folder)
    await bench.stop()
    const good = await readFile(join(folder, name!))
    await writeFile(join(folder, name!), text)
    await expect(bench.start()).rejects.toMatchObject({ code: 'ERR_ISCSI_STATE' })
    await writeFile(join(folder, name!), good)
    await bench.start()
  })

  it('tells the nexuses of all initiators of a reset', async () => {
    await started()
    const [one, two] = [await alice(), await bob()]
    unitOf(one).reset()
    unitOf(one).establish({ name: 'RESET', key: 6, asc: 0x29, ascq: 3 })
    expect([one, two].map((nexus) => nexus.units.get(0)!.attention?.asc)).toEqual([0x29, 0x29])
  })

  it('leaves no room for a private view of its image, nor for another shared one', async () => {
    await started()
    for (const shared of [false, true]) {
      const other = bench.target({ name: 'iqn.2010-04.local.cloudx:other', units: [bench.unit({ shared })] })
      await expect(bench.server!.addTarget(other)).rejects.toMatchObject({ code: 'ERR_ISCSI_IMAGE_SHARED' })
    }
  })

  it('cannot be had of an image that has private views', async () => {
    bench = await TargetBench.make()
    await bench.start()
    const other = bench.target({ name: 'iqn.2010-04.local.cloudx:other', units: [bench.unit({ shared: true })] })
    await expect(bench.server!.addTarget(other)).rejects.toMatchObject({ code: 'ERR_ISCSI_IMAGE_SHARED' })
  })

  it('locks its image against every other server', async () => {
    await started()
    const other = await TargetBench.make()
    const units = [{ ...bench.unit() }]
    await expect(
      other.start({ targets: [other.target({ units })], stateDirectory: join(other.directory, 's') })
    ).rejects.toMatchObject({
      code: 'ERR_ISCSI_LOCKED'
    })
    await other.remove()
  })

  it('gives its image back when its target goes', async () => {
    await started()
    const target = bench.target({ units: [bench.unit({ shared: true })] })
    await bench.server!.removeTarget(target.name)
    await bench.server!.addTarget({ ...target, units: [bench.unit()] })
    expect(unitOf(await alice()).identity.product).toBe('PRIVATE DISK')
  })

  it('refuses writes when it is read-only', async () => {
    await started({ readOnly: true })
    const unit = unitOf(await alice())
    expect([unit.writeProtected, unit.volume.readOnly]).toEqual([true, true])
  })

  it('stands beside a private one, of which each has its own', async () => {
    await started()
    const path = join(bench.directory, 'private.img')
    await writeFile(path, Buffer.alloc(4 * 2 ** 20))
    await bench.start({
      targets: [bench.target({ units: [bench.unit({ shared: true }), bench.unit({ lun: 1, path })] })]
    })
    const [one, two] = [await alice(), await bob()]
    expect(one.units.get(0)!.unit).toBe(two.units.get(0)!.unit)
    expect(one.units.get(1)!.unit).not.toBe(two.units.get(1)!.unit)
  })
})
