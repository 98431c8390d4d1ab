import { describe, expect, it } from '@jest/globals'
import { setImmediate as turn } from 'node:timers/promises'
import { TaskState } from '../../../lib/scsi/task.js'
import { Host, Sense, makeNexus, makeUnit } from '../../support/scsi.js'

function cdbOf(form: 10 | 16, lba: number | bigint, blocks: number, flags = 0): string {
  const h = (value: number | bigint, digits: number) => value.toString(16).padStart(digits, '0')
  if (form === 10) return `35 ${h(flags, 2)} ${h(lba, 8)} 00 ${h(blocks, 4)} 00`
  return `91 ${h(flags, 2)} ${h(lba, 16)} ${h(blocks, 8)} 00 00`
}

describe.each([10, 16] as const)('SYNCHRONIZE CACHE(%d)', (form) => {
  const IMMED = 0x02

  it('ends when everything is durable', async () => {
    const host = new Host()
    const unit = makeUnit()
    unit.volume.stalled = true
    const task = host.make(makeNexus([unit]), cdbOf(form, 0, 0))
    host.server.start(task)
    expect([task.state, unit.volume.calls]).toEqual([TaskState.Pending, ['flush']])
    const ready = host.ready(task)
    unit.volume.release()
    await ready
    expect([task.state, task.status]).toEqual([TaskState.Done, 0])
    host.server.release(task)
  })

  it('ends before that with IMMED, and the flush goes on', async () => {
    const host = new Host()
    const unit = makeUnit()
    unit.volume.stalled = true
    const nexus = makeNexus([unit])
    for (let i = 0; i < 20; i++) expect((await host.execute(nexus, cdbOf(form, 0, 0, IMMED))).status).toBe(0)
    expect(unit.volume.calls).toEqual(['flush'])
    unit.volume.release()
    await turn()
    expect(unit.volume.calls).toEqual(['flush', 'flush'])
  })

  it('tells of a flush that failed after its answer with the next one', async () => {
    const host = new Host()
    const unit = makeUnit()
    const nexus = makeNexus([unit])
    unit.volume.broken.set('flush', 'EIO')
    expect((await host.execute(nexus, cdbOf(form, 0, 0, IMMED))).status).toBe(0)
    await turn()
    unit.volume.broken.clear()
    expect((await host.execute(nexus, cdbOf(form, 0, 0))).sense).toBe('04/44/00')
    expect((await host.execute(nexus, cdbOf(form, 0, 0))).status).toBe(0)
  })

  it('fails when the flush does', async () => {
    const unit = makeUnit()
    unit.volume.broken.set('flush', 'EIO')
    expect((await new Host().execute(makeNexus([unit]), cdbOf(form, 0, 0))).sense).toBe('04/44/00')
  })

  it('is open to who can only read', async () => {
    expect((await new Host().execute(makeNexus([makeUnit({ readOnly: true })]), cdbOf(form, 0, 0))).status).toBe(0)
  })

  it.each([
    [0, 1024, 0, undefined],
    [1024, 0, 0, undefined],
    [1023, 1, 0x06, undefined],
    [1023, 2, 0, Sense.LbaOutOfRange],
    [1025, 0, 0, Sense.LbaOutOfRange],
    [0xffffffff, 1, IMMED, Sense.LbaOutOfRange],
    [0, 1, 0x01, Sense.InvalidCdbField]
  ])('judges LBA %d, %d blocks and flags %d', async (lba, blocks, flags, sense) => {
    const result = await new Host().execute(makeNexus([makeUnit()]), cdbOf(form, lba, blocks, flags))
    expect(result.sense).toBe(sense)
  })
})
