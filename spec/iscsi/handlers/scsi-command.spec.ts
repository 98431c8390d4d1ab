import { afterEach, describe, expect, it } from '@jest/globals'
import { FaultPlan } from '../../../lib/volume/layers/fault.js'
import { OPEN_ISCSI } from '../../support/login-presets.js'
import { scsiCommand } from '../../support/pdu-builder.js'
import { begin, BLOCK, read10, TEST_UNIT_READY } from '../../support/raw-commands.js'
import { ScriptedInitiator } from '../../support/scripted-initiator.js'
import { NOTHING, TARGET_NAME, TestTarget, type TestTargetOptions } from '../../support/test-target.js'

const LUN_0 = Buffer.alloc(8)

let target: TestTarget
afterEach(async () => expect(await target.stop()).toEqual(NOTHING))

async function start(options: TestTargetOptions = {}): Promise<ScriptedInitiator> {
  target = await TestTarget.start(options)
  return ScriptedInitiator.login(target.port, { targetName: TARGET_NAME, preset: OPEN_ISCSI })
}

describe('RFC 7143 §11.17: a SCSI Command that cannot be executed', () => {
  it('RFC 7143 §4.3: answers a SCSI Command in a discovery session with reason 04h', async () => {
    target = await TestTarget.start()
    const initiator = await ScriptedInitiator.login(target.port)
    await expect(initiator.command(TEST_UNIT_READY)).rejects.toThrow('reason 0x04')
    expect((await initiator.sendTargets()).length).toBe(2)
    await initiator.leave()
  })

  it('answers a command with the reserved tag with reason 09h', async () => {
    const initiator = await start()
    await begin(initiator, TEST_UNIT_READY, { flags: 0x81, tag: 0xffffffff })
    expect((await initiator.receiveOpcode(0x3f)).bhs[2]).toBe(0x09)
    expect((await initiator.command(TEST_UNIT_READY)).status).toBe(0)
    await initiator.leave()
  })

  it('answers the second command with a tag that is in flight with reason 07h; the first one ends well', async () => {
    const faults = new FaultPlan()
    const initiator = await start({ faults })
    faults.add({ verb: 'read', times: 1, effect: { kind: 'hold' } })
    const tag = await begin(initiator, read10(0, 1), { flags: 0xc1, edtl: BLOCK })
    await begin(initiator, read10(1, 1), { flags: 0xc1, edtl: BLOCK, tag })
    const reject = await initiator.receiveOpcode(0x3f)
    expect([reject.bhs[2], reject.data.readUInt32BE(16)]).toEqual([0x07, tag])
    faults.releaseAll()
    expect((await initiator.finish(tag, LUN_0)).status).toBe(0)
    await initiator.leave()
  })
})

describe('RFC 7143 §11.2.2: additional header segments', () => {
  const command = (initiator: ScriptedInitiator, ahs: Buffer, cmdSn: number, data?: Buffer) =>
    scsiCommand({ itt: 0x99, cmdSn, expStatSn: initiator.expStatSn, ahs, ...(data && { data }) })

  it('a bidirectional read length is of no interest to a TEST UNIT READY', async () => {
    const initiator = await start()
    await initiator.send(command(initiator, Buffer.from('0005020000001000', 'hex'), initiator.cmdSn++))
    expect((await initiator.finish(0x99, LUN_0)).status).toBe(0)
    await initiator.leave()
  })

  it('an extended CDB belongs to no command that we have', async () => {
    const initiator = await start()
    await initiator.send(command(initiator, Buffer.from('001101' + '00'.repeat(17), 'hex'), initiator.cmdSn++))
    expect((await initiator.finish(0x99, LUN_0)).senseText).toBe('05/20/00')
    await initiator.leave()
  })

  it.each([
    ['of length 0', '0000010000000000'],
    ['that ends behind the last byte', '00ff010000000000'],
    ['that comes twice', '00050200000010000005020000001000']
  ])('one %s is rejected, takes its CmdSN, and what follows is executed', async (_title, hex) => {
    const initiator = await start()
    const gap = initiator.cmdSn++
    const behind = initiator.command(TEST_UNIT_READY)
    await initiator.nop()
    await initiator.send(command(initiator, Buffer.from(hex, 'hex'), gap))
    expect((await initiator.receiveOpcode(0x3f)).bhs[2]).toBe(0x09)
    expect((await behind).status).toBe(0)
    expect(initiator.expCmdSn).toBe(initiator.cmdSn)
    // One that is not the next to come is passed over when its turn has come.
    const next = initiator.cmdSn++
    await initiator.send(command(initiator, Buffer.from(hex, 'hex'), initiator.cmdSn++))
    await initiator.receiveOpcode(0x3f)
    await begin(initiator, TEST_UNIT_READY, { flags: 0x81, cmdSn: next, tag: 0x55 })
    await initiator.finish(0x55, LUN_0)
    expect((await initiator.command(TEST_UNIT_READY)).status).toBe(0)
    await initiator.leave()
  })

  it('the longest ones, with data behind them, are taken for what they are', async () => {
    const initiator = await start()
    const ahs = Buffer.alloc(1020)
    ahs.writeUInt16BE(1016, 0)
    ahs[2] = 0x3f
    const data = Buffer.alloc(8192)
    await initiator.send(scsiCommand({ itt: 0x99, cmdSn: initiator.cmdSn++, flags: 0xa1, edtl: 8192, ahs, data }))
    // A reserved type is passed over; TEST UNIT READY wants no data.
    expect((await initiator.finish(0x99, LUN_0)).residualCount).toBe(8192)
    await initiator.leave()
  })
})
