import { describe, expect, it } from '@jest/globals'
import { Host, Sense, fieldPointer, hex, makeNexus, makeUnit } from '../../support/scsi.js'
import { receiveCdb } from '../../support/token-list.js'

const unit = makeUnit({ blockSize: 4096 })

function bench() {
  const nexus = makeNexus([unit])
  const host = new Host()
  const ask = (serviceAction: number, listId: number, length = 4096, from = nexus) =>
    host.execute(from, receiveCdb(listId, length, serviceAction))
  return { nexus, ask }
}

describe('RECEIVE COPY STATUS(LID4) and RECEIVE ROD TOKEN INFORMATION', () => {
  it('tell of a write that runs in blocks, and when it is worth asking again', async () => {
    const { nexus, ask } = bench()
    const result = nexus.copies.begin(0x01020304, { serviceAction: 0x11, countedIn: unit })!
    result.bytesDone = 3 * 4096 + 512
    const status = '11 11 0000 00000064 00 00 00 f1 0000000000000003 0000 000000000000'
    expect((await ask(0x05, 0x01020304)).hex).toBe(hex(`0000001c ${status}`))
    expect((await ask(0x07, 0x01020304)).hex).toBe(hex(`00000020 ${status} 00000000`))
  })

  it('tell of EXTENDED COPY in KiB and segments, by its identifier of either width', async () => {
    const { nexus, ask } = bench()
    const result = nexus.copies.begin(0xfd)!
    result.bytesDone = 5 * 1024
    result.segmentsDone = 2
    nexus.copies.end(result, 'good')
    const done = hex('0000001c 00 01 0000 fffffffe 00 00 00 01 0000000000000005 0002 000000000000')
    expect((await ask(0x05, 0xfd)).hex).toBe(done)
  })

  it('give the sense data of what failed, in a field of a multiple of four bytes', async () => {
    const { nexus, ask } = bench()
    const result = nexus.copies.begin(1, { serviceAction: 0x11, countedIn: unit })!
    result.status = 0x02
    result.sense = Buffer.from('700007000000000a000000002707000000000000'.slice(0, 36), 'hex')
    nexus.copies.end(result, 'failed')
    const status = `11 02 0000 fffffffe 02 14 12 f1 0000000000000000 0000 000000000000
                    700007000000000a00000000270700000000 0000`
    expect((await ask(0x05, 1)).hex).toBe(hex(`00000030 ${status}`))
    expect((await ask(0x07, 1)).hex).toBe(hex(`00000034 ${status} 00000000`))
  })

  it('hand a token out once, and not before all of it could be taken', async () => {
    const { nexus, ask } = bench()
    const begin = () => {
      const result = nexus.copies.begin(1, { serviceAction: 0x10, countedIn: unit })!
      result.token = Buffer.alloc(512, 0xab)
      nexus.copies.end(result, 'good')
    }
    begin()
    expect((await ask(0x07, 1, 549)).data).toHaveLength(549)
    const whole = await ask(0x07, 1, 550)
    expect([whole.data.length, whole.hex.slice(0, 8), whole.hex.slice(64)]).toEqual([
      550,
      '00000222',
      '00000202' + '0000' + 'ab'.repeat(512)
    ])
    expect((await ask(0x07, 1)).hex.slice(64)).toBe('00000000')
    begin()
    expect((await ask(0x05, 1)).data).toHaveLength(32)
    expect((await ask(0x07, 1, 0)).data).toHaveLength(0)
    expect((await ask(0x07, 1)).hex.slice(64)).toBe('00000000')
  })

  it.each([0x05, 0x07])('know the identifiers of their own nexus alone: %d', async (serviceAction) => {
    const { nexus, ask } = bench()
    nexus.copies.begin(5)
    const other = makeNexus([unit], { isid: '400001370001' })
    const results = [await ask(serviceAction, 5, 255, other), await ask(serviceAction, 6)]
    for (const { sense, senseBytes } of results) {
      expect([sense, fieldPointer(senseBytes)]).toEqual([Sense.InvalidCdbField, 'cdb byte 2 bit 7'])
    }
  })

  it.each([0, 4, 31])('cut the answer at %d bytes', async (length) => {
    const { nexus, ask } = bench()
    nexus.copies.begin(5)
    expect((await ask(0x05, 5, length)).data).toHaveLength(length)
  })
})
