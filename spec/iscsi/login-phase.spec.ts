import { afterEach, describe, expect, it } from '@jest/globals'
import { OPEN_ISCSI, WINDOWS } from '../support/login-presets.js'
import { BLOCK, commandHeader, read10 } from '../support/raw-commands.js'
import { framePdu, loginHeader, ScriptedInitiator, textOf } from '../support/scripted-initiator.js'
import { NOTHING, TARGET_NAME, TestTarget } from '../support/test-target.js'

let target: TestTarget
afterEach(async () => expect(await target.stop()).toEqual(NOTHING))

describe('RFC 7143 §11.13: the answers of a login on the wire', () => {
  it('have TSIH 0 until the last, a StatSN each, and the window of the session', async () => {
    target = await TestTarget.start()
    const initiator = await ScriptedInitiator.connect(target.port)
    const { pdus } = await initiator.login({ preset: WINDOWS, targetName: TARGET_NAME, cmdSn: 77 })
    const shape = pdus.map(({ bhs }) => ({
      flags: bhs[1],
      isid: bhs.subarray(8, 14).toString('hex'),
      tsih: bhs.readUInt16BE(14) > 0,
      tag: bhs.readUInt32BE(16),
      statSn: (bhs.readUInt32BE(24) - pdus[0]!.bhs.readUInt32BE(24)) >>> 0,
      expCmdSn: bhs.readUInt32BE(28),
      window: bhs.readUInt32BE(32) - bhs.readUInt32BE(28) + 1
    }))
    const common = { isid: WINDOWS.isid, tag: WINDOWS.initiatorTaskTag, expCmdSn: 77, window: 128 }
    expect(shape).toEqual([
      { ...common, flags: 0x81, tsih: false, statSn: 0 },
      { ...common, flags: 0x87, tsih: true, statSn: 1 }
    ])
    await initiator.leave()
  })

  it('come before that of a command in the same segment, which obeys the digests that they settle', async () => {
    target = await TestTarget.start()
    const initiator = await ScriptedInitiator.connect(target.port)
    const isid = Buffer.from(OPEN_ISCSI.isid, 'hex')
    initiator.cmdSn = 1
    const names = OPEN_ISCSI.first({
      initiatorName: OPEN_ISCSI.initiatorName,
      targetName: TARGET_NAME,
      authMethod: 'None'
    })
    const keys = [['HeaderDigest', 'CRC32C'] as const, ['DataDigest', 'CRC32C'] as const]
    const read = commandHeader(initiator, read10(0, 1), { flags: 0xc1, edtl: BLOCK, tag: 5 })
    await initiator.send(
      Buffer.concat([
        framePdu(loginHeader({ flags: 0x81, isid, cmdSn: 1 }), textOf(names)),
        framePdu(loginHeader({ flags: 0x87, isid, cmdSn: 1 }), textOf(keys)),
        framePdu(read, Buffer.alloc(0), true, true)
      ])
    )
    expect((await initiator.receive()).opcode).toBe(0x23)
    expect((await initiator.receive()).opcode).toBe(0x23)
    // The scripted initiator checks the digests of what comes now.
    expect((await initiator.finish(5, Buffer.alloc(8))).data).toEqual(Buffer.alloc(BLOCK))
    expect([initiator.headerDigest, initiator.dataDigest]).toEqual([true, true])
    await initiator.leave()
  })

  it('that refuse are the last: the connection is closed, and cut if the initiator does not close it', async () => {
    target = await TestTarget.start()
    const initiator = await ScriptedInitiator.connect(target.port)
    initiator.socket.allowHalfOpen = true
    const { status, pdus } = await initiator.tryLogin({ targetName: 'iqn.2010-04.local.cloudx:none' })
    expect(status).toBe(0x0203)
    expect(pdus.at(-1)!.bhs.readUInt16BE(14)).toBe(0)
    expect(target.refusals.map((refusal) => refusal.status)).toEqual([0x0203])
    const [connection] = target.connections
    connection!.tick(performance.now() + 10_000)
    expect(connection!.closed).toBe(true)
    initiator.socket.destroy()
  })

  it('fail for a mistake of ours without ending anything else', async () => {
    target = await TestTarget.start()
    const initiator = await ScriptedInitiator.login(target.port, { targetName: TARGET_NAME })
    const { admit } = target.group
    // An admission that answers with nothing breaks what follows it.
    target.group.admit = () => Promise.resolve(undefined as never)
    const other = await ScriptedInitiator.connect(target.port)
    await expect(other.tryLogin({ targetName: TARGET_NAME, preset: OPEN_ISCSI })).rejects.toThrow('closed')
    expect(target.failures.splice(0).length).toBe(1)
    target.group.admit = admit
    expect((await initiator.command(read10(0, 1), { read: BLOCK })).status).toBe(0)
    await initiator.leave()
  })
})
