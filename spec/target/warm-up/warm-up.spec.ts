import { existsSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import type { LogicalUnit } from '../../../lib/scsi/logical-unit.js'
import type { Image } from '../../../lib/target/images.js'
import { FIRST_MS, WarmUp, type WarmDisk, type WarmUpOptions } from '../../../lib/target/warm-up/warm-up.js'
import type { BlockIo } from '../../../lib/volume/block-io.js'
import { MemoryVolume } from '../../../lib/volume/drivers/memory.js'
import { FakeClock } from '../../support/fake-clock.js'
import { LogRecorder } from '../../support/log-recorder.js'
import { ALICE, BOB, LOGOUT, TargetBench } from '../../support/target-bench.js'

const PIECE = 65536
const SIZE = 64 * PIECE

class WatchedVolume extends MemoryVolume {
  readonly requests: [offset: number, length: number][] = []
  failure: Error | undefined

  protected override _read(io: BlockIo): void {
    this.requests.push([io.offset, io.length])
    setImmediate(() => io.complete(this.failure))
  }
}

let directory: string
let clock: FakeClock
let log: LogRecorder
let volume: WatchedVolume
/** What a changed image changes. */
let identity: { generation: number; mtimeNs: bigint }

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'warm-up-'))
  clock = new FakeClock()
  log = new LogRecorder()
  volume = new WatchedVolume(SIZE)
  await volume.open()
  identity = { generation: 0, mtimeNs: 5n }
})
afterEach(() => rmSync(directory, { recursive: true }))

function disk(changes: Partial<Record<keyof Image, unknown>> = {}, partition?: number): WarmDisk {
  const image = {
    ...{ path: '/share.img', uuid: 'uuid', statePath: directory, shared: false },
    generations: { current: identity.generation, trouble: undefined },
    fingerprint: () => ({ uuid: 'uuid', size: SIZE, inode: 7n, ...identity }),
    sizeOf: () => SIZE,
    view: () => Promise.resolve(volume),
    rawView: () => volume,
    ...changes
  }
  return { image: image as unknown as Image, partition, blockSize: 512 }
}

function warmUp(changes: Partial<WarmUpOptions> = {}): WarmUp {
  const plain = { budgetBytes: 32 * PIECE, activity: () => 0, availableMemory: () => 2 ** 40 }
  return new WarmUp({ ...plain, clock, log, ...changes })
}

const unit = () => ({ firstReads: undefined }) as unknown as LogicalUnit

/** A run of a server in which one client reads these pieces. */
async function session(pieces: readonly number[], of = disk(), changes: Partial<WarmUpOptions> = {}): Promise<void> {
  const run = warmUp(changes)
  const seen = unit()
  await run.began(of, seen)
  for (const piece of pieces) seen.firstReads?.note(piece * PIECE, 4096)
  await run.close()
}

/** The next start. */
async function start(of: readonly WarmDisk[] = [disk()], changes: Partial<WarmUpOptions> = {}): Promise<number[]> {
  volume.requests.length = 0
  const run = warmUp(changes)
  run.start(of)
  await run.idle()
  await run.close()
  return volume.requests.flatMap(([offset, length]) =>
    Array.from({ length: length / PIECE }, (_, index) => offset / PIECE + index)
  )
}

const listPath = (name = 'uuid-disk') => join(directory, 'first-reads', `${name}.json`)

describe('a warm start', () => {
  it('reads what clients read first last time', async () => {
    await session([9, 3, 4])
    expect(await start()).toEqual([3, 4, 9])
    expect(log.lines.join('\n')).toMatch(/Warm-up: reading 192 KiB of \/share\.img ahead/)
    expect(log.lines.join('\n')).toMatch(/Warm-up: 192 KiB of \/share\.img are in memory/)
  })

  it('reads nothing when nothing is known', async () => {
    expect(await start()).toEqual([])
    expect(log.lines).toEqual([])
  })

  it('knows what clients read in the first minute of their sessions, and no more', async () => {
    const run = warmUp()
    const seen = unit()
    await run.began(disk(), seen)
    clock.advance(FIRST_MS - 1)
    seen.firstReads?.note(5 * PIECE, 512)
    clock.advance(1)
    expect(seen.firstReads).toBeUndefined()
    await run.close()
    expect(await start()).toEqual([5])
  })

  it('gives each client of a shared unit its minute', async () => {
    const run = warmUp()
    const seen = unit()
    await run.began(disk(), seen)
    clock.advance(FIRST_MS / 2)
    await run.began(disk(), seen)
    clock.advance(FIRST_MS - 1)
    expect(seen.firstReads).toBeDefined()
    clock.advance(1)
    expect(seen.firstReads).toBeUndefined()
    await run.close()
  })

  it('remembers earlier runs too, the last one first', async () => {
    await session([1, 2], disk(), { budgetBytes: 3 * PIECE })
    await session([8], disk(), { budgetBytes: 3 * PIECE })
    await session([9], disk(), { budgetBytes: 3 * PIECE })
    // There is room for three.
    expect(await start()).toEqual([1, 8, 9])
  })

  it('does not forget what it knew when clients read nothing new, or nothing at all', async () => {
    await session([1, 2])
    await session([])
    expect(await start()).toEqual([1, 2])
  })

  it.each([
    ['another generation', () => (identity = { generation: 1, mtimeNs: 5n })],
    ['a changed file', () => (identity = { generation: 0, mtimeNs: 6n })]
  ])('drops what it knew of %s', async (_what, change) => {
    await session([1, 2])
    change()
    expect(await start()).toEqual([])
    expect(log.lines.join('\n')).toMatch(/has changed since clients read it last/)
    expect(existsSync(listPath())).toBe(false)
    await session([3])
    expect(await start()).toEqual([3])
  })

  it('knows a shared image, which is written all the time, by its size alone', async () => {
    await session([1, 2], disk({ shared: true }))
    identity = { generation: 0, mtimeNs: 6n }
    expect(await start([disk({ shared: true })])).toEqual([1, 2])
  })

  it('keeps partitions and the whole disk apart, and reads each once', async () => {
    await session([1], disk())
    await session([2], disk({}, 3))
    expect(await start([disk(), disk({}, 3), disk(), disk({}, 3)])).toEqual([1, 2])
    expect([listPath(), listPath('uuid-3')].map((path) => existsSync(path))).toEqual([true, true])
  })

  it('has one budget for all disks', async () => {
    await session([1, 2, 3], disk())
    await session([11, 12, 13], disk({}, 3))
    expect(await start([disk(), disk({}, 3)], { budgetBytes: 4 * PIECE })).toEqual([1, 2, 3, 11])
  })

  it('takes no more than a quarter of the memory that is to be had', async () => {
    await session([1, 2, 3])
    expect(await start([disk()], { availableMemory: () => 8 * PIECE })).toEqual([1, 2])
  })

  it('neither notes nor reads anything when it is turned off', async () => {
    await session([1], disk(), { budgetBytes: 0 })
    expect(existsSync(listPath())).toBe(false)
    await session([1])
    expect(await start([disk()], { budgetBytes: 0 })).toEqual([])
  })

  it.each(['{', '[]', '{"version":1,"identity":"x","pieceBytes":65536,"pieces":"64"}'])(
    'does without a list that is damaged: %s',
    async (text) => {
      await session([1])
      writeFileSync(listPath(), text)
      expect(await start()).toEqual([])
      expect(log.lines.join('\n')).toMatch(/is not known any more/)
      await session([2])
      expect(await start()).toEqual([2])
    }
  )

  it('goes on with the next disk when one cannot be read', async () => {
    await session([1], disk())
    await session([2], disk({}, 3))
    const broken = disk({ view: () => Promise.reject(new Error('it is not open')) })
    expect(await start([broken, disk({}, 3)])).toEqual([2])
    expect(log.lines.join('\n')).toMatch(/the warm-up has ended early: it is not open/)
  })

  it('leaves an image alone that nobody may use', async () => {
    await session([1])
    expect(await start([disk({ generations: { current: 0, trouble: 'it has changed' } })])).toEqual([])
  })

  it('says how far it is, now and then', async () => {
    await session(Array.from({ length: 20 }, (_, index) => 2 * index))
    const before = clock.monotonic.bind(clock)
    let extra = 0
    clock.monotonic = () => before() + extra
    const run = warmUp({ activity: () => ((extra += 4000), 0) })
    run.start([disk()])
    let isDone = false
    void run.idle().then(() => (isDone = true))
    for (let turn = 0; turn < 10_000 && !isDone; turn++) {
      clock.advance(60_000)
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(volume.requests).toHaveLength(20)
    await run.close()
    expect(log.lines.filter((line) => /Warm-up: \d+ KiB of 1\.\d+ MiB of/.test(line)).length).toBeGreaterThan(1)
  })

  it('ends with the server', async () => {
    await session([1, 10, 20, 30])
    const run = warmUp()
    run.start([disk()])
    await run.close()
    expect(volume.requests.length).toBeLessThan(2)
  })
})

describe('a server', () => {
  let bench: TargetBench
  afterEach(() => bench.remove())

  const lists = () => join(bench.state, 'first-reads')
  const noteOf = () =>
    JSON.parse(readFileSync(join(lists(), `${uuid}-disk.json`), 'utf8')) as { identity: string; pieces: string }
  let uuid = ''

  it('remembers what its clients read, at each generation anew', async () => {
    bench = await TargetBench.make({ warmUpBytes: 1 << 20 })
    await bench.start()
    uuid = (await bench.server!.control.images())[0]!.uuid
    for (const [initiatorName, offset] of [
      [ALICE, 65536 * 3],
      [BOB, 65536 * 40]
    ] as const) {
      const nexus = await bench.login({ initiatorName })
      nexus.units.get(0)!.unit.firstReads!.note(offset, 512)
      await bench.end(nexus, LOGOUT)
    }
    await bench.stop()
    expect(noteOf().pieces).toBe('3 40')
    const { identity: first } = noteOf()
    await bench.start()
    await bench.settled()
    expect(bench.log.lines.join('\n')).toMatch(/Warm-up: 128 KiB of .* are in memory/)
    await bench.stop()
    utimesSync(bench.image, 1000, 1000)
    await bench.start()
    await bench.settled()
    expect(bench.log.lines.join('\n')).toMatch(/has changed since clients read it last/)
    const nexus = await bench.login()
    nexus.units.get(0)!.unit.firstReads!.note(0, 512)
    await bench.end(nexus, LOGOUT)
    await bench.stop()
    expect(noteOf().pieces).toBe('0')
    expect(noteOf().identity).not.toBe(first)
  })

  it('remembers nothing without a budget', async () => {
    bench = await TargetBench.make()
    await bench.start()
    const nexus = await bench.login()
    expect(nexus.units.get(0)!.unit.firstReads).toBeUndefined()
    await bench.stop()
    expect(existsSync(lists())).toBe(false)
  })
})
