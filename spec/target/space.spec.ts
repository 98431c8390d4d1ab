import { describe, expect, it } from '@jest/globals'
import { minFreeBytes, Space } from '../../lib/target/space.js'
import { FakeClock } from '../support/fake-clock.js'
import { LogRecorder } from '../support/log-recorder.js'

const GIB = 2 ** 30

/** A file system of 20 GiB. */
function make(freeBytes: number, totalBytes?: number) {
  const clock = new FakeClock()
  const log = new LogRecorder()
  const disk = { freeBytes, failing: false, reclaims: 0 }
  const space = new Space({
    path: '/state',
    totalBytes,
    clock,
    log,
    reclaim: () => disk.reclaims++,
    statfs: () =>
      disk.failing
        ? Promise.reject(new Error('gone'))
        : Promise.resolve({ bsize: 4096, blocks: (20 * GIB) / 4096, bavail: disk.freeBytes / 4096 })
  })
  return { clock, log, disk, space }
}

describe('Space', () => {
  it.each([
    [10 * GIB, 5 * GIB],
    [100 * GIB, 5 * GIB],
    [1000 * GIB, 50 * GIB]
  ])('leaves of %d bytes %d free', (size, free) => expect(minFreeBytes(size)).toBe(free))

  it('gives away what the file system can spare, and no chunk more', async () => {
    const { space } = make(6 * GIB)
    await space.refresh()
    const budget = space.budget(undefined)
    expect(budget.take(GIB)).toBe(true)
    expect(budget.take(1)).toBe(false)
    budget.give(4096)
    expect(budget.take(4096)).toBe(true)
  })

  it('gives nothing before the file system was asked', () => {
    expect(
      make(6 * GIB)
        .space.budget(undefined)
        .take(1)
    ).toBe(false)
  })

  it('holds one initiator to its limit while others go on, and all to the total', async () => {
    const { space } = make(10 * GIB, 3 * GIB)
    await space.refresh()
    const [one, other] = [space.budget(GIB), space.budget(undefined)]
    expect(one.take(GIB)).toBe(true)
    expect(one.take(1)).toBe(false)
    expect(other.take(2 * GIB)).toBe(true)
    expect(other.take(1)).toBe(false)
    expect(space.usedBytes).toBe(3 * GIB)
    expect(space.limitBytes).toBe(3 * GIB)
  })

  it('counts what was written since the last look, and looks again', async () => {
    const { space, disk } = make(7 * GIB)
    await space.refresh()
    const budget = space.budget(undefined)
    budget.take(GIB)
    // Another program filled the rest.
    disk.freeBytes = 5 * GIB
    await space.refresh()
    expect(budget.take(1)).toBe(false)
    disk.freeBytes = 6 * GIB
    await space.refresh()
    expect(budget.take(GIB)).toBe(true)
  })

  it('asks for the bin to be emptied when space runs short, and says so once', async () => {
    const { space, disk, log } = make(6 * GIB)
    await space.refresh()
    expect(disk.reclaims).toBe(0)
    space.budget(undefined).take(0.9 * GIB)
    disk.freeBytes = 5.1 * GIB
    await space.refresh()
    await space.refresh()
    expect(disk.reclaims).toBe(2)
    expect(log.with('warn:', 'runs short')).toHaveLength(1)
  })

  it('keeps the last limit when the file system does not answer', async () => {
    const { space, disk, log } = make(6 * GIB)
    await space.refresh()
    disk.failing = true
    await space.refresh()
    expect(space.budget(undefined).take(GIB)).toBe(true)
    expect(log.with('warn:', 'gone')).toHaveLength(1)
  })

  it('limits nothing when the file system has never answered, and says so once', async () => {
    const { space, disk, log } = make(6 * GIB)
    disk.failing = true
    await space.refresh()
    await space.refresh()
    expect(space.limitBytes).toBe(Infinity)
    expect(space.budget(undefined).take(100 * GIB)).toBe(true)
    expect(log.with('warn:', '--delta-total limits them')).toHaveLength(1)
    disk.failing = false
    await space.refresh()
    expect(space.limitBytes).toBe(101 * GIB)
    disk.failing = true
    await space.refresh()
    expect(log.with('warn:', 'what was free last counts')).toHaveLength(1)
  })

  it('stops asking when it is stopped', async () => {
    const { space, clock } = make(6 * GIB)
    await space.start()
    expect(clock.pendingTimers).toBe(1)
    space.stop()
    expect(clock.pendingTimers).toBe(0)
  })
})
