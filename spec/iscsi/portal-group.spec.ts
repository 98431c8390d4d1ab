import { afterEach, describe, expect, it } from '@jest/globals'
import { PENDING_LOGINS_MAX } from '../../lib/iscsi/limits.js'
import { systemClock } from '../../lib/util/clock.js'
import { FaultPlan } from '../../lib/volume/layers/fault.js'
import { OPEN_ISCSI } from '../support/login-presets.js'
import { begin, BLOCK, read10, sendRaw, TEST_UNIT_READY, write10 } from '../support/raw-commands.js'
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
    target = await TestTarget.start({ limits: { connectionsPerAddress: 2 * PENDING_LOGINS_MAX } })
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

  it('cuts a login that cannot be given to another process, and counts it no longer', async () => {
    const mistake = new Error('no such process')
    target = await TestTarget.start({
      handOver: () => {
        throw mistake
      }
    })
    await expect(login()).rejects.toThrow('the target closed the connection')
    await target.until(() => target.group.connectionCount === 0)
    expect(target.failures.splice(0)).toEqual([mistake])
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

describe('the bounds that an operator sets', () => {
  const quiet = (localAddress?: string) => ScriptedInitiator.connect(target.port, undefined, localAddress)

  it('for all connections: one more takes the place of the oldest without a session', async () => {
    target = await TestTarget.start({ limits: { connections: 4 } })
    const initiator = await login()
    const crowd = [await quiet(), await quiet(), await quiet()]
    await target.until(() => target.connections.length === 4)
    const late = await login('iqn.2010-04.org.example:late')
    await crowd[0]!.closed()
    expect(crowd.map((one) => one.isClosed)).toEqual([true, false, false])
    expect((await initiator.command(TEST_UNIT_READY)).status).toBe(0)
    for (const one of crowd) one.socket.destroy()
    await initiator.leave()
    await late.leave()
  })

  it('for all connections: the new one is closed when all have a session', async () => {
    target = await TestTarget.start({ limits: { connections: 2 } })
    const both = [await login('iqn.2010-04.org.example:a'), await login('iqn.2010-04.org.example:b')]
    const late = await quiet()
    await late.closed()
    for (const one of both) expect((await one.command(TEST_UNIT_READY)).status).toBe(0)
    for (const one of both) await one.leave()
    await target.until(() => target.connections.length === 0)
    await (await login('iqn.2010-04.org.example:c')).leave()
  })

  it('for connections of one address: others are not concerned, and a place that is free again counts', async () => {
    target = await TestTarget.start({ limits: { connectionsPerAddress: 2 } })
    const elsewhere = await quiet('127.0.0.7')
    const [first, second] = [await quiet(), await quiet()]
    await target.until(() => target.connections.length === 3)
    const third = await quiet()
    await first.closed()
    expect([elsewhere.isClosed, second.isClosed, third.isClosed]).toEqual([false, false, false])
    await second.reset()
    await target.until(() => target.connections.length === 2)
    const fourth = await quiet()
    await target.until(() => target.connections.length === 3)
    expect(third.isClosed).toBe(false)
    for (const one of [elsewhere, third, fourth]) one.socket.destroy()
  })

  it('for logins that are pending', async () => {
    target = await TestTarget.start({ limits: { pendingLogins: 2 } })
    const [first, second] = [await quiet(), await quiet('127.0.0.7')]
    await target.until(() => target.connections.length === 2)
    const third = await quiet('127.0.0.8')
    await first.closed()
    expect([second.isClosed, third.isClosed]).toEqual([false, false])
    for (const one of [second, third]) one.socket.destroy()
  })

  it('for the commands of a session', async () => {
    const faults = new FaultPlan()
    target = await TestTarget.start({ limits: { commands: 3 }, faults })
    const initiator = await login()
    expect(initiator.window).toBe(3)
    faults.add({ verb: 'read', effect: { kind: 'hold' } })
    for (let lba = 0; lba < 4; lba++) await begin(initiator, read10(lba, 1), { flags: 0xc1, edtl: BLOCK })
    await target.until(() => faults.held === 3)
    // The fourth lay outside the window, so it is as if it had never come.
    await initiator.nop()
    expect([target.tasksOut, initiator.window]).toEqual([3, 0])
    faults.clear()
    faults.releaseAll()
    for (let count = 0; count < 3; count++) await initiator.receiveOpcode(0x25)
    initiator.cmdSn--
    expect((await initiator.command(TEST_UNIT_READY)).status).toBe(0)
    await initiator.leave()
  })

  it('for the text of a login, and of a Text exchange', async () => {
    target = await TestTarget.start({ limits: { textBytes: 10_000 } })
    const long = (count: number) =>
      Array.from({ length: count }, (_unused, index) => [`X-${index}`, 'v'.repeat(1000)] as const)
    const refused = await (await quiet()).tryLogin({ targetName: TARGET_NAME, preset: OPEN_ISCSI, keys: long(11) })
    expect(refused.status).toBe(0x0200)
    const initiator = await login()
    const text = Buffer.from('X=1\0'.repeat(2501))
    await sendRaw(initiator, { opcode: 0x44 }, [[20, 0xffffffff]], text)
    expect((await initiator.receiveOpcode(0x3f)).bhs[2]).toBe(0x04)
    expect(await initiator.text(long(2))).toHaveLength(2)
    await initiator.leave()
  })

  it('for failures under one CHAP name, from whatever addresses; other names are not concerned', async () => {
    let now = 0
    const clock = { ...systemClock, monotonic: () => now }
    const secrets: Record<string, string> = { pupil: 'the secret of pupils', owner: 'the secret of owners' }
    const initiatorSecret = (name: string) => Buffer.from(secrets[name]!)
    target = await TestTarget.start({
      clock,
      limits: { authenticationFailuresPerUser: 3 },
      chap: { required: true, available: true, initiatorSecret }
    })
    const attempt = async (address: number, name: string, secret: string) => {
      const initiator = await quiet(`127.0.0.${address}`)
      const result = await initiator.tryLogin({ targetName: TARGET_NAME, preset: OPEN_ISCSI, chap: { name, secret } })
      if (result.status === 0) await initiator.leave()
      else initiator.socket.destroy()
      return result.status
    }
    for (let address = 2; address < 5; address++) expect(await attempt(address, 'pupil', 'wrong')).toBe(0x0201)
    expect(await attempt(5, 'pupil', secrets.pupil!)).toBe(0x0301)
    expect(await attempt(5, 'owner', secrets.owner!)).toBe(0)
    now += 1000
    expect(await attempt(5, 'pupil', secrets.pupil!)).toBe(0)
  })

  it('for data that waits for its initiator: parameter lists beyond it end with TASK SET FULL', async () => {
    target = await TestTarget.start({ limits: { waitingBytes: 4096 } })
    const initiator = await login()
    // A session has 1 MiB of its own, for 16 of these lists.
    const listLength = 65_528
    const unmap = [0x42, 0, 0, 0, 0, 0, 0, listLength >> 8, listLength & 0xff, 0]
    const started = []
    for (let count = 0; count < 17; count++) {
      started.push(await begin(initiator, unmap, { flags: 0xa1, edtl: listLength }))
    }
    const answer = await initiator.receiveOpcode(0x21)
    expect([answer.bhs.readUInt32BE(16), answer.bhs[3]]).toEqual([started[16], 0x28])
    const other = await login('iqn.2010-04.org.example:other')
    const list = Buffer.alloc(listLength)
    list.writeUInt16BE(listLength - 2, 0)
    expect((await other.command(unmap, { write: list })).status).toBe(0)
    await other.leave()
    await initiator.reset()
  })

  it('for data of commands that are blocked: beyond it they fail, and the session goes on', async () => {
    target = await TestTarget.start({ limits: { waitingBytes: 4096 } })
    const initiator = await login()
    // An ORDERED write whose data does not come blocks all behind it, which have 128 KiB each with them.
    const first = await begin(initiator, write10(0, 256), { flags: 0xa2, edtl: 256 * BLOCK })
    const immediate = Buffer.alloc(128 * 1024)
    const tags: number[] = []
    for (let count = 0; count < 9; count++) {
      tags.push(await begin(initiator, write10(0, 256), { flags: 0xa1, edtl: immediate.length, data: immediate }))
    }
    expect(await initiator.taskManagement(1, { referencedTag: first, refCmdSn: 1 })).toBe(0)
    const outcomes = await Promise.all(tags.map((tag) => initiator.finish(tag, Buffer.alloc(8), immediate)))
    expect(outcomes.map(({ senseText }) => senseText)).toEqual([...new Array<string>(8).fill(''), '05/55/03'])
    await initiator.leave()
  })
})
