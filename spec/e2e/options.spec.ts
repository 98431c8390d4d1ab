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

describe('every setting', () => {
  it('is tried on a real server by one of these specs', () => {
    const specs = readdirSync('spec/e2e').map((name) => readFileSync(join('spec/e2e', name), 'utf8'))
    const isTried = (key: string) =>
      specs.some((text) => new RegExp(`'--(no-)?${key}['=]|\\b${key}: |,${key}=`).test(text))
    // These two stand in each command line of ServerProcess.
    const others = SETTING_KEYS.filter((key) => key !== 'port' && key !== 'host')
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
    expect(await server!.logged(/kept for/)).toContain(`:pc: ${cost} kept`)
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
    await start('--cache', size)
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
