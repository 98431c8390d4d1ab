import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { newInitiatorRecord } from '../../lib/target/initiator-record.js'
import { StateRoot } from '../../lib/target/state-root.js'
import { FakeClock } from '../support/fake-clock.js'
import { LogRecorder } from '../support/log-recorder.js'

let path: string
let clock: FakeClock
let log: LogRecorder
beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), 'cloudx-root-'))
  clock = new FakeClock()
  log = new LogRecorder()
})
afterEach(() => rm(path, { recursive: true }))

function open(): Promise<StateRoot> {
  return StateRoot.open({ path, undoMs: 1000, deltaTotalBytes: undefined, clock, log })
}

describe('StateRoot', () => {
  it('belongs to one server at a time', async () => {
    const root = await open()
    await expect(open()).rejects.toMatchObject({ code: 'ERR_ISCSI_LOCKED' })
    await root.close()
    await (await open()).close()
  })

  it('remembers at its close how long it has listened', async () => {
    const root = await open()
    root.startListening()
    clock.advance(12_345)
    await root.close()
    clock.advance(99_999)
    const again = await open()
    expect(again.listening.now()).toBe(12_345)
    await again.close()
  })

  it('says at the next start that the clock was set back since the last one, however that ended', async () => {
    const root = await open()
    root.startListening()
    await root.close()
    clock.jump(-3_600_000)
    const again = await open()
    again.startListening()
    expect(log.with('warn:', 'set back by 1 h')).toHaveLength(1)
    await again.close()
  })

  it('sorts the records that it finds by target, and speaks of targets that are gone', async () => {
    const root = await open()
    for (const [target, initiator] of [
      ['t1', 'a'],
      ['t1', 'b'],
      ['t2', 'a']
    ] as const) {
      await root.directory.saveInitiator(newInitiatorRecord(target, initiator))
    }
    await root.close()
    const again = await open()
    expect(
      again.records
        .get('t1')!
        .map(({ initiatorName }) => initiatorName)
        .sort()
    ).toEqual(['a', 'b'])
    again.warnOfStrangers(new Set(['t1']))
    expect(log.with('warn:', 't2')).toHaveLength(1)
    expect(log.with('warn:', 't1')).toHaveLength(0)
    await again.close()
  })

  it('starts an initiator whose record is damaged far above any incarnation that it can have had', async () => {
    const root = await open()
    const record = newInitiatorRecord('t1', 'a')
    await root.directory.saveInitiator(record)
    await writeFile(join(path, 'initiators', `${root.directory.hashOf(record)}.json`), '?')
    await root.close()
    const again = await open()
    expect(again.incarnationFloor(record, 1_770_000_000_000)).toBe(1_770_000_000)
    expect(again.incarnationFloor(newInitiatorRecord('t1', 'b'), 1_770_000_000_000)).toBe(0)
    await again.close()
  })

  it('starts new initiators with the highest incarnation of those who were forgotten, after a restart too', async () => {
    const root = await open()
    await root.raiseIncarnationFloor(3)
    await root.raiseIncarnationFloor(2)
    expect(root.incarnationFloor(newInitiatorRecord('t1', 'a'), 1_770_000_000_000)).toBe(3)
    await root.close()
    const again = await open()
    expect(again.incarnationFloor(newInitiatorRecord('t2', 'b'), 1_770_000_000_000)).toBe(3)
    await again.close()
  })

  it('writes who holds it into its lock', async () => {
    const root = await open()
    expect(await readFile(join(path, 'lock'), 'utf8')).toContain(String(process.pid))
    await root.close()
  })
})
