import { afterEach, describe, expect, it } from '@jest/globals'
import { FaultPlan } from '../../lib/volume/layers/fault.js'
import { OPEN_ISCSI } from '../support/login-presets.js'
import { Random, seedOf } from '../support/random.js'
import {
  begin,
  BLOCK,
  commandHeader,
  r2tFields,
  read10,
  sendDataOut,
  TEST_UNIT_READY,
  write10
} from '../support/raw-commands.js'
import { ScriptedInitiator } from '../support/scripted-initiator.js'
import { NOTHING, TARGET_NAME, TestTarget, type TestTargetOptions } from '../support/test-target.js'

/** Mistakes that were made, here or by other targets. Each fails without its fix. */
const LUN_0 = Buffer.alloc(8)

let target: TestTarget
afterEach(async () => expect(await target.stop()).toEqual(NOTHING))

async function start(
  options: TestTargetOptions = {},
  override: Record<string, string> = {}
): Promise<ScriptedInitiator> {
  target = await TestTarget.start(options)
  return ScriptedInitiator.login(target.port, { targetName: TARGET_NAME, preset: OPEN_ISCSI, override })
}

describe('found by the fuzzer', () => {
  it.each([1024, 2048, 65536])(
    'a read that waits for the disk while Text changes the segment length to %i neither breaks nor loses a byte',
    async (length) => {
      const faults = new FaultPlan()
      const initiator = await start({ faults }, { MaxRecvDataSegmentLength: '4096' })
      const data = new Random(seedOf(1)).bytes(Buffer.alloc(32 * BLOCK))
      await initiator.command(write10(0, 32), { write: data })
      faults.add({ verb: 'read', times: 1, effect: { kind: 'hold' } })
      const tag = await begin(initiator, read10(0, 32), { flags: 0xc1, edtl: data.length })
      await target.until(() => faults.held === 1)
      await initiator.text([['MaxRecvDataSegmentLength', String(length)]])
      faults.releaseAll()
      const outcome = await initiator.finish(tag, LUN_0)
      expect(outcome.data.equals(data)).toBe(true)
      for (const pdu of outcome.pdus) expect(pdu.data.length).toBeLessThanOrEqual(length)
      await initiator.leave()
    }
  )
})

describe('found by reading', () => {
  it('a connection whose turn was cut short reads its next bytes at the right place', async () => {
    // They landed where the ring had ended before what was left in it had been consumed, and were read at its start.
    const initiator = await start()
    const bytes = []
    const tags = []
    for (let index = 0; index < 600; index++) {
      const bhs = commandHeader(initiator, TEST_UNIT_READY, { flags: 0x81, immediate: true })
      tags.push(bhs.readUInt32BE(16))
      bytes.push(initiator.frame(bhs))
    }
    await initiator.send(Buffer.concat(bytes))
    for (const tag of tags) expect((await initiator.finish(tag, LUN_0)).status).toBe(0)
    for (let index = 0; index < 10; index++) expect((await initiator.command(TEST_UNIT_READY)).status).toBe(0)
    await initiator.leave()
  })

  it('an R2T that found no room in the output is sent when there is some', async () => {
    // It was forgotten, and its write waited for a minute and failed.
    const initiator = await start({}, { InitialR2T: 'Yes', ImmediateData: 'No', MaxOutstandingR2T: '1' })
    initiator.socket.pause()
    const first = await begin(initiator, write10(0, 4096), { flags: 0xa1, edtl: 4096 * BLOCK })
    await target.until(() => target.tasksOut === 1)
    const [task] = target.sessions[0]!.tasks.values()
    const { transferTag } = { transferTag: task!.r2ts[0]!.tag }
    const connection = target.connections[0]!
    const { writer } = connection
    const begins = writer.begin.bind(writer)
    // As with a full output: the next R2T finds no room, and is told when to try again.
    let full = true
    writer.begin = (length) => (full ? -1 : begins(length))
    const data = Buffer.alloc(1 << 20, 1)
    for (let offset = 0, dataSn = 0; offset < data.length; offset += 262144, dataSn++) {
      await sendDataOut(initiator, {
        tag: first,
        transferTag,
        dataSn,
        offset,
        final: offset + 262144 === data.length,
        data: data.subarray(offset, offset + 262144)
      })
    }
    await target.until(() => connection.stopped)
    expect(task!.queued).toBe(true)
    full = false
    initiator.socket.resume()
    writer.resume()
    expect(r2tFields(await initiator.receiveOpcode(0x31))).toMatchObject({ r2tSn: 0 })
    expect(r2tFields(await initiator.receiveOpcode(0x31))).toMatchObject({ r2tSn: 1, offset: 1 << 20, length: 1 << 20 })
    await initiator.reset()
  })

  it('the time of a write that only announced its data begins with the command', async () => {
    // It began with whatever had used the task before, or with the process.
    const initiator = await start()
    const begun = performance.now()
    const tag = await begin(initiator, write10(0, 16), { flags: 0x21, edtl: 16 * BLOCK })
    await initiator.nop()
    target.connections[0]!.tick(begun + 59_000)
    await sendDataOut(initiator, { tag, offset: 0, data: Buffer.alloc(16 * BLOCK, 1) })
    expect((await initiator.finish(tag, LUN_0)).status).toBe(0)
    await initiator.leave()
  })

  it('a write that goes on after it had to wait may end with the data that waits in the ring', async () => {
    // Reading went on inside of the task that had been waiting, which was then touched after its end.
    const faults = new FaultPlan()
    const initiator = await start(
      { faults, stagingBytes: 8192, offer: { maxRecvDataSegmentLength: 4096 } },
      { InitialR2T: 'Yes', ImmediateData: 'No' }
    )
    faults.add({ verb: 'write', effect: { kind: 'hold' } })
    const data = new Random(seedOf(3)).bytes(Buffer.alloc(32 * BLOCK))
    const write = initiator.command(write10(0, 32), { write: data })
    await target.until(() => faults.held === 2 && target.connections[0]!.stopped)
    faults.clear()
    faults.releaseAll()
    expect((await write).status).toBe(0)
    await target.until(() => target.tasksOut === 0)
    expect(target.sessions[0]!.tasks.size).toBe(0)
    expect((await initiator.command(read10(0, 32), { read: data.length })).data.equals(data)).toBe(true)
    await initiator.leave()
  })

  it('the open commands of a session are never more than its window', async () => {
    // MaxCmdSN was told before the command that moved it was counted: one more than the pool was made for.
    const faults = new FaultPlan()
    const initiator = await start({ faults })
    faults.add({ verb: 'read', effect: { kind: 'hold' } })
    for (let index = 0; initiator.window > 0; index++) {
      await begin(initiator, read10(index, 1), { flags: 0xc1, edtl: BLOCK })
      await initiator.nop()
    }
    expect(target.sessions[0]!.tasksInUse).toBe(128)
    await initiator.reset()
  })
})

describe('found in other targets', () => {
  it('one failed block does not end the session', async () => {
    const faults = new FaultPlan()
    const initiator = await start({ faults })
    faults.add({ verb: 'read', range: { offset: 0, length: BLOCK }, effect: { kind: 'error', code: 'EIO' } })
    for (let count = 0; count < 100; count++) {
      expect((await initiator.command(read10(0, 1), { read: BLOCK })).senseText).toBe('03/11/00')
    }
    expect((await initiator.command(read10(1, 1), { read: BLOCK })).status).toBe(0)
    await initiator.leave()
  })

  it('bytes of an older command do not reach the disk where an initiator sends less than it said', async () => {
    const initiator = await start({}, { InitialR2T: 'Yes', ImmediateData: 'No' })
    await initiator.command(write10(64, 16), { write: Buffer.alloc(16 * BLOCK, 0xaa) })
    const tag = await begin(initiator, write10(0, 16), { flags: 0xa1, edtl: 16 * BLOCK })
    const { transferTag } = r2tFields(await initiator.receiveOpcode(0x31))
    await sendDataOut(initiator, { tag, transferTag, offset: 0, data: Buffer.alloc(BLOCK, 0xbb) })
    expect((await initiator.finish(tag, LUN_0)).status).toBe(2)
    const { data } = await initiator.command(read10(0, 16), { read: 16 * BLOCK })
    expect(data.subarray(BLOCK).equals(Buffer.alloc(15 * BLOCK))).toBe(true)
    await initiator.leave()
  })

  it('commands are taken in while earlier ones still wait for their data', async () => {
    const initiator = await start({}, { InitialR2T: 'Yes', ImmediateData: 'No' })
    const data = new Random(seedOf(2)).bytes(Buffer.alloc(64 * 8 * BLOCK))
    const writes = Array.from({ length: 64 }, (_, index) =>
      begin(initiator, write10(index * 8, 8), { flags: 0xa1, edtl: 8 * BLOCK })
    )
    const tags = await Promise.all(writes)
    const asked = []
    for (const tag of tags) asked.push({ tag, r2t: r2tFields(await initiator.receiveOpcode(0x31)) })
    new Random(seedOf(2)).shuffle(asked)
    for (const { tag, r2t } of asked) {
      const index = tags.indexOf(tag)
      const part = data.subarray(index * 8 * BLOCK, (index + 1) * 8 * BLOCK)
      await sendDataOut(initiator, { tag, transferTag: r2t.transferTag, offset: 0, data: part })
    }
    for (const { tag } of asked) expect((await initiator.finish(tag, LUN_0)).status).toBe(0)
    expect((await initiator.command(read10(0, 512), { read: data.length })).data.equals(data)).toBe(true)
    await initiator.leave()
  })
})
