import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { Bin, LOST_RETENTION_MS, MAX_ENTRIES_OF_ONE, type BinSource } from '../../lib/target/bin.js'
import { ListeningTime } from '../../lib/target/listening-time.js'
import { FakeClock } from '../support/fake-clock.js'
import { LogRecorder } from '../support/log-recorder.js'

const HOUR_MS = 3_600_000

let path: string
let clock: FakeClock
let log: LogRecorder
let listening: ListeningTime
beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), 'cloudx-bin-'))
  clock = new FakeClock()
  log = new LogRecorder()
  listening = new ListeningTime(clock, 0, () => undefined)
  listening.start()
})
afterEach(() => rm(path, { recursive: true }))

function make(undoMs = HOUR_MS): Bin {
  return new Bin({ path, undoMs, listening, now: () => clock.now(), log, removeFile: (file) => rm(file) })
}

function source(changes: Partial<BinSource> = {}): BinSource {
  const names = { targetName: 'iqn.2010-04.local.cloudx:share', initiatorName: 'iqn.1991-05.com.microsoft:pc' }
  return { ...names, lun: 0, incarnation: 0, epoch: 1, bytes: 4096, reason: 'logout', restore: 0, ...changes }
}

async function put(bin: Bin, changes: Partial<BinSource> = {}): Promise<void> {
  const file = join(path, '..', `${path.slice(-6)}.slots`)
  await writeFile(file, 'data')
  await bin.moveIn(source(changes), [file, `${file}.missing`])
  await new Promise((resolve) => setTimeout(resolve, 0))
}

/** Until the label of the newest entry is written. */
async function labelled(count: number): Promise<void> {
  for (;;) {
    const entries = await readdir(path)
    const labels = await Promise.all(entries.map(async (id) => (await readdir(join(path, id))).includes('entry.json')))
    if (labels.filter(Boolean).length === count) return
  }
}

describe('Bin', () => {
  it('keeps a dropped delta for its undo time and then gives its space back', async () => {
    const bin = make()
    await put(bin)
    clock.advance(HOUR_MS - 1)
    expect(bin.list()).toMatchObject([{ bytes: 4096, reason: 'logout' }])
    await labelled(1)
    clock.advance(1)
    await bin.idle()
    expect(bin.list()).toEqual([])
    expect(await readdir(path)).toEqual([])
  })

  it('keeps a lost delta for the operator much longer', async () => {
    const bin = make()
    await put(bin, { reason: 'unreadable' })
    await labelled(1)
    clock.advance(LOST_RETENTION_MS - 1)
    expect(bin.list()).toHaveLength(1)
    clock.advance(1)
    await bin.idle()
    expect(await readdir(path)).toEqual([])
  })

  it('removes a dropped delta at once when there is no undo time, but not a lost one', async () => {
    const bin = make(0)
    await put(bin)
    await put(bin, { reason: 'removed', epoch: 2 })
    await bin.idle()
    expect(bin.list()).toMatchObject([{ reason: 'removed' }])
  })

  it('goes on after a restart where it was', async () => {
    const first = make()
    await put(first)
    await labelled(1)
    clock.advance(HOUR_MS / 2)
    const [entry] = first.list()
    const second = make()
    await second.load()
    expect(second.list()).toEqual([entry])
  })

  it('removes at a restart what was never labelled, and what has a damaged label', async () => {
    const bin = make()
    await put(bin)
    await labelled(1)
    await writeFile(join(path, bin.list()[0]!.id, 'entry.json'), '{')
    const again = make()
    await again.load()
    await again.idle()
    expect(again.list()).toEqual([])
    expect(await readdir(path)).toEqual([])
  })

  it('is not flooded by a client that logs out again and again, and keeps what was lost', async () => {
    const bin = make()
    await put(bin, { epoch: 1, reason: 'unreadable' })
    await put(bin, { initiatorName: 'iqn.1991-05.com.microsoft:other' })
    for (let epoch = 2; epoch < 2 + 3 * MAX_ENTRIES_OF_ONE; epoch++) await put(bin, { epoch })
    await bin.idle()
    const own = bin.list().filter(({ initiatorName }) => initiatorName.endsWith(':pc'))
    expect(own).toHaveLength(MAX_ENTRIES_OF_ONE)
    expect(own[0]).toMatchObject({ epoch: 1, reason: 'unreadable' })
    expect(own.at(-1)).toMatchObject({ epoch: 1 + 3 * MAX_ENTRIES_OF_ONE })
    expect(bin.list()).toHaveLength(MAX_ENTRIES_OF_ONE + 1)
    expect(await readdir(path)).toHaveLength(MAX_ENTRIES_OF_ONE + 1)
  })

  it('labels a delta before its files come, so that a crash in between removes nothing', async () => {
    const bin = make()
    const place = await bin.prepare(source({ reason: 'base-changed' }))
    await writeFile(join(place.path, 'lun-0-1.slots'), 'data')
    const again = make()
    await again.load()
    await again.idle()
    expect(again.list()).toMatchObject([{ reason: 'base-changed' }])
    expect((await readdir(place.path)).sort()).toEqual(['entry.json', 'lun-0-1.slots'])
  })

  it('takes a delta although its label cannot be written', async () => {
    const bin = make()
    const place = await bin.prepare(source())
    await rm(join(place.path, 'entry.json'))
    await mkdir(join(place.path, 'entry.json.new'))
    bin.settle(await bin.prepare(source()))
    expect(bin.list()).toHaveLength(1)
    expect(log.with('warn:', 'cannot label')).toHaveLength(1)
  })

  it('gives the oldest entry away when space is short', async () => {
    const bin = make()
    await put(bin, { epoch: 1 })
    clock.advance(10)
    await put(bin, { epoch: 2 })
    await labelled(2)
    expect(bin.reclaim()).toBe(true)
    await bin.idle()
    expect(bin.list()).toMatchObject([{ epoch: 2 }])
    expect(bin.reclaim()).toBe(true)
    await bin.idle()
    expect(bin.reclaim()).toBe(false)
  })
})
