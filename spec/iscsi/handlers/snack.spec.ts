import { afterEach, describe, expect, it } from '@jest/globals'
import { OPEN_ISCSI } from '../../support/login-presets.js'
import { sendRaw, TEST_UNIT_READY } from '../../support/raw-commands.js'
import { ScriptedInitiator } from '../../support/scripted-initiator.js'
import { NOTHING, TARGET_NAME, TestTarget, type TestTargetOptions } from '../../support/test-target.js'

let target: TestTarget
afterEach(async () => expect(await target.stop()).toEqual(NOTHING))

async function start(options: TestTargetOptions = {}): Promise<ScriptedInitiator> {
  target = await TestTarget.start(options)
  return ScriptedInitiator.login(target.port, { targetName: TARGET_NAME, preset: OPEN_ISCSI })
}

describe('SNACK', () => {
  it.each([0, 1, 2, 3, 15])('RFC 7143 §11.16: answers a SNACK of type %i with reason 03h', async (type) => {
    const initiator = await start()
    await sendRaw(initiator, { opcode: 0x10, byte1: 0x80 | type, tag: 1 })
    initiator.cmdSn--
    expect((await initiator.receiveOpcode(0x3f)).bhs[2]).toBe(0x03)
    expect((await initiator.command(TEST_UNIT_READY)).status).toBe(0)
    await initiator.leave()
  })
})
