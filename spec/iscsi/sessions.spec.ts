import { afterEach, describe, expect, it } from '@jest/globals'
import { LoginError } from '../../lib/iscsi/errors.js'
import { FaultPlan } from '../../lib/volume/layers/fault.js'
import { IPXE, OPEN_ISCSI } from '../support/login-presets.js'
import { begin, BLOCK, read10, TEST_UNIT_READY, write10 } from '../support/raw-commands.js'
import { ScriptedInitiator, type LoginOptions } from '../support/scripted-initiator.js'
import { NOTHING, TARGET_NAME, TestTarget } from '../support/test-target.js'

const HERE = '127.0.0.1'
const THERE = '127.0.0.2'
/** Long enough for whoever gives no sign of life, however long it takes. */
const SHORT_PROBE_MS = 150

let target: TestTarget
afterEach(async () => expect(await target.stop()).toEqual(NOTHING))

function login(options: LoginOptions = {}): Promise<ScriptedInitiator> {
  return ScriptedInitiator.login(target.port, { targetName: TARGET_NAME, preset: OPEN_ISCSI, ...options })
}

async function tryLogin(options: LoginOptions = {}): Promise<{ initiator: ScriptedInitiator; status: number }> {
  const initiator = await ScriptedInitiator.connect(target.port, undefined, options.localAddress)
  const { status } = await initiator.tryLogin({ targetName: TARGET_NAME, preset: OPEN_ISCSI, ...options })
  return { initiator, status }
}

describe('RFC 7143 §6.3.5: session reinstatement', () => {
  it('ends the session of the same name and ISID, and the new one has a TSIH of its own', async () => {
    target = await TestTarget.start()
    const first = await login()
    const second = await login()
    await first.closed()
    expect(second.tsih).not.toBe(0)
    expect(second.tsih).not.toBe(first.tsih)
    expect(target.ends.map(({ end }) => end.kind)).toEqual(['reinstated'])
    expect((await second.command(TEST_UNIT_READY)).status).toBe(0)
    await second.leave()
  })

  it('with another ISID, name or target does not', async () => {
    target = await TestTarget.start({ targets: [TARGET_NAME, 'iqn.2010-04.local.cloudx:two'] })
    const sessions = [
      await login(),
      await login({ isid: '00023d000001' }),
      await login({ initiatorName: 'iqn.2010-04.org.example:other' }),
      await login({ targetName: 'iqn.2010-04.local.cloudx:two' }),
      await ScriptedInitiator.login(target.port, { preset: OPEN_ISCSI })
    ]
    expect(target.group.sessions.length).toBe(5)
    for (const one of sessions) await one.leave()
    expect(target.ends.every(({ end }) => end.kind === 'logout')).toBe(true)
  })

  it('answers the new login only when the old writes have ended at the disk', async () => {
    const faults = new FaultPlan()
    target = await TestTarget.start({ faults })
    const first = await login()
    faults.add({ verb: 'write', times: 1, effect: { kind: 'hold' } })
    await begin(first, write10(0, 1), { flags: 0xa1, edtl: BLOCK, data: Buffer.alloc(BLOCK, 1) })
    await target.until(() => faults.held === 1)
    let answered = false
    const second = login().then((initiator) => {
      answered = true
      return initiator
    })
    await first.closed()
    const other = await login({ initiatorName: 'iqn.2010-04.org.example:other' })
    for (let count = 0; count < 10; count++) await other.nop()
    expect(answered).toBe(false)
    faults.releaseAll()
    const initiator = await second
    expect((await initiator.command(write10(0, 1), { write: Buffer.alloc(BLOCK, 2) })).status).toBe(0)
    expect((await initiator.command(read10(0, 1), { read: BLOCK })).data).toEqual(Buffer.alloc(BLOCK, 2))
    await initiator.leave()
    await other.leave()
  })

  it('by another ISID waits as well for a connection that is gone and has writes at the disk', async () => {
    const faults = new FaultPlan()
    target = await TestTarget.start({ faults })
    const first = await login()
    faults.add({ verb: 'write', times: 1, effect: { kind: 'hold' } })
    await begin(first, write10(0, 1), { flags: 0xa1, edtl: BLOCK, data: Buffer.alloc(BLOCK, 1) })
    await target.until(() => faults.held === 1)
    await first.reset()
    await target.until(() => target.connections.length === 0)
    let answered = false
    const second = login({ isid: '00023d000009' }).then((initiator) => {
      answered = true
      return initiator
    })
    const other = await login({ initiatorName: 'iqn.2010-04.org.example:other' })
    for (let count = 0; count < 10; count++) await other.nop()
    expect(answered).toBe(false)
    faults.releaseAll()
    await (await second).leave()
    await other.leave()
  })

  it('takes ORDERED tasks out of line before the one that they wait for ends: none of them runs', async () => {
    const faults = new FaultPlan()
    target = await TestTarget.start({ faults })
    const first = await login()
    faults.add({ verb: 'read', effect: { kind: 'hold' } })
    await begin(first, read10(0, 1), { flags: 0xc1, edtl: BLOCK })
    await begin(first, write10(8, 16), { flags: 0xa2, edtl: 16 * BLOCK, data: Buffer.alloc(16 * BLOCK, 1) })
    await begin(first, write10(24, 16), { flags: 0xa2, edtl: 16 * BLOCK, data: Buffer.alloc(16 * BLOCK, 1) })
    await target.until(() => faults.held === 1 && target.tasksOut === 3)
    const second = login()
    await first.closed()
    faults.clear()
    faults.releaseAll()
    const initiator = await second
    expect((await initiator.command(read10(0, 64), { read: 64 * BLOCK })).data).toEqual(Buffer.alloc(64 * BLOCK))
    await initiator.leave()
  })

  it('of a session that waits only for its own queue runs none of it', async () => {
    target = await TestTarget.start()
    const first = await login()
    // The first write waits for data; the ORDERED one behind it waits for the first.
    await begin(first, write10(0, 2048), { flags: 0xa1, edtl: 2048 * BLOCK })
    await first.receiveOpcode(0x31)
    await begin(first, write10(4096, 16), { flags: 0xa2, edtl: 16 * BLOCK, data: Buffer.alloc(16 * BLOCK, 1) })
    await target.until(() => target.tasksOut === 2)
    const second = await login()
    expect((await second.command(read10(4096, 16), { read: 16 * BLOCK })).data).toEqual(Buffer.alloc(16 * BLOCK))
    await second.leave()
  })

  it('happens only after a whole login: half of one, a refused one and a port scan change nothing', async () => {
    target = await TestTarget.start({
      onOpen: ({ isid, localAddress }) => {
        void localAddress
        if (isid === 'refused') throw new LoginError(0x0202, 'not you')
      },
      chap: { required: false, available: true, initiatorSecret: () => Buffer.from('a secret of 16 b') }
    })
    const first = await login()
    const scan = await ScriptedInitiator.connect(target.port)
    await scan.close()
    const half = await ScriptedInitiator.connect(target.port)
    const rest = half.tryLogin({
      targetName: TARGET_NAME,
      preset: OPEN_ISCSI,
      chap: { name: 'me', secret: 'the wrong secret' }
    })
    expect((await rest).status).toBe(0x0201)
    expect((await first.command(TEST_UNIT_READY)).status).toBe(0)
    expect(target.ends).toEqual([])
    await first.leave()
  })

  it('in a storm of 100 logins leaves exactly one survivor', async () => {
    const opened: string[] = []
    target = await TestTarget.start({
      onOpen: () => void opened.push('open'),
      onClose: () => void opened.push('close'),
      maxSessions: 128
    })
    const storm = await Promise.allSettled(Array.from({ length: 100 }, () => login()))
    const all = storm.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
    await target.until(() => target.group.sessions.length === 1 && target.connections.length === 1)
    const alive = []
    for (const one of all) {
      const works = await one.command(TEST_UNIT_READY).then(
        () => true,
        () => false
      )
      if (works) alive.push(one)
    }
    expect(alive.length).toBe(1)
    expect(alive[0]!.tsih).toBe(target.group.sessions[0]!.tsih)
    // Never two nexuses at once.
    expect(opened.join(' ')).toMatch(/^open( close open)*$/)
    await alive[0]!.leave()
  })
})

describe('the same initiator from another address', () => {
  it('is refused with 0301h while the old connection answers a ping', async () => {
    target = await TestTarget.start()
    const first = await login({ localAddress: HERE })
    const clone = tryLogin({ localAddress: THERE })
    await first.answerPing(await first.receiveOpcode(0x20))
    const { initiator, status } = await clone
    expect(status).toBe(0x0301)
    expect(target.refusals[0]).toMatchObject({ remoteAddress: THERE, status: 0x0301 })
    expect(target.refusals[0]!.message).toMatch(/cloned PC/)
    await initiator.closed()
    expect((await first.command(TEST_UNIT_READY)).status).toBe(0)
    await first.leave()
  })

  it('is refused with 0301h while it answers, also with another ISID', async () => {
    target = await TestTarget.start()
    const first = await login({ localAddress: HERE })
    const clone = tryLogin({ localAddress: THERE, isid: '00023d000005' })
    await first.answerPing(await first.receiveOpcode(0x20))
    expect((await clone).status).toBe(0x0301)
    await (await clone).initiator.closed()
    await first.leave()
  })

  it('is let in beside it with another ISID when several paths are allowed', async () => {
    target = await TestTarget.start({ multipath: true })
    const first = await login({ localAddress: HERE })
    const second = await login({ localAddress: THERE, isid: '00023d000005' })
    expect(target.group.sessions.map((session) => session.remoteAddress)).toEqual([HERE, THERE])
    await first.leave()
    await second.leave()
  })

  it.each([
    ['the same ISID', '00023d000000', 'reinstated'],
    ['another ISID', '00023d000005', 'lost']
  ])('replaces a session that keeps silent, with %s', async (_title, isid, kind) => {
    target = await TestTarget.start({ probeTimeMs: SHORT_PROBE_MS })
    const first = await login({ localAddress: HERE })
    const second = await login({ localAddress: THERE, isid })
    await first.closed()
    expect(target.ends.map(({ end }) => end.kind)).toEqual([kind])
    expect((await second.command(TEST_UNIT_READY)).status).toBe(0)
    await second.leave()
  })

  it('is refused while the first one waits for our memory and cannot be heard', async () => {
    const faults = new FaultPlan()
    target = await TestTarget.start({ faults, stagingBytes: 4096, probeTimeMs: SHORT_PROBE_MS })
    const first = await login({ localAddress: HERE })
    faults.add({ verb: 'write', effect: { kind: 'hold' } })
    const ones = { write: Buffer.alloc(4096, 1) }
    const writes = [first.command(write10(0, 8), ones), first.command(write10(8, 8), ones)]
    await target.until(() => faults.held === 1 && target.connections[0]!.stopped)
    const clone = await tryLogin({ localAddress: THERE })
    expect(clone.status).toBe(0x0301)
    await clone.initiator.closed()
    faults.clear()
    faults.releaseAll()
    for (const write of writes) expect((await write).status).toBe(0)
    await first.leave()
  })

  it('is refused while the first one takes what it has asked for', async () => {
    target = await TestTarget.start()
    const first = await login({ localAddress: HERE })
    first.socket.pause()
    for (let index = 0; index < 4; index++) await begin(first, read10(0, 16384), { flags: 0xc1, edtl: 8 << 20 })
    const connection = target.connections[0]!
    await target.until(() => connection.stopped && connection.socket.waitingBytes > 0)
    const clone = tryLogin({ localAddress: THERE })
    await target.until(() => target.connections.some((one) => one !== connection && one.stopped))
    first.socket.resume()
    expect((await clone).status).toBe(0x0301)
    await (await clone).initiator.closed()
    first.socket.destroy()
  })

  it('replaces one that takes nothing of what it has asked for', async () => {
    target = await TestTarget.start()
    const first = await login({ localAddress: HERE })
    first.socket.pause()
    for (let index = 0; index < 4; index++) await begin(first, read10(0, 16384), { flags: 0xc1, edtl: 8 << 20 })
    const connection = target.connections[0]!
    await target.until(() => connection.stopped && connection.socket.waitingBytes > 0)
    let moved = await tryLogin({ localAddress: THERE })
    // The kernels may have moved bytes between them for a moment after the program stopped taking any.
    if (moved.status !== 0) moved = await tryLogin({ localAddress: THERE })
    expect(moved.status).toBe(0)
    await moved.initiator.leave()
    first.socket.destroy()
  })

  it('replaces at once a session whose connection is gone', async () => {
    const faults = new FaultPlan()
    target = await TestTarget.start({ faults })
    const first = await login({ localAddress: HERE })
    faults.add({ verb: 'write', times: 1, effect: { kind: 'hold' } })
    await begin(first, write10(0, 1), { flags: 0xa1, edtl: BLOCK, data: Buffer.alloc(BLOCK, 1) })
    await target.until(() => faults.held === 1)
    await first.reset()
    await target.until(() => target.connections.length === 0)
    const second = login({ localAddress: THERE })
    await target.until(() => target.connections.some((one) => one.stopped))
    faults.releaseAll()
    await (await second).leave()
  })
})

describe('a session of iPXE', () => {
  it('is closed when another ISID of its initiator reaches full feature phase', async () => {
    target = await TestTarget.start()
    const { initiatorName } = IPXE
    const boot = await login({ preset: IPXE, initiatorName })
    const system = await login({ initiatorName })
    await boot.closed()
    await target.until(() => target.ends.length === 1)
    expect(target.ends[0]!.end).toEqual({ kind: 'lost', cause: 'the booted system took over' })
    expect((await system.command(TEST_UNIT_READY)).status).toBe(0)
    await system.leave()
  })

  it('does not close another one: iPXE may open several', async () => {
    target = await TestTarget.start()
    const boot = await login({ preset: IPXE })
    const again = await login({ preset: IPXE, isid: '40002723ffff' })
    expect((await boot.command(TEST_UNIT_READY)).status).toBe(0)
    await boot.leave()
    await again.leave()
  })

  it('of another initiator stays', async () => {
    target = await TestTarget.start()
    const boot = await login({ preset: IPXE })
    const system = await login()
    expect((await boot.command(TEST_UNIT_READY)).status).toBe(0)
    await boot.leave()
    await system.leave()
  })
})

describe('an admission', () => {
  it('whose connection is cut meanwhile leaves no session', async () => {
    let open!: () => void
    const closed: string[] = []
    target = await TestTarget.start({
      onOpen: () => new Promise<void>((resolve) => (open = resolve)),
      onClose: (_nexus, end) => void closed.push(end.kind)
    })
    const initiator = await ScriptedInitiator.connect(target.port)
    const login = initiator.tryLogin({ targetName: TARGET_NAME, preset: OPEN_ISCSI }).catch(() => undefined)
    await target.until(() => open !== undefined)
    await initiator.reset()
    await login
    target.connections[0]!.close({ kind: 'lost', cause: 'cut' })
    open()
    await target.until(() => closed.length === 1)
    expect(closed).toEqual(['lost'])
    expect(target.group.sessions).toEqual([])
  })

  it('that fails for a reason of ours is refused with 0300h', async () => {
    target = await TestTarget.start({ onOpen: () => Promise.reject(new Error('no such file')) })
    const { initiator, status } = await tryLogin()
    expect(status).toBe(0x0300)
    expect(target.failures.splice(0).map(String)).toEqual(['Error: no such file'])
    await initiator.closed()
  })

  it('that the target refuses is refused with its status', async () => {
    target = await TestTarget.start({
      onOpen: () => {
        throw new LoginError(0x0301, 'an author is at work')
      }
    })
    const { initiator, status } = await tryLogin()
    expect(status).toBe(0x0301)
    expect(target.refusals.map(({ message }) => message)).toEqual(['an author is at work'])
    await initiator.closed()
  })

  it('beyond the sessions that are allowed is refused with 0302h, and frees what it opened', async () => {
    let open = 0
    target = await TestTarget.start({ maxSessions: 2, onOpen: () => void open++, onClose: () => void open-- })
    const first = await login()
    const second = await login({ isid: '00023d000001' })
    const third = await tryLogin({ isid: '00023d000002' })
    expect(third.status).toBe(0x0302)
    expect(open).toBe(2)
    await third.initiator.closed()
    // Who takes the place of its own old session needs no other place.
    const again = await login()
    await first.closed()
    await again.leave()
    await second.leave()
  })

  it('of one initiator does not wait for that of another', async () => {
    let open!: () => void
    target = await TestTarget.start({
      onOpen: ({ initiatorName }) =>
        initiatorName.endsWith(':slow') ? new Promise<void>((resolve) => (open = resolve)) : undefined
    })
    const slow = login({ initiatorName: 'iqn.2010-04.org.example:slow' })
    await target.until(() => open !== undefined)
    await (await login()).leave()
    open()
    await (await slow).leave()
  })
})

describe('a TSIH', () => {
  it('of a session that exists, with the same name and ISID, adds a connection: refused with 0206h', async () => {
    target = await TestTarget.start()
    const first = await login()
    const second = await tryLogin({ tsih: first.tsih })
    expect(second.status).toBe(0x0206)
    await second.initiator.closed()
    const foreign = await tryLogin({ tsih: first.tsih, initiatorName: 'iqn.2010-04.org.example:other' })
    expect(foreign.status).toBe(0x020a)
    await foreign.initiator.closed()
    await first.leave()
  })
})
