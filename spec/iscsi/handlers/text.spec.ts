import { afterEach, describe, expect, it } from '@jest/globals'
import { OPEN_ISCSI } from '../../support/login-presets.js'
import { sendRaw } from '../../support/raw-commands.js'
import { ScriptedInitiator, textOf } from '../../support/scripted-initiator.js'
import { NOTHING, TARGET_NAME, TestTarget, type TestTargetOptions } from '../../support/test-target.js'

const FINAL = 0x80
const CONTINUE = 0x40
const RESERVED_TAG = 0xffffffff

let target: TestTarget
afterEach(async () => expect(await target.stop()).toEqual(NOTHING))

async function discovery(options: TestTargetOptions = {}): Promise<ScriptedInitiator> {
  target = await TestTarget.start(options)
  return ScriptedInitiator.login(target.port)
}

async function normal(options: TestTargetOptions = {}): Promise<ScriptedInitiator> {
  target = await TestTarget.start(options)
  return ScriptedInitiator.login(target.port, { targetName: TARGET_NAME, preset: OPEN_ISCSI })
}

function sendText(
  initiator: ScriptedInitiator,
  flags: number,
  data: Buffer,
  tag?: number,
  ttt = RESERVED_TAG
): Promise<number> {
  return sendRaw(initiator, { opcode: 0x44, byte1: flags, ...(tag !== undefined && { tag }) }, [[20, ttt]], data)
}

const MANY = Array.from(
  { length: 200 },
  (_, index) => `iqn.2010-04.local.cloudx:image-${String(index).padStart(3, '0')}`
)

describe('RFC 7143 appendix C: SendTargets', () => {
  it('All names every target in a discovery session, each with its address', async () => {
    const initiator = await discovery({ targets: [TARGET_NAME, 'iqn.2010-04.local.cloudx:second'] })
    expect(await initiator.sendTargets()).toEqual([
      ['TargetName', TARGET_NAME],
      ['TargetAddress', `127.0.0.1:${target.port},1`],
      ['TargetName', 'iqn.2010-04.local.cloudx:second'],
      ['TargetAddress', `127.0.0.1:${target.port},1`]
    ])
    await initiator.leave()
  })

  it('All in a normal session names no other target than its own', async () => {
    const initiator = await normal({ targets: [TARGET_NAME, 'iqn.2010-04.local.cloudx:second'] })
    expect(await initiator.sendTargets('All')).toEqual([
      ['TargetName', TARGET_NAME],
      ['TargetAddress', `127.0.0.1:${target.port},1`]
    ])
    await initiator.leave()
  })

  it.each(['SendTargetsPlease=All', 'SendTargets=Alle', 'SendTargets=A', 'sENDtARGETS=aLL'])(
    '%s in a normal session is rejected as a whole, and the session goes on',
    async (text) => {
      const initiator = await normal()
      await sendText(initiator, FINAL, Buffer.from(`${text}\0`))
      expect((await initiator.receiveOpcode(0x3f)).bhs[2]).toBe(0x09)
      expect(await initiator.sendTargets('')).toHaveLength(2)
      await initiator.leave()
    }
  )

  it('with nothing means the target of this session', async () => {
    const initiator = await normal({ targets: [TARGET_NAME, 'iqn.2010-04.local.cloudx:second'] })
    expect((await initiator.sendTargets('')).map(([, value]) => value)).toEqual([
      TARGET_NAME,
      `127.0.0.1:${target.port},1`
    ])
    await initiator.leave()
  })

  it.each([
    [TARGET_NAME, 1],
    ['iqn.2010-04.local.cloudx:foreign', 0],
    ['__proto__', 0],
    ['../../etc/passwd', 0]
  ])('%s names as many targets as there are: %i', async (name, count) => {
    const initiator = await discovery()
    const names = (await initiator.sendTargets(name)).filter(([key]) => key === 'TargetName')
    expect(names).toEqual(Array.from({ length: count }, () => ['TargetName', name]))
    await initiator.leave()
  })

  it('of 200 targets takes several PDUs, which the initiator asks for one by one', async () => {
    target = await TestTarget.start({ targets: MANY })
    const initiator = await ScriptedInitiator.login(target.port, { override: { MaxRecvDataSegmentLength: '4096' } })
    const tag = await sendText(initiator, FINAL, textOf([['SendTargets', 'All']]))
    let whole = Buffer.alloc(0)
    let parts = 0
    for (;;) {
      const { bhs, data } = await initiator.receiveOpcode(0x24)
      parts++
      whole = Buffer.concat([whole, data])
      expect(data.length).toBeLessThanOrEqual(4096)
      const ttt = bhs.readUInt32BE(20)
      // RFC 7143 §11.11.1, §11.11.2, §11.11.4: C until the last, which has F and no tag.
      expect([bhs[1], ttt === RESERVED_TAG]).toEqual(ttt === RESERVED_TAG ? [FINAL, true] : [CONTINUE, false])
      if (ttt === RESERVED_TAG) break
      await sendText(initiator, FINAL, Buffer.alloc(0), tag, ttt)
    }
    expect(parts).toBe(Math.ceil(whole.length / 4096))
    expect(parts).toBeGreaterThan(2)
    const names = whole
      .toString()
      .split('\0')
      .filter((pair) => pair.startsWith('TargetName='))
    expect(names).toEqual(MANY.map((name) => `TargetName=${name}`))
    await initiator.leave()
  })

  it('of 200 targets to an initiator that takes 512 bytes a PDU', async () => {
    target = await TestTarget.start({ targets: MANY })
    const initiator = await ScriptedInitiator.login(target.port, { override: { MaxRecvDataSegmentLength: '512' } })
    const pairs = await initiator.sendTargets()
    expect(pairs.filter(([key]) => key === 'TargetName').map(([, value]) => value)).toEqual(MANY)
    await initiator.leave()
  })
})

describe('RFC 7143 §11.10: Text', () => {
  it('may come in several PDUs with C, each answered with an empty one that has neither F nor C', async () => {
    const initiator = await discovery()
    const tag = await sendText(initiator, CONTINUE, Buffer.from('SendTar'))
    const first = await initiator.receiveOpcode(0x24)
    const ttt = first.bhs.readUInt32BE(20)
    expect([first.bhs[1], first.data.length, ttt === RESERVED_TAG]).toEqual([0, 0, false])
    await sendText(initiator, CONTINUE, Buffer.from('gets='), tag, ttt)
    expect((await initiator.receiveOpcode(0x24)).bhs.readUInt32BE(20)).toBe(ttt)
    await sendText(initiator, FINAL, Buffer.from('All\0'), tag, ttt)
    const last = await initiator.receiveOpcode(0x24)
    expect(last.bhs[1]).toBe(FINAL)
    expect(last.data.toString()).toContain(`TargetName=${TARGET_NAME}\0`)
    await initiator.leave()
  })

  it.each([
    ['with the reserved tag', FINAL, RESERVED_TAG, RESERVED_TAG, 'SendTargets=All\0', 0x09],
    ['with both F and C', FINAL | CONTINUE, 5, RESERVED_TAG, 'SendTargets=All\0', 0x09],
    ['with a TTT that was never given', FINAL, 5, 0x1234, 'SendTargets=All\0', 0x09],
    ['without a NUL at its end', FINAL, 5, RESERVED_TAG, 'SendTargets=All', undefined],
    ['without an equals sign', FINAL, 5, RESERVED_TAG, 'SendTargets\0', undefined],
    ['with an empty key', FINAL, 5, RESERVED_TAG, '=All\0', undefined]
  ])('%s is rejected, and the session goes on', async (_title, flags, tag, ttt, text, reason) => {
    const initiator = await discovery()
    await sendText(initiator, flags, Buffer.from(text), tag, ttt)
    const reject = await initiator.receiveOpcode(0x3f)
    if (reason !== undefined) expect(reject.bhs[2]).toBe(reason)
    expect((await initiator.sendTargets()).length).toBe(2)
    await initiator.leave()
  })

  it('with a TTT of an exchange that is over is rejected', async () => {
    const initiator = await discovery()
    const tag = await sendText(initiator, CONTINUE, Buffer.from('Send'))
    const stale = (await initiator.receiveOpcode(0x24)).bhs.readUInt32BE(20)
    // A request with the reserved TTT resets the exchange.
    await sendText(initiator, FINAL, textOf([['SendTargets', 'All']]), tag)
    expect((await initiator.receiveOpcode(0x24)).bhs[1]).toBe(FINAL)
    await sendText(initiator, FINAL, Buffer.from('Targets=All\0'), tag, stale)
    expect((await initiator.receiveOpcode(0x3f)).bhs[2]).toBe(0x09)
    await initiator.leave()
  })

  it('longer than 64 KiB in all is rejected, and C for ever holds no more', async () => {
    const initiator = await discovery()
    let ttt = RESERVED_TAG
    const tag = initiator.takeTag()
    for (let parts = 0; parts < 20; parts++) {
      await sendText(initiator, CONTINUE, Buffer.alloc(4096, 'a'), tag, ttt)
      const answer = await initiator.receive()
      if (answer.opcode === 0x3f) {
        expect(parts).toBe(16)
        expect(answer.bhs[2]).toBe(0x04)
        break
      }
      ttt = answer.bhs.readUInt32BE(20)
    }
    expect(target.sessions[0]!.text).toBeUndefined()
    expect((await initiator.sendTargets()).length).toBe(2)
    await initiator.leave()
  })

  it('with unknown keys is answered NotUnderstood', async () => {
    const initiator = await normal()
    expect(await initiator.text([['X-org.example.key', '1']])).toEqual([['X-org.example.key', 'NotUnderstood']])
    await initiator.leave()
  })

  it('may declare another MaxRecvDataSegmentLength, and the next Data-In obeys', async () => {
    const initiator = await normal()
    await initiator.text([['MaxRecvDataSegmentLength', '1024']])
    const outcome = await initiator.command([0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0], { read: 4096 })
    expect(outcome.pdus.map((pdu) => pdu.data.length)).toEqual([1024, 1024, 1024, 1024])
    await initiator.leave()
  })

  it('cannot renegotiate what a login settles once', async () => {
    const initiator = await normal()
    const answers = await initiator.text([
      ['ImmediateData', 'No'],
      ['MaxBurstLength', '512']
    ])
    for (const [, value] of answers) expect(['Reject', 'Irrelevant']).toContain(value)
    expect(target.sessions[0]!.parameters.immediateData).toBe(true)
    expect(target.sessions[0]!.parameters.maxBurstLength).toBe(1048576)
    await initiator.leave()
  })
})
