import { afterEach, describe, expect, it } from '@jest/globals'
import { FaultPlan } from '../../../lib/volume/layers/fault.js'
import { OPEN_ISCSI } from '../../support/login-presets.js'
import { begin, BLOCK, read10, sendDataOut, TEST_UNIT_READY, write10 } from '../../support/raw-commands.js'
import { ScriptedInitiator } from '../../support/scripted-initiator.js'
import { NOTHING, TARGET_NAME, TestTarget, type TestTargetOptions } from '../../support/test-target.js'

const LUN_0 = Buffer.alloc(8)

let target: TestTarget
afterEach(async () => expect(await target.stop()).toEqual(NOTHING))

async function start(options: TestTargetOptions = {}): Promise<ScriptedInitiator> {
  target = await TestTarget.start(options)
  return ScriptedInitiator.login(target.port, { targetName: TARGET_NAME, preset: OPEN_ISCSI })
}

describe('RFC 7143 §11.7: a Data-Out that nothing waits for', () => {
  it('is dropped while its write, which has all its data, is at the disk', async () => {
    const faults = new FaultPlan()
    const initiator = await start({ faults })
    faults.add({ verb: 'write', effect: { kind: 'hold' } })
    const tag = await begin(initiator, write10(0, 1), { flags: 0xa1, edtl: BLOCK, data: Buffer.alloc(BLOCK, 1) })
    await target.until(() => faults.held === 1)
    await sendDataOut(initiator, { tag, offset: 0, data: Buffer.alloc(BLOCK, 2) })
    await sendDataOut(initiator, { tag, offset: BLOCK, data: Buffer.alloc(BLOCK, 2) })
    await initiator.nop()
    faults.clear()
    faults.releaseAll()
    expect((await initiator.finish(tag, LUN_0)).status).toBe(0)
    const { data } = await initiator.command(read10(0, 2), { read: 2 * BLOCK })
    expect(data).toEqual(Buffer.concat([Buffer.alloc(BLOCK, 1), Buffer.alloc(BLOCK)]))
    await initiator.leave()
  })

  it('is dropped for a read that is at the disk', async () => {
    const faults = new FaultPlan()
    const initiator = await start({ faults })
    faults.add({ verb: 'read', times: 1, effect: { kind: 'hold' } })
    const tag = await begin(initiator, read10(0, 1), { flags: 0xc1, edtl: BLOCK })
    await target.until(() => faults.held === 1)
    await sendDataOut(initiator, { tag, offset: 0, data: Buffer.alloc(BLOCK, 2) })
    await initiator.nop()
    faults.releaseAll()
    expect((await initiator.finish(tag, LUN_0)).data).toEqual(Buffer.alloc(BLOCK))
    await initiator.leave()
  })

  it('is kept for a command that is held behind a gap, and dropped for one that is not', async () => {
    const initiator = await start()
    const gap = initiator.cmdSn++
    const tag = await begin(initiator, write10(0, 16), { flags: 0x21, edtl: 8192 })
    await sendDataOut(initiator, { tag: 0x7777, offset: 0, data: Buffer.alloc(8192, 2) })
    await sendDataOut(initiator, { tag, offset: 0, data: Buffer.alloc(8192, 1) })
    await begin(initiator, TEST_UNIT_READY, { flags: 0x81, cmdSn: gap })
    expect((await initiator.finish(tag, LUN_0)).status).toBe(0)
    expect((await initiator.command(read10(0, 16), { read: 8192 })).data).toEqual(Buffer.alloc(8192, 1))
    await initiator.leave()
  })
})
