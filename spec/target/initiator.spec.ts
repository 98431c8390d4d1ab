import { cp, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from '@jest/globals'
import type { SessionEnd } from '../../lib/iscsi/directory.js'
import { LoginError } from '../../lib/iscsi/errors.js'
import type { ServerOptions, TargetOptions } from '../../lib/target/options.js'
import { ALICE, BASE_BYTE, BOB, HOUR_MS, LOGOUT, SILENCE, TargetBench } from '../support/target-bench.js'

let bench: TargetBench
afterEach(() => bench.remove())

async function started(
  changes: Partial<ServerOptions> = {},
  target: Partial<TargetOptions> = {}
): Promise<TargetBench> {
  bench = await TargetBench.make(changes, target)
  await bench.start()
  return bench
}

async function refusal(work: Promise<unknown>): Promise<LoginError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason
  )
  if (error instanceof LoginError) return error
  throw new Error('the login was not refused', { cause: error })
}

async function serialOf(initiatorName = ALICE): Promise<string> {
  const nexus = await bench.login({ initiatorName, isid: '400001379999' })
  const { serial } = nexus.units.get(0)!.unit.identity
  await bench.end(nexus, SILENCE)
  return serial
}

describe('Initiator', () => {
  it('gives each initiator its own view and leaves the image as it was', async () => {
    await started()
    const alice = await bench.login()
    const bob = await bench.login({ initiatorName: BOB })
    await bench.write(alice, 8192, 0xaa)
    await bench.write(bob, 8192, 0xbb)
    expect(await bench.read(alice, 8192)).toBe(0xaa)
    expect(await bench.read(bob, 8192)).toBe(0xbb)
    expect(await bench.imageByte(8192)).toBe(BASE_BYTE)
  })

  it('shows the original after a logout, under the same identity', async () => {
    await started()
    const before = await serialOf()
    await bench.visit(0xaa, LOGOUT)
    const nexus = await bench.login()
    expect(await bench.read(nexus, 0)).toBe(BASE_BYTE)
    expect(nexus.units.get(0)!.unit.identity.serial).toBe(before)
    expect(nexus.units.get(0)!.fenced).toBe(false)
    expect(bench.log.with('restored', ALICE, '4 KiB', 'dropped in')).toHaveLength(1)
  })

  it('counts the same bytes when a delta is kept and when it is dropped', async () => {
    await started()
    await bench.visit(0xaa, SILENCE)
    expect(bench.log.with(ALICE, ': 4 KiB kept for')).toHaveLength(1)
    await bench.visit(0xaa, LOGOUT)
    expect(bench.log.with('restored', ALICE, ': 4 KiB dropped in')).toHaveLength(1)
  })

  const kept: readonly SessionEnd[] = [
    { kind: 'logout-on-request', reason: 0 },
    { kind: 'logout', reason: 2 },
    { kind: 'closed' },
    SILENCE,
    { kind: 'reinstated' },
    { kind: 'stopped' }
  ]
  it.each(kept)('keeps the delta when the session ends by %j', async (end) => {
    await started()
    await bench.visit(0xaa, end)
    const nexus = await bench.login()
    expect(await bench.read(nexus, 0)).toBe(0xaa)
    expect(nexus.units.get(0)!.fenced).toBe(false)
  })

  it('drops only at the logout of the last session', async () => {
    await started()
    const first = await bench.login({ isid: '400001370001' })
    const second = await bench.login({ isid: '400001370002' })
    await bench.write(first, 0, 0xaa)
    await bench.end(first, LOGOUT)
    expect(await bench.read(second, 0)).toBe(0xaa)
    await bench.end(second, LOGOUT)
    expect(await bench.read(await bench.login(), 0)).toBe(BASE_BYTE)
  })

  it('keeps the delta over a stop and a new start of the server', async () => {
    await started()
    const nexus = await bench.login()
    await bench.write(nexus, 4096, 0xaa)
    await bench.start()
    expect(bench.log.with(ALICE, 'found, kept for 96 h')).toHaveLength(1)
    expect(await bench.read(await bench.login(), 4096)).toBe(0xaa)
  })

  it('finds the delta of a client that was there when the server died', async () => {
    await started()
    await bench.visit(0xaa, SILENCE)
    await bench.stop()
    // What a killed server leaves: the record of a login, which knows neither an end nor files.
    const [name] = await readdir(join(bench.state, 'initiators'))
    const path = join(bench.state, 'initiators', name!)
    const record = JSON.parse(await readFile(path, 'utf8')) as { units: object[] }
    const units = record.units.map((unit) => ({ ...unit, stored: false }))
    await writeFile(path, JSON.stringify({ ...record, end: undefined, graceEnds: undefined, units }))
    await bench.start()
    expect(await bench.server!.control.initiators()).toMatchObject([{ graceLeftMs: 96 * HOUR_MS }])
    const nexus = await bench.login()
    expect(await bench.read(nexus, 0)).toBe(0xaa)
    expect(nexus.units.get(0)!.fenced).toBe(false)
  })

  it('has noted a delta before its first write is answered, so that its loss is noticed after a crash too', async () => {
    await started()
    const nexus = await bench.login()
    const [name] = await readdir(join(bench.state, 'initiators'))
    const noted = async () => {
      const text = await readFile(join(bench.state, 'initiators', name!), 'utf8')
      return (JSON.parse(text) as { units: { stored: boolean }[] }).units.map(({ stored }) => stored)
    }
    expect(await noted()).toEqual([false])
    await bench.write(nexus, 0, 0xaa)
    expect(await noted()).toEqual([true])
    await bench.end(nexus, LOGOUT)
    const again = await bench.login()
    expect(await noted()).toEqual([false])
    await bench.write(again, 0, 0xaa)
    expect(await noted()).toEqual([true])
  })

  it('keeps an epoch away that has ended and came back', async () => {
    await started()
    await bench.visit(0xaa, SILENCE)
    const [hash] = await readdir(join(bench.state, 'deltas'))
    const path = join(bench.state, 'deltas', hash!)
    const copies = join(bench.directory, 'copies')
    await bench.stop()
    await cp(path, copies, { recursive: true })
    await bench.start()
    await bench.server!.control.restore({})
    await bench.settled()
    await cp(copies, path, { recursive: true })
    expect(await bench.read(await bench.login(), 0)).toBe(BASE_BYTE)
  })

  it.each<[SessionEnd, number]>([
    [SILENCE, 96],
    [{ kind: 'closed' }, 48]
  ])('gives the delta up when the grace time of %j, %d h, is over', async (end, hours) => {
    await started()
    const before = await serialOf()
    await bench.visit(0xaa, end)
    bench.clock.advance(hours * HOUR_MS - 1000)
    await bench.settled()
    expect(bench.log.with('lost its delta')).toHaveLength(0)
    bench.clock.advance(2000)
    await bench.settled()
    expect(bench.log.with('lost its delta', ALICE, 'grace time is over')).toHaveLength(1)
    const nexus = await bench.login()
    expect(await bench.read(nexus, 0)).toBe(BASE_BYTE)
    expect(nexus.units.get(0)!.unit.identity.serial).not.toBe(before)
    expect(nexus.units.get(0)!.fenced).toBe(true)
    expect(nexus.units.get(0)!.attention).toMatchObject({ key: 6 })
  })

  it('stops the grace time while a client is there', async () => {
    await started()
    await bench.visit(0xaa, SILENCE)
    bench.clock.advance(95 * HOUR_MS)
    const nexus = await bench.login()
    bench.clock.advance(10 * HOUR_MS)
    await bench.settled()
    expect(await bench.read(nexus, 0)).toBe(0xaa)
  })

  it('lets the grace time run only while the server listens', async () => {
    await started()
    await bench.visit(0xaa, SILENCE)
    bench.clock.advance(50 * HOUR_MS)
    await bench.stop()
    bench.clock.advance(1000 * HOUR_MS)
    await bench.start()
    bench.clock.advance(45 * HOUR_MS)
    await bench.settled()
    expect((await bench.server!.control.initiators())[0]).toMatchObject({ graceLeftMs: HOUR_MS })
    bench.clock.advance(2 * HOUR_MS)
    await bench.settled()
    expect(bench.log.with('lost its delta')).toHaveLength(1)
  })

  it('is not impressed by a wall clock that jumps', async () => {
    await started()
    await bench.visit(0xaa, SILENCE)
    bench.clock.jump(10_000 * HOUR_MS)
    bench.clock.advance(HOUR_MS)
    await bench.settled()
    expect(await bench.read(await bench.login(), 0)).toBe(0xaa)
  })

  it('forgets a client that wrote nothing', async () => {
    await started()
    await bench.end(await bench.login(), SILENCE)
    await bench.settled()
    expect(await bench.server!.control.initiators()).toEqual([])
    expect(await readdir(join(bench.state, 'initiators'))).toEqual([])
    expect(await readdir(join(bench.state, 'deltas'))).toEqual([])
  })

  it('gives the directories and files of a delta modes that only its owner can use', async () => {
    await started()
    await bench.visit(0xaa, SILENCE)
    const [hash] = await readdir(join(bench.state, 'deltas'))
    expect(hash).toMatch(/^[0-9a-f]{32}$/)
    const files = await readdir(join(bench.state, 'deltas', hash!))
    expect(files.length).toBeGreaterThan(0)
    for (const name of files) {
      expect((await stat(join(bench.state, 'deltas', hash!, name))).mode & 0o777).toBe(0o600)
    }
    expect((await stat(join(bench.state, 'deltas', hash!))).mode & 0o777).toBe(0o700)
  })

  describe('with CHAP', () => {
    it('refuses the delta to another CHAP user', async () => {
      await started()
      await bench.visit(0xaa, SILENCE, { chapName: 'alice' })
      const error = await refusal(bench.login({ chapName: 'mallory' }))
      expect(error.status).toBe(0x0202)
      expect((await refusal(bench.login())).status).toBe(0x0202)
      expect(await bench.read(await bench.login({ chapName: 'alice' }), 0)).toBe(0xaa)
    })

    it('lets another user in when there is no delta', async () => {
      await started()
      await bench.visit(0xaa, LOGOUT, { chapName: 'alice' })
      await bench.settled()
      const nexus = await bench.login({ chapName: 'bert' })
      expect(await bench.read(nexus, 0)).toBe(BASE_BYTE)
    })

    it('lets a proved user take over a delta that was made without CHAP, over restarts too', async () => {
      await started()
      await bench.visit(0xaa, SILENCE)
      await bench.visit(0xab, SILENCE, { chapName: 'alice' })
      await bench.start()
      expect(await bench.read(await bench.login({ chapName: 'alice' }), 0)).toBe(0xab)
    })
  })

  it('gives a dropped delta its undo time and then its space back', async () => {
    await started()
    await bench.visit(0xaa, LOGOUT)
    await bench.settled()
    expect(await bench.server!.control.bin()).toHaveLength(1)
    bench.clock.advance(HOUR_MS - 1000)
    await bench.settled()
    expect(await bench.server!.control.bin()).toHaveLength(1)
    bench.clock.advance(2000)
    await bench.settled()
    expect(await bench.server!.control.bin()).toEqual([])
    expect(await readdir(join(bench.state, 'bin'))).toEqual([])
  })

  it('removes at once with an undo time of 0', async () => {
    await started({ undoMs: 0 })
    await bench.visit(0xaa, LOGOUT)
    await bench.settled()
    expect(await readdir(join(bench.state, 'bin'))).toEqual([])
  })

  it('comes through many logins and logouts at once with the right content', async () => {
    await started()
    await Promise.all(
      Array.from({ length: 40 }, (_, index) => bench.visit(index + 1, LOGOUT, { isid: `4000013700${10 + index}` }))
    )
    await bench.settled()
    expect(await bench.read(await bench.login(), 0)).toBe(BASE_BYTE)
    expect(await bench.imageByte(0)).toBe(BASE_BYTE)
  })
})
