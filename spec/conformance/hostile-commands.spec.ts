import { describe, expect, it } from '@jest/globals'
import { FaultPlan } from '../../lib/volume/layers/fault.js'
import { besiege } from '../support/besieged.js'
import { nopOut, scsiCommand, snack, taskManagementRequest } from '../support/pdu-builder.js'
import {
  begin,
  BLOCK,
  INQUIRY_36,
  r2tFields,
  read10,
  sendDataOut,
  sendRaw,
  TEST_UNIT_READY,
  write10
} from '../support/raw-commands.js'
import type { ScriptedInitiator } from '../support/scripted-initiator.js'
import {
  ZERO_TOKEN,
  abortCdb,
  populateCdb,
  populateList,
  receiveCdb,
  writeCdb,
  writeList
} from '../support/token-list.js'

/** Full feature phase; see besieged.ts for what is looked at after each. */
let plan = new FaultPlan()
const siege = besiege(() => ({ plan: (plan = new FaultPlan()) }))
/** Blocks of the disk. */
const BLOCKS = 2048
const REJECT = 0x3f
const RESPONSE = 0x21

const works = async (initiator: ScriptedInitiator) => expect((await initiator.command(TEST_UNIT_READY)).status).toBe(0)

/** The first blocks of the disk, as numbers of their first bytes. */
async function firstBytes(initiator: ScriptedInitiator, blocks: number): Promise<number[]> {
  const { data } = await initiator.command(read10(0, blocks), { read: blocks * BLOCK })
  return Array.from({ length: blocks }, (_unused, block) => data[block * BLOCK]!)
}

describe('RFC 7143 §4.2.2.1: CmdSN', () => {
  it('outside the window, on either side, and one that came before, is ignored', async () => {
    const initiator = await siege.login()
    await works(initiator)
    const { cmdSn } = initiator
    for (const away of [-1, -2, -1000, 128, 1000, 2 ** 31 - 1, -(2 ** 31) + 1]) {
      await begin(initiator, write10(0, 1), {
        flags: 0xa1,
        edtl: BLOCK,
        data: Buffer.alloc(BLOCK, 0x66),
        cmdSn: cmdSn + away
      })
    }
    expect(await firstBytes(initiator, 1)).toEqual([0])
    expect(initiator.expCmdSn).toBe(cmdSn + 1)
  })

  it('wraps from FFFFFFFFh to 0', async () => {
    const initiator = await siege.login({ cmdSn: 0xfffffffe })
    for (let count = 0; count < 5; count++) await works(initiator)
    expect(initiator.cmdSn).toBe(3)
  })

  it('with a gap that is never filled holds no more than the window, and immediate commands are answered', async () => {
    const initiator = await siege.login()
    initiator.cmdSn++
    for (let count = 0; count < 300; count++) {
      await begin(initiator, write10(0, 8), { flags: 0xa1, edtl: 8 * BLOCK, data: Buffer.alloc(8 * BLOCK, 1) })
    }
    expect((await initiator.command(TEST_UNIT_READY, { immediate: true })).status).toBe(0)
    const session = siege.target.sessions.at(-1)!
    expect(session.held.size).toBe(127)
    expect(session.waiting.used).toBe(127 * (48 + 8 * BLOCK))
  })

  it('of 10,000 commands at once runs ahead of the window: what is beyond it is dropped', async () => {
    const initiator = await siege.login()
    plan.add({ verb: 'read', effect: { kind: 'hold' } })
    const one = scsiCommand({ flags: 0xc1, edtl: BLOCK, cdb: read10(0, 1) })
    const all = Buffer.concat(
      Array.from({ length: 10_000 }, (_unused, index) => {
        const pdu = Buffer.from(one)
        pdu.writeUInt32BE(index, 16)
        pdu.writeUInt32BE(initiator.cmdSn + index, 24)
        return pdu
      })
    )
    await initiator.send(all)
    await initiator.nop()
    expect(siege.target.sessions.at(-1)!.tasksInUse).toBe(128)
    plan.clear()
    plan.releaseAll()
    initiator.cmdSn += 128
    await works(initiator)
  })
})

describe('RFC 7143 §11.2.1.8, §11.17: an Initiator Task Tag', () => {
  it('that is in flight is rejected with 07h, and the first command ends well', async () => {
    const initiator = await siege.login()
    const tag = await begin(initiator, write10(0, 1), { flags: 0xa1, edtl: BLOCK })
    const ttt = r2tFields(await initiator.receiveOpcode(0x31)).transferTag
    await begin(initiator, TEST_UNIT_READY, { flags: 0x81, tag })
    expect((await initiator.receiveOpcode(REJECT)).bhs[2]).toBe(0x07)
    await sendDataOut(initiator, { tag, transferTag: ttt, offset: 0, data: Buffer.alloc(BLOCK, 9) })
    expect((await initiator.receiveOpcode(RESPONSE)).bhs[3]).toBe(0)
  })

  it('FFFFFFFFh is rejected with 09h', async () => {
    const initiator = await siege.login()
    await begin(initiator, TEST_UNIT_READY, { flags: 0x81, tag: 0xffffffff })
    expect((await initiator.receiveOpcode(REJECT)).bhs[2]).toBe(0x09)
    await works(initiator)
  })
})

describe('RFC 7143 §11.3.1, §11.4.5: flags and EDTL that do not fit the CDB', () => {
  // flags, EDTL, CDB → residual flag (02h under, 04h over), residual, bytes of Data-In.
  it.each([
    ['a read of two blocks, EDTL 0', 0xc1, 0, read10(0, 2), 0x04, 1024, 0],
    ['a read of two blocks, EDTL 1', 0xc1, 1, read10(0, 2), 0x04, 1023, 1],
    ['a read of two blocks, EDTL 2^32-1', 0xc1, 0xffffffff, read10(0, 2), 0x02, 0xffffffff - 1024, 1024],
    ['a read of two blocks without R', 0x81, 1024, read10(0, 2), 0x04, 1024, 0],
    ['a TEST UNIT READY with R', 0xc1, 512, TEST_UNIT_READY, 0x02, 512, 0],
    ['an INQUIRY of 36 bytes, EDTL 4', 0xc1, 4, INQUIRY_36, 0x04, 32, 4]
  ])('%s', async (_what, flags, edtl, cdb, flag, count, bytes) => {
    const initiator = await siege.login()
    const tag = await begin(initiator, cdb, { flags, edtl })
    const outcome = await initiator.finish(tag, Buffer.alloc(8))
    const seen = (outcome.underflow ? 0x02 : 0) | (outcome.overflow ? 0x04 : 0)
    expect([seen, outcome.residualCount, outcome.data.length]).toEqual([flag, count, bytes])
    await works(initiator)
  })

  it('a write whose W is missing, or whose EDTL is short, writes nothing beyond it', async () => {
    const initiator = await siege.login()
    const data = Buffer.alloc(BLOCK, 0x55)
    const short = await begin(initiator, write10(0, 2), { flags: 0xa1, edtl: BLOCK, data })
    await initiator.finish(short, Buffer.alloc(8))
    const without = await begin(initiator, write10(1, 1), { flags: 0x81, edtl: BLOCK })
    await initiator.finish(without, Buffer.alloc(8))
    expect((await firstBytes(initiator, 3)).slice(1)).toEqual([0, 0])
  })

  it('R and W together with an EDTL of 4 GiB sets nothing aside', async () => {
    const initiator = await siege.login()
    const before = process.memoryUsage().arrayBuffers
    for (let count = 0; count < 50; count++) await begin(initiator, write10(0, 1), { flags: 0xe1, edtl: 0xffffffff })
    await initiator.nop()
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 * 1024 * 1024)
    await initiator.reset()
  })
})

describe('RFC 7143 §4.2.5.2, §13.10, §13.11, §13.14: data that nobody asked for', () => {
  it.each([
    ['more than FirstBurstLength', { FirstBurstLength: '512' }, 2, 2, 0xa1],
    ['more than EDTL', {}, 1, 2, 0xa1],
    ['although ImmediateData=No', { ImmediateData: 'No' }, 1, 1, 0xa1],
    ['F=0 although InitialR2T=Yes', { InitialR2T: 'Yes' }, 2, 1, 0x21]
  ])('%s fails the write with 0B/0C/0C, and nothing is written', async (_what, override, blocks, sent, flags) => {
    const initiator = await siege.login({ override })
    const data = Buffer.alloc(sent * BLOCK, 0x55)
    const tag = await begin(initiator, write10(0, blocks), { flags, edtl: blocks * BLOCK, data })
    expect((await initiator.finish(tag, Buffer.alloc(8))).senseText).toBe('0b/0c/0c')
    expect(await firstBytes(initiator, 3)).toEqual([0, 0, 0])
  })
})

describe('RFC 7143 §11.7: a Data-Out', () => {
  /** A write of 8 blocks at LBA 8 that has its R2T. */
  async function asked(): Promise<{ initiator: ScriptedInitiator; tag: number; transferTag: number }> {
    const initiator = await siege.login()
    const tag = await begin(initiator, write10(8, 8), { flags: 0xa1, edtl: 8 * BLOCK })
    return { initiator, tag, transferTag: r2tFields(await initiator.receiveOpcode(0x31)).transferTag }
  }

  const data = Buffer.alloc(BLOCK, 0x66)
  it.each([
    ['a wrong TTT', { transferTag: 0x7777 }, '0b/4b/00'],
    ['a wrong DataSN', { dataSn: 3 }, '0b/4b/00'],
    ['an offset that goes back', { offset: -BLOCK >>> 0 }, '0b/4b/00'],
    ['an offset behind a hole', { offset: 2 * BLOCK }, '0b/4b/00'],
    ['an offset beyond the write', { offset: 100 * BLOCK }, '0b/4b/00'],
    ['more than the R2T asks for', { data: Buffer.alloc(9 * BLOCK, 0x66) }, '0b/4b/00'],
    ['F before the end', { final: true }, '0b/0c/0d'],
    ['no F at the end', { data: Buffer.alloc(8 * BLOCK, 0x66), final: false }, '0b/4b/00'],
    ['no TTT', { transferTag: 0xffffffff }, '0b/0c/0c']
  ])('with %s fails the write, and nothing beside its range changes', async (_what, slip, senseText) => {
    const { initiator, tag, transferTag } = await asked()
    await sendDataOut(initiator, { tag, transferTag, offset: 0, final: false, data, ...slip })
    expect((await initiator.finish(tag, Buffer.alloc(8))).senseText).toBe(senseText)
    const blocks = await firstBytes(initiator, 24)
    expect([...blocks.slice(0, 8), ...blocks.slice(16)].every((byte) => byte === 0)).toBe(true)
  })

  it('for no task, or for one that was aborted, is dropped', async () => {
    const { initiator, tag, transferTag } = await asked()
    await sendDataOut(initiator, { tag: 0x4444, transferTag, offset: 0, data })
    expect(await initiator.taskManagement(1, { referencedTag: tag, refCmdSn: 1 })).toBe(0)
    await sendDataOut(initiator, { tag, transferTag, offset: 0, data: Buffer.alloc(8 * BLOCK, 0x66) })
    expect(await firstBytes(initiator, 9)).toEqual(new Array<number>(9).fill(0))
  })

  it('that never comes holds up nobody: 64 of them leave the window to others, and fail after a minute', async () => {
    const initiator = await siege.login()
    for (let count = 0; count < 64; count++) await begin(initiator, write10(count, 1), { flags: 0xa1, edtl: BLOCK })
    for (let count = 0; count < 64; count++) await initiator.receiveOpcode(0x31)
    await works(initiator)
    const session = siege.target.sessions.at(-1)!
    for (const task of session.tasks.values()) task.since -= 60_001
    session.connection.tick(performance.now())
    for (let count = 0; count < 64; count++) {
      const { bhs, data: sense } = await initiator.receiveOpcode(RESPONSE)
      expect([bhs[3], sense[4], sense[14]]).toEqual([2, 0x0b, 0x4b])
    }
  })
})

describe('SBC-3 §4.5: an LBA or a length beyond the medium', () => {
  const long = (code: number, lba: bigint, blocks: number) => {
    const cdb = Buffer.alloc(16)
    cdb[0] = code
    cdb.writeBigUInt64BE(lba, 2)
    cdb.writeUInt32BE(blocks, 10)
    return cdb
  }
  it.each([
    ['READ(10) of the block behind the last', Buffer.from(read10(BLOCKS, 1)), '05/21/00'],
    ['READ(10) of the last and one more', Buffer.from(read10(BLOCKS - 1, 2)), '05/21/00'],
    ['READ(10) at 2^32-1', Buffer.from(read10(0xffffffff, 1)), '05/21/00'],
    ['WRITE(10) at 2^32-1', Buffer.from(write10(0xffffffff, 1)), '05/21/00'],
    ['READ(16) at 2^64-1', long(0x88, 2n ** 64n - 1n, 1), '05/21/00'],
    ['READ(16) at 2^53', long(0x88, 2n ** 53n, 1), '05/21/00'],
    ['READ(16) of 2^32-1 blocks', long(0x88, 0n, 0xffffffff), '05/21/00'],
    ['WRITE(16) of 2^32-1 blocks', long(0x8a, 0n, 0xffffffff), '05/21/00'],
    ['READ(10) of nothing', Buffer.from(read10(0, 0)), ''],
    ['READ(10) of nothing behind the end', Buffer.from(read10(BLOCKS, 0)), ''],
    ['READ(16) of nothing', long(0x88, 0n, 0), '']
  ])('%s', async (_what, cdb, senseText) => {
    const initiator = await siege.login()
    const writes = cdb[0] === 0x2a || cdb[0] === 0x8a
    const outcome = await initiator.command(cdb, writes ? { write: Buffer.alloc(BLOCK) } : { read: BLOCK })
    expect(outcome.senseText).toBe(senseText)
    expect(outcome.data.length).toBe(0)
  })

  it('0 in the length of READ(6) means 256 blocks', async () => {
    const initiator = await siege.login()
    expect((await initiator.command([0x08, 0, 0, 0, 0, 0], { read: 256 * BLOCK })).data.length).toBe(256 * BLOCK)
  })
})

describe('SBC-3, SPC-4: a parameter list', () => {
  const unmap = (length: number) => [0x42, 0, 0, 0, 0, 0, 0, length >> 8, length & 0xff, 0]
  const list = (dataLength: number, descriptorLength: number, ...descriptors: (readonly [bigint, number])[]) => {
    const bytes = Buffer.alloc(8 + 16 * descriptors.length)
    bytes.writeUInt16BE(dataLength, 0)
    bytes.writeUInt16BE(descriptorLength, 2)
    for (const [index, [lba, blocks]] of descriptors.entries()) {
      bytes.writeBigUInt64BE(lba, 8 + 16 * index)
      bytes.writeUInt32BE(blocks, 16 + 16 * index)
    }
    return bytes
  }
  const copyCdb = (serviceAction: number, length: number) => {
    const cdb = Buffer.from([0x83, serviceAction, ...Buffer.alloc(14)])
    cdb.writeUInt32BE(length, 10)
    return [...cdb]
  }
  const ranges = (count: number) => populateList(Array.from({ length: count }, (_unused, at) => [at, 1] as const))
  const FORGED = Buffer.concat([Buffer.from('00800001000001f8', 'hex'), Buffer.alloc(504, 0xa5)])
  it.each([
    ['UNMAP of 0 bytes', unmap(0), undefined, ''],
    ['UNMAP of 7 bytes', unmap(7), Buffer.alloc(7), '05/1a/00'],
    ['UNMAP with less data than it says', unmap(24), Buffer.alloc(8), '05/1a/00'],
    ['UNMAP with descriptors of 15 bytes', unmap(24), list(22, 15, [0n, 1]), ''],
    ['UNMAP with 65535 bytes of descriptors in 24', unmap(24), list(22, 65535, [0n, 1]), ''],
    ['UNMAP whose range overflows', unmap(24), list(22, 16, [2n ** 64n - 1n, 2]), '05/21/00'],
    ['UNMAP behind the end', unmap(24), list(22, 16, [BigInt(BLOCKS), 1]), '05/21/00'],
    ['UNMAP of ranges that overlap', unmap(40), list(38, 32, [0n, 8], [4n, 8]), ''],
    ['MODE SELECT(6) of 3 bytes', [0x15, 0x10, 0, 0, 3, 0], Buffer.alloc(3), '05/1a/00'],
    ['MODE SELECT(10) of 65535 bytes', [0x55, 0x10, 0, 0, 0, 0, 0, 0xff, 0xff, 0], Buffer.alloc(65535), '05/26/00'],
    ['PERSISTENT RESERVE OUT of 0 bytes', [0x5f, 0, 0, 0, 0, 0, 0, 0, 0, 0], undefined, '05/1a/00'],
    ['PERSISTENT RESERVE OUT of 4 GiB', [0x5f, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0], Buffer.alloc(24), '05/1a/00'],
    ['WRITE SAME(10) of two blocks of data', [0x41, 0, 0, 0, 0, 0, 0, 0, 1, 0], Buffer.alloc(2 * BLOCK), '05/0e/03'],
    ['EXTENDED COPY(LID4) of 47 bytes', copyCdb(1, 47), Buffer.alloc(47), '05/1a/00'],
    ['EXTENDED COPY(LID4) of 4 GiB', copyCdb(1, 0xffffffff), Buffer.alloc(64), '05/1a/00'],
    ['POPULATE TOKEN of 0 bytes', [...populateCdb(1, 0)], undefined, ''],
    ['POPULATE TOKEN of 15 bytes', [...populateCdb(1, 15)], Buffer.alloc(15), '05/1a/00'],
    ['POPULATE TOKEN of 4 GiB', [...populateCdb(1, 0xffffffff)], Buffer.alloc(32), '05/1a/00'],
    ['POPULATE TOKEN with less data than it says', [...populateCdb(1, 32)], populateList([]), '05/1a/00'],
    ['POPULATE TOKEN of 4095 ranges', [...populateCdb(1, 65536)], ranges(4095), '05/26/08'],
    ['POPULATE TOKEN whose range overflows', [...populateCdb(1, 32)], populateList([[2n ** 64n - 1n, 2]]), '05/21/00'],
    [
      'POPULATE TOKEN of ranges that overlap',
      [...populateCdb(1, 48)],
      populateList([
        [0, 8],
        [4, 8]
      ]),
      '05/26/00'
    ],
    ['WRITE USING TOKEN of 535 bytes', [...writeCdb(1, 535)], Buffer.alloc(535), '05/1a/00'],
    ['WRITE USING TOKEN with less data than it says', [...writeCdb(1, 552)], Buffer.alloc(536), '05/1a/00'],
    ['WRITE USING TOKEN with nothing in it', [...writeCdb(1, 552)], Buffer.alloc(552), '05/26/00'],
    [
      'WRITE USING TOKEN of zeroes behind the end',
      [...writeCdb(1, 552)],
      writeList(ZERO_TOKEN, [[BLOCKS, 1]]),
      '05/21/00'
    ],
    [
      'WRITE USING TOKEN with a token of its own making',
      [...writeCdb(1, 552)],
      writeList(FORGED, [[0, 1]]),
      '05/23/04'
    ],
    ['RECEIVE ROD TOKEN INFORMATION of nothing', [...receiveCdb(0xffffffff)], undefined, '05/24/00'],
    ['COPY OPERATION ABORT of nothing', [...abortCdb(0)], undefined, '05/24/00'],
    [
      'COMPARE AND WRITE of half its data',
      [0x89, ...new Array<number>(12).fill(0), 1, 0, 0],
      Buffer.alloc(BLOCK),
      '05/0e/03'
    ]
  ])('%s', async (_what, cdb, write, senseText) => {
    const initiator = await siege.login()
    const outcome = await initiator.command(cdb, write ? { write } : {})
    expect(outcome.senseText).toBe(senseText)
    await works(initiator)
  })
})

describe('SPC-4 §4.2.5.6: an allocation length', () => {
  const inquiry = (length: number) => [0x12, 0, 0, length >> 8, length & 0xff, 0]
  const modeSense = (length: number) => [0x1a, 0, 0x3f, 0, Math.min(length, 255), 0]
  const capacity = (length: number) => [
    0x9e,
    0x10,
    ...new Array<number>(8).fill(0),
    0,
    0,
    length >> 8,
    length & 0xff,
    0,
    0
  ]
  const reportLuns = (length: number) => [0xa0, 0, 0, 0, 0, 0, 0, 0, length >> 8, length & 0xff, 0, 0]
  const supported = (length: number) => [0xa3, 0x0c, 0, 0, 0, 0, 0, 0, length >> 8, length & 0xff, 0, 0]
  const logSense = (length: number) => [0x4d, 0, 0x40, 0, 0, 0, 0, length >> 8, length & 0xff, 0]
  it.each([
    ['INQUIRY', inquiry],
    ['MODE SENSE(6)', modeSense],
    ['READ CAPACITY(16)', capacity],
    ['REPORT LUNS', reportLuns],
    ['REPORT SUPPORTED OPERATION CODES', supported],
    ['LOG SENSE', logSense]
  ])('of %s cuts its data and no more: 0, 1, 4 and 65535 bytes', async (_name, cdb) => {
    const initiator = await siege.login()
    const whole = (await initiator.command(cdb(65_535), { read: 65_535 })).data
    for (const length of [0, 1, 4]) {
      const outcome = await initiator.command(cdb(length), { read: 64 })
      expect([outcome.status, outcome.residualCount, outcome.underflow]).toEqual([0, 64 - length, true])
      expect(outcome.data.equals(whole.subarray(0, length))).toBe(true)
    }
  })

  it.each([
    ['INQUIRY of a page without EVPD', [0x12, 0, 0x80, 0, 36, 0], '05/24/00'],
    [
      'REPORT SUPPORTED OPERATION CODES of service action FFFFh',
      [0xa3, 0x0c, 0x02, 0x9e, 0xff, 0xff, 0, 0, 1, 0, 0, 0],
      ''
    ],
    ['a vendor CDB', [0xc0], '05/20/00'],
    ['the last vendor CDB', [0xff], '05/20/00'],
    ['an operation code that nobody has', [0x1f], '05/20/00'],
    ['a variable-length CDB without its AHS', [0x7f], '05/20/00'],
    ['NACA', [0, 0, 0, 0, 0, 0x04], '05/24/00']
  ])('%s', async (_what, cdb, senseText) => {
    const initiator = await siege.login()
    expect((await initiator.command(cdb, { read: 256 })).senseText).toBe(senseText)
    await works(initiator)
  })
})

describe('SAM-5 §4.7: a LUN that is not there', () => {
  it.each(['00ff000000000000', '4100000000000000', '0102030405060708', 'c101000000000000', 'ffffffffffffffff'])(
    '%s: INQUIRY answers 7Fh, REPORT LUNS the list, and others 05/25/00',
    async (hexadecimal) => {
      const initiator = await siege.login()
      const lun = Buffer.from(hexadecimal, 'hex')
      expect((await initiator.command(INQUIRY_36, { lun, read: 36 })).data[0]).toBe(0x7f)
      expect((await initiator.command(TEST_UNIT_READY, { lun })).senseText).toBe('05/25/00')
      expect((await initiator.command(read10(0, 1), { lun, read: BLOCK })).senseText).toBe('05/25/00')
      expect((await initiator.command(write10(0, 1), { lun, write: Buffer.alloc(BLOCK, 1) })).senseText).toBe(
        '05/25/00'
      )
    }
  )
})

describe('RFC 7143 §11.5, §11.6: task management', () => {
  it.each([
    [0, 5],
    [15, 5],
    [0x7f, 5],
    [3, 5],
    [8, 4]
  ])('function %i is answered with %i', async (fn, code) => {
    const initiator = await siege.login()
    expect(await initiator.taskManagement(fn, { referencedTag: 1 })).toBe(code)
    await works(initiator)
  })

  it('of a task that is not there, that has ended, or that is itself says so', async () => {
    const initiator = await siege.login()
    await works(initiator)
    expect(await initiator.taskManagement(1, { referencedTag: 0x7777, refCmdSn: initiator.cmdSn - 1 })).toBe(1)
    expect(await initiator.taskManagement(1, { referencedTag: 0x1000, refCmdSn: initiator.cmdSn - 1 })).toBe(1)
    await initiator.send(
      taskManagementRequest({
        function: 1,
        itt: 77,
        referencedTaskTag: 77,
        refCmdSn: initiator.cmdSn - 1,
        cmdSn: initiator.cmdSn
      })
    )
    expect((await initiator.receiveOpcode(0x22)).bhs[2]).toBe(1)
  })

  it('a reset with 64 tasks at the disk is answered when they have ended, and they never', async () => {
    const initiator = await siege.login()
    plan.add({ verb: 'read', effect: { kind: 'hold' } })
    for (let lba = 0; lba < 64; lba++) await begin(initiator, read10(lba, 1), { flags: 0xc1, edtl: BLOCK })
    await siege.target.until(() => plan.held === 64)
    const reset = initiator.taskManagement(5)
    await initiator.nop()
    plan.clear()
    plan.releaseAll()
    expect(await reset).toBe(0)
    expect((await initiator.command(TEST_UNIT_READY)).senseText).toMatch(/^06\/29/)
    await works(initiator)
  })

  it('a cold reset closes the sessions of its initiator, and no other', async () => {
    const initiator = await siege.login()
    expect(await initiator.taskManagement(7)).toBe(0)
    await initiator.closed()
  })
})

describe('RFC 7143 §11.14: logout', () => {
  it.each([
    ['reason 1 with a CID that is not there', 1, 0x55, 1],
    ['reason 2, for recovery', 2, 0, 2]
  ])('%s is answered, and the session goes on', async (_what, reason, cid, response) => {
    const initiator = await siege.login()
    await sendRaw(initiator, { opcode: 0x46, byte1: 0x80 | reason }, [[20, cid << 16]])
    expect((await initiator.receiveOpcode(0x26)).bhs[2]).toBe(response)
    await works(initiator)
  })

  it('reason 7 is rejected with 09h', async () => {
    const initiator = await siege.login()
    await sendRaw(initiator, { opcode: 0x46, byte1: 0x87 }, [[20, 0]])
    expect((await initiator.receiveOpcode(REJECT)).bhs[2]).toBe(0x09)
    await works(initiator)
  })

  it('with commands at the disk, and data behind it, is answered when the disk has; the data is ignored', async () => {
    const initiator = await siege.login()
    const tag = await begin(initiator, write10(0, 1), { flags: 0xa1, edtl: BLOCK })
    const { transferTag } = r2tFields(await initiator.receiveOpcode(0x31))
    plan.add({ verb: 'read', effect: { kind: 'hold' } })
    await begin(initiator, read10(5, 1), { flags: 0xc1, edtl: BLOCK })
    await siege.target.until(() => plan.held === 1)
    const answer = initiator.logout()
    await sendDataOut(initiator, { tag, transferTag, offset: 0, data: Buffer.alloc(BLOCK, 0x66) })
    await begin(initiator, TEST_UNIT_READY, { flags: 0x81 })
    plan.clear()
    plan.releaseAll()
    expect(await answer).toBe(0)
    await initiator.close()
    const again = await siege.login()
    expect(await firstBytes(again, 1)).toEqual([0])
  })
})

describe('RFC 7143 §11.16, §11.18: SNACK and NOP-Out', () => {
  it.each([0, 1, 2, 3, 15])('a SNACK of type %i is rejected', async (type) => {
    const initiator = await siege.login()
    await initiator.send(snack({ type, itt: 5 }))
    expect((await initiator.receiveOpcode(REJECT)).bhs[2]).toBe(0x03)
    await works(initiator)
  })

  it('a ping as long as a PDU may be comes back, up to what its sender takes', async () => {
    const initiator = await siege.login({ override: { MaxRecvDataSegmentLength: '65536' } })
    const data = Buffer.alloc(262_144, 0x5a)
    expect((await initiator.nop(data)).data.equals(data.subarray(0, 65_536))).toBe(true)
    await initiator.send(nopOut({ itt: 0xffffffff, ttt: 0xffffffff, cmdSn: initiator.cmdSn }))
    await initiator.send(nopOut({ itt: 0xffffffff, ttt: 0x1234, cmdSn: initiator.cmdSn }))
    await works(initiator)
  })
})

describe('SPC-4 §4.5: a disk that fails', () => {
  it.each([
    ['a sector that cannot be read', 'read', 'EIO', '03/11/00'],
    ['a sector that cannot be written', 'write', 'EIO', '03/0c/00'],
    ['no space', 'write', 'ENOSPC', '07/27/07']
  ])('with %s says so for that command, and the session goes on', async (_what, verb, code, senseText) => {
    const initiator = await siege.login()
    plan.add({ verb: verb as 'read' | 'write', effect: { kind: 'error', code } })
    const outcome =
      verb === 'read'
        ? await initiator.command(read10(0, 1), { read: BLOCK })
        : await initiator.command(write10(0, 1), { write: Buffer.alloc(BLOCK, 1) })
    expect(outcome.senseText).toBe(senseText)
    plan.clear()
    expect(await firstBytes(initiator, 1)).toEqual([0])
  })
})
