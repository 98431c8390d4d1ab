import { afterEach, describe, expect, it } from '@jest/globals'
import { ScriptedInitiator } from '../support/scripted-initiator.js'
import { NOTHING, TARGET_NAME, TestTarget } from '../support/test-target.js'

let target: TestTarget
afterEach(async () => {
  expect(await target.stop()).toEqual(NOTHING)
})

describe.each([true, false])('a connection with positioned reads: %s', (positionedReads) => {
  it('gives back what was written', async () => {
    target = await TestTarget.start({ positionedReads })
    const initiator = await ScriptedInitiator.login(target.port, { targetName: TARGET_NAME })
    const data = Buffer.alloc(1 << 20, 'cloud-x ')
    await initiator.command([0x2a, 0, 0, 0, 0, 8, 0, 0x08, 0x00, 0], { write: data })
    const outcome = await initiator.command([0x28, 0, 0, 0, 0, 8, 0, 0x08, 0x00, 0], { read: data.length })
    expect(outcome.status).toBe(0)
    expect(outcome.data.equals(data)).toBe(true)
    await initiator.logout()
  })
})
