import { describe, expect, it } from '@jest/globals'
import { copyList, cscd, segmentOfBlocks, segmentOfBytes } from '../../support/copy-list.js'
import { Random } from '../../support/random.js'
import { FakeVolume, Host, IDENTITY, Sense, fieldPointer, makeNexus, makeUnit } from '../../support/scsi.js'

const THIS_UNIT = 0xffff
const UNREACHABLE = '0a/08/04'
const NOT_REACHABLE = '0a/0d/02'
const FAILURE = '0a/0d/01'
const INEXACT = '0a/26/0a'

function naa(last: number): Buffer {
  const bytes = Buffer.from(IDENTITY.naa)
  bytes[15] = last
  return bytes
}

function disk(lun: number, blockSize = 512, readOnly = false) {
  const volume = new FakeVolume(1024 * blockSize)
  new Random(lun + 1).bytes(volume.bytes)
  volume.mapped.fill(true)
  return makeUnit({ lun, volume, blockSize, readOnly, identity: { ...IDENTITY, naa: naa(lun) } })
}

function bench() {
  const units = [disk(0), disk(1), disk(2, 4096), disk(3, 512, true)]
  const nexus = makeNexus(units)
  const host = new Host()
  const copy = async (list: Buffer, from = nexus) => {
    const cdb = Buffer.alloc(16)
    cdb[0] = 0x83
    cdb.writeUInt32BE(list.length, 10)
    return host.execute(from, cdb, { dataOut: list })
  }
  const results = (serviceAction: number, listId: number, from = nexus) =>
    host.execute(from, [0x84, serviceAction, listId, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0])
  const names = units.map(({ identity, blockSize }) => cscd(identity.naa, { blockSize }))
  return { host, units, nexus, copy, results, names }
}

describe('EXTENDED COPY', () => {
  it('copies inside one disk and between two, in the order of the segments', async () => {
    const { units, copy, names } = bench()
    const [zero, one] = units.map((unit) => Buffer.from(unit.volume.bytes)) as [Buffer, Buffer]
    const list = copyList(names, [
      segmentOfBlocks(0, 1, 100, 10, 500),
      segmentOfBlocks(1, 0, 100, 500, 900),
      segmentOfBytes(THIS_UNIT, 0, 1024, 10, 1, 512, 512)
    ])
    expect((await copy(list)).status).toBe(0)
    zero.copy(one, 500 * 512, 10 * 512, 110 * 512)
    one.copy(zero, 900 * 512, 500 * 512, 600 * 512)
    zero.copy(zero, 2 * 512, 11 * 512, 13 * 512)
    expect(units[0]!.volume.bytes.equals(zero)).toBe(true)
    expect(units[1]!.volume.bytes.equals(one)).toBe(true)
  })

  it('counts blocks of the source, or with DC of the destination', async () => {
    const { units, copy, names } = bench()
    const model = Buffer.from(units[0]!.volume.bytes)
    expect((await copy(copyList(names, [segmentOfBlocks(2, 0, 2, 5, 0)]))).status).toBe(0)
    units[2]!.volume.bytes.copy(model, 0, 5 * 4096, 7 * 4096)
    expect((await copy(copyList(names, [segmentOfBlocks(2, 0, 8, 9, 512, 0x02)]))).status).toBe(0)
    units[2]!.volume.bytes.copy(model, 512 * 512, 9 * 4096, 10 * 4096)
    expect(units[0]!.volume.bytes.equals(model)).toBe(true)
    expect((await copy(copyList(names, [segmentOfBlocks(0, 2, 7, 0, 0)]))).sense).toBe(INEXACT)
  })

  it('finds no unit that its nexus does not see, even by its right name (CVE-2020-28374)', async () => {
    const { units, copy } = bench()
    const foreign = disk(9)
    makeNexus([foreign], { initiatorName: 'iqn.1991-05.com.microsoft:pc-08' })
    const before = Buffer.from(foreign.volume.bytes)
    for (const segment of [segmentOfBlocks(0, THIS_UNIT, 8, 0, 0), segmentOfBlocks(THIS_UNIT, 0, 8, 0, 0)]) {
      const result = await copy(copyList([cscd(foreign.identity.naa)], [segment]))
      expect(result.sense).toBe(UNREACHABLE)
    }
    expect(foreign.volume.bytes.equals(before)).toBe(true)
    expect([...foreign.volume.calls, ...units[0]!.volume.calls]).toEqual([])
  })

  it.each([
    ['an index without descriptor', segmentOfBlocks(0, 7, 1, 0, 0), UNREACHABLE],
    ['a range past the end of the source', segmentOfBlocks(0, 1, 2, 1023, 0), NOT_REACHABLE],
    ['a range past the end of the destination', segmentOfBlocks(0, 1, 2, 0, 1023), NOT_REACHABLE],
    ['an LBA of 2^53', segmentOfBlocks(0, 1, 1, 2 ** 53, 0), NOT_REACHABLE],
    ['a write-protected destination', segmentOfBlocks(0, 3, 1, 0, 0), FAILURE],
    ['an offset inside a block', segmentOfBytes(0, 1, 512, 0, 0, 1, 0), INEXACT],
    ['a number of bytes that is none of blocks', segmentOfBytes(0, 1, 513, 0, 0), INEXACT]
  ])('aborts at %s, behind the segments that were done', async (_what, segment, sense) => {
    const { units, copy, names, results } = bench()
    const model = Buffer.from(units[1]!.volume.bytes)
    const list = copyList(names, [segmentOfBlocks(0, 1, 4, 0, 8), segment], { listId: 5 })
    expect((await copy(list)).sense).toBe(sense)
    units[0]!.volume.bytes.copy(model, 8 * 512, 0, 4 * 512)
    expect(units[1]!.volume.bytes.equals(model)).toBe(true)
    // Completed with errors, one segment, 2 KiB.
    expect((await results(0, 5)).hex).toBe('00000008' + '02' + '0001' + '01' + '00000002')
    const details = (await results(4, 5)).data
    expect([details.length, details[56], details.readUInt16BE(58), details[60]]).toEqual([78, 0x02, 18, 0x70])
    expect([details[62], details[72], details[73]].map((byte) => byte!.toString(16).padStart(2, '0')).join('/')).toBe(
      sense
    )
  })

  it('keeps to reservations, fences and readiness of the units that it names', async () => {
    const { units, nexus, copy, names } = bench()
    const list = copyList(names, [segmentOfBlocks(0, 1, 1, 0, 0)])
    const other = makeNexus(units, { isid: '400001370001' })
    units[1]!.reservations.reserve(other)
    expect((await copy(list)).sense).toBe(NOT_REACHABLE)
    units[1]!.reservations.release(other)
    nexus.units.get(1)!.fenced = true
    expect((await copy(list)).sense).toBe(NOT_REACHABLE)
    nexus.units.get(1)!.fenced = false
    expect((await copy(list)).status).toBe(0)
    units[0]!.reservations.reserve(other)
    expect((await copy(list)).status).toBe(0x18)
  })

  it('tells a failing disk as the failure of a third party', async () => {
    const { units, copy, names } = bench()
    units[0]!.volume.broken.set('read', 'EIO')
    expect((await copy(copyList(names, [segmentOfBlocks(0, 1, 1, 0, 0)]))).sense).toBe(FAILURE)
  })

  it('is durable at once where the destination is write-through', async () => {
    const { units, copy, names } = bench()
    units[1]!.writeCacheEnabled = false
    await copy(copyList(names, [segmentOfBlocks(0, 1, 1, 0, 0)]))
    expect(units[1]!.volume.calls.at(-1)).toBe('flush')
    expect(units[0]!.volume.calls).not.toContain('flush')
  })

  it('stops when it is aborted, and leaves the rest as it was', async () => {
    const { host, units, nexus } = bench()
    const list = copyList(
      [],
      [segmentOfBlocks(THIS_UNIT, THIS_UNIT, 8, 0, 512), segmentOfBlocks(THIS_UNIT, THIS_UNIT, 8, 0, 520)]
    )
    const before = Buffer.from(units[0]!.volume.bytes)
    const cdb = Buffer.alloc(16)
    cdb[0] = 0x83
    cdb[13] = list.length
    units[0]!.volume.refusing = units[0]!.volume.stalled = true
    const task = host.make(nexus, cdb, { dataOut: list })
    host.server.start(task)
    const end = host.complete(task, { dataOut: list })
    await new Promise((resolve) => setImmediate(resolve))
    task.aborted = true
    units[0]!.volume.release()
    await end
    expect(units[0]!.volume.bytes.subarray(520 * 512).equals(before.subarray(520 * 512))).toBe(true)
  })

  it('of an empty list is good', async () => {
    const { host, nexus } = bench()
    expect((await host.execute(nexus, Buffer.from('83', 'hex'))).status).toBe(0)
  })

  it.each([
    ['a list shorter than its header', Buffer.alloc(15), Sense.ParameterListLength, undefined],
    ['a list longer than any can be', Buffer.alloc(9000), Sense.ParameterListLength, undefined],
    [
      'a block size that the disk does not have',
      copyList([cscd(naa(0), { blockSize: 4096 })], []),
      Sense.InvalidParameter,
      'list byte 45'
    ],
    ['a descriptor that nobody knows', copyList([cscd(naa(0), { type: 0xe1 })], []), '05/26/07', 'list byte 16']
  ])('refuses %s', async (_what, list, sense, pointer) => {
    const result = await bench().copy(list)
    expect([result.sense, fieldPointer(result.senseBytes)]).toEqual([sense, pointer])
  })
})
