import assert from 'node:assert/strict'
import { afterEach, describe, expect, it } from '@jest/globals'
import { OPEN_ISCSI } from '../support/login-presets.js'
import { scsiCommand } from '../support/pdu-builder.js'
import { sendRaw, TEST_UNIT_READY } from '../support/raw-commands.js'
import { ScriptedInitiator } from '../support/scripted-initiator.js'
import { NOTHING, TARGET_NAME, TestTarget } from '../support/test-target.js'

const LUN_0 = Buffer.alloc(8)

let target: TestTarget
afterEach(async () => expect(await target.stop()).toEqual(NOTHING))

async function start(): Promise<ScriptedInitiator> {
  target = await TestTarget.start()
  return ScriptedInitiator.login(target.port, { targetName: TARGET_NAME, preset: OPEN_ISCSI })
}

describe('RFC 7143 §11.17: Reject', () => {
  it.each([0x07, 0x0f, 0x11, 0x1c, 0x1f, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x31, 0x32, 0x3f])(
    'answers the operation code %i, and the session goes on',
    async (opcode) => {
      const initiator = await start()
      await sendRaw(initiator, { opcode: 0x40 | opcode, tag: 0x0102 }, [], Buffer.from('abcde'))
      const { bhs, data } = await initiator.receiveOpcode(0x3f)
      expect(bhs[1]).toBe(0x80)
      expect([0x04, 0x05]).toContain(bhs[2])
      expect(bhs.readUInt32BE(16)).toBe(0xffffffff)
      expect(data.length).toBe(48)
      expect(data[0]).toBe(0x40 | opcode)
      expect(data.readUIntBE(5, 3)).toBe(5)
      expect(data.readUInt32BE(16)).toBe(0x0102)
      expect((await initiator.command(TEST_UNIT_READY)).status).toBe(0)
      await initiator.leave()
    }
  )

  it('ten thousand of them come back in order, in bounded memory', async () => {
    const initiator = await start()
    const bhs = Buffer.alloc(48)
    bhs[0] = 0x5f
    const flood = Buffer.concat(Array.from({ length: 10_000 }, () => bhs))
    const sent = initiator.send(flood)
    for (let index = 0; index < 10_000; index++) assert.equal((await initiator.receive()).opcode, 0x3f)
    await sent
    await initiator.leave()
  })
})

describe('RFC 7143 §11.2.1: reserved bits and padding', () => {
  it('are not looked at', async () => {
    const initiator = await start()
    const bytes = scsiCommand({
      itt: 0x99,
      flags: 0xb9,
      cmdSn: initiator.cmdSn++,
      edtl: 6,
      data: 'abcdef',
      padByte: 0xff
    })
    bytes[0]! |= 0x80
    bytes[2] = bytes[3] = 0xff
    await initiator.send(bytes)
    expect((await initiator.finish(0x99, LUN_0)).status).toBe(0)
    expect((await initiator.command(TEST_UNIT_READY)).status).toBe(0)
    await initiator.leave()
  })
})
