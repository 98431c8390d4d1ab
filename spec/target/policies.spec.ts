import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from '@jest/globals'
import type { TargetOptions } from '../../lib/target/options.js'
import { Policies } from '../../lib/target/policies.js'
import { codeOf } from '../../lib/util/errors.js'
import { readVolume, writeVolume } from '../../lib/volume/promises.js'
import { ALICE, BASE_BYTE, BOB, HOUR_MS, LOGOUT, SILENCE, TARGET, TargetBench } from '../support/target-bench.js'

let bench: TargetBench
afterEach(() => bench.remove())

const started = async (target: Partial<TargetOptions> = {}) => {
  bench = await TargetBench.make({}, target)
  await bench.start()
}
const rule = (rest: object) => ({ initiators: [{ match: ALICE, ...rest }] })
const WINDOWS = '400001370001'
const IPXE = '400027231111'
const OTHER_IPXE = '400027232222'
const BOOT_MS = 5 * 60_000

/** The first byte that Alice finds, and leaves as it is. */
async function found(isid = WINDOWS, end = SILENCE): Promise<number> {
  const nexus = await bench.login({ isid })
  const byte = await bench.read(nexus, 0)
  await bench.end(nexus, end)
  await bench.settled()
  return byte
}
const write = async (fill: number, end = LOGOUT, isid = WINDOWS) => {
  await bench.visit(fill, end, { isid })
  await bench.settled()
}
const control = () => bench.server!.control
const view = async () => (await control().initiators()).find(({ initiatorName }) => initiatorName === ALICE)
const failure = (work: Promise<unknown>) => work.then(() => 'done', codeOf)

describe('the policy keep', () => {
  it('keeps what was written over logouts, silence and restarts, for good', async () => {
    await started(rule({ policy: 'keep' }))
    await write(0xaa)
    expect(await found(WINDOWS, LOGOUT)).toBe(0xaa)
    bench.clock.advance(200 * HOUR_MS)
    await bench.settled()
    await bench.start()
    expect(await found()).toBe(0xaa)
    expect(await view()).toMatchObject({ graceLeftMs: undefined, policy: 'keep', units: [{ keeping: 'kept' }] })
  })

  it('is for those that it names', async () => {
    await started(rule({ policy: 'keep' }))
    await bench.visit(0xbb, LOGOUT, { initiatorName: BOB })
    await bench.settled()
    const nexus = await bench.login({ initiatorName: BOB })
    expect(await bench.read(nexus, 0)).toBe(BASE_BYTE)
  })

  it('ends when the operator drops that LUN by name, under the same identity after a logout', async () => {
    await started(rule({ policy: 'keep' }))
    await write(0xaa)
    expect(await failure(control().drop({ initiator: ALICE }))).toBe('ERR_ISCSI_DELTA_KEPT')
    expect(await control().drop({ initiator: ALICE, lun: 0 })).toMatchObject({ bytes: 4096, atNextLogin: false })
    const nexus = await bench.login()
    expect([await bench.read(nexus, 0), nexus.units.get(0)!.fenced]).toEqual([BASE_BYTE, false])
  })

  it('does not stand in the way of an undo of other LUNs, nor is it touched by one', async () => {
    const other = { lun: 1, path: '', restoreOn: 'logout' as const }
    bench = await TargetBench.make()
    other.path = join(bench.directory, 'other.img')
    await writeFile(other.path, Buffer.alloc(1 << 20, 0x33))
    const units = [bench.unit(), bench.unit({ ...other, personal: true })]
    await bench.start({ targets: [bench.target({ units })] })
    const nexus = await bench.login()
    const personal = nexus.units.get(1)!.unit.volume
    await bench.write(nexus, 0, 0xaa)
    await writeVolume(personal, Buffer.alloc(4096, 0xbb), 8192)
    await bench.end(nexus, LOGOUT)
    await bench.settled()
    expect(await control().undo({ initiator: ALICE })).toMatchObject({ luns: [0], discardedBytes: 0, renewed: false })
    const again = await bench.login()
    const bytes = Buffer.alloc(512)
    await readVolume(again.units.get(1)!.unit.volume, bytes, 8192)
    expect([await bench.read(again, 0), bytes[0]]).toEqual([0xaa, 0xbb])
  })
})

describe('a personal disk', () => {
  it('is kept beside one that is restored, for each initiator its own', async () => {
    bench = await TargetBench.make()
    const path = join(bench.directory, 'me.img')
    await writeFile(path, Buffer.alloc(1 << 20))
    const units = [bench.unit(), bench.unit({ lun: 1, path, personal: true })]
    await bench.start({ targets: [bench.target({ units })] })
    const both = async (initiatorName: string, fill?: number) => {
      const nexus = await bench.login({ initiatorName })
      const bytes = Buffer.alloc(512)
      await readVolume(nexus.units.get(1)!.unit.volume, bytes, 0)
      const seen = [await bench.read(nexus, 0), bytes[0]!]
      if (fill !== undefined) {
        await bench.write(nexus, 0, fill)
        await writeVolume(nexus.units.get(1)!.unit.volume, Buffer.alloc(512, fill), 0)
      }
      await bench.end(nexus, LOGOUT)
      await bench.settled()
      return seen
    }
    await both(ALICE, 1)
    await both(BOB, 2)
    expect(await both(ALICE)).toEqual([BASE_BYTE, 1])
    await bench.start()
    expect(await both(BOB)).toEqual([BASE_BYTE, 2])
    // Neither a time nor an order that names no LUN ends it.
    bench.clock.advance(200 * HOUR_MS)
    await bench.settled()
    expect(await failure(control().drop({ initiator: ALICE }))).toBe('ERR_ISCSI_DELTA_KEPT')
    expect(await both(ALICE)).toEqual([BASE_BYTE, 1])
  })
})

describe('the policy read-only', () => {
  it('refuses writes of those that it names alone', async () => {
    await started(rule({ policy: 'read-only' }))
    const readOnly = async (initiatorName: string) => {
      const nexus = await bench.login({ initiatorName })
      const { unit } = nexus.units.get(0)!
      await bench.end(nexus, LOGOUT)
      return unit.readOnly
    }
    expect([await readOnly(ALICE), await readOnly(BOB)]).toEqual([true, false])
  })

  it('shows a delta that is there as it was left, and swaps nothing', async () => {
    await started()
    await write(0xaa, SILENCE)
    await control().setPolicy({ match: ALICE, policy: 'read-only' })
    const nexus = await bench.login()
    const { unit, fenced } = nexus.units.get(0)!
    expect([unit.readOnly, await bench.read(nexus, 0), fenced]).toEqual([true, 0xaa, false])
    await bench.end(nexus, LOGOUT)
    await bench.settled()
    expect(await found()).toBe(BASE_BYTE)
  })
})

describe('restore-on boot', () => {
  it('restores at a login of iPXE, and at nothing else', async () => {
    await started(rule({ restoreOn: 'boot' }))
    await write(0xaa)
    // A logout, a reconnect with the last ISID, one with another: all restore nothing.
    expect(await found(WINDOWS, SILENCE)).toBe(0xaa)
    expect(await found(WINDOWS, LOGOUT)).toBe(0xaa)
    expect(await found('80a1b2c3d4e5')).toBe(0xaa)
    const before = (await bench.login()).units.get(0)!.unit.identity.serial
    await bench.end(bench.nexuses[0]!, SILENCE)
    const nexus = await bench.login({ isid: IPXE })
    const { unit, fenced } = nexus.units.get(0)!
    expect([await bench.read(nexus, 0), unit.identity.serial, fenced]).toEqual([BASE_BYTE, before, false])
  })

  it('restores nothing when the booted system logs in, though the session of iPXE still lives', async () => {
    await started(rule({ restoreOn: 'boot' }))
    const ipxe = await bench.login({ isid: IPXE })
    await bench.write(ipxe, 0, 0x11)
    const system = await bench.login({ isid: WINDOWS })
    expect(await bench.read(system, 0)).toBe(0x11)
    await bench.end(ipxe, SILENCE)
    expect(await bench.read(system, 0)).toBe(0x11)
  })

  it('restores although the session of before the reset looks alive, which it ends first', async () => {
    await started(rule({ restoreOn: 'boot' }))
    const before = await bench.login()
    await bench.write(before, 0, 0xaa)
    bench.clock.advance(BOOT_MS)
    const ipxe = await bench.login({ isid: IPXE })
    expect(await bench.read(ipxe, 0)).toBe(BASE_BYTE)
    expect(bench.nexuses).toEqual([ipxe])
  })

  it('leaves the sessions of a boot alone when iPXE opens a second disk', async () => {
    await started(rule({ restoreOn: 'boot' }))
    await bench.login({ isid: IPXE })
    bench.clock.advance(2000)
    await bench.login({ isid: OTHER_IPXE })
    expect(bench.nexuses).toHaveLength(2)
  })

  it('restores nothing when iPXE opens its disk again during a boot', async () => {
    await started(rule({ restoreOn: 'boot' }))
    await write(0x11, SILENCE, IPXE)
    bench.clock.advance(20_000)
    expect(await found(OTHER_IPXE)).toBe(0x11)
    bench.clock.advance(BOOT_MS)
    expect(await found(IPXE)).toBe(BASE_BYTE)
  })

  it('can be undone, and the next boot spares what came back', async () => {
    await started(rule({ restoreOn: 'boot' }))
    await write(0xaa)
    expect(await found(IPXE, LOGOUT)).toBe(BASE_BYTE)
    await control().undo({ initiator: ALICE })
    bench.clock.advance(BOOT_MS)
    expect(await found(IPXE, LOGOUT)).toBe(0xaa)
    await found(WINDOWS, LOGOUT)
    bench.clock.advance(BOOT_MS)
    expect(await found(IPXE)).toBe(BASE_BYTE)
  })

  it('gives a client up that stays away: without a new identity after a logout', async () => {
    await started(rule({ restoreOn: 'boot' }))
    await write(0xaa)
    const { serial } = (await bench.login()).units.get(0)!.unit.identity
    await bench.end(bench.nexuses[0]!, LOGOUT)
    bench.clock.advance(97 * HOUR_MS)
    await bench.settled()
    const nexus = await bench.login()
    expect([await bench.read(nexus, 0), nexus.units.get(0)!.unit.identity.serial]).toEqual([BASE_BYTE, serial])
  })

  it('says once when a client never boots by iPXE', async () => {
    await started(rule({ restoreOn: 'boot' }))
    await write(0xaa)
    await write(0xbb)
    expect(bench.log.with('has never booted by iPXE', '--at-next-login')).toHaveLength(1)
  })
})

describe('the mark of the operator', () => {
  it.each(['manual', 'boot'] as const)(
    'restores with %s at the login after a logout, not at a reconnect',
    async (restoreOn) => {
      await started(rule({ restoreOn }))
      await write(0xaa, SILENCE)
      expect(await control().drop({ initiator: ALICE, atNextLogin: true })).toMatchObject({
        atNextLogin: true,
        bytes: 0
      })
      expect((await view())!.marked).toBe(true)
      expect(await found(WINDOWS, SILENCE)).toBe(0xaa)
      await bench.start()
      expect(await found(WINDOWS, LOGOUT)).toBe(0xaa)
      expect(await found(WINDOWS, LOGOUT)).toBe(BASE_BYTE)
      await write(0xbb)
      expect(await found()).toBe(0xbb)
    }
  )
})

describe('an order to drop', () => {
  it('wants a client that is logged in to be disconnected by a word more', async () => {
    await started()
    const nexus = await bench.login()
    await bench.write(nexus, 0, 0xaa)
    expect(await failure(control().drop({ initiator: ALICE }))).toBe('ERR_ISCSI_DELTA_SESSION')
    expect(await control().drop({ initiator: ALICE, disconnect: true })).toMatchObject({ bytes: 4096 })
    expect(bench.nexuses).toEqual([])
    const again = await bench.login()
    expect([await bench.read(again, 0), again.units.get(0)!.fenced]).toEqual([BASE_BYTE, true])
  })

  it.each([
    [{ initiator: BOB }, 'ERR_ISCSI_DELTA_NOTHING'],
    [{ initiator: ALICE, lun: 7 }, 'ERR_ISCSI_DELTA_NOTHING'],
    [{ initiator: 'pc 7' }, 'ERR_ISCSI_NAME'],
    [{ initiator: ALICE, target: 'iqn.2000-01.org.example:no' }, 'ERR_ISCSI_TARGET_UNKNOWN']
  ])('is refused when there is nothing: %j', async (order, code) => {
    await started()
    await write(0xaa, SILENCE)
    expect(await failure(control().drop(order))).toBe(code)
  })
})

describe('a policy by command', () => {
  it('counts before the configuration, survives a restart, and can be taken back', async () => {
    await started(rule({ policy: 'restore' }))
    await control().setPolicy({ match: ALICE.toUpperCase(), policy: 'keep' })
    await write(0xaa)
    await bench.start()
    expect(await found(WINDOWS, LOGOUT)).toBe(0xaa)
    expect(await control().policies()).toMatchObject([
      { targetName: TARGET, ordered: [{ match: ALICE, policy: 'keep' }], configured: [{ match: ALICE }] }
    ])
    await control().setPolicy({ match: ALICE, remove: true })
    expect(await found(WINDOWS, LOGOUT)).toBe(0xaa)
    expect(await found()).toBe(BASE_BYTE)
  })

  it('gives a delta that waits another time to wait', async () => {
    await started()
    await write(0xaa, SILENCE)
    expect((await view())!.graceLeftMs).toBe(96 * HOUR_MS)
    await control().setPolicy({ match: 'iqn.1991-05.com.microsoft:*', policy: 'keep' })
    expect((await view())!.graceLeftMs).toBe(undefined)
    await control().setPolicy({ match: 'iqn.1991-05.com.microsoft:*', policy: 'restore' })
    expect((await view())!.graceLeftMs).toBe(96 * HOUR_MS)
  })

  it.each([
    [{ match: ALICE, remove: true }, 'ERR_ISCSI_POLICY_NONE'],
    [{ match: 'pc 7', policy: 'keep' as const }, 'ERR_ISCSI_NAME'],
    [{ match: ALICE, lun: 0, policy: 'author' as const }, 'ERR_ISCSI_POLICY'],
    [{ match: ALICE, target: 'iqn.2000-01.org.example:no', policy: 'keep' as const }, 'ERR_ISCSI_TARGET_UNKNOWN']
  ])('is refused when it cannot be: %j', async (order, code) => {
    await started()
    expect(await failure(control().setPolicy(order))).toBe(code)
  })

  it('is what Policies asks first', () => {
    const orders = { of: () => [{ targetName: TARGET, match: ALICE, policy: 'keep' as const }] }
    const policies = new Policies(TARGET, [{ match: '*', policy: 'read-only' }], orders as never)
    expect([policies.of(ALICE), policies.of(BOB)]).toEqual(['keep', 'read-only'])
  })
})
