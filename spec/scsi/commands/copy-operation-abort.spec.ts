import { describe, expect, it } from '@jest/globals'
import { copyList, segmentOfBlocks } from '../../support/copy-list.js'
import { Host, Sense, makeNexus, makeUnit } from '../../support/scsi.js'
import { abortCdb, copyStatus, receiveCdb } from '../../support/token-list.js'

const THIS_UNIT = 0xffff

describe('COPY OPERATION ABORT', () => {
  it('ends an EXTENDED COPY, whose command tells so', async () => {
    const unit = makeUnit()
    unit.volume.mapped.fill(true)
    const nexus = makeNexus([unit])
    const host = new Host()
    const segments = [8, 16].map((lba) => segmentOfBlocks(THIS_UNIT, THIS_UNIT, 8, 0, 512 + lba))
    const list = copyList([], segments, { listId: 9 })
    const cdb = Buffer.from([0x83, ...Buffer.alloc(15)])
    cdb.writeUInt32BE(list.length, 10)
    unit.volume.refusing = unit.volume.stalled = true
    const task = host.make(nexus, cdb, { dataOut: list })
    host.server.start(task)
    const end = host.complete(task, { dataOut: list })
    await new Promise((resolve) => setImmediate(resolve))
    expect((await host.execute(nexus, abortCdb(9))).status).toBe(0)
    unit.volume.refusing = false
    unit.volume.release()
    expect((await end).sense).toBe('0a/2f/02')
    expect(unit.volume.calls.filter((call) => call.startsWith('write'))).toHaveLength(1)
    expect(copyStatus((await host.execute(nexus, receiveCdb(9, 255, 0x05))).data).status).toBe(0x60)
  })

  it.each([9, 0, 0xffffffff])('finds no copy %d', async (listId) => {
    const nexus = makeNexus([makeUnit()])
    expect((await new Host().execute(nexus, abortCdb(listId))).sense).toBe(Sense.InvalidCdbField)
  })
})
