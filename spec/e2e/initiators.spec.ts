import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals'
import { ClientRules, WINDOWS_LIMITS, type ClientLimits } from '../support/client-rules.js'
import { ESXI, FREEBSD, GLOBAL_SAN, IPXE, ISCSI_OSX, OPEN_ISCSI, type LoginPreset } from '../support/login-presets.js'
import { Random } from '../support/random.js'
import { INQUIRY_36, read10, SYNCHRONIZE_CACHE, TEST_UNIT_READY, write10 } from '../support/raw-commands.js'
import { ScriptedInitiator, type LoginOptions } from '../support/scripted-initiator.js'
import { ServerProcess, sha256, workDirectory } from '../support/server-process.js'

jest.setTimeout(120_000)

/** Logins and first commands of initiators that are not here, as they were seen or read in their sources. */
const TARGET = 'iqn.2026-01.org.example:disk'
const MIB = 1024 * 1024
const LENGTH = 8 * MIB
const READ_CAPACITY_16 = [0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0]

let work: ReturnType<typeof workDirectory>
let image: string
let original: string
let content: Buffer
let server: ServerProcess
beforeAll(async () => {
  work = workDirectory()
  image = join(work.path, 'share.img')
  content = new Random(19991231).bytes(Buffer.alloc(LENGTH))
  writeFileSync(image, content)
  original = await sha256(image)
  server = await ServerProcess.start(['--lun', image, '--target-name', TARGET])
})
afterAll(async () => {
  const exit = await server.stop()
  const after = await sha256(image)
  work.remove()
  expect([exit, after]).toEqual([0, original])
})

interface Client {
  readonly preset: LoginPreset
  readonly limits: ClientLimits
}

const FATAL_ANSWERS = ['Reject', 'NotUnderstood']
const CLIENTS: readonly (readonly [string, Client])[] = [
  [
    'VMware ESXi',
    {
      preset: ESXI,
      limits: { segmentLengthMax: 262144, burstLengthMax: 16776192, outstandingR2tMax: 1, badAnswers: FATAL_ANSWERS }
    }
  ],
  [
    'iPXE',
    {
      preset: IPXE,
      limits: { segmentLengthMax: 8192, burstLengthMax: 262144, outstandingR2tMax: 1, badAnswers: FATAL_ANSWERS }
    }
  ],
  [
    'FreeBSD',
    {
      preset: FREEBSD,
      limits: { segmentLengthMax: 131072, burstLengthMax: 131072, outstandingR2tMax: 1, badAnswers: FATAL_ANSWERS }
    }
  ],
  [
    'iscsi-osx',
    {
      preset: ISCSI_OSX,
      limits: { segmentLengthMax: 8192, burstLengthMax: 262144, outstandingR2tMax: 1, badAnswers: FATAL_ANSWERS }
    }
  ],
  [
    'globalSAN',
    {
      preset: GLOBAL_SAN,
      limits: { segmentLengthMax: 262144, burstLengthMax: 262144, outstandingR2tMax: 1, badAnswers: FATAL_ANSWERS }
    }
  ],
  [
    'open-iscsi',
    {
      preset: OPEN_ISCSI,
      limits: { segmentLengthMax: 262144, burstLengthMax: 16776192, outstandingR2tMax: 1, badAnswers: FATAL_ANSWERS }
    }
  ]
]

async function login(client: Client, options: LoginOptions = {}): Promise<ScriptedInitiator> {
  const initiator = await ScriptedInitiator.connect(server.port)
  initiator.observer = new ClientRules(client.limits)
  await initiator.login({ preset: client.preset, targetName: TARGET, ...options })
  return initiator
}

/** The first commands of a nexus may meet unit attentions. */
async function untilReady(initiator: ScriptedInitiator): Promise<void> {
  for (let tries = 0; (await initiator.command(TEST_UNIT_READY)).status !== 0; tries++) {
    if (tries === 10) throw new Error('the disk is not ready after 10 tries')
  }
}

describe.each(CLIENTS)('%s', (_name, client) => {
  it('finds the target', async () => {
    const initiator = await ScriptedInitiator.connect(server.port)
    initiator.observer = new ClientRules(client.limits)
    await initiator.login({ preset: client.preset })
    expect(initiator.tsih).not.toBe(0)
    expect(await initiator.sendTargets()).toEqual([
      ['TargetName', TARGET],
      ['TargetAddress', `127.0.0.1:${server.port},1`]
    ])
    await initiator.leave()
  })

  it('writes and reads in its way, finds it after a lost connection and the original after a logout', async () => {
    let initiator = await login(client)
    await untilReady(initiator)
    const data = new Random(5).bytes(Buffer.alloc(MIB))
    expect((await initiator.command(write10(1024, 2048), { write: data })).status).toBe(0)
    expect((await initiator.command(SYNCHRONIZE_CACHE)).status).toBe(0)
    await initiator.reset()
    initiator = await login(client)
    await untilReady(initiator)
    const read = await initiator.command(read10(1024, 2048), { read: MIB })
    expect([read.status, read.data.equals(data)]).toEqual([0, true])
    await initiator.leave()
    initiator = await login(client)
    await untilReady(initiator)
    const again = await initiator.command(read10(1024, 2048), { read: MIB })
    expect(again.data.equals(content.subarray(1024 * 512, 1024 * 512 + MIB))).toBe(true)
    await initiator.leave()
  })

  it('has room for more than one command at a time', async () => {
    const initiator = await login(client)
    expect(initiator.window).toBeGreaterThan(1)
    await initiator.leave()
  })
})

const clientOf = (name: string) => CLIENTS.find(([one]) => one === name)![1]

describe('VMware ESXi', () => {
  it('has the answers that its storage stack and VAAI want', async () => {
    const initiator = await login(clientOf('VMware ESXi'))
    await untilReady(initiator)
    const good = async (cdb: readonly number[], options: Parameters<ScriptedInitiator['command']>[1]) => {
      const outcome = await initiator.command(cdb, options)
      expect([Buffer.from(cdb).toString('hex'), outcome.status, outcome.senseText]).toEqual([
        Buffer.from(cdb).toString('hex'),
        0,
        ''
      ])
      return outcome
    }
    // The NAA identifier is what its disks are called by; page 86h is read beside it.
    const identity = (await good([0x12, 1, 0x83, 0, 255, 0], { read: 255 })).data
    expect(identity.toString('hex', 4, 9)).toBe('0103001060')
    expect((await good([0x12, 1, 0x86, 0, 255, 0], { read: 255 })).data.readUInt16BE(2)).toBe(0x3c)
    // MODE SENSE(6) of the control page without block descriptors.
    expect((await good([0x1a, 0x08, 0x0a, 0, 255, 0], { read: 255 })).data.toString('hex', 3, 6)).toBe('000a0a')
    const luns = await good([0xa0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0], { read: 512 })
    expect([luns.underflow, luns.residualCount, luns.data.length]).toEqual([true, 496, 16])
    // RESERVE(6), RELEASE(6).
    await good([0x16, 0, 0, 0, 0, 0], {})
    await good([0x17, 0, 0, 0, 0, 0], {})
    // ATS: COMPARE AND WRITE of a block that is as expected, and of one that is not any more.
    const [before, after] = [content.subarray(512, 1024), Buffer.alloc(512, 0x7a)]
    const swap = [0x89, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0]
    await good(swap, { write: Buffer.concat([before, after]) })
    const lost = await initiator.command(swap, { write: Buffer.concat([before, after]) })
    expect([lost.status, lost.senseText]).toEqual([2, '0e/1d/00'])
    expect((await good(read10(1, 1), { read: 512 })).data.equals(after)).toBe(true)
    // Zeroing: WRITE SAME(16) with UNMAP, and UNMAP.
    await good([0x93, 0x08, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0, 64, 0, 0], { write: Buffer.alloc(512) })
    const list = Buffer.from('00160010000000000000000000000080' + '0000004000000000', 'hex')
    await good([0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0], { write: list })
    expect((await good(read10(64, 128), { read: 65536 })).data.equals(Buffer.alloc(65536))).toBe(true)
    await initiator.leave()
  })

  it('asks a LUN that is not there, and hears that it is not', async () => {
    const initiator = await login(clientOf('VMware ESXi'))
    await untilReady(initiator)
    const outcome = await initiator.command(INQUIRY_36, { read: 36, lun: 8 })
    expect([outcome.status, outcome.data[0]]).toEqual([0, 0x7f])
    await initiator.leave()
  })
})

describe('iPXE', () => {
  it('boots: ten tries until ready, both capacities, sectors one by one; sends no logout', async () => {
    const initiator = await login(clientOf('iPXE'))
    await untilReady(initiator)
    const short = await initiator.command([0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], { read: 8 })
    expect(short.data.toString('hex')).toBe((LENGTH / 512 - 1).toString(16).padStart(8, '0') + '00000200')
    const long = await initiator.command(READ_CAPACITY_16, { read: 32 })
    expect([long.data.readBigUInt64BE(0), long.data.readUInt32BE(8)]).toEqual([BigInt(LENGTH / 512 - 1), 512])
    for (let lba = 0; lba < 16; lba++) {
      const sector = await initiator.command(read10(lba, 1), { read: 512 })
      expect(sector.data.equals(content.subarray(lba * 512, (lba + 1) * 512))).toBe(true)
    }
    await initiator.close()
  })

  it('hears None from a server without secrets when it could also prove itself', async () => {
    const first: LoginPreset['first'] = (names) => IPXE.first({ ...names, authMethod: 'CHAP,None' })
    const preset = { ...IPXE, first, isid: '400027230b0b' }
    const initiator = await login({ ...clientOf('iPXE'), preset })
    expect(initiator.answer('AuthMethod')).toBe('None')
    await untilReady(initiator)
    await initiator.leave()
  })
})

describe('FreeBSD', () => {
  it('gives a name and a secret for everywhere, and is let in where none is asked for', async () => {
    const first: LoginPreset['first'] = (names) => [['AuthMethod', 'None,CHAP'], ...FREEBSD.first(names).slice(1)]
    const initiator = await login({ ...clientOf('FreeBSD'), preset: { ...FREEBSD, first } })
    expect(initiator.answer('AuthMethod')).toBe('None')
    await initiator.leave()
  })

  it('hears that a key is irrelevant to a discovery session', async () => {
    const initiator = await ScriptedInitiator.login(server.port, { preset: FREEBSD })
    expect(initiator.answer('MaxOutstandingR2T')).toBe('Irrelevant')
    await initiator.leave()
  })
})

describe('macOS', () => {
  it('has the three keys answered without which iscsi-osx gives up', async () => {
    const initiator = await login(clientOf('iscsi-osx'))
    const keys = ['DefaultTime2Wait', 'DefaultTime2Retain', 'ErrorRecoveryLevel']
    expect(keys.map((key) => initiator.answer(key))).toEqual(['2', '0', '0'])
    await initiator.leave()
  })

  it('is told nothing of what globalSAN did not ask, and every ping of it is answered', async () => {
    const initiator = await login(clientOf('globalSAN'))
    await untilReady(initiator)
    for (let ping = 0; ping < 50; ping++) expect((await initiator.nop(Buffer.from([ping]))).data[0]).toBe(ping)
    expect(initiator.answer('MaxBurstLength')).toBeUndefined()
    await initiator.leave()
  })
})

it('the limits of Windows are kept by no accident: a client without limits gets longer segments', async () => {
  const limits = { ...WINDOWS_LIMITS, segmentLengthMax: 262144 }
  const initiator = await login({ preset: OPEN_ISCSI, limits })
  await untilReady(initiator)
  const { pdus } = await initiator.command(read10(0, 512), { read: 262144 })
  expect(Math.max(...pdus.map((pdu) => pdu.data.length))).toBe(262144)
  await initiator.leave()
})
