import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { LOOK_MS, PUSH_LATE_MS, PUSHED_AT_ONCE } from '../../../lib/target/generations/push-control.js'
import type { Nexus } from '../../../lib/scsi/nexus.js'
import type { ImageView } from '../../../lib/target/control.js'
import { codeOf } from '../../../lib/util/errors.js'
import { ALICE, BASE_BYTE, BOB, HOUR_MS, LOGOUT, SILENCE, TARGET, TargetBench } from '../../support/target-bench.js'

const STUDIO = 'iqn.2026-01.org.example:studio'

let bench: TargetBench
beforeEach(async () => {
  const initiators = [
    { match: STUDIO, policy: 'author' as const },
    { match: `${BOB}-keeps`, policy: 'keep' as const }
  ]
  bench = await TargetBench.make({}, { initiators })
  await bench.start()
})
afterEach(() => bench.remove())

const control = () => bench.server!.control
const failure = (work: Promise<unknown>) => work.then(() => 'done', codeOf)
const open = (initiatorName: string) => bench.login({ initiatorName })
const serialOf = (nexus: Nexus) => nexus.units.get(0)!.unit.identity.serial

async function publish(fill: number): Promise<void> {
  await bench.visit(fill, LOGOUT, { initiatorName: STUDIO })
  await control().publish({ author: STUDIO })
}

async function pushed(): Promise<ImageView['push']> {
  await bench.settled()
  return (await control().images())[0]!.push
}

async function push(order: { dropDeltas?: boolean } = {}): Promise<ImageView['push']> {
  await control().push(order)
  return pushed()
}

describe('a push', () => {
  it('moves who wrote nothing to the newest generation, as another disk, and lets who wrote something stay', async () => {
    const reader = await open(ALICE)
    const serial = serialOf(reader)
    const writer = await open(BOB)
    await bench.write(writer, 8192, 0x55)
    await publish(0x11)
    const view = await push()
    expect(view).toMatchObject({ state: 'done', done: 1, total: 1 })
    expect(view!.stayed).toEqual([
      { initiatorName: BOB, targetName: TARGET, generation: 0, bytes: 4096, reason: 'wrote' }
    ])
    expect(bench.nexuses).toEqual([writer])
    expect(await bench.read(writer, 8192)).toBe(0x55)
    expect(await bench.read(writer, 0)).toBe(BASE_BYTE)
    const again = await open(ALICE)
    expect(await bench.read(again, 0)).toBe(0x11)
    // Its file system may be mounted still, so nothing of the other disk is read before it has looked.
    expect(serialOf(again)).not.toBe(serial)
    expect(again.units.get(0)!.fenced).toBe(true)
  })

  it('drops what was written when the operator wants it, behind those that wrote nothing', async () => {
    const writer = await open(BOB)
    await bench.write(writer, 0, 0x55)
    await open(ALICE)
    await publish(0x11)
    expect(await push({ dropDeltas: true })).toMatchObject({ state: 'done', done: 2, stayed: [] })
    const ended = bench.log.lines.filter((line) => / left /.test(line)).slice(-2)
    expect(ended).toEqual([expect.stringContaining(ALICE), expect.stringContaining(BOB)])
    expect(await bench.read(await open(BOB), 0)).toBe(0x11)
    expect(await control().bin()).toMatchObject([{ initiatorName: BOB, bytes: 4096 }])
  })

  it('never drops what a policy keeps, nor what an author wrote', async () => {
    const keeper = await open(`${BOB}-keeps`)
    await bench.write(keeper, 0, 0x66)
    await publish(0x11)
    const author = await open(STUDIO)
    await bench.write(author, 0, 0x22)
    expect((await push({ dropDeltas: true }))!.stayed).toMatchObject([
      { initiatorName: `${BOB}-keeps`, reason: 'kept' }
    ])
    await control().rollback({})
    expect((await push({ dropDeltas: true }))!.stayed).toMatchObject([{ initiatorName: STUDIO, reason: 'kept' }])
    expect(await bench.read(author, 0)).toBe(0x22)
    expect(await bench.read(keeper, 0)).toBe(0x66)
  })

  it('moves clients that are away and may come back, and asks nobody who is up to date', async () => {
    const nexus = await open(ALICE)
    const serial = serialOf(nexus)
    await bench.end(nexus, SILENCE)
    await publish(0x11)
    const current = await open(BOB)
    expect(await push()).toMatchObject({ done: 1, stayed: [] })
    expect(bench.nexuses).toEqual([current])
    const again = await open(ALICE)
    expect(await bench.read(again, 0)).toBe(0x11)
    expect(serialOf(again)).not.toBe(serial)
  })

  it('leaves a client its disk identity when it logged out by itself before it was asked', async () => {
    const nexus = await open(ALICE)
    const serial = serialOf(nexus)
    await publish(0x11)
    await bench.end(nexus, LOGOUT)
    expect(await push()).toMatchObject({ total: 0 })
    expect(serialOf(await open(ALICE))).toBe(serial)
  })

  it('keeps what a client writes between being asked and its logout', async () => {
    const nexus = await open(ALICE)
    await publish(0x11)
    const { directoryService } = bench
    const { closeNexus } = directoryService
    const closeBehindWrite: typeof closeNexus = async (...end) => {
      await bench.write(nexus, 0, 0x77)
      await closeNexus(...end)
    }
    Object.assign(directoryService, { closeNexus: closeBehindWrite })
    const view = await push()
    Object.assign(directoryService, { closeNexus })
    expect(view!.stayed).toMatchObject([{ initiatorName: ALICE, generation: 0, reason: 'wrote' }])
    expect(await bench.read(await open(ALICE), 0)).toBe(0x77)
  })

  it('takes many clients in groups, and each of them once', async () => {
    const names = Array.from({ length: 3 }, (_, index) => `${ALICE}-${index}`)
    for (const name of names) await open(name)
    await publish(0x11)
    expect(PUSHED_AT_ONCE).toBeGreaterThan(1)
    expect(await push()).toMatchObject({
      done: 3,
      total: 3,
      message: '3 clients moved to the newest generation, 0 clients stayed'
    })
  })

  it('goes back to an older generation as well, and to the one that a tester has', async () => {
    await publish(0x11)
    const nexus = await open(ALICE)
    expect(await bench.read(nexus, 0)).toBe(0x11)
    await control().rollback({})
    await push()
    expect(await bench.read(await open(ALICE), 0)).toBe(BASE_BYTE)
    await control().test({ initiators: [ALICE], generation: 1 })
    await push()
    expect(await bench.read(await open(ALICE), 0)).toBe(0x11)
  })
})

describe('a push that has to wait for clients', () => {
  /** Nobody is asked to log out before `release`; `asked` resolves when the first one is. */
  function holdLogouts(): { asked: Promise<void>; release: () => void } {
    const group = bench['group']!
    const requestLogout = group.requestLogout.bind(group)
    let release = (): void => undefined
    const released = new Promise<void>((resolve) => (release = resolve))
    const asked = new Promise<void>((resolve) => {
      const heldOff: typeof requestLogout = async (filter) => {
        resolve()
        await released
        await requestLogout(filter)
      }
      Object.assign(group, { requestLogout: heldOff })
    })
    return { asked, release }
  }

  it('leaves one that moved by itself meanwhile where it is, with what it writes there', async () => {
    const old = await open(BOB)
    await bench.write(old, 0, 0x55)
    await open(ALICE)
    await publish(0x11)
    const { asked, release } = holdLogouts()
    await control().push({ dropDeltas: true })
    await asked
    await bench.end(old, LOGOUT)
    const moved = await open(BOB)
    await bench.write(moved, 8192, 0x77)
    release()
    expect(await pushed()).toMatchObject({ state: 'done', done: 2, total: 2, stayed: [] })
    expect(bench.nexuses).toEqual([moved])
    expect([await bench.read(moved, 0), await bench.read(moved, 8192)]).toEqual([0x11, 0x77])
  })

  it('does not ask one that wrote nothing and is up to date when its turn comes', async () => {
    const waiting = []
    for (let index = 0; index < PUSHED_AT_ONCE; index++) waiting.push(await open(`${ALICE}-${index}`))
    const last = await open(BOB)
    await publish(0x11)
    const { asked, release } = holdLogouts()
    await control().push({})
    await asked
    await bench.end(last, LOGOUT)
    const moved = await open(BOB)
    release()
    expect(await pushed()).toMatchObject({ state: 'done', done: PUSHED_AT_ONCE + 1, stayed: [] })
    expect(bench.nexuses).toEqual([moved])
  })

  it('asks one that logs in again at once no second time', async () => {
    await open(ALICE)
    await publish(0x11)
    const group = bench['group']!
    const requestLogout = group.requestLogout.bind(group)
    const asks: Nexus[] = []
    const withReturn: typeof requestLogout = async (filter) => {
      await requestLogout(filter)
      asks.push(await open(ALICE))
    }
    Object.assign(group, { requestLogout: withReturn })
    expect(await push()).toMatchObject({ state: 'done', done: 1, stayed: [] })
    expect(asks).toHaveLength(1)
    expect(bench.nexuses).toEqual(asks)
    expect(await bench.read(asks[0]!, 0)).toBe(0x11)
  })

  it.each([
    ['before its turn', ALICE],
    ['while it is asked', BOB]
  ])('keeps a delta that gets another policy %s', async (_when, first) => {
    const writer = await open(BOB)
    await bench.write(writer, 0, 0x55)
    if (first === ALICE) await open(ALICE)
    await publish(0x11)
    const { asked, release } = holdLogouts()
    await control().push({ dropDeltas: true })
    await asked
    await control().setPolicy({ match: BOB, policy: 'keep' })
    release()
    expect((await pushed())!.stayed).toMatchObject([{ initiatorName: BOB, generation: 0, reason: 'kept' }])
    const again = first === ALICE ? writer : await open(BOB)
    expect(await bench.read(again, 0)).toBe(0x55)
    expect(await control().bin()).toEqual([])
  })
})

describe('a planned push', () => {
  const inTwoHours = () => bench.clock.now() + 2 * HOUR_MS

  it('waits for its time, and is told until then', async () => {
    await open(ALICE)
    await publish(0x11)
    const at = inTwoHours()
    expect((await control().push({ at })).push).toMatchObject({ state: 'planned', at })
    bench.clock.advance(2 * HOUR_MS - LOOK_MS)
    expect(await pushed()).toMatchObject({ state: 'planned' })
    bench.clock.advance(LOOK_MS)
    expect(await pushed()).toMatchObject({ state: 'done', done: 1 })
  })

  it('is there after a restart of the server', async () => {
    await publish(0x11)
    const at = inTwoHours()
    await control().push({ at, dropDeltas: true })
    await bench.start()
    expect(await pushed()).toMatchObject({ state: 'planned', at, dropDeltas: true })
    bench.clock.advance(2 * HOUR_MS)
    expect(await pushed()).toMatchObject({ state: 'done' })
    await bench.start()
    expect(await pushed()).toBe(undefined)
  })

  it('goes by the wall clock, whatever our timers did while the PC slept', async () => {
    await publish(0x11)
    await control().push({ at: inTwoHours() })
    bench.clock.jump(2 * HOUR_MS)
    bench.clock.advance(LOOK_MS)
    expect(await pushed()).toMatchObject({ state: 'done' })
  })

  it('is not made up for when the server was off at its time, which is told until somebody acts', async () => {
    await open(ALICE)
    await publish(0x11)
    await control().push({ at: inTwoHours() })
    await bench.stop()
    bench.clock.advance(2 * HOUR_MS + PUSH_LATE_MS + 1)
    await bench.start()
    expect(await pushed()).toMatchObject({ state: 'missed' })
    expect(bench.log.lines.join('\n')).toMatch(/was missed, because the server did not run/)
    await control().cancelPush({})
    await bench.start()
    expect(await pushed()).toBe(undefined)
  })

  it('is begun by a start soon after its time', async () => {
    await publish(0x11)
    await control().push({ at: inTwoHours() })
    await bench.stop()
    bench.clock.advance(2 * HOUR_MS + PUSH_LATE_MS - 1)
    await bench.start()
    expect(await pushed()).toMatchObject({ state: 'done' })
  })

  it('can be taken back, and a new one takes its place', async () => {
    await publish(0x11)
    await control().push({ at: inTwoHours() })
    const later = inTwoHours() + HOUR_MS
    await control().push({ at: later })
    bench.clock.advance(2 * HOUR_MS)
    expect(await pushed()).toMatchObject({ state: 'planned', at: later })
    expect((await control().cancelPush({})).push).toBe(undefined)
    bench.clock.advance(2 * HOUR_MS)
    expect(await pushed()).toBe(undefined)
    expect(await failure(control().cancelPush({}))).toBe('ERR_ISCSI_PUSH_NONE')
  })

  it.each([
    ['a time that is past', -1],
    ['now', 0],
    ['a time in eight days', 8 * 24 * HOUR_MS]
  ])('is refused for %s', async (_what, delay) => {
    await publish(0x11)
    expect(await failure(control().push({ at: bench.clock.now() + delay }))).toBe('ERR_ISCSI_PUSH_TIME')
    expect(await pushed()).toBe(undefined)
  })
})
