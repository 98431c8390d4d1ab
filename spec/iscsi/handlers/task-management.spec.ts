import { afterEach, describe, expect, it } from '@jest/globals'
import { FaultPlan } from '../../../lib/volume/layers/fault.js'
import { MemoryVolume } from '../../../lib/volume/drivers/memory.js'
import { OPEN_ISCSI } from '../../support/login-presets.js'
import {
  begin,
  BLOCK,
  INQUIRY_36,
  read10,
  sendRaw,
  SYNCHRONIZE_CACHE,
  TEST_UNIT_READY,
  write10
} from '../../support/raw-commands.js'
import { ScriptedInitiator } from '../../support/scripted-initiator.js'
import { NOTHING, TARGET_NAME, TestTarget, type TestTargetOptions } from '../../support/test-target.js'

const LUN_0 = Buffer.alloc(8)
const COMPLETE = 0

let target: TestTarget
let faults: FaultPlan
afterEach(async () => expect(await target.stop()).toEqual(NOTHING))

async function start(options: TestTargetOptions = {}): Promise<ScriptedInitiator> {
  faults = new FaultPlan()
  target = await TestTarget.start({ faults, ...options })
  return login()
}

function login(isid = '00023d000000', initiatorName?: string): Promise<ScriptedInitiator> {
  return ScriptedInitiator.login(target.port, {
    targetName: TARGET_NAME,
    preset: OPEN_ISCSI,
    isid,
    ...(initiatorName !== undefined && { initiatorName })
  })
}

/** Says whether a promise has settled, after the target has answered a ping that was sent now. */
async function settledBefore(initiator: ScriptedInitiator, promise: Promise<unknown>): Promise<boolean> {
  let settled = false
  void promise.then(() => (settled = true))
  await initiator.nop()
  return settled
}

describe('RFC 7143 §11.5.1: task management', () => {
  it.each([
    ['ABORT TASK SET', 2, 0, 0],
    ['CLEAR ACA', 3, 0, 5],
    ['CLEAR TASK SET', 4, 0, 0],
    ['LOGICAL UNIT RESET', 5, 0, 0],
    ['TARGET WARM RESET', 6, 0, 0],
    ['TASK REASSIGN', 8, 0, 4],
    ['QUERY TASK', 9, 0, 5],
    ['QUERY TASK SET', 10, 0, 5],
    ['I_T NEXUS RESET', 11, 0, 5],
    ['QUERY ASYNCHRONOUS EVENT', 12, 0, 5],
    ['function 0', 0, 0, 5],
    ['function 127', 127, 0, 5],
    ['ABORT TASK SET of a missing LUN', 2, 9, 2],
    ['CLEAR TASK SET of a missing LUN', 4, 9, 2],
    ['LOGICAL UNIT RESET of a missing LUN', 5, 9, 2]
  ])('answers %s as it should', async (_title, fn, lun, response) => {
    const initiator = await start()
    expect(await initiator.taskManagement(fn, { lun })).toBe(response)
    expect(await initiator.taskManagement(fn, { lun, immediate: false })).toBe(response)
    await initiator.leave()
  })

  it('has these bytes in its response', async () => {
    const initiator = await start()
    const tag = await sendRaw(initiator, { opcode: 0x42, byte1: 0x83, tag: 0x0a0b0c0d }, [[20, 0xffffffff]])
    const { bhs } = await initiator.receiveOpcode(0x22)
    expect(tag).toBe(0x0a0b0c0d)
    expect(bhs.subarray(0, 24).toString('hex')).toBe('228005000000000000000000000000000a0b0c0d00000000')
    expect(bhs.readUInt32BE(24)).toBe((initiator.expStatSn - 1) >>> 0)
    expect(bhs.subarray(36)).toEqual(Buffer.alloc(12))
    await initiator.leave()
  })

  it('is refused in a discovery session and with the reserved tag', async () => {
    target = await TestTarget.start()
    const discovery = await ScriptedInitiator.login(target.port)
    await sendRaw(discovery, { opcode: 0x42, byte1: 0x85 })
    expect((await discovery.receiveOpcode(0x3f)).bhs[2]).toBe(0x09)
    await discovery.leave()
    const initiator = await login()
    await sendRaw(initiator, { opcode: 0x42, byte1: 0x85, tag: 0xffffffff })
    expect((await initiator.receiveOpcode(0x3f)).bhs[2]).toBe(0x09)
    await initiator.leave()
  })
})

describe('RFC 7143 §11.6.1: ABORT TASK', () => {
  it('of a write at a held disk is answered when the write has ended, and the write never', async () => {
    const initiator = await start()
    faults.add({ verb: 'write', effect: { kind: 'hold' } })
    const tag = await begin(initiator, write10(0, 1), { flags: 0xa1, edtl: BLOCK, data: Buffer.alloc(BLOCK, 1) })
    await target.until(() => faults.held === 1)
    const abort = initiator.taskManagement(1, { referencedTag: tag, refCmdSn: initiator.cmdSn - 1 })
    expect(await settledBefore(initiator, abort)).toBe(false)
    faults.clear()
    faults.releaseAll()
    expect(await abort).toBe(COMPLETE)
    expect(target.tasksOut).toBe(0)
    // Newer data stays.
    expect((await initiator.command(write10(0, 1), { write: Buffer.alloc(BLOCK, 2) })).status).toBe(0)
    expect((await initiator.command(read10(0, 1), { read: BLOCK })).data).toEqual(Buffer.alloc(BLOCK, 2))
    await initiator.leave()
  })

  it.each([
    ['a read at a held disk', 'read', read10(0, 1), { flags: 0xc1, edtl: BLOCK }],
    ['a flush at a held disk', 'flush', SYNCHRONIZE_CACHE, { flags: 0x81 }]
  ])('of %s is answered when the disk has answered', async (_title, verb, cdb, raw) => {
    const initiator = await start()
    faults.add({ verb: verb as 'read' | 'flush', effect: { kind: 'hold' } })
    const tag = await begin(initiator, cdb, raw)
    await target.until(() => faults.held === 1)
    const abort = initiator.taskManagement(1, { referencedTag: tag, refCmdSn: initiator.cmdSn - 1 })
    expect(await settledBefore(initiator, abort)).toBe(false)
    faults.clear()
    faults.releaseAll()
    expect(await abort).toBe(COMPLETE)
    await initiator.leave()
  })

  it('of a write that waits for data is answered at once, and its tag is free again', async () => {
    const initiator = await start()
    const tag = await begin(initiator, write10(0, 64), { flags: 0xa1, edtl: 64 * BLOCK })
    await initiator.receiveOpcode(0x31)
    expect(await initiator.taskManagement(1, { referencedTag: tag, refCmdSn: initiator.cmdSn - 1 })).toBe(COMPLETE)
    const again = await begin(initiator, TEST_UNIT_READY, { flags: 0x81, tag })
    expect((await initiator.finish(again, LUN_0)).status).toBe(0)
    await initiator.leave()
  })

  it('of a command that waits behind an ORDERED one takes it out of the line', async () => {
    const initiator = await start()
    faults.add({ verb: 'flush', effect: { kind: 'hold' } })
    const flush = await begin(initiator, SYNCHRONIZE_CACHE, { flags: 0x82 })
    const blocked = await begin(initiator, write10(0, 1), { flags: 0xa1, edtl: BLOCK, data: Buffer.alloc(BLOCK, 1) })
    const behind = await begin(initiator, read10(0, 1), { flags: 0xc1, edtl: BLOCK })
    expect(await initiator.taskManagement(1, { referencedTag: blocked, refCmdSn: initiator.cmdSn - 2 })).toBe(COMPLETE)
    faults.releaseAll()
    expect((await initiator.finish(flush, LUN_0)).status).toBe(0)
    expect((await initiator.finish(behind, LUN_0)).data).toEqual(Buffer.alloc(BLOCK))
    await initiator.leave()
  })

  it('of the ORDERED command itself lets the others go when it has ended', async () => {
    const initiator = await start()
    faults.add({ verb: 'flush', effect: { kind: 'hold' } })
    const flush = await begin(initiator, SYNCHRONIZE_CACHE, { flags: 0x82 })
    const behind = initiator.command(TEST_UNIT_READY)
    const abort = initiator.taskManagement(1, { referencedTag: flush, refCmdSn: initiator.cmdSn - 2 })
    expect(await settledBefore(initiator, behind)).toBe(false)
    faults.releaseAll()
    expect(await abort).toBe(COMPLETE)
    expect((await behind).status).toBe(0)
    await initiator.leave()
  })

  it('of a task that never was or has ended says that it does not exist', async () => {
    const initiator = await start()
    await initiator.command(TEST_UNIT_READY)
    expect(await initiator.taskManagement(1, { referencedTag: 0x1000, refCmdSn: initiator.cmdSn - 1 })).toBe(1)
    expect(await initiator.taskManagement(1, { referencedTag: 0x9999, refCmdSn: initiator.cmdSn + 500 })).toBe(1)
    // A CmdSN inside the window, but not before this request's own.
    expect(await initiator.taskManagement(1, { referencedTag: 0x9999, refCmdSn: initiator.cmdSn })).toBe(1)
    await initiator.leave()
  })

  it('of a command in a gap of the CmdSNs counts it as received, and drops it when it comes', async () => {
    const initiator = await start()
    const gap = initiator.cmdSn
    initiator.cmdSn++
    const behind = initiator.command(TEST_UNIT_READY)
    expect(await settledBefore(initiator, behind)).toBe(false)
    expect(await initiator.taskManagement(1, { referencedTag: 0x4444, refCmdSn: gap })).toBe(COMPLETE)
    expect((await behind).status).toBe(0)
    await begin(initiator, write10(0, 1), {
      flags: 0xa1,
      edtl: BLOCK,
      data: Buffer.alloc(BLOCK, 1),
      cmdSn: gap,
      tag: 0x4444
    })
    expect((await initiator.command(read10(0, 1), { read: BLOCK })).data).toEqual(Buffer.alloc(BLOCK))
    await initiator.leave()
  })

  it('of a command that is held behind a gap drops it', async () => {
    const initiator = await start()
    const gap = initiator.cmdSn++
    const held = await begin(initiator, write10(0, 1), { flags: 0xa1, edtl: BLOCK, data: Buffer.alloc(BLOCK, 1) })
    await initiator.nop()
    expect(await initiator.taskManagement(1, { referencedTag: held, refCmdSn: gap + 1 })).toBe(COMPLETE)
    const filler = await begin(initiator, TEST_UNIT_READY, { flags: 0x81, cmdSn: gap })
    expect((await initiator.finish(filler, LUN_0)).status).toBe(0)
    expect((await initiator.command(read10(0, 1), { read: BLOCK })).data).toEqual(Buffer.alloc(BLOCK))
    await initiator.leave()
  })
})

describe.each([
  ['ABORT TASK SET', 2],
  ['CLEAR TASK SET', 4],
  ['LOGICAL UNIT RESET', 5],
  ['TARGET WARM RESET', 6]
])('%s', (_name, fn) => {
  it('with 64 tasks under way waits for the disk, answers none of them, and spares other units', async () => {
    const initiator = await start({ volumes: [new MemoryVolume(1 << 20), new MemoryVolume(1 << 20)] })
    faults.add({ verb: 'read', effect: { kind: 'hold' } })
    for (let index = 0; index < 32; index++) await begin(initiator, read10(index, 1), { flags: 0xc1, edtl: BLOCK })
    for (let index = 0; index < 32; index++) {
      await begin(initiator, write10(0, 128), { flags: 0xa1, edtl: 128 * BLOCK })
      await initiator.receiveOpcode(0x31)
    }
    const spared = await begin(initiator, read10(0, 1), { flags: 0xc1, edtl: BLOCK, lun: 1 })
    await target.until(() => faults.held === 33)
    const response = initiator.taskManagement(fn)
    expect(await settledBefore(initiator, response)).toBe(false)
    faults.clear()
    for (let index = 0; index < 31; index++) faults.release()
    expect(await settledBefore(initiator, response)).toBe(false)
    faults.releaseAll()
    expect(await response).toBe(COMPLETE)
    // A reset of the target takes the other unit's task as well.
    if (fn !== 6) expect((await initiator.finish(spared, LUN_0)).status).toBe(0)
    expect(target.tasksOut).toBe(0)
    await expect(initiator.nop()).resolves.toBeDefined()
    await initiator.leave()
  })

  it('takes commands that wait for a gap in the CmdSNs as well, and frees their tags', async () => {
    const initiator = await start({ volumes: [new MemoryVolume(1 << 20), new MemoryVolume(1 << 20)] })
    const gap = initiator.cmdSn++
    const ones = { flags: 0xa1, edtl: BLOCK, data: Buffer.alloc(BLOCK, 1) }
    const held = await begin(initiator, write10(0, 1), ones)
    const spared = await begin(initiator, write10(0, 1), { ...ones, lun: 1 })
    expect(await initiator.taskManagement(fn)).toBe(COMPLETE)
    const behind = await begin(initiator, TEST_UNIT_READY, { flags: 0x81, tag: held })
    const filler = await begin(initiator, TEST_UNIT_READY, { flags: 0x81, cmdSn: gap })
    await initiator.finish(filler, LUN_0)
    if (fn !== 6) expect((await initiator.finish(spared, LUN_0)).status).toBe(0)
    await initiator.finish(behind, LUN_0)
    expect((await initiator.command(read10(0, 1), { read: BLOCK })).data).toEqual(Buffer.alloc(BLOCK))
    await initiator.leave()
  })
})

describe('with another session of the same initiator', () => {
  it('a LUN reset takes its tasks too and both hear of it', async () => {
    const first = await start()
    const second = await login('00023d000001')
    faults.add({ verb: 'read', effect: { kind: 'hold' } })
    await begin(second, read10(0, 1), { flags: 0xc1, edtl: BLOCK })
    await target.until(() => faults.held === 1)
    const reset = first.taskManagement(5)
    expect(await settledBefore(first, reset)).toBe(false)
    faults.clear()
    faults.releaseAll()
    expect(await reset).toBe(COMPLETE)
    for (const one of [first, second]) {
      expect((await one.command(TEST_UNIT_READY)).senseText).toBe('06/29/03')
      expect((await one.command(TEST_UNIT_READY)).status).toBe(0)
    }
    await first.leave()
    await second.leave()
  })

  it('ABORT TASK SET spares its tasks', async () => {
    const first = await start()
    const second = await login('00023d000001')
    faults.add({ verb: 'read', effect: { kind: 'hold' } })
    const spared = await begin(second, read10(0, 1), { flags: 0xc1, edtl: BLOCK })
    await target.until(() => faults.held === 1)
    expect(await first.taskManagement(2)).toBe(COMPLETE)
    faults.clear()
    faults.releaseAll()
    expect((await second.finish(spared, LUN_0)).status).toBe(0)
    await first.leave()
    await second.leave()
  })

  it('a session that is cut lets a waiting reset be answered', async () => {
    const first = await start()
    const second = await login('00023d000001')
    await begin(second, write10(0, 128), { flags: 0xa1, edtl: 128 * BLOCK })
    await second.receiveOpcode(0x31)
    faults.add({ verb: 'read', effect: { kind: 'hold' } })
    await begin(second, read10(0, 1), { flags: 0xc1, edtl: BLOCK })
    await target.until(() => faults.held === 1)
    const reset = first.taskManagement(5)
    await first.nop()
    await second.reset()
    faults.clear()
    faults.releaseAll()
    expect(await reset).toBe(COMPLETE)
    await first.leave()
  })
})

describe('RFC 7143 §11.5.1: TARGET COLD RESET', () => {
  it('is answered, then all sessions of this initiator are closed and no other', async () => {
    const first = await start()
    const second = await login('00023d000001')
    const other = await login('00023d000002', 'iqn.2010-04.org.example:other')
    faults.add({ verb: 'read', effect: { kind: 'hold' } })
    await begin(second, read10(0, 1), { flags: 0xc1, edtl: BLOCK })
    await target.until(() => faults.held === 1)
    const reset = first.taskManagement(7)
    expect(await settledBefore(first, reset)).toBe(false)
    faults.clear()
    faults.releaseAll()
    expect(await reset).toBe(COMPLETE)
    await first.closed()
    await second.closed()
    await target.until(() => target.ends.length === 2)
    expect(target.ends.map(({ end }) => end)).toEqual([
      { kind: 'lost', cause: 'TARGET COLD RESET' },
      { kind: 'lost', cause: 'TARGET COLD RESET' }
    ])
    // Shared units tell the others of the reset.
    expect((await other.command(INQUIRY_36, { read: 36 })).status).toBe(0)
    await other.leave()
  })

  it('cuts an initiator that does not close its side', async () => {
    const initiator = await start()
    initiator.socket.allowHalfOpen = true
    expect(await initiator.taskManagement(7)).toBe(COMPLETE)
    const [connection] = target.connections
    connection!.tick(performance.now() + 4_000)
    expect(connection!.closed).toBe(false)
    connection!.tick(performance.now() + 6_000)
    expect(connection!.closed).toBe(true)
    await target.until(() => target.ends.length === 1)
    initiator.socket.destroy()
  })
})
