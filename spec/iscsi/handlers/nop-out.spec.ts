import { afterEach, describe, expect, it } from '@jest/globals'
import { OPEN_ISCSI } from '../../support/login-presets.js'
import { Random, seedOf } from '../../support/random.js'
import { sendRaw, TEST_UNIT_READY } from '../../support/raw-commands.js'
import { ScriptedInitiator } from '../../support/scripted-initiator.js'
import { NOTHING, TARGET_NAME, TestTarget } from '../../support/test-target.js'

let target: TestTarget
afterEach(async () => expect(await target.stop()).toEqual(NOTHING))

async function start(override: Record<string, string> = {}): Promise<ScriptedInitiator> {
  target = await TestTarget.start()
  return ScriptedInitiator.login(target.port, { targetName: TARGET_NAME, preset: OPEN_ISCSI, override })
}

describe('RFC 7143 §11.18, §11.19: NOP-Out', () => {
  it.each([0, 1, 2, 3, 4, 1000, 65535, 262144])('with %i bytes gets them back', async (length) => {
    const initiator = await start()
    const data = new Random(seedOf(length)).bytes(Buffer.alloc(length))
    expect((await initiator.nop(data)).data.equals(data)).toBe(true)
    await initiator.leave()
  })

  it('gets back no more than its initiator takes in a PDU', async () => {
    const initiator = await start({ MaxRecvDataSegmentLength: '1024' })
    const data = new Random(seedOf(1)).bytes(Buffer.alloc(5000))
    expect((await initiator.nop(data)).data.equals(data.subarray(0, 1024))).toBe(true)
    await initiator.leave()
  })

  it('is answered with these bytes: its tag, and no LUN since no answer is wanted', async () => {
    const initiator = await start()
    await sendRaw(initiator, { opcode: 0x40, tag: 0x01020304 }, [
      [8, 0x00050000],
      [20, 0xffffffff]
    ])
    const { bhs } = await initiator.receiveOpcode(0x20)
    expect(bhs.subarray(0, 24).toString('hex')).toBe('208000000000000000000000000000000102030' + '4ffffffff')
    expect(bhs.readUInt32BE(28)).toBe(initiator.cmdSn)
    await initiator.leave()
  })

  it.each([0xffffffff, 0x1234])('without a tag, with TTT %i that is no ping of ours, is not answered', async (ttt) => {
    const initiator = await start()
    await sendRaw(initiator, { opcode: 0x40, tag: 0xffffffff }, [[20, ttt]])
    expect((await initiator.command(TEST_UNIT_READY)).pdus.map((pdu) => pdu.opcode)).toEqual([0x21])
    await initiator.leave()
  })

  it('longer than a PDU may be closes the connection', async () => {
    const initiator = await start()
    const bhs = Buffer.alloc(48)
    bhs[0] = 0x40
    bhs[1] = 0x80
    bhs.writeUIntBE(262145, 5, 3)
    await initiator.send(bhs)
    await initiator.closed()
    await target.until(() => target.ends.length === 1)
    expect(target.ends[0]!.end.kind).toBe('lost')
  })

  it('a thousand at a time are all answered, in order', async () => {
    const initiator = await start()
    const tags = []
    for (let index = 0; index < 1000; index++) {
      tags.push(await sendRaw(initiator, { opcode: 0x40 }, [[20, 0xffffffff]], Buffer.alloc(100)))
    }
    const answered = []
    for (let index = 0; index < 1000; index++) answered.push((await initiator.receiveOpcode(0x20)).bhs.readUInt32BE(16))
    expect(answered).toEqual(tags)
    await initiator.leave()
  })
})
