import { describe, expect, it } from '@jest/globals'
import { FakeClock } from '../../support/fake-clock.js'
import { Random } from '../../support/random.js'
import { FakeVolume, Host, IDENTITY, Sense, fieldPointer, makeNexus, makeUnit } from '../../support/scsi.js'
import {
  ZERO_TOKEN,
  abortCdb,
  copyStatus,
  populateCdb,
  populateList,
  receiveCdb,
  writeCdb,
  writeList,
  type Range
} from '../../support/token-list.js'

const UNKNOWN = '05/23/04'
const CANCELLED = '05/23/08'
const CLEARED = '0a/2f/02'

const CONTENT = new Random(1).bytes(Buffer.alloc(1024 * 4096))

function disk(lun: number, blockSize = 512, readOnly = false) {
  const volume = new FakeVolume(1024 * blockSize, readOnly)
  CONTENT.copy(volume.bytes, 0, blockSize === 512 ? lun * volume.size : 0)
  volume.mapped.fill(true)
  const naa = Buffer.from(IDENTITY.naa)
  naa[15] = lun
  return { lun, volume, blockSize, readOnly, identity: { ...IDENTITY, naa } }
}

/** LUNs 0 and 1 of 512-byte blocks, 2 of 4096, 3 that cannot be written. */
function bench() {
  const clock = new FakeClock()
  const units = [disk(0), disk(1), disk(2, 4096), disk(3, 512, true)].map((one) => makeUnit({ ...one, clock }))
  const nexus = makeNexus(units)
  const host = new Host()
  let listId = 0
  const populate = async (lun: number, ranges: readonly Range[], options = {}, from = nexus): Promise<Buffer> => {
    const list = populateList(ranges, options)
    listId++
    await host.execute(from, populateCdb(listId, list.length), { dataOut: list, lun })
    return copyStatus((await host.execute(from, receiveCdb(listId), { lun })).data).token!
  }
  const write = (lun: number, list: Buffer, id = 1000, from = nexus) =>
    host.execute(from, writeCdb(id, list.length), { dataOut: list, lun })
  const status = async (id = 1000) => copyStatus((await host.execute(nexus, receiveCdb(id))).data)
  const contents = () => units.map(({ volume }) => Buffer.from(volume.bytes))
  return { clock, units, nexus, host, populate, write, status, contents }
}

describe('WRITE USING TOKEN', () => {
  it('writes what the token stands for, range after range, inside a disk and to another', async () => {
    const { units, populate, write, status, contents } = bench()
    const [zero, one] = contents() as [Buffer, Buffer]
    const token = await populate(0, [
      [10, 4],
      [100, 6]
    ])
    expect(
      (
        await write(
          0,
          writeList(token, [
            [500, 7],
            [400, 3]
          ])
        )
      ).status
    ).toBe(0)
    const source = Buffer.concat([zero.subarray(10 * 512, 14 * 512), zero.subarray(100 * 512, 106 * 512)])
    source.copy(zero, 500 * 512, 0, 7 * 512)
    source.copy(zero, 400 * 512, 7 * 512)
    expect(units[0]!.volume.bytes.equals(zero)).toBe(true)
    expect(await status()).toMatchObject({
      serviceAction: 0x11,
      status: 0x01,
      units: 0xf1,
      transferCount: 10,
      length: 32
    })
    // The source is as it was, so the token is still good; five blocks in.
    expect((await write(1, writeList(token, [[0, 5]], { offset: 5 }))).status).toBe(0)
    source.copy(one, 0, 5 * 512)
    expect(units[1]!.volume.bytes.equals(one)).toBe(true)
  })

  it('deallocates where the source is deallocated', async () => {
    const { units, populate, write } = bench()
    units[0]!.volume.tryZero(8 * 4096, 4 * 4096, true)
    const token = await populate(0, [[0, 128]])
    expect((await write(1, writeList(token, [[0, 128]]))).status).toBe(0)
    expect(units[1]!.volume.mapped.slice(0, 16)).toEqual(units[0]!.volume.mapped.slice(0, 16))
    expect(units[1]!.volume.bytes.subarray(0, 65536).equals(units[0]!.volume.bytes.subarray(0, 65536))).toBe(true)
  })

  it('counts the offset and the result in blocks of the destination', async () => {
    const { units, populate, write, status } = bench()
    // The example of the standard: LBAs 15 to 20 and 40 to 100 of 512 bytes, the second block of 4096.
    const token = await populate(0, [
      [15, 6],
      [40, 61]
    ])
    expect((await write(2, writeList(token, [[3, 1]], { offset: 1 }))).status).toBe(0)
    const { bytes } = units[0]!.volume
    expect(units[2]!.volume.bytes.subarray(3 * 4096, 4 * 4096).equals(bytes.subarray(42 * 512, 50 * 512))).toBe(true)
    expect((await status()).transferCount).toBe(1)
  })

  it('ends with partial use where the token has less, and fills the last block with zeroes', async () => {
    const { units, populate, write, status, contents } = bench()
    const token = await populate(0, [[0, 11]])
    const model = contents()[2]!
    expect(
      (
        await write(
          2,
          writeList(token, [
            [1, 1],
            [5, 9]
          ])
        )
      ).status
    ).toBe(0)
    units[0]!.volume.bytes.copy(model, 4096, 0, 4096)
    model.fill(0, 5 * 4096, 6 * 4096)
    units[0]!.volume.bytes.copy(model, 5 * 4096, 8 * 512, 11 * 512)
    expect(units[2]!.volume.bytes.equals(model)).toBe(true)
    expect(await status()).toMatchObject({ status: 0x03, completion: 0, transferCount: 2 })
  })

  it('writes zeroes with the well-known token, which needs no other', async () => {
    const { units, write, status, contents } = bench()
    const model = contents()[0]!
    const list = writeList(
      ZERO_TOKEN,
      [
        [0, 64],
        [900, 1]
      ],
      { offset: 12345 }
    )
    expect((await write(0, list)).status).toBe(0)
    model.fill(0, 0, 64 * 512)
    model.fill(0, 900 * 512, 901 * 512)
    expect(units[0]!.volume.bytes.equals(model)).toBe(true)
    // Whole chunks give their space back.
    expect(units[0]!.volume.mapped.slice(0, 9)).toEqual([...Array<boolean>(8).fill(false), true])
    expect(await status()).toMatchObject({ status: 0x01, transferCount: 65 })
  })

  it.each<[string, Range, Range]>([
    ['forwards', [0, 300], [100, 300]],
    ['backwards', [100, 300], [0, 300]],
    ['onto itself', [100, 300], [100, 300]]
  ])('moves a range %s over itself as if all had been read first; the token is over then', async (_what, from, to) => {
    const { units, populate, write, status, contents } = bench()
    const token = await populate(0, [from])
    const model = contents()[0]!
    model.copy(model, Number(to[0]) * 512, Number(from[0]) * 512, (Number(from[0]) + from[1]) * 512)
    expect((await write(0, writeList(token, [to]))).status).toBe(0)
    expect(units[0]!.volume.bytes.equals(model)).toBe(true)
    expect(await status()).toMatchObject({ status: 0x01, transferCount: 300 })
    expect((await write(0, writeList(token, [to]))).sense).toBe(CANCELLED)
  })

  it('moves ranges down in their order, and refuses one that would overwrite what a later one reads', async () => {
    const { units, populate, write, contents } = bench()
    const token = await populate(0, [
      [10, 10],
      [30, 10]
    ])
    const model = contents()[0]!
    const swap = await write(
      0,
      writeList(token, [
        [30, 10],
        [10, 10]
      ])
    )
    expect([swap.sense, fieldPointer(swap.senseBytes)]).toEqual([Sense.InvalidParameter, 'list byte 534'])
    expect(units[0]!.volume.bytes.equals(model)).toBe(true)
    expect(
      (
        await write(
          0,
          writeList(token, [
            [5, 10],
            [15, 10]
          ])
        )
      ).status
    ).toBe(0)
    model.copy(model, 5 * 512, 10 * 512, 20 * 512)
    model.copy(model, 15 * 512, 30 * 512, 40 * 512)
    expect(units[0]!.volume.bytes.equals(model)).toBe(true)
  })

  it('deletes the token behind it when told to (DEL_TKN)', async () => {
    const { populate, write } = bench()
    const token = await populate(0, [[0, 8]])
    expect((await write(1, writeList(token, [[0, 8]], { flags: 2 }))).status).toBe(0)
    expect((await write(1, writeList(token, [[0, 8]]))).sense).toBe('05/23/09')
  })

  it('takes no token whose data were written since, and one whose neighbours were', async () => {
    const { host, nexus, units, populate, write, contents } = bench()
    const token = await populate(0, [
      [8, 8],
      [100, 1]
    ])
    const write10 = (lba: number) =>
      host.execute(nexus, [0x2a, 0, 0, 0, 0, lba, 0, 0, 1, 0], { dataOut: Buffer.alloc(512) })
    for (const lba of [7, 16, 99, 101]) await write10(lba)
    expect((await write(1, writeList(token, [[0, 9]]))).status).toBe(0)
    await write10(15)
    const before = contents()
    expect((await write(1, writeList(token, [[50, 9]]))).sense).toBe(CANCELLED)
    expect(units[1]!.volume.bytes.equals(before[1]!)).toBe(true)
  })

  it.each<[string, number[], Buffer | undefined]>([
    [
      'UNMAP',
      [0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0],
      Buffer.from('0016001000000000' + '000000000000000a00000001' + '00000000', 'hex')
    ],
    ['WRITE SAME', [0x41, 0, 0, 0, 0, 10, 0, 0, 1, 0], Buffer.alloc(512)],
    ['WRITE AND VERIFY', [0x2e, 0, 0, 0, 0, 10, 0, 0, 1, 0], Buffer.alloc(512)],
    ['ORWRITE', [0x8b, 0, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 1, 0, 0], Buffer.alloc(512)],
    ['COMPARE AND WRITE', [0x89, 0, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 1, 0, 0], undefined]
  ])('sees a change by %s', async (_what, cdb, dataOut) => {
    const { host, nexus, units, populate, write } = bench()
    const token = await populate(0, [[10, 1]])
    const block = units[0]!.volume.bytes.subarray(10 * 512, 11 * 512)
    await host.execute(nexus, cdb, { dataOut: dataOut ?? Buffer.concat([block, Buffer.alloc(512)]) })
    expect((await write(1, writeList(token, [[0, 1]]))).sense).toBe(CANCELLED)
  })

  it('takes no token that was made while a write of its data was under way', async () => {
    const { host, nexus, units, populate, write } = bench()
    const { volume } = units[0]!
    volume.refusing = volume.stalled = true
    const task = host.make(nexus, [0x2a, 0, 0, 0, 0, 10, 0, 0, 1, 0], { dataOut: Buffer.alloc(512) })
    host.server.start(task)
    const end = host.complete(task, { dataOut: Buffer.alloc(512) })
    const token = await populate(0, [[10, 1]])
    volume.refusing = false
    volume.release()
    await end
    expect((await write(1, writeList(token, [[0, 1]]))).sense).toBe(CANCELLED)
  })

  it('knows the tokens of its own initiator alone, and no forged one', async () => {
    const { units, populate, write, contents } = bench()
    const other = makeNexus(units, { initiatorName: 'iqn.1991-05.com.microsoft:pc-08' })
    const token = await populate(0, [[0, 8]])
    const before = contents()
    const forged = Buffer.from(token)
    forged[300]! ^= 0x80
    const results = [
      await write(1, writeList(token, [[0, 8]]), 1, other),
      await write(1, writeList(forged, [[0, 8]])),
      await write(1, writeList(new Random(5).bytes(Buffer.from(token)), [[0, 8]])),
      await write(1, writeList(Buffer.concat([token.subarray(0, 8), new Random(6).bytes(Buffer.alloc(504))]), [[0, 8]]))
    ]
    expect(results.map(({ sense }) => sense)).toEqual([UNKNOWN, '05/23/05', '05/23/0a', UNKNOWN])
    expect(contents().every((bytes, lun) => bytes.equals(before[lun]!))).toBe(true)
  })

  it('takes no token that has expired', async () => {
    const { clock, populate, write } = bench()
    const token = await populate(0, [[0, 8]], { timeout: 30 })
    clock.advance(30_001)
    expect((await write(1, writeList(token, [[0, 8]]))).sense).toBe('05/23/07')
  })

  const made = Buffer.concat([Buffer.from('00800001000001f8', 'hex'), Buffer.alloc(504)])
  it.each<[string, (token: Buffer) => Buffer, number | undefined, string, string | undefined]>([
    ['a list of 535 bytes', (token) => writeList(token, [[0, 1]]), 535, Sense.ParameterListLength, undefined],
    [
      'a list that is a byte short',
      (token) => writeList(token, [[0, 1]]).subarray(0, 551),
      552,
      Sense.ParameterListLength,
      undefined
    ],
    ['a range that the CDB cuts off', (token) => writeList(token, [[0, 1]]), 551, Sense.ParameterListLength, undefined],
    ['a list of 64 KiB and more', () => Buffer.alloc(65538), undefined, Sense.ParameterListLength, undefined],
    [
      'a data length of 549',
      (token) => writeList(token, [[0, 1]], { dataLength: 549 }),
      undefined,
      Sense.InvalidParameter,
      'list byte 0'
    ],
    [
      'lengths that do not fit',
      (token) =>
        writeList(
          token,
          [
            [0, 1],
            [1, 1]
          ],
          { dataLength: 565 }
        ),
      undefined,
      Sense.InvalidParameter,
      'list byte 534'
    ],
    [
      '65 ranges',
      (token) =>
        writeList(
          token,
          Array.from({ length: 65 }, (_unused, at) => [at, 1] as const)
        ),
      undefined,
      '05/26/08',
      undefined
    ],
    [
      'ranges that overlap',
      (token) =>
        writeList(token, [
          [0, 2],
          [1, 2]
        ]),
      undefined,
      Sense.InvalidParameter,
      'list byte 552'
    ],
    ['a range past the end', (token) => writeList(token, [[1024, 1]]), undefined, Sense.LbaOutOfRange, undefined],
    [
      'an offset at the end of the data',
      (token) => writeList(token, [[0, 1]], { offset: 8 }),
      undefined,
      Sense.InvalidParameter,
      'list byte 8'
    ],
    [
      'an offset beyond 2^53',
      (token) => writeList(token, [[0, 1]], { offset: 2 ** 60 }),
      undefined,
      Sense.InvalidParameter,
      'list byte 8'
    ],
    ['a token of another length', () => writeList(Buffer.alloc(512, 1), [[0, 1]]), undefined, '05/23/0a', undefined],
    [
      'a token of no point in time',
      () => writeList(Buffer.concat([Buffer.from('00010000000001f8', 'hex'), Buffer.alloc(504)]), [[0, 1]]),
      undefined,
      '05/23/01',
      undefined
    ],
    ['a token that nobody has made', () => writeList(made, [[0, 1]]), undefined, UNKNOWN, undefined]
  ])('refuses %s, and writes nothing', async (_what, make, length, sense, pointer) => {
    const { host, nexus, populate, contents } = bench()
    const list = make(await populate(0, [[0, 8]]))
    const before = contents()
    const result = await host.execute(nexus, writeCdb(9, length ?? list.length), { dataOut: list, lun: 1 })
    expect([result.sense, fieldPointer(result.senseBytes)]).toEqual([sense, pointer])
    expect(contents().every((bytes, lun) => bytes.equals(before[lun]!))).toBe(true)
    expect(nexus.copies.get(9)).toBeUndefined()
  })

  it('of an empty list is good', async () => {
    const { host, nexus } = bench()
    expect((await host.execute(nexus, writeCdb(1, 0))).status).toBe(0)
  })

  it('keeps to write protection, and to reservations, fences and readiness of both units', async () => {
    const { nexus, units, populate, write } = bench()
    const token = await populate(0, [[0, 8]])
    const list = writeList(token, [[0, 8]])
    expect((await write(3, list)).sense).toBe(Sense.WriteProtected)
    const other = makeNexus(units, { isid: '400001370001' })
    units[1]!.reservations.reserve(other)
    expect((await write(1, list)).status).toBe(0x18)
    units[1]!.reservations.release(other)
    units[0]!.reservations.reserve(other)
    expect((await write(1, list)).sense).toBe('0a/0d/02')
    units[0]!.reservations.release(other)
    nexus.units.get(0)!.fenced = true
    expect((await write(1, list)).sense).toBe('0a/0d/02')
    nexus.units.get(0)!.fenced = false
    expect((await write(1, list)).status).toBe(0)
  })

  it('is durable at once where the destination is write-through', async () => {
    const { units, populate, write } = bench()
    units[1]!.writeCacheEnabled = false
    await write(1, writeList(await populate(0, [[0, 8]]), [[0, 8]]))
    expect(units[1]!.volume.calls.at(-1)).toBe('flush')
  })

  it('tells how far it came when the disk fails, with the sense data of the command', async () => {
    const { units, populate, write, status } = bench()
    const token = await populate(0, [[0, 16]])
    const { volume } = units[1]!
    const tryWrite = volume.tryWrite.bind(volume)
    volume.tryWrite = (buffer, start, length, offset) => {
      if (offset >= 4096) throw Object.assign(new Error('full'), { code: 'ENOSPC' })
      return tryWrite(buffer, start, length, offset)
    }
    const result = await write(
      1,
      writeList(token, [
        [0, 8],
        [100, 8]
      ])
    )
    expect(result.sense).toBe(Sense.SpaceAllocationFailed)
    const { sense, ...rest } = await status()
    expect(rest).toMatchObject({ status: 0x02, completion: 0x02, transferCount: 8, length: 32 + 20 })
    expect(sense.equals(result.senseBytes!)).toBe(true)
  })

  /** Begins a write of two ranges whose first piece the disk holds back. */
  async function stalled(lun = 1, first: Range = [0, 8]) {
    const all = bench()
    const { host, nexus, units, populate } = all
    const list = writeList(
      await populate(0, [
        [0, 8],
        [100, 8]
      ]),
      [first, [200, 8]]
    )
    const { volume } = units[lun]!
    volume.refusing = volume.stalled = true
    const task = host.make(nexus, writeCdb(77, list.length), { dataOut: list, lun })
    host.server.start(task)
    const end = host.complete(task, { dataOut: list })
    await new Promise((resolve) => setImmediate(resolve))
    const goOn = () => {
      volume.refusing = false
      volume.release()
      return end
    }
    return { ...all, task, goOn, rest: Buffer.from(volume.bytes.subarray(200 * 512)) }
  }

  it('stops when it is aborted, and leaves the rest as it was', async () => {
    const { units, task, goOn, rest, status } = await stalled()
    expect(await status(77)).toMatchObject({ status: 0x11, transferCount: 0 })
    task.aborted = true
    await goOn()
    expect(units[1]!.volume.bytes.subarray(200 * 512).equals(rest)).toBe(true)
    expect(await status(77)).toMatchObject({ status: 0x60, completion: 0x40, sense: Buffer.alloc(0) })
  })

  it('ends by COPY OPERATION ABORT, of its own nexus alone', async () => {
    const { host, nexus, units, goOn, rest, status } = await stalled()
    const other = makeNexus(units, { isid: '400001370001' })
    expect((await host.execute(other, abortCdb(77))).sense).toBe(Sense.InvalidCdbField)
    expect((await host.execute(nexus, abortCdb(77))).status).toBe(0)
    expect((await goOn()).sense).toBe(CLEARED)
    expect(units[1]!.volume.bytes.subarray(200 * 512).equals(rest)).toBe(true)
    expect(await status(77)).toMatchObject({ status: 0x60, completion: 0x40 })
    // It is over, so there is nothing left to abort.
    const late = await host.execute(nexus, abortCdb(77))
    expect([late.sense, fieldPointer(late.senseBytes)]).toEqual([Sense.InvalidCdbField, 'cdb byte 2 bit 7'])
  })

  it('stops when its source changes, and does not count what may be of another time', async () => {
    const { units, goOn, rest, status } = await stalled()
    units[0]!.volume.tryWrite(Buffer.alloc(512), 0, 512, 101 * 512)
    expect((await goOn()).sense).toBe(CANCELLED)
    expect(units[1]!.volume.bytes.subarray(200 * 512).equals(rest)).toBe(true)
    expect(await status(77)).toMatchObject({ status: 0x02, transferCount: 0 })
  })

  it.each<[string, number, number, boolean]>([
    ['what it has still to read', 101, 1, true],
    ['what it has read in part', 2, 1, true],
    ['what it reads and what it writes', 3, 3, true],
    ['what it writes itself', 4, 8, false],
    ['what it does not need', 12, 8, false]
  ])(
    'that writes over its own source stops when another changes %s: blocks %d + %d',
    async (_what, lba, blocks, stops) => {
      const { units, goOn, rest, status } = await stalled(0, [4, 8])
      const { volume } = units[0]!
      volume.tryWrite(Buffer.alloc(blocks * 512), 0, blocks * 512, lba * 512)
      const { sense } = await goOn()
      expect(sense).toBe(stops ? CANCELLED : undefined)
      expect(volume.bytes.subarray(200 * 512).equals(rest)).toBe(stops)
      expect(await status(77)).toMatchObject(stops ? { status: 0x02, transferCount: 0 } : { transferCount: 16 })
    }
  )

  it('has a list identifier to itself while it runs', async () => {
    const { goOn, populate, write } = await stalled()
    const token = await populate(0, [[0, 8]])
    expect((await write(0, writeList(token, [[500, 8]]), 77)).sense).toBe('05/00/16')
    expect((await goOn()).status).toBe(0)
  })
})
