import assert from 'node:assert/strict'
import { afterEach, describe, expect, it } from '@jest/globals'
import { FaultPlan } from '../../lib/volume/layers/fault.js'
import { OPEN_ISCSI } from '../support/login-presets.js'
import {
  begin,
  BLOCK,
  commandHeader,
  read10,
  sendDataOut,
  sendRaw,
  SYNCHRONIZE_CACHE,
  TEST_UNIT_READY,
  write10
} from '../support/raw-commands.js'
import { ScriptedInitiator } from '../support/scripted-initiator.js'
import { NOTHING, TARGET_NAME, TestTarget } from '../support/test-target.js'

const WINDOW = 128

let target: TestTarget
afterEach(async () => expect(await target.stop()).toEqual(NOTHING))

async function login(cmdSn = 1): Promise<ScriptedInitiator> {
  return ScriptedInitiator.login(target.port, { targetName: TARGET_NAME, preset: OPEN_ISCSI, cmdSn })
}

/** Tags of the SCSI Responses until a ping that is sent now is answered. */
async function answeredBefore(initiator: ScriptedInitiator): Promise<number[]> {
  const ping = await sendRaw(initiator, { opcode: 0x40 }, [[20, 0xffffffff]])
  const tags = []
  for (;;) {
    const pdu = await initiator.receive()
    const tag = pdu.bhs.readUInt32BE(16)
    if (pdu.opcode === 0x20 && tag === ping) return tags
    if (pdu.opcode === 0x21) tags.push(tag)
    else throw new Error(`opcode ${pdu.opcode} came`)
  }
}

describe('RFC 7143 §4.2.2.1: the command window', () => {
  it.each([0, 1, 0x7fffff80, 0xffffff80, 0xffffffff])(
    'begins with the CmdSN of the login, %i, and wraps',
    async (first) => {
      target = await TestTarget.start()
      const initiator = await login(first)
      expect(initiator.expCmdSn).toBe(first)
      expect(initiator.maxCmdSn).toBe((first + WINDOW - 1) >>> 0)
      for (let count = 1; count <= 300; count++) {
        assert.equal((await initiator.command(TEST_UNIT_READY)).status, 0)
        assert.equal(initiator.expCmdSn, (first + count) >>> 0)
        assert.equal(initiator.maxCmdSn, (first + count + WINDOW - 1) >>> 0)
      }
      await initiator.leave()
    }
  )

  it.each([
    ['one below', -1],
    ['one above', WINDOW],
    ['far above', WINDOW + 1000],
    ['half the circle away', 0x80000000],
    ['far below', -100000]
  ])('ignores a command that is %s without a word', async (_title, distance) => {
    target = await TestTarget.start()
    const initiator = await login(5000)
    await begin(initiator, TEST_UNIT_READY, { flags: 0x81, cmdSn: 5000 + distance })
    expect(await answeredBefore(initiator)).toEqual([])
    expect(initiator.expCmdSn).toBe(5000)
    expect((await initiator.command(TEST_UNIT_READY)).status).toBe(0)
    await initiator.leave()
  })

  it('takes a command at its upper end once the gap is filled', async () => {
    target = await TestTarget.start()
    const initiator = await login(1)
    const last = await begin(initiator, TEST_UNIT_READY, { flags: 0x81, cmdSn: WINDOW })
    expect(await answeredBefore(initiator)).toEqual([])
    const tags = []
    for (let index = 1; index < WINDOW; index++) tags.push(await begin(initiator, TEST_UNIT_READY, { flags: 0x81 }))
    initiator.cmdSn++
    expect(await answeredBefore(initiator)).toEqual([...tags, last])
    await initiator.leave()
  })

  it('executes a command that comes twice once', async () => {
    target = await TestTarget.start()
    const initiator = await login()
    const bhs = commandHeader(initiator, TEST_UNIT_READY, { flags: 0x81 })
    await initiator.sendPdu(bhs)
    await initiator.sendPdu(bhs)
    expect(await answeredBefore(initiator)).toHaveLength(1)
    await initiator.leave()
  })

  it('holds what comes behind a gap, with its unsolicited data, and executes it in order', async () => {
    target = await TestTarget.start()
    const initiator = await login(1)
    // CmdSN 3 writes over what CmdSN 2 writes; both come before CmdSN 1.
    const third = await begin(initiator, write10(0, 1), {
      flags: 0xa1,
      edtl: BLOCK,
      data: Buffer.alloc(BLOCK, 3),
      cmdSn: 3
    })
    const second = await begin(initiator, write10(0, 16), {
      flags: 0x21,
      edtl: 8192,
      data: Buffer.alloc(BLOCK, 2),
      cmdSn: 2
    })
    await sendDataOut(initiator, { tag: second, offset: BLOCK, final: false, data: Buffer.alloc(BLOCK, 2) })
    await sendDataOut(initiator, { tag: second, dataSn: 1, offset: 1024, data: Buffer.alloc(8192 - 1024, 2) })
    expect(await answeredBefore(initiator)).toEqual([])
    const first = await begin(initiator, TEST_UNIT_READY, { flags: 0x81, cmdSn: 1 })
    initiator.cmdSn = 4
    expect(await answeredBefore(initiator)).toEqual([first, second, third])
    const { data } = await initiator.command(read10(0, 16), { read: 8192 })
    expect(data.equals(Buffer.concat([Buffer.alloc(BLOCK, 3), Buffer.alloc(8192 - BLOCK, 2)]))).toBe(true)
    await initiator.leave()
  })

  it('answers immediate commands and pings while a gap is never filled, in bounded memory', async () => {
    target = await TestTarget.start()
    const initiator = await login(1)
    const data = Buffer.alloc(256 * 1024, 7)
    for (let cmdSn = 2; cmdSn <= WINDOW; cmdSn++) {
      await begin(initiator, write10(0, 512), { flags: 0xa1, edtl: data.length, data, cmdSn })
    }
    expect(await answeredBefore(initiator)).toEqual([])
    const held = (target.sessions[0]!.held as unknown as { bytes: number }).bytes
    expect(held).toBeLessThanOrEqual(8 * 1024 * 1024)
    expect((await initiator.command(TEST_UNIT_READY, { immediate: true })).status).toBe(0)
    expect(await initiator.logout()).toBe(0)
    await initiator.close()
    expect(target.volumes[0]!.extent(0, 65536).mapped).toBe(false)
  })

  it('drops ten thousand commands beyond it', async () => {
    target = await TestTarget.start()
    const initiator = await login(1)
    const bytes = []
    for (let index = 0; index < 10_000; index++) {
      bytes.push(initiator.frame(commandHeader(initiator, TEST_UNIT_READY, { flags: 0x81, cmdSn: WINDOW + 1 + index })))
    }
    await initiator.send(Buffer.concat(bytes))
    expect(await answeredBefore(initiator)).toEqual([])
    expect(target.sessions[0]!.held.size).toBe(0)
    expect((await initiator.command(TEST_UNIT_READY)).status).toBe(0)
    await initiator.leave()
  })

  it('closes as commands wait for a disk, never falls, and opens again as they end', async () => {
    const faults = new FaultPlan()
    target = await TestTarget.start({ faults })
    const initiator = await login(1)
    faults.add({ verb: 'read', effect: { kind: 'hold' } })
    const tags = []
    let highest = initiator.maxCmdSn
    while (initiator.window > 0) {
      tags.push(await begin(initiator, read10(tags.length, 1), { flags: 0xc1, edtl: BLOCK }))
      if (tags.length % 16 === 0) await initiator.nop()
      expect((initiator.maxCmdSn - highest) | 0).toBeGreaterThanOrEqual(0)
      highest = initiator.maxCmdSn
    }
    expect(tags.length).toBe(WINDOW)
    await target.until(() => faults.held === WINDOW)
    expect(target.sessions[0]!.tasksInUse).toBe(WINDOW)
    // One more is beyond the window; immediate ones have a reserve of eight.
    await begin(initiator, TEST_UNIT_READY, { flags: 0x81, cmdSn: initiator.cmdSn })
    expect(await answeredBefore(initiator)).toEqual([])
    for (let index = 0; index < 8; index++) {
      await begin(initiator, read10(0, 1), { flags: 0xc1, edtl: BLOCK, immediate: true })
    }
    const ninth = await begin(initiator, TEST_UNIT_READY, { flags: 0x81, immediate: true })
    const reject = await initiator.receiveOpcode(0x3f)
    expect(reject.bhs[2]).toBe(0x06)
    expect(reject.data.readUInt32BE(16)).toBe(ninth)
    faults.clear()
    faults.releaseAll()
    for (const tag of tags) await initiator.finish(tag, Buffer.alloc(8))
    await target.until(() => target.sessions[0]!.tasksInUse === 0)
    await initiator.nop()
    expect(initiator.window).toBe(WINDOW)
    await initiator.leave()
  })

  it('counts commands of other kinds too: NOP-Out, Text, task management', async () => {
    target = await TestTarget.start()
    const initiator = await login(1)
    await sendRaw(initiator, { opcode: 0x00 }, [[20, 0xffffffff]])
    await initiator.receiveOpcode(0x20)
    expect(initiator.expCmdSn).toBe(2)
    await sendRaw(initiator, { opcode: 0x04 }, [[20, 0xffffffff]], Buffer.from('SendTargets=\0'))
    await initiator.receiveOpcode(0x24)
    expect(initiator.expCmdSn).toBe(3)
    expect(await initiator.taskManagement(5, { immediate: false })).toBe(0)
    expect(initiator.expCmdSn).toBe(4)
    expect(initiator.window).toBe(WINDOW)
    await initiator.leave()
  })

  it('reads no CmdSN from a Data-Out or a SNACK, which have none', async () => {
    target = await TestTarget.start()
    const initiator = await login(1)
    await sendRaw(initiator, { opcode: 0x05, tag: 99 }, [[24, initiator.cmdSn]])
    initiator.cmdSn = 1
    await sendRaw(initiator, { opcode: 0x50 }, [[24, initiator.cmdSn]])
    await initiator.receiveOpcode(0x3f)
    expect(initiator.expCmdSn).toBe(1)
    expect((await initiator.command(SYNCHRONIZE_CACHE)).status).toBe(0)
    await initiator.leave()
  })
})
