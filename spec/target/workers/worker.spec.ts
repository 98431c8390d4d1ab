import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { DEFAULT_LIMITS } from '../../../lib/iscsi/limits.js'
import type { ServerOptions } from '../../../lib/target/options.js'
import { IscsiServer } from '../../../lib/target/server.js'
import { Shards } from '../../../lib/target/workers/shards.js'
import { Worker } from '../../../lib/target/workers/worker.js'
import { Workers } from '../../../lib/target/workers/workers.js'
import { channelPair } from '../../support/channel-pair.js'
import { LogRecorder } from '../../support/log-recorder.js'
import { BLOCK, read10, write10 } from '../../support/raw-commands.js'
import { ScriptedInitiator } from '../../support/scripted-initiator.js'

/**
 * A whole server with workers, in one process: the channels copy what they carry and move the sockets as those between
 * processes do.
 */
const TARGET = 'iqn.2026-01.org.example:disk'
const SECRET = 'a secret of 12+'

let directory: string
let log: LogRecorder
let server: IscsiServer
let port: number

async function start(changes: Partial<ServerOptions> = {}, access = {}): Promise<void> {
  const unit = {
    ...{ lun: 0, path: join(directory, 'share.img'), partition: undefined, readOnly: false, shared: false },
    ...{
      removable: false,
      allowSanitize: false,
      blockSize: 512,
      createBytes: 1 << 20,
      writeThrough: false,
      thick: false
    },
    personal: false,
    restoreOn: 'logout' as const,
    createBlank: true
  }
  const target = {
    ...{ name: TARGET, alias: undefined, units: [unit], authors: [], initiators: [], authorDiscards: false },
    access: { allow: [], chap: undefined, mutual: undefined, ...access }
  }
  const options: ServerOptions = {
    ...{ portals: [{ host: '127.0.0.1', port: 0 }], advertise: undefined, stateDirectory: undefined },
    ...{ packetSizeBytes: 262144, initialR2T: false, immediateData: true, maxSessions: 8, limits: DEFAULT_LIMITS },
    ...{ cacheBytes: undefined, warmUpBytes: 0, graceMs: 3_600_000, graceClosedMs: 3_600_000, undoMs: 3_600_000 },
    ...{ deltaLimitBytes: undefined, deltaTotalBytes: undefined, chunkBytes: 4096, flushIntervalMs: 1000 },
    ...{ multipath: false, shred: false, workers: 2, targets: [target] },
    ...changes
  }
  const workers = new Workers(options, { log, start: () => startHere() })
  server = new IscsiServer(options, { log, workers })
  port = (await server.listen())[0]!.port
}

function startHere() {
  const [front, own] = channelPair()
  new Worker(own)
  let listener: (how: string) => void = () => undefined
  const end = () => void setImmediate(() => listener('exit code 0'))
  return { channel: front, pid: 0, release: end, kill: end, whenEnded: (ended: typeof listener) => (listener = ended) }
}

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'workers-'))
  writeFileSync(join(directory, 'share.img'), Buffer.alloc(1 << 20, 0x42))
  log = new LogRecorder()
})
afterEach(async () => {
  await server.close()
  rmSync(directory, { recursive: true })
})

const nameOf = (index: number) => `iqn.2026-01.org.example:pc-${index}`
const login = (index: number, options = {}) =>
  ScriptedInitiator.login(port, { targetName: TARGET, initiatorName: nameOf(index), ...options })

/** The first clients that the two workers have. */
const CLIENTS = [0, 1].map((worker) => {
  const shards = new Shards([{ name: TARGET, units: [], authors: [], initiators: [] } as never], 2)
  const own = Array.from({ length: 20 }, (_, index) => index)
  return own.filter((index) => shards.ownerOf({ targetName: TARGET, initiatorName: nameOf(index) }) === worker)
})

async function writeOwn(initiator: ScriptedInitiator, fill: number): Promise<number> {
  return (await initiator.command(write10(0, 8), { write: Buffer.alloc(8 * BLOCK, fill) })).status
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let turn = 0; !(await condition()); turn++) {
    if (turn > 4000) throw new Error('never came true')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

async function firstByte(initiator: ScriptedInitiator): Promise<number> {
  return (await initiator.command(read10(0, 8), { read: 8 * BLOCK })).data[0]!
}

describe('a server with workers', () => {
  it('gives each initiator its own view, whichever worker has it', async () => {
    await start()
    const clients = [CLIENTS[0]![0]!, CLIENTS[0]![1]!, CLIENTS[1]![0]!]
    const initiators = []
    for (const index of clients) initiators.push(await login(index))
    for (const [index, initiator] of initiators.entries()) expect(await writeOwn(initiator, index + 1)).toBe(0)
    const seen = []
    for (const initiator of initiators) seen.push(await firstByte(initiator))
    expect(seen).toEqual([1, 2, 3])
    const sessions = await server.control.sessions()
    expect(sessions.map(({ initiatorName }) => initiatorName).sort()).toEqual(clients.map(nameOf).sort())
    expect(new Set(sessions.map(({ tsih }) => tsih)).size).toBe(3)
    for (const initiator of initiators) await initiator.leave()
    expect(await server.control.sessions()).toEqual([])
  })

  it('drops a delta at logout and gives it back when the operator wants it', async () => {
    await start()
    for (const index of [CLIENTS[0]![0]!, CLIENTS[1]![0]!]) {
      const before = await login(index)
      expect(await writeOwn(before, 9)).toBe(0)
      await before.leave()
      const clean = await login(index)
      expect(await firstByte(clean)).toBe(0x42)
      await clean.leave()
      await server.control.undo({ initiator: nameOf(index) })
      const after = await login(index)
      expect(await firstByte(after)).toBe(9)
      await after.leave()
    }
    expect((await server.control.bin()).map(({ initiatorName }) => initiatorName).sort()).toEqual(
      [nameOf(CLIENTS[0]![0]!), nameOf(CLIENTS[1]![0]!)].sort()
    )
  })

  it('keeps deltas over a restart, with as many workers as it then has', async () => {
    await start()
    const clients = [CLIENTS[0]![0]!, CLIENTS[1]![0]!]
    for (const index of clients) {
      const initiator = await login(index)
      expect(await writeOwn(initiator, 0x70 + index)).toBe(0)
      await initiator.reset()
    }
    for (const workers of [3, 2]) {
      await server.close()
      await start({ workers })
      for (const index of clients) {
        const initiator = await login(index)
        expect(await firstByte(initiator)).toBe(0x70 + index)
        await initiator.reset()
      }
    }
  })

  it('replaces a session of the same initiator port', async () => {
    await start()
    const index = CLIENTS[1]![0]!
    const old = await login(index)
    await writeOwn(old, 5)
    const next = await login(index)
    expect(await firstByte(next)).toBe(5)
    expect(await server.control.sessions()).toHaveLength(1)
    await next.leave()
  })

  it('counts the sessions of all workers against the limit', async () => {
    await start({ maxSessions: 2 })
    const first = await login(CLIENTS[0]![0]!)
    const second = await login(CLIENTS[1]![0]!)
    // RFC 7143 §11.13.5: 0302h, out of resources.
    await expect(login(CLIENTS[1]![1]!)).rejects.toThrow(/0302|770/)
    await first.leave()
    const third = await login(CLIENTS[1]![1]!)
    await second.leave()
    await third.leave()
  })

  it('asks for the secret in front, and knows the user behind', async () => {
    await start({}, { chap: { user: 'pc', secret: Buffer.from(SECRET) } })
    const index = CLIENTS[1]![0]!
    const initiator = await login(index, { chap: { name: 'pc', secret: SECRET } })
    expect(await writeOwn(initiator, 1)).toBe(0)
    expect((await server.control.initiators())[0]!.chapUser).toBe('pc')
    await expect(login(index, { chap: { name: 'pc', secret: 'another one 12' } })).rejects.toThrow(/0201|513/)
    await initiator.leave()
  })

  it('tells of logins and logouts', async () => {
    await start()
    const events: string[] = []
    server.on('login', ({ initiatorName }) => events.push(`login ${initiatorName}`))
    server.on('logout', ({ initiatorName }, { kind }) => events.push(`${kind} ${initiatorName}`))
    const initiator = await login(CLIENTS[1]![0]!)
    await initiator.leave()
    await server.close()
    const name = nameOf(CLIENTS[1]![0]!)
    expect(events).toEqual([`login ${name}`, `logout ${name}`])
    expect(log.with('info', name).length).toBeGreaterThan(0)
  })

  it('ends the sessions of one initiator by order', async () => {
    await start()
    const [one, other] = [await login(CLIENTS[0]![0]!), await login(CLIENTS[1]![0]!)]
    await one.leave()
    expect(await server.control.disconnect({ initiator: nameOf(CLIENTS[0]![0]!) })).toBe(0)
    expect(await firstByte(other)).toBe(0x42)
    await other.leave()
  })

  it('shows, copies and drops what an initiator wrote, whichever worker has it', async () => {
    await start()
    for (const index of [CLIENTS[0]![0]!, CLIENTS[1]![0]!]) {
      const initiator = nameOf(index)
      const client = await login(index)
      expect(await writeOwn(client, 0x55)).toBe(0)
      await client.reset()
      const { control } = server
      await until(async () => (await control.sessions()).length === 0)
      expect((await control.show({ initiator })).units).toHaveLength(1)
      const disk = Buffer.alloc(1 << 20)
      for await (const part of control.exportDelta({ initiator })) {
        if (part.kind === 'data') part.bytes.copy(disk, part.offset)
      }
      expect([disk[0], disk[4095], disk[4096], disk.at(-1)]).toEqual([0x55, 0x55, 0x42, 0x42])
      expect((await control.drop({ initiator })).bytes).toBe(4096)
      await expect(control.show({ initiator: 'iqn.2026-01.org.example:nobody' })).rejects.toMatchObject({
        code: 'ERR_ISCSI_DELTA_NOTHING'
      })
    }
  })

  it('obeys a rule that is given while it runs, in all workers and at the next start', async () => {
    await start()
    const clients = [CLIENTS[0]![0]!, CLIENTS[1]![0]!]
    const rules = await server.control.setPolicy({ match: 'iqn.2026-01.org.example:*', policy: 'keep' })
    expect(rules.map(({ ordered }) => ordered.map(({ policy }) => policy))).toEqual([['keep']])
    for (const index of clients) {
      const initiator = await login(index)
      expect(await writeOwn(initiator, 0x33)).toBe(0)
      await initiator.leave()
    }
    await server.close()
    await start()
    for (const index of clients) {
      const initiator = await login(index)
      expect(await firstByte(initiator)).toBe(0x33)
      await initiator.leave()
    }
  })

  it('publishes what an author of either worker wrote to the clients of both, and goes back', async () => {
    await start()
    const { control } = server
    const path = join(directory, 'share.img')
    const reader = await login(CLIENTS[1]![1]!)
    const firstBytes = async () => {
      const seen = []
      for (const index of [CLIENTS[0]![2]!, CLIENTS[1]![2]!]) {
        const initiator = await login(index)
        seen.push(await firstByte(initiator))
        await initiator.leave()
      }
      return seen
    }
    for (const [number, author] of [CLIENTS[1]![0]!, CLIENTS[0]![0]!].entries()) {
      await control.setPolicy({ match: nameOf(author), policy: 'author' })
      const initiator = await login(author)
      expect(await writeOwn(initiator, 0x60 + number)).toBe(0)
      await initiator.leave()
      expect((await control.images())[0]!.drafts.map(({ initiatorName }) => initiatorName)).toEqual([nameOf(author)])
      const view = await control.publish({ image: path, note: 'a change' })
      expect([view.current, view.drafts]).toEqual([number + 1, []])
      expect(view.generations.at(-1)).toMatchObject({ author: nameOf(author), note: 'a change', parent: number })
      expect(await firstBytes()).toEqual([0x60 + number, 0x60 + number])
    }
    // Who was there before sees what was there before.
    expect(await firstByte(reader)).toBe(0x42)
    const users = (await control.images())[0]!.generations.map((one) => one.users.map((user) => user.initiatorName))
    expect(users[0]).toEqual([nameOf(CLIENTS[1]![1]!)])
    // It is no generation that another one could do without.
    await expect(control.flatten({ to: 2 })).rejects.toMatchObject({ code: 'ERR_ISCSI_FLATTEN' })
    expect((await control.rollback({})).current).toBe(1)
    expect(await firstBytes()).toEqual([0x60, 0x60])
    await control.test({ initiators: [nameOf(CLIENTS[0]![2]!)], generation: 2 })
    expect(await firstBytes()).toEqual([0x61, 0x60])
    await reader.leave()
  })

  it('merges generations into the raw file under clients of both workers', async () => {
    await start()
    const { control } = server
    const author = CLIENTS[1]![0]!
    await control.setPolicy({ match: nameOf(author), policy: 'author' })
    const writing = await login(author)
    expect(await writeOwn(writing, 0x61)).toBe(0)
    await writing.leave()
    await control.publish({})
    const readers = [await login(CLIENTS[0]![1]!), await login(CLIENTS[1]![1]!)]
    for (const reader of readers) expect(await firstByte(reader)).toBe(0x61)
    await control.grow({ sizeBytes: 2 << 20 })
    // Those of either worker are told: TEST UNIT READY answers 2A/09 CAPACITY DATA HAS CHANGED.
    for (const reader of readers) {
      expect((await reader.command([0, 0, 0, 0, 0, 0])).senseText).toBe('06/2a/09')
    }
    await control.flatten({})
    await until(async () => (await control.jobs()).every(({ state }) => state !== 'running'))
    expect((await control.jobs()).map(({ kind, state }) => [kind, state])).toContainEqual(['flatten', 'done'])
    const layers = join(`${join(directory, 'share.img')}.cloudx`, 'generations')
    const raw = readFileSync(join(directory, 'share.img'))
    expect([raw.length, raw[0], raw[4095], raw[4096]]).toEqual([2 << 20, 0x61, 0x61, 0x42])
    // Whoever was there reads on, and so does whoever comes.
    for (const reader of readers) expect(await firstByte(reader)).toBe(0x61)
    for (const index of [CLIENTS[0]![2]!, CLIENTS[1]![2]!]) {
      const initiator = await login(index)
      expect(await firstByte(initiator)).toBe(0x61)
      await initiator.leave()
    }
    const slots = () => readdirSync(layers, { recursive: true }).filter((name) => String(name).endsWith('.slots'))
    expect(slots()).toHaveLength(1)
    for (const reader of readers) await reader.leave()
    await until(async () => Promise.resolve(slots().length === 0))
  })

  it('keeps the targets that it was opened with', async () => {
    await start()
    await expect(server.removeTarget(TARGET)).rejects.toMatchObject({ code: 'ERR_ISCSI_WORKERS' })
  })
})
