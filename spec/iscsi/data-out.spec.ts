import { afterEach, describe, expect, it } from '@jest/globals'
import { DATA_OUT_TIME_MS } from '../../lib/iscsi/limits.js'
import { FaultPlan } from '../../lib/volume/layers/fault.js'
import { OPEN_ISCSI } from '../support/login-presets.js'
import { Random, seedOf } from '../support/random.js'
import {
  begin,
  BLOCK,
  r2tFields,
  read10,
  RESERVED_TAG,
  sendDataOut,
  SYNCHRONIZE_CACHE,
  TEST_UNIT_READY,
  write10,
  type RawDataOut
} from '../support/raw-commands.js'
import { ScriptedInitiator } from '../support/scripted-initiator.js'
import { NOTHING, TARGET_NAME, TestTarget, type TestTargetOptions } from '../support/test-target.js'

const LUN_0 = Buffer.alloc(8)
const LENGTH = 16 * BLOCK
const offer = { maxRecvDataSegmentLength: 4096, maxBurstLength: 8192, firstBurstLength: 8192, initialR2T: false }

let target: TestTarget
afterEach(async () => expect(await target.stop()).toEqual(NOTHING))

async function start(
  options: TestTargetOptions = {},
  override: Record<string, string> = {}
): Promise<ScriptedInitiator> {
  target = await TestTarget.start({ offer, ...options })
  return login(override)
}

function login(override: Record<string, string> = {}): Promise<ScriptedInitiator> {
  return ScriptedInitiator.login(target.port, { targetName: TARGET_NAME, preset: OPEN_ISCSI, override })
}

/** What lies on the disk in the first 128 blocks. */
async function content(initiator: ScriptedInitiator): Promise<Buffer> {
  return (await initiator.command(read10(0, 128), { read: 128 * BLOCK })).data
}

const filled = Buffer.alloc(128 * BLOCK, 0x11)

describe('RFC 7143 §11.7: a solicited Data-Out', () => {
  // The R2T asks for bytes [0, 8192) of a write to blocks 32 to 47.
  const first = (fields: Partial<RawDataOut>) => ({
    offset: 0,
    final: false,
    data: Buffer.alloc(4096, 0xbb),
    ...fields
  })
  const wrong: [string, Partial<RawDataOut>[], string][] = [
    ['with a TTT that was never given', [first({ transferTag: 0x7777 })], '0b/4b/00'],
    ['without a TTT', [first({ transferTag: RESERVED_TAG })], '0b/0c/0c'],
    ['with a DataSN that skips one', [first({ dataSn: 1 })], '0b/4b/00'],
    ['with the DataSN of the one before', [first({}), first({ offset: 4096, dataSn: 0, final: true })], '0b/4b/00'],
    ['at an offset ahead', [first({ offset: 4096, final: true })], '0b/4b/00'],
    ['at an offset behind', [first({}), first({ offset: 0, dataSn: 1 })], '0b/4b/00'],
    [
      'that goes beyond the R2T',
      [
        first({}),
        first({ offset: 4096, dataSn: 1, data: Buffer.alloc(4096 - 512, 1) }),
        first({ offset: 8192 - 512, dataSn: 2, data: Buffer.alloc(1024, 1), final: true })
      ],
      '0b/4b/00'
    ],
    ['that ends too early', [first({ final: true })], '0b/0c/0d'],
    ['that does not end', [first({}), first({ offset: 4096, dataSn: 1, final: false })], '0b/4b/00'],
    ['that overflows the offset', [first({ offset: 0xfffff000 })], '0b/4b/00']
  ]
  it.each(wrong)('%s fails the write, and nothing beside its range changes', async (_title, pdus, sense) => {
    const initiator = await start({}, { InitialR2T: 'Yes', ImmediateData: 'No' })
    await initiator.command(write10(0, 128), { write: filled })
    const tag = await begin(initiator, write10(32, 16), { flags: 0xa1, edtl: LENGTH })
    const { transferTag } = r2tFields(await initiator.receiveOpcode(0x31))
    for (const pdu of pdus) await sendDataOut(initiator, { tag, transferTag, ...pdu } as RawDataOut)
    const outcome = await initiator.finish(tag, LUN_0)
    expect(outcome.senseText).toBe(sense)
    // Late data of the same write finds no task.
    await sendDataOut(initiator, { tag, transferTag, dataSn: 1, offset: 4096, data: Buffer.alloc(4096, 0xcc) })
    const now = await content(initiator)
    expect(now.subarray(0, 32 * BLOCK).equals(filled.subarray(0, 32 * BLOCK))).toBe(true)
    expect(now.subarray(48 * BLOCK).equals(filled.subarray(48 * BLOCK))).toBe(true)
    expect(now.includes(0xcc)).toBe(false)
    expect((await initiator.command(write10(32, 16), { write: filled.subarray(0, LENGTH) })).status).toBe(0)
    await initiator.leave()
  })

  it('is matched by its tags alone: any LUN will do', async () => {
    const initiator = await start({}, { InitialR2T: 'Yes', ImmediateData: 'No' })
    const tag = await begin(initiator, write10(32, 16), { flags: 0xa1, edtl: LENGTH })
    const { transferTag } = r2tFields(await initiator.receiveOpcode(0x31))
    const lun = Buffer.from('ffee0000deadbeef', 'hex')
    await sendDataOut(initiator, { tag, transferTag, offset: 0, final: false, data: Buffer.alloc(4096, 1), lun })
    await sendDataOut(initiator, { tag, transferTag, dataSn: 1, offset: 4096, data: Buffer.alloc(4096, 1), lun })
    expect((await initiator.finish(tag, LUN_0)).status).toBe(0)
    await initiator.leave()
  })

  it('may have no data at all', async () => {
    const initiator = await start({}, { InitialR2T: 'Yes', ImmediateData: 'No' })
    const tag = await begin(initiator, write10(32, 16), { flags: 0xa1, edtl: LENGTH })
    const { transferTag } = r2tFields(await initiator.receiveOpcode(0x31))
    await sendDataOut(initiator, { tag, transferTag, offset: 0, final: false, data: Buffer.alloc(0) })
    await sendDataOut(initiator, { tag, transferTag, dataSn: 1, offset: 0, final: false, data: Buffer.alloc(4096, 1) })
    await sendDataOut(initiator, { tag, transferTag, dataSn: 2, offset: 4096, data: Buffer.alloc(4096, 1) })
    expect((await initiator.finish(tag, LUN_0)).status).toBe(0)
    await initiator.leave()
  })

  it('for a task that does not exist is dropped', async () => {
    const initiator = await start()
    await sendDataOut(initiator, { tag: 0x5555, transferTag: 1, offset: 0, data: Buffer.alloc(4096) })
    await sendDataOut(initiator, { tag: 0x5555, offset: 0, data: Buffer.alloc(4096) })
    await sendDataOut(initiator, { tag: RESERVED_TAG, offset: 0, data: Buffer.alloc(4096) })
    expect((await initiator.command(TEST_UNIT_READY)).status).toBe(0)
    await initiator.leave()
  })

  it('that comes after its task was aborted is dropped', async () => {
    const initiator = await start({}, { InitialR2T: 'Yes', ImmediateData: 'No' })
    const tag = await begin(initiator, write10(32, 16), { flags: 0xa1, edtl: LENGTH })
    const { transferTag } = r2tFields(await initiator.receiveOpcode(0x31))
    expect(await initiator.taskManagement(1, { referencedTag: tag, refCmdSn: initiator.cmdSn - 1 })).toBe(0)
    await sendDataOut(initiator, { tag, transferTag, offset: 0, final: false, data: Buffer.alloc(4096, 9) })
    await sendDataOut(initiator, { tag, transferTag, dataSn: 1, offset: 4096, data: Buffer.alloc(4096, 9) })
    expect((await content(initiator)).equals(Buffer.alloc(128 * BLOCK))).toBe(true)
    await initiator.leave()
  })
})

describe('RFC 7143 §4.2.5.2, §13.14: unsolicited data', () => {
  it.each([
    ['immediate, although ImmediateData=No', { ImmediateData: 'No' }, 0xa1, LENGTH, 512],
    ['immediate, more than the EDTL', {}, 0xa1, 512, 1024],
    ['immediate, in a command that writes nothing', {}, 0xc1, LENGTH, 512],
    ['announced although InitialR2T=Yes', { InitialR2T: 'Yes' }, 0x21, LENGTH, 512]
  ])('%s, fails the command and changes nothing', async (_title, keys, flags, edtl, length) => {
    const initiator = await start({}, keys)
    const tag = await begin(initiator, write10(0, 16), { flags, edtl, data: Buffer.alloc(length, 9) })
    expect((await initiator.finish(tag, LUN_0)).senseText).toBe('0b/0c/0c')
    // What still comes of it is dropped.
    await sendDataOut(initiator, { tag, offset: length, data: Buffer.alloc(512, 9) })
    expect((await content(initiator)).equals(Buffer.alloc(128 * BLOCK))).toBe(true)
    await initiator.leave()
  })

  it('beyond FirstBurstLength fails the write', async () => {
    const initiator = await start({ offer: { ...offer, firstBurstLength: 2048 } })
    const tag = await begin(initiator, write10(0, 16), { flags: 0x21, edtl: LENGTH, data: Buffer.alloc(2048, 9) })
    await sendDataOut(initiator, { tag, offset: 2048, data: Buffer.alloc(512, 9) })
    expect((await initiator.finish(tag, LUN_0)).senseText).toBe('0b/0c/0c')
    await initiator.leave()
  })

  it('beyond FirstBurstLength in the command itself fails the write', async () => {
    const initiator = await start({ offer: { ...offer, firstBurstLength: 2048 } })
    const tag = await begin(initiator, write10(0, 16), { flags: 0xa1, edtl: LENGTH, data: Buffer.alloc(2560, 9) })
    expect((await initiator.finish(tag, LUN_0)).senseText).toBe('0b/0c/0c')
    await initiator.leave()
  })

  it('that ends early is followed by an R2T for the rest', async () => {
    const initiator = await start()
    const tag = await begin(initiator, write10(0, 16), { flags: 0x21, edtl: LENGTH, data: Buffer.alloc(512, 1) })
    await sendDataOut(initiator, { tag, offset: 512, data: Buffer.alloc(512, 1) })
    const r2t = r2tFields(await initiator.receiveOpcode(0x31))
    expect(r2t).toMatchObject({ offset: 1024, length: LENGTH - 1024 })
    await initiator.dataOut(tag, r2t.transferTag, LUN_0, Buffer.alloc(LENGTH, 1), 1024, LENGTH)
    expect((await initiator.finish(tag, LUN_0)).status).toBe(0)
    await initiator.leave()
  })

  it('of a command that failed at once is dropped', async () => {
    const initiator = await start()
    const tag = await begin(initiator, write10(0xfffffff0, 16), { flags: 0x21, edtl: LENGTH, data: Buffer.alloc(512) })
    await sendDataOut(initiator, { tag, offset: 512, data: Buffer.alloc(4096) })
    expect((await initiator.finish(tag, LUN_0)).senseText).toBe('05/21/00')
    expect((await initiator.command(TEST_UNIT_READY)).status).toBe(0)
    await initiator.leave()
  })
})

describe('data that never comes', () => {
  it.each([
    ['that an R2T asked for', 0xa1, { InitialR2T: 'Yes', ImmediateData: 'No' }],
    ['that was announced', 0x21, {}]
  ])('%s fails the task after its time, not before, and frees it', async (_title, flags, keys) => {
    const initiator = await start({}, keys)
    const begun = performance.now()
    const tags = []
    for (let index = 0; index < 64; index++) tags.push(await begin(initiator, write10(0, 16), { flags, edtl: LENGTH }))
    await initiator.nop()
    const [connection] = target.connections
    connection!.tick(begun + DATA_OUT_TIME_MS - 1)
    // Other commands go on meanwhile.
    expect((await initiator.command(TEST_UNIT_READY)).status).toBe(0)
    expect(target.tasksOut).toBe(64)
    connection!.tick(performance.now() + DATA_OUT_TIME_MS + 1)
    for (const tag of tags) {
      const response = await initiator.receive((pdu) => pdu.opcode === 0x21 && pdu.bhs.readUInt32BE(16) === tag)
      expect(response.bhs[3]).toBe(2)
      expect(response.data.subarray(2).toString('hex', 2, 3)).toBe('0b')
    }
    expect(target.tasksOut).toBe(0)
    await initiator.leave()
  })

  it('is waited for anew after each piece', async () => {
    const initiator = await start({}, { InitialR2T: 'Yes', ImmediateData: 'No' })
    const tag = await begin(initiator, write10(0, 16), { flags: 0xa1, edtl: LENGTH })
    const { transferTag } = r2tFields(await initiator.receiveOpcode(0x31))
    await sendDataOut(initiator, { tag, transferTag, offset: 0, final: false, data: Buffer.alloc(4096, 1) })
    await initiator.nop()
    const [task] = target.sessions[0]!.tasks.values()
    target.connections[0]!.tick(task!.since + DATA_OUT_TIME_MS - 1)
    await sendDataOut(initiator, { tag, transferTag, dataSn: 1, offset: 4096, data: Buffer.alloc(4096, 1) })
    expect((await initiator.finish(tag, LUN_0)).status).toBe(0)
    await initiator.leave()
  })
})

describe('a write that waits behind an ORDERED command at a held disk', () => {
  it('keeps its unsolicited data and goes on when its time has come', async () => {
    const faults = new FaultPlan()
    const initiator = await start({ faults })
    faults.add({ verb: 'flush', effect: { kind: 'hold' } })
    // SYNCHRONIZE CACHE with IMMED=0, ORDERED.
    const flush = await begin(initiator, SYNCHRONIZE_CACHE, { flags: 0x82 })
    const data = new Random(seedOf(1)).bytes(Buffer.alloc(40 * BLOCK))
    const whole = initiator.command(write10(0, 40), { write: data })
    const tag = await begin(initiator, write10(40, 16), { flags: 0x21, edtl: LENGTH, data: data.subarray(0, 512) })
    await sendDataOut(initiator, { tag, offset: 512, data: data.subarray(512, 4096) })
    await initiator.nop()
    expect(target.volumes[0]!.extent(0, 65536).mapped).toBe(false)
    faults.releaseAll()
    expect((await initiator.finish(flush, LUN_0)).status).toBe(0)
    expect((await whole).status).toBe(0)
    const outcome = await initiator.finish(tag, LUN_0, data)
    expect(outcome.status).toBe(0)
    expect(outcome.pdus.filter((pdu) => pdu.opcode === 0x31).map(r2tFields)).toMatchObject([
      { offset: 4096, length: 4096 }
    ])
    const now = await content(initiator)
    expect(now.subarray(0, 56 * BLOCK).equals(Buffer.concat([data, data.subarray(0, LENGTH)]))).toBe(true)
    await initiator.leave()
  })

  it('fails in its turn when its data broke a rule meanwhile', async () => {
    const faults = new FaultPlan()
    const initiator = await start({ faults })
    faults.add({ verb: 'flush', effect: { kind: 'hold' } })
    const flush = await begin(initiator, SYNCHRONIZE_CACHE, { flags: 0x82 })
    const tag = await begin(initiator, write10(0, 16), { flags: 0x21, edtl: LENGTH, data: Buffer.alloc(512, 1) })
    await sendDataOut(initiator, { tag, offset: 2048, data: Buffer.alloc(512, 1) })
    await initiator.nop()
    faults.releaseAll()
    expect((await initiator.finish(flush, LUN_0)).status).toBe(0)
    expect((await initiator.finish(tag, LUN_0)).senseText).toBe('0b/4b/00')
    expect((await content(initiator)).equals(Buffer.alloc(128 * BLOCK))).toBe(true)
    await initiator.leave()
  })
})

describe('a slow disk and little memory for what waits', () => {
  it('stop the reading of the connection until there is some again', async () => {
    const faults = new FaultPlan()
    const initiator = await start({ faults, stagingBytes: 16384 })
    faults.add({ verb: 'write', effect: { kind: 'hold' } })
    const random = new Random(seedOf(2))
    const model = random.bytes(Buffer.alloc(128 * BLOCK))
    const writes = []
    for (let at = 0; at < 128; at += 8) {
      writes.push(initiator.command(write10(at, 8), { write: model.subarray(at * BLOCK, (at + 8) * BLOCK) }))
    }
    await target.until(() => faults.held === 4 && target.connections[0]!.stopped)
    expect(target.group.staging.used).toBe(16384)
    // Another client of the same disk still reads what needs no memory.
    const other = await ScriptedInitiator.login(target.port, { targetName: TARGET_NAME, isid: '00023d000001' })
    expect((await other.command(TEST_UNIT_READY)).status).toBe(0)
    await other.leave()
    faults.release()
    await target.until(() => faults.held === 4)
    faults.clear()
    faults.releaseAll()
    for (const write of writes) expect((await write).status).toBe(0)
    expect((await content(initiator)).equals(model)).toBe(true)
    await initiator.leave()
  })

  it.each([
    ['an abort', 1],
    ['a LUN reset', 5]
  ])('do not stop it for ever when %s takes the waiting task away', async (_title, fn) => {
    const faults = new FaultPlan()
    const initiator = await start({ faults, stagingBytes: 4096 })
    faults.add({ verb: 'write', times: 1, effect: { kind: 'hold' } })
    const held = await begin(initiator, write10(0, 8), { flags: 0xa1, edtl: 4096, data: Buffer.alloc(4096, 1) })
    await target.until(() => faults.held === 1)
    faults.add({ verb: 'write', effect: { kind: 'block' } })
    const starved = await begin(initiator, write10(8, 8), { flags: 0xa1, edtl: 4096, data: Buffer.alloc(4096, 2) })
    await target.until(() => target.connections[0]!.stopped)
    // The other session of this initiator is not stopped; it resets the unit, or this one's end does.
    const other = await ScriptedInitiator.login(target.port, {
      targetName: TARGET_NAME,
      preset: OPEN_ISCSI,
      isid: '00023d000007'
    })
    if (fn === 5) {
      const reset = other.taskManagement(5)
      await target.until(() => !target.connections[0]!.stopped)
      faults.releaseAll()
      expect(await reset).toBe(0)
    } else {
      const [task] = [...target.sessions[0]!.tasks.values()].filter((one) => one.initiatorTaskTag === starved)
      task!.scsi.aborted = true
      task!.taskAborted()
      await target.until(() => !target.connections[0]!.stopped)
      faults.releaseAll()
      expect((await initiator.finish(held, LUN_0)).status).toBe(0)
    }
    faults.clear()
    await initiator.nop()
    expect(target.tasksOut).toBe(0)
    await initiator.leave()
    await other.leave()
  })

  it('are shared out again while several pieces of one write wait', async () => {
    const faults = new FaultPlan()
    const initiator = await start({ faults, stagingBytes: 8192 }, { MaxOutstandingR2T: '4' })
    faults.add({ verb: 'write', effect: { kind: 'block' } })
    const data = new Random(seedOf(4)).bytes(Buffer.alloc(128 * BLOCK))
    expect((await initiator.command(write10(0, 128), { write: data })).status).toBe(0)
    expect((await content(initiator)).equals(data)).toBe(true)
    await initiator.leave()
  })
})
