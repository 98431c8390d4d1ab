import { readFileSync, renameSync, truncateSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals'
import { loginRequest } from '../support/pdu-builder.js'
import { describeWhen } from '../support/programs.js'
import { begin, BLOCK, read10, TEST_UNIT_READY, write10 } from '../support/raw-commands.js'
import { ScriptedInitiator } from '../support/scripted-initiator.js'
import { ServerProcess, sha256, until, workDirectory } from '../support/server-process.js'

jest.setTimeout(240_000)

const TARGET = 'iqn.2026-01.org.example:disk'
const MIB = 1024 * 1024
const IDLE = 2000
const SLOW = 200
/** The promise that is kept to a new client. */
const LOGIN_LIMIT_MS = 2000

let work: ReturnType<typeof workDirectory>
let image: string
let original: string
let server: ServerProcess
beforeEach(async () => {
  work = workDirectory()
  image = join(work.path, 'share.img')
  writeFileSync(image, '')
  truncateSync(image, 16 * MIB)
  original = await sha256(image)
  server = await ServerProcess.start(['--lun', image, '--target-name', TARGET])
})
afterEach(async () => {
  await server.kill()
  work.remove()
})

const login = (name: string) =>
  ScriptedInitiator.login(server.port, { targetName: TARGET, initiatorName: `iqn.2026-01.org.example:${name}` })

/** A connection whose errors concern nobody. */
function open(): Promise<Socket> {
  return new Promise((resolve) => {
    const socket = connect(server.port, '127.0.0.1')
    socket.on('error', () => resolve(socket))
    socket.on('connect', () => resolve(socket))
  })
}

describe('2,000 idle connections and 200 slow ones', () => {
  it('do not keep a new client from logging in within 2 s, nor an old one from its work', async () => {
    const old = await login('old')
    const sockets: Socket[] = []
    for (let count = 0; count < IDLE / 50; count++) {
      sockets.push(...(await Promise.all(Array.from({ length: 50 }, open))))
    }
    const slow = await Promise.all(Array.from({ length: SLOW }, open))
    const bytes = loginRequest({ data: Buffer.alloc(4000, 'k') })
    let sent = 0
    // A byte of a login each, as often as this timer comes round; who was closed comes again.
    const trickle = setInterval(() => {
      for (const [index, socket] of slow.entries()) {
        if (socket.writable) socket.write(bytes.subarray(sent, sent + 1))
        else void open().then((next) => (slow[index] = next))
      }
      sent = (sent + 1) % bytes.length
    }, 100)
    try {
      const tookMs: number[] = []
      for (let count = 0; count < 5; count++) {
        const began = performance.now()
        const initiator = await login(`new-${count}`)
        tookMs.push(performance.now() - began)
        const data = Buffer.alloc(8 * BLOCK, 0x30 + count)
        expect((await initiator.command(write10(0, 8), { write: data })).status).toBe(0)
        expect((await initiator.command(read10(0, 8), { read: data.length })).data.equals(data)).toBe(true)
        await initiator.leave()
        expect((await old.command(TEST_UNIT_READY)).status).toBe(0)
      }
      // The best of five: the others tell how busy this computer is.
      expect(Math.min(...tookMs)).toBeLessThan(LOGIN_LIMIT_MS)
    } finally {
      clearInterval(trickle)
      for (const socket of [...sockets, ...slow]) socket.destroy()
    }
    await old.leave()
    expect(await server.stop()).toBe(0)
    expect(await sha256(image)).toBe(original)
  })
})

/** Bytes of memory that the server process has, as Linux counts them. */
function residentBytes(): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))![1]) * 1024
}

describe('an image that is cut short or goes away while it is served', () => {
  it('fails the reads that it cannot answer, gives no wrong block, and the server lives', async () => {
    const initiator = await login('reader')
    const written = Buffer.alloc(8 * BLOCK, 0x5a)
    expect((await initiator.command(write10(20_000, 8), { write: written })).status).toBe(0)
    truncateSync(image, 4 * MIB)
    const behind = await initiator.command(read10(24_000, 8), { read: 8 * BLOCK })
    expect([behind.status, behind.senseText]).toEqual([2, '03/11/00'])
    expect((await initiator.command(read10(20_000, 8), { read: written.length })).data.equals(written)).toBe(true)
    expect((await initiator.command(read10(0, 8), { read: 8 * BLOCK })).data.equals(Buffer.alloc(8 * BLOCK))).toBe(true)
    renameSync(image, `${image}.away`)
    expect((await initiator.command(read10(100, 8), { read: 8 * BLOCK })).status).toBe(0)
    expect((await initiator.command(TEST_UNIT_READY)).status).toBe(0)
    await initiator.leave()
    expect(await server.stop()).toBe(0)
  })
})

describeWhen(
  process.platform === 'linux',
  'memory of a process is not told here',
  'a client with a zero window',
  () => {
    it('that asks for 1 GiB holds a bounded amount of memory, and others are served', async () => {
      const other = await login('other')
      const greedy = await login('greedy')
      await greedy.command(read10(0, 16_384), { read: 8 * MIB })
      const before = residentBytes()
      greedy.socket.pause()
      for (let count = 0; count < 128; count++) {
        await begin(greedy, read10(0, 16_384), { flags: 0xc1, edtl: 8 * MIB })
      }
      const highest = [before]
      for (let round = 0; round < 200; round++) {
        const data = Buffer.alloc(64 * BLOCK, round)
        expect((await other.command(write10(0, 64), { write: data })).status).toBe(0)
        expect((await other.command(read10(0, 64), { read: data.length })).data.equals(data)).toBe(true)
        highest.push(residentBytes())
      }
      expect(Math.max(...highest) - before).toBeLessThan(64 * MIB)
      // It is still there and waits: what it asked for begins to come when it reads.
      const received = greedy.socket.bytesRead
      greedy.socket.resume()
      await until('output goes on', () => greedy.socket.bytesRead > received + 16 * MIB)
      await greedy.reset()
      await other.leave()
      expect(await server.stop()).toBe(0)
      expect(await sha256(image)).toBe(original)
    })
  }
)
