import { afterEach, describe, expect, it } from '@jest/globals'
import { OPEN_ISCSI } from '../../support/login-presets.js'
import { TEST_UNIT_READY } from '../../support/raw-commands.js'
import { loginHeader, ScriptedInitiator, textOf } from '../../support/scripted-initiator.js'
import { NOTHING, TARGET_NAME, TestTarget, type TestTargetOptions } from '../../support/test-target.js'

let target: TestTarget
afterEach(async () => expect(await target.stop()).toEqual(NOTHING))

async function start(options: TestTargetOptions = {}): Promise<ScriptedInitiator> {
  target = await TestTarget.start(options)
  return ScriptedInitiator.login(target.port, { targetName: TARGET_NAME, preset: OPEN_ISCSI })
}

describe('a Login Request', () => {
  it('RFC 7143 §6.3: in full feature phase is rejected with reason 04h, and the session goes on', async () => {
    const initiator = await start()
    const bhs = loginHeader({ flags: 0x87, isid: initiator.isid, cmdSn: initiator.cmdSn })
    await initiator.sendPdu(bhs, textOf([['InitiatorName', 'iqn.2010-04.org.example:other']]))
    expect((await initiator.receiveOpcode(0x3f)).bhs[2]).toBe(0x04)
    expect((await initiator.command(TEST_UNIT_READY)).status).toBe(0)
    await initiator.leave()
  })
})
