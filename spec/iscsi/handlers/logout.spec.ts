import { afterEach, describe, expect, it } from '@jest/globals'
import { CLOSE_TIME_MS } from '../../../lib/iscsi/limits.js'
import { FaultPlan } from '../../../lib/volume/layers/fault.js'
import { OPEN_ISCSI } from '../../support/login-presets.js'
import { begin, BLOCK, read10, sendRaw, TEST_UNIT_READY, write10 } from '../../support/raw-commands.js'
import { ScriptedInitiator } from '../../support/scripted-initiator.js'
import { NOTHING, TARGET_NAME, TestTarget, type TestTargetOptions } from '../../support/test-target.js'

let target: TestTarget
afterEach(async () => expect(await target.stop()).toEqual(NOTHING))

async function start(options: TestTargetOptions = {}): Promise<ScriptedInitiator> {
  target = await TestTarget.start(options)
  return login()
}

function login(): Promise<ScriptedInitiator> {
  return ScriptedInitiator.login(target.port, { targetName: TARGET_NAME, preset: OPEN_ISCSI, cid: 7 })
}

describe('RFC 7143 §11.14: Logout', () => {
  it.each([0, 1])('with reason %i ends the session of its only connection, and the reason is told', async (reason) => {
    const initiator = await start()
    expect(await initiator.logout(reason)).toBe(0)
    await initiator.closed()
    expect(target.ends.map(({ end }) => end)).toEqual([{ kind: 'logout', reason }])
  })

  it('has these bytes in its response', async () => {
    const initiator = await start()
    await sendRaw(initiator, { opcode: 0x46, byte1: 0x80, tag: 0x11223344 }, [[20, 7 << 16]])
    const { bhs } = await initiator.receiveOpcode(0x26)
    expect(bhs.subarray(0, 24).toString('hex')).toBe('268000000000000000000000000000001122334400000000')
    // §11.15.3: with Time2Retain 0 there is no state to come back to.
    expect(bhs.readUInt16BE(42)).toBe(0)
    await initiator.closed()
  })

  it('of a connection that is not there is answered with 1, and the session goes on', async () => {
    const initiator = await start()
    initiator.cid = 8
    expect(await initiator.logout(1)).toBe(1)
    expect((await initiator.command(TEST_UNIT_READY)).status).toBe(0)
    // Reason 0 has no CID to look at.
    expect(await initiator.logout(0)).toBe(0)
    await initiator.closed()
  })

  it('for recovery is answered with 2: not at ErrorRecoveryLevel 0', async () => {
    const initiator = await start()
    expect(await initiator.logout(2)).toBe(2)
    expect((await initiator.command(TEST_UNIT_READY)).status).toBe(0)
    await initiator.leave()
  })

  it.each([3, 7, 0x7f])('with the unknown reason %i is rejected', async (reason) => {
    const initiator = await start()
    await sendRaw(initiator, { opcode: 0x46, byte1: 0x80 | reason })
    expect((await initiator.receiveOpcode(0x3f)).bhs[2]).toBe(0x09)
    expect((await initiator.command(TEST_UNIT_READY)).status).toBe(0)
    await initiator.leave()
  })

  it('comes in its turn when it is not immediate', async () => {
    const initiator = await start()
    const gap = initiator.cmdSn++
    const tag = await sendRaw(initiator, { opcode: 0x06, byte1: 0x80 })
    await initiator.nop()
    expect(target.ends).toEqual([])
    await begin(initiator, TEST_UNIT_READY, { flags: 0x81, cmdSn: gap })
    await initiator.receiveOpcode(0x21)
    expect((await initiator.receiveOpcode(0x26)).bhs.readUInt32BE(16)).toBe(tag)
    await initiator.closed()
  })

  it('ends a discovery session', async () => {
    target = await TestTarget.start()
    const initiator = await ScriptedInitiator.login(target.port)
    await initiator.leave()
    expect(target.ends.map(({ end }) => end)).toEqual([{ kind: 'logout', reason: 0 }])
  })

  it('waits for commands at a held disk, and for what the target does at the end', async () => {
    const faults = new FaultPlan()
    const steps: string[] = []
    let restored!: () => void
    const initiator = await start({
      faults,
      onClose: async (_nexus, end) => {
        steps.push(end.kind)
        await new Promise<void>((resolve) => (restored = resolve))
        steps.push('restored')
      }
    })
    faults.add({ verb: 'write', effect: { kind: 'hold' } })
    await begin(initiator, write10(0, 1), { flags: 0xa1, edtl: BLOCK, data: Buffer.alloc(BLOCK, 1) })
    await begin(initiator, read10(0, 1), { flags: 0xc2, edtl: BLOCK })
    await target.until(() => faults.held === 1)
    const logout = initiator.logout().then(() => steps.push('answered'))
    await target.until(() => target.connections[0]!.leaving)
    expect(steps).toEqual([])
    faults.releaseAll()
    await target.until(() => steps.length === 1)
    expect(target.tasksOut).toBe(0)
    restored()
    await logout
    expect(steps).toEqual(['logout', 'restored', 'answered'])
    await initiator.close()
  })

  it('answers first the writes that came in the same segment', async () => {
    const initiator = await start()
    const order: number[] = []
    const data = Buffer.alloc(BLOCK, 1)
    const command = Buffer.alloc(48)
    command[0] = 0x01
    command[1] = 0xa1
    command.writeUInt32BE(5, 16)
    command.writeUInt32BE(BLOCK, 20)
    initiator.stamp(command, true)
    Buffer.from(write10(0, 1)).copy(command, 32)
    const logout = Buffer.alloc(48)
    logout[0] = 0x46
    logout[1] = 0x80
    logout.writeUInt32BE(6, 16)
    initiator.stamp(logout, false)
    Object.defineProperty(target.volumes[0], 'uncommitted', { get: () => order.length === 0 })
    Object.defineProperty(target.volumes[0], 'commit', { value: () => order.push(1) })
    await initiator.send(Buffer.concat([initiator.frame(command, data), initiator.frame(logout)]))
    expect((await initiator.receive()).opcode).toBe(0x21)
    expect((await initiator.receive()).opcode).toBe(0x26)
    expect(order).toEqual([1])
    await initiator.closed()
  })

  it('makes everything behind it void', async () => {
    let restored!: () => void
    const initiator = await start({ onClose: () => new Promise<void>((resolve) => (restored = resolve)) })
    const logout = initiator.logout()
    await begin(initiator, write10(0, 1), { flags: 0xa1, edtl: BLOCK, data: Buffer.alloc(BLOCK, 1) })
    await sendRaw(initiator, { opcode: 0x40 }, [[20, 0xffffffff]])
    await sendRaw(initiator, { opcode: 0x46 })
    await sendRaw(initiator, { opcode: 0x3f })
    await target.until(() => restored !== undefined)
    restored()
    expect(await logout).toBe(0)
    await expect(initiator.receive()).rejects.toThrow('closed')
    expect(target.volumes[0]!.extent(0, 65536).mapped).toBe(false)
  })

  it('is answered with 3 when the target could not clean up', async () => {
    const initiator = await start({ onClose: () => Promise.reject(new Error('the bin is full')) })
    expect(await initiator.logout()).toBe(3)
    await initiator.closed()
    expect(target.failures.splice(0).map(String)).toEqual(['Error: close session: the bin is full'])
    expect(target.group.sessions).toEqual([])
  })

  it('cuts a client that does not close its side', async () => {
    const initiator = await start()
    initiator.socket.allowHalfOpen = true
    expect(await initiator.logout()).toBe(0)
    const [connection] = target.connections
    connection!.tick(performance.now() + CLOSE_TIME_MS - 1000)
    expect(connection!.closed).toBe(false)
    connection!.tick(performance.now() + CLOSE_TIME_MS + 1)
    expect(connection!.closed).toBe(true)
    await target.until(() => target.connections.length === 0)
    initiator.socket.destroy()
  })

  it('is answered even if the output was full when it came', async () => {
    const initiator = await start()
    initiator.socket.pause()
    // 8 MiB each, more than all buffers on the way hold.
    for (let index = 0; index < 4; index++) {
      await begin(initiator, read10(0, 16384), { flags: 0xc1, edtl: 16384 * BLOCK })
    }
    await target.until(() => target.connections[0]!.stopped)
    // Reading is stopped; the logout waits in the kernel until the output has room.
    const logout = initiator.logout()
    initiator.socket.resume()
    expect(await logout).toBe(0)
    await initiator.closed()
  })
})

describe('RFC 7143 §11.9.1: a logout that we asked for', () => {
  it('is a logout on request, so that the delta is kept', async () => {
    const initiator = await start()
    const asked = target.group.requestLogout(() => true, 60_000)
    const { bhs } = await initiator.receiveOpcode(0x32)
    // AsyncEvent 1; Parameter3: seconds to react.
    expect([bhs[36], bhs.readUInt16BE(42)]).toEqual([1, 60])
    expect(bhs.readUInt32BE(16)).toBe(0xffffffff)
    expect(await initiator.logout()).toBe(0)
    await asked
    expect(target.ends.map(({ end }) => end)).toEqual([{ kind: 'logout-on-request', reason: 0 }])
    await initiator.closed()
  })

  it('is not waited for longer than that: who does not obey is cut', async () => {
    const initiator = await start()
    await target.group.requestLogout(() => true, 1)
    await initiator.closed()
    expect(target.ends.map(({ end }) => end)).toEqual([{ kind: 'stopped' }])
  })

  it('is asked of the chosen sessions alone', async () => {
    const initiator = await start()
    const other = await ScriptedInitiator.login(target.port, {
      targetName: TARGET_NAME,
      initiatorName: 'iqn.2010-04.org.example:b'
    })
    await target.group.requestLogout((session) => session.initiatorName.endsWith(':b'), 1)
    await other.closed()
    expect((await initiator.command(TEST_UNIT_READY)).status).toBe(0)
    await initiator.leave()
  })
})
