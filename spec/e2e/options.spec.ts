import { openSync, readdirSync, readFileSync, writeFileSync, writeSync, closeSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals'
import { SETTING_KEYS } from '../../lib/target/config/settings.js'
import { OPEN_ISCSI } from '../support/login-presets.js'
import { read10, TEST_UNIT_READY, write10 } from '../support/raw-commands.js'
import { ScriptedInitiator } from '../support/scripted-initiator.js'
import { ServerProcess, workDirectory } from '../support/server-process.js'

jest.setTimeout(120_000)

const TARGET = 'iqn.2026-01.org.example:disk'
const KIB = 1024
const MIB = 1024 * 1024
const BLOCK = 512
const BLOCKS_IN_CHUNK = (4 * KIB) / BLOCK

let work: ReturnType<typeof workDirectory>
let image: string
let server: ServerProcess | undefined
beforeEach(() => {
  work = workDirectory()
  image = join(work.path, 'share.img')
  writeFileSync(image, Buffer.alloc(16 * MIB, 0x11))
})
afterEach(async () => {
  await server?.kill()
  server = undefined
  work.remove()
})

const start = async (...args: string[]) =>
  (server = await ServerProcess.start(['--lun', image, '--target-name', TARGET, ...args]))

async function login(name: string): Promise<ScriptedInitiator> {
  const initiatorName = `iqn.2026-01.org.example:${name}`
  const initiator = await ScriptedInitiator.login(server!.port, {
    targetName: TARGET,
    preset: OPEN_ISCSI,
    initiatorName
  })
  await initiator.command(TEST_UNIT_READY)
  return initiator
}

const write = (initiator: ScriptedInitiator, lba: number, blocks: number) =>
  initiator.command(write10(lba, blocks), { write: Buffer.alloc(blocks * BLOCK, 0x22) })
const firstByte = async (initiator: ScriptedInitiator, lba = 0) =>
  (await initiator.command(read10(lba, 1), { read: BLOCK })).data[0]

/** The first two stand in each command line of ServerProcess; the bounds are reached in spec/iscsi/portal-group.spec.ts. */
const ELSEWHERE = ['port', 'host', 'waiting-memory', 'max-text', 'login-failures', 'login-failures-per-user']

describe('every setting', () => {
  it('is tried on a real server by one of these specs', () => {
    const specs = readdirSync('spec/e2e').map((name) => readFileSync(join('spec/e2e', name), 'utf8'))
    const isTried = (key: string) =>
      specs.some((text) => new RegExp(`'--(no-)?${key}['=]|\\b${key}: |,${key}\\b`).test(text))
    const others = SETTING_KEYS.filter((key) => !ELSEWHERE.includes(key))
    expect(others.filter((key) => !isTried(key))).toEqual([])
  })
})

describe('--chunk-size', () => {
  it.each([
    ['4K', '4 KiB'],
    ['64K', '64 KiB'],
    ['1M', '1 MiB']
  ])('%s is what one written block costs in data', async (size, cost) => {
    await start('--chunk-size', size)
    const initiator = await login('pc')
    expect((await write(initiator, 4097, 1)).status).toBe(0)
    await initiator.close()
    expect(await server!.logged(/B kept for/)).toContain(`:pc: ${cost} kept`)
  })
})

describe('--delta-limit', () => {
  it('of 1M has room for 1020 KiB in a row: the map takes the rest', async () => {
    await start('--delta-limit', '1M')
    const initiator = await login('pc')
    const conditions = []
    for (let chunk = 0; chunk < 255; chunk++) {
      const { status, senseText } = await write(initiator, chunk * BLOCKS_IN_CHUNK, 1)
      if (status === 0) continue
      conditions.push(senseText)
      expect((await write(initiator, chunk * BLOCKS_IN_CHUNK, 1)).status).toBe(0)
    }
    // The soft threshold, on the way.
    expect(conditions).toEqual(['06/38/07'])
    expect((await write(initiator, 255 * BLOCKS_IN_CHUNK, 1)).senseText).toBe('07/27/07')
    await initiator.leave()
  })

  it('of 1M has room for 512 KiB in chunks that lie 4 MiB apart: each has a map of its own', async () => {
    truncateSync(image, 1024 * MIB)
    await start('--delta-limit', '1M')
    const initiator = await login('pc')
    const conditions = []
    for (let piece = 0; piece <= 128; piece++) {
      const lba = (piece * 4 * MIB) / BLOCK
      let outcome = await write(initiator, lba, 1)
      if (outcome.senseText === '06/38/07') outcome = await write(initiator, lba, 1)
      if (outcome.status !== 0) conditions.push(`${piece}: ${outcome.senseText}`)
    }
    expect(conditions).toEqual(['128: 07/27/07'])
    await initiator.leave()
  })
})

describe('--cache', () => {
  it.each([
    ['0', 0x33],
    ['16M', 0x11]
  ])('%s reads an image chunk from the file again, or from memory', async (size, expected) => {
    // Each worker process has a part of it to itself.
    await start('--cache', size, '--workers', '1')
    const [one, two] = [await login('one'), await login('two')]
    expect(await firstByte(one)).toBe(0x11)
    // Nobody should do this; it shows where the bytes come from.
    const file = openSync(image, 'r+')
    writeSync(file, Buffer.alloc(64 * KIB, 0x33), 0, 64 * KIB, 0)
    closeSync(file)
    expect(await firstByte(two)).toBe(expected)
    expect(await firstByte(two, 8192)).toBe(0x11)
    await one.leave()
    await two.leave()
  })
})

describe('--warm-up', () => {
  it('reads what clients read first ahead at the next start, unless it is turned off', async () => {
    await start()
    // Of several processes one remembers, for the clients that it has.
    for (const name of ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']) {
      const initiator = await login(name)
      for (const mib of [9, 2, 5]) expect(await firstByte(initiator, (mib * MIB) / BLOCK)).toBe(0x11)
      await initiator.leave()
    }
    await server!.stop()
    await start('--warm-up', '64M')
    await server!.logged(/Warm-up: reading 192 KiB of .*share\.img ahead/)
    await server!.logged(/Warm-up: 192 KiB of .*share\.img are in memory/)
    await server!.stop()
    await start('--warm-up', '128K')
    await server!.logged(/Warm-up: 128 KiB of .*share\.img are in memory/)
    await server!.stop()
    await start('--warm-up', '0')
    const initiator = await login('a')
    expect(await firstByte(initiator)).toBe(0x11)
    await initiator.leave()
    await server!.stop()
    expect(server!.lines(/Warm-up/)).toEqual([])
  })
})

describe('--alias', () => {
  it('is the name that clients show to people', async () => {
    await start('--alias', 'Disk of room 7')
    const initiator = await login('pc')
    expect(initiator.answer('TargetAlias')).toBe('Disk of room 7')
    await initiator.leave()
  })
})

describe('--state-dir', () => {
  it('holds the deltas and the identity of the disk, wherever the image lies', async () => {
    const state = join(work.path, 'state')
    await start('--state-dir', state)
    const initiator = await login('pc')
    await write(initiator, 0, 8)
    expect(readdirSync(join(state, 'deltas'))).toHaveLength(1)
    expect(readdirSync(work.path).sort()).toEqual(['share.img', 'state'])
    await initiator.leave()
  })
})

const INQUIRY = [0x12, 0, 0, 0, 36, 0]
const CACHING_PAGE = [0x1a, 0x08, 0x08, 0, 255, 0]
const READ_CAPACITY_16 = [0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0]
const SANITIZE_BLOCK_ERASE = [0x48, 0x02, 0, 0, 0, 0, 0, 0, 0, 0]

describe('kinds of disks', () => {
  it('is removable with --removable (SPC-4 §6.6.2: RMB)', async () => {
    const isRemovable = async () => {
      const initiator = await login('pc')
      const { data } = await initiator.command(INQUIRY, { read: 36 })
      await initiator.leave()
      return (data[1]! & 0x80) !== 0
    }
    await start()
    expect(await isRemovable()).toBe(false)
    await server!.kill()
    await start('--removable')
    expect(await isRemovable()).toBe(true)
  })

  it('has no volatile cache with --write-through (SBC-3 §6.5.5: WCE)', async () => {
    const hasCache = async () => {
      const initiator = await login('pc')
      const { data } = await initiator.command(CACHING_PAGE, { read: 255 })
      await initiator.leave()
      return (data[4 + 2]! & 0x04) !== 0
    }
    await start()
    expect(await hasCache()).toBe(true)
    await server!.kill()
    await start('--write-through')
    expect(await hasCache()).toBe(false)
  })

  it('says that it is fully provisioned with --thick (SBC-3 §5.16.2: LBPME)', async () => {
    const isThin = async () => {
      const initiator = await login('pc')
      const { data } = await initiator.command(READ_CAPACITY_16, { read: 32 })
      await initiator.leave()
      return (data[14]! & 0x80) !== 0
    }
    await start()
    expect(await isThin()).toBe(true)
    await server!.kill()
    await start('--thick')
    expect(await isThin()).toBe(false)
  })

  it('may be sanitized with --allow-sanitize alone', async () => {
    await start()
    const refused = await login('pc')
    expect((await refused.command(SANITIZE_BLOCK_ERASE)).status).toBe(2)
    expect(await firstByte(refused)).toBe(0x11)
    await refused.leave()
    await server!.kill()
    await start('--allow-sanitize')
    const allowed = await login('pc')
    expect((await allowed.command(SANITIZE_BLOCK_ERASE)).status).toBe(0)
    expect(await firstByte(allowed)).toBe(0)
    await allowed.leave()
  })
})

describe('bounds', () => {
  it('gives a session as many commands as --max-commands says', async () => {
    await start('--max-commands', '8')
    const initiator = await login('pc')
    expect(initiator.maxCmdSn - initiator.expCmdSn + 1).toBe(8)
    await initiator.leave()
  })

  it.each([
    ['--max-connections', '2'],
    ['--max-connections-per-address', '2']
  ])('closes one more than %s %s when all have a session', async (option, value) => {
    await start(option, value)
    const [one, other] = [await login('one'), await login('other')]
    const third = await ScriptedInitiator.connect(server!.port)
    await third.closed()
    expect(await firstByte(one)).toBe(0x11)
    await one.leave()
    await other.leave()
  })

  it('lets the oldest of more logins than --max-pending-logins go', async () => {
    await start('--max-pending-logins', '1')
    const first = await ScriptedInitiator.connect(server!.port)
    const initiator = await login('pc')
    await first.closed()
    await initiator.leave()
  })
})
