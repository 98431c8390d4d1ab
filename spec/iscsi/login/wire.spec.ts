import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import type { ChapPolicy } from '../../../lib/iscsi/directory.js'
import { ESXI, FREEBSD, IPXE, LIBISCSI, OPEN_ISCSI, WINDOWS, type LoginPreset } from '../../support/login-presets.js'
import { framePdu, loginHeader, ScriptedInitiator, textOf, type ChapOptions } from '../../support/scripted-initiator.js'
import { NOTHING, TARGET_NAME, TestTarget, type TestTargetOptions } from '../../support/test-target.js'

/** Logins over a real socket, by initiators that behave like those that people have. */
let target: TestTarget | undefined

async function start(options: TestTargetOptions = {}): Promise<number> {
  target = await TestTarget.start(options)
  return target.port
}

beforeEach(() => {
  target = undefined
})
afterEach(async () => {
  expect(await target?.stop()).toEqual(NOTHING)
})

const TEST_UNIT_READY = [0, 0, 0, 0, 0, 0]
const PRESETS: [string, LoginPreset][] = [
  ['Windows', WINDOWS],
  ['open-iscsi', OPEN_ISCSI],
  ['ESXi', ESXI],
  ['iPXE', IPXE],
  ['FreeBSD', FREEBSD],
  ['libiscsi', LIBISCSI]
]

/** The first command of a nexus may meet a unit attention; the second never. */
async function isReady(initiator: ScriptedInitiator): Promise<boolean> {
  await initiator.command(TEST_UNIT_READY)
  return (await initiator.command(TEST_UNIT_READY)).status === 0
}

describe('on the wire', () => {
  it.each(PRESETS)('%s discovers the target, logs in, writes, reads and leaves', async (_, preset) => {
    const port = await start()
    const discovery = await ScriptedInitiator.login(port, { preset })
    expect(discovery.tsih).not.toBe(0)
    expect(await discovery.sendTargets()).toEqual([
      ['TargetName', TARGET_NAME],
      ['TargetAddress', `127.0.0.1:${port},1`]
    ])
    await discovery.leave()

    const initiator = await ScriptedInitiator.login(port, { preset, targetName: TARGET_NAME })
    expect(await isReady(initiator)).toBe(true)
    const data = Buffer.alloc(256 * 1024, `${preset.isid} `)
    const write = await initiator.command([0x2a, 0, 0, 0, 0, 0, 0, 0x02, 0x00, 0], { write: data })
    const read = await initiator.command([0x28, 0, 0, 0, 0, 0, 0, 0x02, 0x00, 0], { read: data.length })
    expect([write.status, read.status, read.data.equals(data)]).toEqual([0, 0, true])
    await initiator.leave()
  })

  it.each([
    ['CRC32C', 'CRC32C'],
    ['CRC32C', 'None'],
    ['None', 'CRC32C']
  ])('header digest %s and data digest %s begin right after the login', async (HeaderDigest, DataDigest) => {
    const port = await start()
    const initiator = await ScriptedInitiator.login(port, {
      targetName: TARGET_NAME,
      override: { HeaderDigest, DataDigest }
    })
    expect([initiator.headerDigest, initiator.dataDigest]).toEqual([HeaderDigest === 'CRC32C', DataDigest === 'CRC32C'])
    expect(await isReady(initiator)).toBe(true)
    expect((await initiator.nop(Buffer.from('ping!'))).data.toString()).toBe('ping!')
    await initiator.leave()
  })

  it.each([1, 7, 48, 49])('a login in TCP segments of %d bytes is the same login', async (length) => {
    const port = await start()
    const initiator = await ScriptedInitiator.connect(port)
    const send = async (flags: number, text: Buffer): Promise<string> => {
      const pdu = framePdu(loginHeader({ flags, isid: Buffer.from(WINDOWS.isid, 'hex'), cmdSn: 1 }), text)
      for (let offset = 0; offset < pdu.length; offset += length)
        await initiator.send(pdu.subarray(offset, offset + length))
      return (await initiator.receiveOpcode(0x23)).data.toString()
    }
    const names = { initiatorName: WINDOWS.initiatorName, targetName: TARGET_NAME, authMethod: 'None' }
    expect(await send(0x81, textOf(WINDOWS.first(names)))).toBe('AuthMethod=None\0TargetPortalGroupTag=1\0')
    expect(await send(0x87, textOf(WINDOWS.normal))).toContain('MaxBurstLength=262144\0')
    expect(await isReady(initiator)).toBe(true)
    await initiator.leave()
  })

  it('an answer longer than a PDU arrives whole', async () => {
    const port = await start()
    const keys = Array.from({ length: 200 }, (_, i) => [`X-${String(i).padStart(60, 'k')}`, '1'] as const)
    const initiator = await ScriptedInitiator.connect(port)
    const outcome = await initiator.login({ targetName: TARGET_NAME, keys })
    expect(outcome.pdus.length).toBeGreaterThan(3)
    for (const [key] of keys) expect(initiator.answer(key)).toBe('NotUnderstood')
    expect(await isReady(initiator)).toBe(true)
    await initiator.leave()
  })

  const chap: Partial<ChapPolicy> = {
    required: true,
    available: true,
    initiatorSecret: (name) => (name === 'alice' ? Buffer.from('twelve-chars') : undefined),
    mutual: { chapName: 'the-target', secret: Buffer.from('another-secret') }
  }
  const alice: ChapOptions = { name: 'alice', secret: 'twelve-chars' }
  const mutual = { secret: 'another-secret', name: 'the-target' }

  it.each<[string, ChapOptions]>([
    ['MD5', alice],
    ['SHA-1', { ...alice, algorithms: '6' }],
    ['SHA-256', { ...alice, algorithms: '7' }],
    ['SHA3-256', { ...alice, algorithms: '8' }],
    ['Base64', { ...alice, encoding: 'base64' }],
    ['the best of a list', { ...alice, algorithms: '5,6,7,8' }],
    ['proof of the target', { ...alice, mutual }],
    ['proof of the target with SHA-256 and Base64', { ...alice, algorithms: '7', encoding: 'base64', mutual }]
  ])('CHAP with %s', async (_, options) => {
    const port = await start({ chap })
    const initiator = await ScriptedInitiator.login(port, { targetName: TARGET_NAME, chap: options })
    expect(await isReady(initiator)).toBe(true)
    await initiator.leave()
  })

  it.each<[string, ChapOptions | undefined]>([
    ['without CHAP', undefined],
    ['with an unknown name', { ...alice, name: 'bob' }],
    ['with a wrong secret', { ...alice, secret: 'twelve-char5' }],
    ['with an unknown algorithm', { ...alice, algorithms: '9' }]
  ])('a login %s is refused, closed, and leaves nothing behind', async (_, options) => {
    const port = await start({ chap })
    const initiator = await ScriptedInitiator.connect(port)
    const outcome = await initiator.tryLogin({ targetName: TARGET_NAME, chap: options })
    expect(outcome.status).toBe(0x0201)
    await initiator.closed()
    expect(target!.refusals).toHaveLength(1)
    expect(target!.nexuses).toHaveLength(0)
    expect(JSON.stringify(target!.refusals)).not.toContain('twelve-char')
  })

  it.each([
    ['the name of no target', { targetName: 'iqn.2010-04.local.cloudx:other' }, 0x0203],
    ['a session that does not exist', { targetName: TARGET_NAME, tsih: 99 }, 0x020a],
    ['a name that is none', { targetName: TARGET_NAME, initiatorName: '../../x' }, 0x0200]
  ])('a login with %s is refused and closed', async (_, options, status) => {
    const port = await start()
    const initiator = await ScriptedInitiator.connect(port)
    expect((await initiator.tryLogin(options)).status).toBe(status)
    await initiator.closed()
    const other = await ScriptedInitiator.login(port, { targetName: TARGET_NAME })
    expect(await isReady(other)).toBe(true)
    await other.leave()
  })

  it('a second connection for a session is refused, and the session goes on', async () => {
    const port = await start()
    const first = await ScriptedInitiator.login(port, { targetName: TARGET_NAME })
    const second = await ScriptedInitiator.connect(port)
    const { status } = await second.tryLogin({ targetName: TARGET_NAME, tsih: first.tsih, cid: 2 })
    expect(status).toBe(0x0206)
    await second.closed()
    expect(await isReady(first)).toBe(true)
    await first.leave()
  })
})
