import { describe, expect, it } from '@jest/globals'
import { Host, Sense, fieldPointer, makeNexus, makeUnit } from '../../support/scsi.js'
import { copyStatus, populateCdb, populateList, receiveCdb } from '../../support/token-list.js'

function bench() {
  const unit = makeUnit()
  const nexus = makeNexus([unit])
  const host = new Host()
  const populate = (list: Buffer, listId = 1, length = list.length) =>
    host.execute(nexus, populateCdb(listId, length), { dataOut: list })
  const receive = async (listId = 1) => copyStatus((await host.execute(nexus, receiveCdb(listId))).data)
  return { unit, nexus, host, populate, receive }
}

describe('POPULATE TOKEN', () => {
  it('makes a token that RECEIVE ROD TOKEN INFORMATION hands out', async () => {
    const { unit, populate, receive } = bench()
    expect(
      (
        await populate(
          populateList([
            [0, 8],
            [100, 2]
          ]),
          0xfffffffe
        )
      ).status
    ).toBe(0)
    const { token, ...status } = await receive(0xfffffffe)
    expect(status).toEqual({
      length: 32 + 4 + 514 - 4,
      serviceAction: 0x10,
      status: 0x01,
      completion: 0,
      units: 0xf1,
      transferCount: 10,
      sense: Buffer.alloc(0)
    })
    expect([token!.length, token!.subarray(0, 8).toString('hex')]).toEqual([512, '00800001000001f8'])
    expect(token!.readBigUInt64BE(56)).toBe(5120n)
    // Nothing was read for it.
    expect(unit.volume.calls).toEqual([])
  })

  it.each([
    ['no type', {}, '00800001'],
    ['any type, which it does not ask for (RTV=0)', { rodType: 0x12345678 }, '00800001'],
    ['the default point in time', { flags: 2, rodType: 0x00800000 }, '00800000'],
    ['one that changes end', { flags: 2, rodType: 0x00800001 }, '00800001'],
    ['any point in time', { flags: 2, rodType: 0x0080ffff }, '00800001'],
    ['the longest life', { timeout: 600 }, '00800001'],
    ['an answer at once (IMMED)', { flags: 1 }, '00800001']
  ])('takes a list that asks for %s', async (_what, options, type) => {
    const { populate, receive } = bench()
    expect((await populate(populateList([[0, 8]], options))).status).toBe(0)
    expect((await receive()).token!.subarray(0, 4).toString('hex')).toBe(type)
  })

  const one = populateList([[0, 8]])
  it.each<[string, Buffer, number, string, string | undefined]>([
    ['a list of 15 bytes', one, 15, Sense.ParameterListLength, undefined],
    ['a list of 16 bytes', one, 16, Sense.ParameterListLength, undefined],
    ['a list that is a byte short', one.subarray(0, 31), 32, Sense.ParameterListLength, undefined],
    ['a range that the CDB cuts off', one, 31, Sense.ParameterListLength, undefined],
    ['a list of 64 KiB and more', Buffer.alloc(65538), 65538, Sense.ParameterListLength, undefined],
    ['a data length of 29', populateList([[0, 8]], { dataLength: 29 }), 32, Sense.InvalidParameter, 'list byte 0'],
    ['no ranges', populateList([], { dataLength: 30 }), 16, Sense.InvalidParameter, 'list byte 14'],
    ['a life of 601 s', populateList([[0, 8]], { timeout: 601 }), 32, Sense.InvalidParameter, 'list byte 4'],
    [
      'what is accessed when the token is used',
      populateList([[0, 8]], { flags: 2, rodType: 0x00010000 }),
      32,
      Sense.InvalidParameter,
      'list byte 8'
    ],
    [
      'what outlives changes',
      populateList([[0, 8]], { flags: 2, rodType: 0x00800002 }),
      32,
      Sense.InvalidParameter,
      'list byte 8'
    ],
    [
      'the zero token',
      populateList([[0, 8]], { flags: 2, rodType: 0xffff0001 }),
      32,
      Sense.InvalidParameter,
      'list byte 8'
    ],
    ['a range past the end', populateList([[1023, 2]]), 32, Sense.LbaOutOfRange, undefined],
    [
      'a block twice',
      populateList([
        [0, 8],
        [7, 1]
      ]),
      48,
      Sense.InvalidParameter,
      'list byte 32'
    ]
  ])('refuses %s, and makes nothing', async (_what, list, length, sense, pointer) => {
    const { unit, nexus, populate } = bench()
    const result = await populate(list, 1, length)
    expect([result.sense, fieldPointer(result.senseBytes)]).toEqual([sense, pointer])
    expect([unit.tokens.count, nexus.copies.get(1)]).toEqual([0, undefined])
  })

  it('of an empty list is good and makes nothing', async () => {
    const { host, nexus, unit } = bench()
    expect((await host.execute(nexus, populateCdb(1, 0))).status).toBe(0)
    expect([unit.tokens.count, nexus.copies.get(1)]).toEqual([0, undefined])
  })

  it('waits for nobody whose list identifier it would take away', async () => {
    const { nexus, unit, populate } = bench()
    const running = nexus.copies.begin(7)!
    expect((await populate(one, 7)).sense).toBe('05/00/16')
    expect([nexus.copies.get(7), unit.tokens.count]).toEqual([running, 0])
    while (nexus.copies.begin(undefined));
    expect((await populate(one, 8)).sense).toBe('05/55/03')
    expect(unit.tokens.count).toBe(0)
  })

  it('keeps to reservations as a read does', async () => {
    const { unit, populate } = bench()
    unit.reservations.reserve(makeNexus([unit], { isid: '400001370001' }))
    expect((await populate(one)).status).toBe(0x18)
  })
})
