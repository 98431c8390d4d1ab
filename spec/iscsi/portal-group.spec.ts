import { afterEach, describe, expect, it } from '@jest/globals'
import { PENDING_LOGINS_MAX } from '../../lib/iscsi/limits.js'
import { systemClock } from '../../lib/util/clock.js'
import { FaultPlan } from '../../lib/volume/layers/fault.js'
import { OPEN_ISCSI } from '../support/login-presets.js'
import { begin, BLOCK, read10, TEST_UNIT_READY, write10 } from '../support/raw-commands.js'
import { ScriptedInitiator } from '../support/scripted-initiator.js'
import { NOTHING, TARGET_NAME, TestTarget } from '../support/test-target.js'

let target: TestTarget
afterEach(async () => expect(await target.stop()).toEqual(NOTHING))

function login(initiatorName?: string): Promise<ScriptedInitiator> {
  return ScriptedInitiator.login(target.port, {
    targetName: TARGET_NAME,
    preset: OPEN_ISCSI,
    ...(initiatorName !== undefined && { initiatorName })
  })
}

describe('a portal group', () => {
  it('shows its sessions', async () => {
    target = await TestTarget.start()
    const initiator = await login()
    await initiator.command(write10(0, 8), { write: Buffer.alloc(8 * BLOCK) })
    await initiator.command(read10(0, 16), { read: 16 * BLOCK })
    expect(target.group.sessions).toEqual([
      expect.objectContaining({
        type: 'Normal',
        initiatorName: OPEN_ISCSI.initiatorName,
        targetName: TARGET_NAME,
        isid: OPEN_ISCSI.isid,
        tsih: initiator.tsih,
        remoteAddress: '127.0.0.1',
        localAddress: '127.0.0.1',
        commands: 2,
        dataInBytes: 16 * BLOCK,
        dataOutBytes: 8 * BLOCK
      })
    ])
    await initiator.leave()
    expect(target.group.sessions).toEqual([])
  })

  it('drops whoever has waited longest without a login when there are too many, and serves the others', async () => {
    target = await TestTarget.start()
    const initiator = await login()
    const crowd: ScriptedInitiator[] = []
    for (let index = 0; index < PENDING_LOGINS_MAX; index++) crowd.push(await ScriptedInitiator.connect(target.port))
    await target.until(() => target.connections.length === PENDING_LOGINS_MAX + 1)
    const late = await login('iqn.2010-04.org.example:late')
    await crowd[0]!.closed()
    expect(crowd[1]!.isClosed).toBe(false)
    expect(target.dropped).toEqual(['too many connections that do not log in'])
    expect((await initiator.command(TEST_UNIT_READY)).status).toBe(0)
    expect((await late.command(TEST_UNIT_READY)).status).toBe(0)
    for (const one of crowd) one.socket.destroy()
    await initiator.leave()
    await late.leave()
  })

  it('lets those make room who were refused and do not go', async () => {
    target = await TestTarget.start()
    const crowd: ScriptedInitiator[] = []
    for (let index = 0; index < PENDING_LOGINS_MAX; index++) {
      const one = await ScriptedInitiator.connect(target.port)
      one.socket.allowHalfOpen = true
      expect((await one.tryLogin({ targetName: 'iqn.2010-04.local.cloudx:none' })).status).toBe(0x0203)
      crowd.push(one)
    }
    const late = await login()
    await target.until(() => target.connections.length === PENDING_LOGINS_MAX)
    await late.leave()
    for (const one of crowd) one.socket.destroy()
  }, 20_000)

  it('lets an address that failed to prove itself ten times wait, and no other', async () => {
    let now = 0
    const clock = { ...systemClock, monotonic: () => now }
    target = await TestTarget.start({
      clock,
      chap: { required: true, available: true, initiatorSecret: () => Buffer.from('the right secret') }
    })
    const attempt = async (localAddress: string, secret: string) => {
      const initiator = await ScriptedInitiator.connect(target.port, undefined, localAddress)
      const options = { targetName: TARGET_NAME, preset: OPEN_ISCSI, chap: { name: 'me', secret } }
      const result = await initiator.tryLogin(options).catch(() => undefined)
      if (result?.status !== 0) initiator.socket.destroy()
      return { initiator, status: result?.status }
    }
    for (let count = 0; count < 10; count++) expect((await attempt('127.0.0.1', 'wrong')).status).toBe(0x0201)
    expect((await attempt('127.0.0.1', 'the right secret')).status).toBeUndefined()
    const other = await attempt('127.0.0.3', 'the right secret')
    expect(other.status).toBe(0)
    await other.initiator.leave()
    now += 1000
    const again = await attempt('127.0.0.1', 'the right secret')
    expect(again.status).toBe(0)
    await again.initiator.leave()
  })

  it('cuts the chosen sessions, whose ends are told as a stop', async () => {
    target = await TestTarget.start()
    const initiator = await login()
    const other = await login('iqn.2010-04.org.example:other')
    await target.group.disconnect((session) => session.initiatorName.endsWith(':other'))
    await other.closed()
    expect(target.ends).toMatchObject([{ initiatorName: 'iqn.2010-04.org.example:other', end: { kind: 'stopped' } }])
    await initiator.leave()
  })

  it('closes only when the disks have answered and the last session has ended', async () => {
    const faults = new FaultPlan()
    const steps: string[] = []
    target = await TestTarget.start({ faults, onClose: () => void steps.push('nexus closed') })
    const initiator = await login()
    faults.add({ verb: 'read', effect: { kind: 'hold' } })
    await begin(initiator, read10(0, 1), { flags: 0xc1, edtl: BLOCK })
    await target.until(() => faults.held === 1)
    const closed = target.group.close().then(() => steps.push('closed'))
    await initiator.closed()
    expect(steps).toEqual([])
    faults.releaseAll()
    await closed
    expect(steps).toEqual(['nexus closed', 'closed'])
  })

  it('closes while a login is being admitted, and waits for it', async () => {
    let open!: () => void
    const steps: string[] = []
    target = await TestTarget.start({
      onOpen: () => new Promise<void>((resolve) => (open = resolve)),
      onClose: () => void steps.push('nexus closed')
    })
    const initiator = await ScriptedInitiator.connect(target.port)
    const refused = initiator.tryLogin({ targetName: TARGET_NAME, preset: OPEN_ISCSI }).catch(() => undefined)
    await target.until(() => open !== undefined)
    const closed = target.group.close().then(() => steps.push('closed'))
    await initiator.closed()
    open()
    await closed
    await refused
    expect(steps).toEqual(['nexus closed', 'closed'])
  })

  it('closes although the end of a session fails', async () => {
    target = await TestTarget.start({ onClose: () => Promise.reject(new Error('the bin is full')) })
    const initiator = await login()
    await target.group.close()
    await initiator.closed()
    expect(target.failures.splice(0).map(String)).toEqual(['Error: the bin is full'])
  })

  it('looks after the time limits of all connections by itself', async () => {
    target = await TestTarget.start()
    const initiator = await ScriptedInitiator.connect(target.port)
    await target.until(() => target.connections.length === 1)
    Object.defineProperty(target.connections[0], 'since', { value: performance.now() - 60_000 })
    await initiator.closed()
    await target.until(() => target.dropped.length === 1)
    expect(target.dropped).toEqual(['login took too long'])
  })
})
