import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals'
import { IPXE, LIBISCSI } from '../support/login-presets.js'
import { describeWith, QemuIo, succeed } from '../support/programs.js'
import { Random } from '../support/random.js'
import { INQUIRY_36, read10, TEST_UNIT_READY, write10 } from '../support/raw-commands.js'
import { ScriptedInitiator, type LoginOptions } from '../support/scripted-initiator.js'
import { ServerProcess, sha256, until, workDirectory } from '../support/server-process.js'

jest.setTimeout(120_000)

const TARGET = 'iqn.2026-01.org.example:disk'
const PC = 'iqn.2026-01.org.example:pc'
const KIB = 1024
const MIB = 1024 * 1024
const LENGTH = 16 * MIB
const ASYNC_MESSAGE = 0x32
const NOP_IN = 0x20
const SERVICE_UNAVAILABLE = 0x0301
const LOST = '05/25/00'

let work: ReturnType<typeof workDirectory>
let image: string
let original: string
let server: ServerProcess
beforeEach(async () => {
  work = workDirectory()
  image = join(work.path, 'share.img')
  writeFileSync(image, Buffer.alloc(LENGTH, 0x11))
  original = await sha256(image)
})
afterEach(async () => {
  await server.kill()
  const after = await sha256(image)
  work.remove()
  expect(after).toBe(original)
})

const start = async (args: readonly string[] = [], port?: number) =>
  (server = await ServerProcess.start(
    ['--lun', image, '--target-name', TARGET, ...args],
    port === undefined ? {} : { port }
  ))
const open = (initiatorName = PC) => QemuIo.open({ port: server.port, target: TARGET, initiatorName })
const login = (options: LoginOptions = {}) =>
  ScriptedInitiator.login(server.port, { targetName: TARGET, initiatorName: PC, ...options })
const statePath = (name: string) => join(`${image}.cloudx`, name)
const deltaFiles = () => readdirSync(statePath('deltas')).flatMap((name) => readdirSync(statePath(`deltas/${name}`)))

/** The first byte of the disk, through one session from login to logout. */
async function firstByte(): Promise<number> {
  const initiator = await login()
  await initiator.command(TEST_UNIT_READY)
  const { data } = await initiator.command(read10(0, 1), { read: 512 })
  await initiator.leave()
  return data[0]!
}

async function write(initiator: ScriptedInitiator, fill: number, lba = 0, blocks = 8): Promise<void> {
  const { status } = await initiator.command(write10(lba, blocks), { write: Buffer.alloc(blocks * 512, fill) })
  expect(status).toBe(0)
}

/** Logged in, and over the unit attention of a new nexus. */
async function ready(options: LoginOptions = {}): Promise<ScriptedInitiator> {
  const initiator = await login(options)
  await initiator.command(TEST_UNIT_READY)
  return initiator
}

/** Answers pings as a living initiator does. */
async function keepAnswering(initiator: ScriptedInitiator): Promise<void> {
  try {
    for (;;) await initiator.answerPing(await initiator.receiveOpcode(NOP_IN))
  } catch {
    // The connection has ended, or no ping came any more.
  }
}

describeWith(['qemu-io'], 'a logout', () => {
  it('drops the delta into the bin, which keeps it for the undo time', async () => {
    await start()
    const disk = await open()
    await disk.write(0x22, 0, 4 * MIB)
    expect(readdirSync(statePath('bin'))).toEqual([])
    await disk.quit()
    expect(await server.logged(/restored/)).toMatch(/:pc restored at .*:disk: 4 MiB dropped in \d+\.\d ms/)
    expect(deltaFiles()).toEqual([])
    expect(readdirSync(statePath('bin'))).toHaveLength(1)
    expect(await firstByte()).toBe(0x11)
  })

  it('deletes it at once with --undo 0', async () => {
    await start(['--undo', '0'])
    const disk = await open()
    await disk.write(0x22, 0, 4 * MIB)
    await disk.quit()
    await server.logged(/restored/)
    await until('the bin is empty', () => readdirSync(statePath('bin')).length === 0)
    expect(deltaFiles()).toEqual([])
  })

  it('of a discovery session, or of one of two sessions, drops nothing', async () => {
    await start()
    const one = await ready({ isid: '400001370000' })
    const two = await ready({ isid: '400001370001' })
    await write(one, 0x22)
    const discovery = await ScriptedInitiator.login(server.port, { initiatorName: PC })
    await discovery.sendTargets()
    await discovery.leave()
    await one.leave()
    expect((await two.command(read10(0, 1), { read: 512 })).data[0]).toBe(0x22)
    await two.leave()
    expect(await firstByte()).toBe(0x11)
  })

  it('with reason 1, for the only connection, counts like one with reason 0', async () => {
    await start()
    const initiator = await ready()
    await write(initiator, 0x22)
    expect(await initiator.logout(1)).toBe(0)
    await initiator.close()
    expect(await server.logged(/left/)).toMatch(/logout, reason 1/)
    expect(await firstByte()).toBe(0x11)
  })

  it('with reason 2, for recovery, keeps it', async () => {
    await start()
    const initiator = await ready()
    await write(initiator, 0x22)
    await initiator.logout(2)
    await initiator.close()
    await server.logged(/B kept for/)
    expect(await firstByte()).toBe(0x22)
  })
})

describe('a client that went away without a logout', () => {
  it.each([
    ['FIN', (initiator: ScriptedInitiator) => initiator.close(), /closed/],
    ['RST', (initiator: ScriptedInitiator) => initiator.reset(), /lost|closed/]
  ])('with %s finds its delta again, once and again', async (_title, leave, reason) => {
    await start()
    const initiator = await ready()
    await write(initiator, 0x22)
    await leave(initiator)
    expect(await server.logged(/B kept for/)).toMatch(reason)
    const again = await ready()
    expect((await again.command(read10(0, 8), { read: 4096 })).data).toEqual(Buffer.alloc(4096, 0x22))
    await leave(again)
    expect(await firstByte()).toBe(0x22)
    expect(await firstByte()).toBe(0x11)
  })

  it('loses it when the grace time is over, and is told so before it can touch anything', async () => {
    await start(['--grace', '1s', '--grace-closed', '1s'])
    const before = await succeed('iscsi-inq', ['-i', PC, '-e', '1', '-c', '128', server.url(TARGET)])
    const initiator = await ready()
    await write(initiator, 0x22)
    await initiator.reset()
    await server.logged(/kept for 1 s/)
    expect(await server.logged(/lost its delta/)).toMatch(/:pc lost its delta at .* \(its grace time is over\)/)
    const again = await login()
    // INQUIRY DATA HAS CHANGED comes once; then nothing but errors until the client has looked.
    const attention = (await again.command(read10(0, 1), { read: 512 })).senseText
    expect(attention).toMatch(/^06\/(3f\/03|29\/0[0-7])$/)
    const answers: string[] = []
    for (let count = 0; count < 6 && answers.at(-1) !== LOST; count++) {
      answers.push((await again.command(read10(0, 1), { read: 512 })).senseText)
    }
    expect(answers.at(-1)).toBe(LOST)
    const refused = await again.command(write10(0, 1), { write: Buffer.alloc(512, 0x33) })
    expect(refused.senseText).toBe(LOST)
    await again.command(INQUIRY_36, { read: 36 })
    expect((await again.command(read10(0, 1), { read: 512 })).data).toEqual(Buffer.alloc(512, 0x11))
    await again.leave()
    // It is another disk now, and says so.
    const after = await succeed('iscsi-inq', ['-i', PC, '-e', '1', '-c', '128', server.url(TARGET)])
    expect(after).not.toBe(before)
  })

  it('has the same disk after a restore, by its serial number', async () => {
    await start()
    const serial = () => succeed('iscsi-inq', ['-i', PC, '-e', '1', '-c', '128', server.url(TARGET)])
    const before = await serial()
    const initiator = await ready()
    await write(initiator, 0x22)
    await initiator.leave()
    await server.logged(/restored/)
    expect(await serial()).toBe(before)
    const other = await succeed('iscsi-inq', ['-i', `${PC}-2`, '-e', '1', '-c', '128', server.url(TARGET)])
    expect(other).not.toBe(before)
  })
})

describe('a stop of the server', () => {
  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)(
    'by %s asks the clients to log out, keeps what they wrote, and ends with 0',
    async (signal) => {
      await start()
      const initiator = await ready()
      await write(initiator, 0x22)
      const ended = server.stop(signal)
      const message = await initiator.receiveOpcode(ASYNC_MESSAGE)
      // AsyncEvent 1: logout requested; Parameter3 is the time to do it (RFC 7143 §11.9.1).
      expect(message.bhs[36]).toBe(1)
      expect(message.bhs.readUInt16BE(42)).toBeGreaterThan(0)
      await initiator.leave()
      expect(await ended).toBe(0)
      expect(server.log.at(-1)).toMatch(/Stopped\./)
      expect(server.lines(/left/)[0]).toMatch(/logout that we asked for/)
      await start([], server.port)
      expect(await server.logged(/found/)).toMatch(/:pc: delta at .*:disk found, kept for/)
      expect(await firstByte()).toBe(0x22)
    }
  )

  it('does not wait longer than it says for a client that does not answer', async () => {
    await start()
    const initiator = await ready()
    await write(initiator, 0x22)
    expect(await server.stop()).toBe(0)
    await initiator.closed()
    await start([], server.port)
    expect(await firstByte()).toBe(0x22)
  })

  it('is over at once at a second signal', async () => {
    await start()
    const initiator = await ready()
    await write(initiator, 0x22)
    server.signal('SIGTERM')
    await server.logged(/Stopping after SIGTERM/)
    await until('it has ended', () => {
      if (!server.hasEnded) server.signal('SIGTERM')
      return server.hasEnded
    })
    expect(await server.ended).toBe(143)
    expect(server.lines(/Stopped/)).toEqual([])
    await initiator.closed()
    await start([], server.port)
    expect(await firstByte()).toBe(0x22)
  })

  it('refuses new clients while it runs', async () => {
    await start()
    const initiator = await ready()
    const ended = server.stop()
    await initiator.receiveOpcode(ASYNC_MESSAGE)
    await expect(ScriptedInitiator.connect(server.port)).rejects.toThrow(/ECONNREFUSED/)
    await initiator.leave()
    expect(await ended).toBe(0)
  })
})

describe('a crash of the server', () => {
  it('loses no acknowledged write, whenever it comes', async () => {
    const random = new Random(20260106)
    const model = Buffer.alloc(LENGTH, 0x11)
    await start()
    for (let crash = 0; crash < 3; crash++) {
      const initiator = await ready()
      /** Writes whose answer never came: each block of them may be old or new. */
      const open = new Set<number>()
      let acknowledged = 0
      const writeOne = async (): Promise<void> => {
        const blocks = 1 + random.int(64)
        const lba = random.int(LENGTH / 512 - blocks)
        const data = random.bytes(Buffer.alloc(blocks * 512))
        for (let block = 0; block < blocks; block++) open.add(lba + block)
        const { status } = await initiator.command(write10(lba, blocks), { write: data })
        if (status !== 0) throw new Error(`write at ${lba} ended with ${status}`)
        data.copy(model, lba * 512)
        for (let block = 0; block < blocks; block++) open.delete(lba + block)
        acknowledged++
      }
      const writer = (async () => {
        for (;;) await writeOne()
      })()
      writer.catch(() => undefined)
      await until('many writes', () => acknowledged >= 200)
      await server.kill()
      await expect(writer).rejects.toThrow()
      await start([], server.port)
      const reader = await ready()
      for (let lba = 0; lba < LENGTH / 512; lba += 256) {
        const { data } = await reader.command(read10(lba, 256), { read: 256 * 512 })
        for (let block = 0; block < 256; block++) {
          const seen = data.subarray(block * 512, block * 512 + 512)
          const place = (lba + block) * 512
          if (open.has(lba + block)) seen.copy(model, place)
          else if (!seen.equals(model.subarray(place, place + 512))) {
            throw new Error(`block ${lba + block} is wrong after crash ${crash}, seed 20260106`)
          }
        }
      }
      await reader.reset()
    }
    // The last reset keeps the delta; this logout drops it.
    await firstByte()
    expect(await firstByte()).toBe(0x11)
  })
})

describe('a delta that somebody removed while the server was away', () => {
  it.each(['SIGTERM', 'SIGKILL'] as const)('is missed after %s, and its client is told', async (signal) => {
    await start()
    const initiator = await ready()
    await write(initiator, 0x22)
    if (signal === 'SIGKILL') await server.kill()
    else {
      const ended = server.stop()
      await initiator.receiveOpcode(ASYNC_MESSAGE)
      await initiator.leave()
      await ended
    }
    for (const name of readdirSync(statePath('deltas'))) rmSync(statePath(`deltas/${name}`), { recursive: true })
    await start([], server.port)
    expect(await server.logged(/lost its delta/)).toMatch(/it was removed/)
    const again = await ready()
    const answers = [await again.command(read10(0, 1), { read: 512 }), await again.command(read10(0, 1), { read: 512 })]
    expect(answers.at(-1)!.senseText).toBe(LOST)
    await again.leave()
  })
})

describe('one initiator in two places', () => {
  it('leaves the session of iPXE when the system that it booted logs in, and keeps the delta', async () => {
    await start()
    const boot = await ready({ preset: IPXE })
    await write(boot, 0x22)
    const system = await ready({ preset: LIBISCSI })
    await boot.closed()
    expect(await server.logged(/left/)).toMatch(/the booted system took over/)
    expect((await system.command(read10(0, 1), { read: 512 })).data[0]).toBe(0x22)
    await system.leave()
    expect(await firstByte()).toBe(0x11)
  })

  it('is refused from another address while the first one answers: a cloned PC', async () => {
    await start()
    const first = await ready()
    await write(first, 0x22)
    const answering = keepAnswering(first)
    const clone = await ScriptedInitiator.connect(server.port, '127.0.0.1', '127.0.0.2')
    const { status } = await clone.tryLogin({ targetName: TARGET, initiatorName: PC })
    expect(status).toBe(SERVICE_UNAVAILABLE)
    expect(await server.logged(/refused/)).toMatch(/from 127\.0\.0\.2.*cloned PC/)
    const other = await ScriptedInitiator.connect(server.port, '127.0.0.1', '127.0.0.2')
    const second = await other.tryLogin({ targetName: TARGET, initiatorName: PC, isid: '400001370009' })
    expect(second.status).toBe(SERVICE_UNAVAILABLE)
    expect((await first.command(read10(0, 1), { read: 512 })).data[0]).toBe(0x22)
    await first.reset()
    await answering
  })

  it('takes its own place from another address when the first one is silent: a PC that moved', async () => {
    await start()
    const first = await ready()
    await write(first, 0x22)
    const moved = await ScriptedInitiator.connect(server.port, '127.0.0.1', '127.0.0.2')
    const { status } = await moved.tryLogin({ targetName: TARGET, initiatorName: PC })
    expect(status).toBe(0)
    await first.closed()
    await moved.command(TEST_UNIT_READY)
    expect((await moved.command(read10(0, 1), { read: 512 })).data[0]).toBe(0x22)
    await moved.leave()
  })

  it('may be at two addresses with --multipath', async () => {
    await start(['--multipath'])
    const first = await ready()
    await write(first, 0x22)
    const second = await ready({ isid: '400001370009', localAddress: '127.0.0.2' })
    expect((await second.command(read10(0, 1), { read: 512 })).data[0]).toBe(0x22)
    await write(second, 0x33)
    expect((await first.command(read10(0, 1), { read: 512 })).data[0]).toBe(0x33)
    await second.leave()
    expect((await first.command(read10(0, 1), { read: 512 })).data[0]).toBe(0x33)
    await first.leave()
    expect(await firstByte()).toBe(0x11)
  })

  it('replaces its own old session, name and ISID alike, and finds its delta', async () => {
    await start()
    const first = await ready()
    await write(first, 0x22)
    const second = await ready()
    await first.closed()
    expect(await server.logged(/left/)).toMatch(/replaced by a new session/)
    expect((await second.command(read10(0, 1), { read: 512 })).data[0]).toBe(0x22)
    await second.leave()
  })
})

describeWith(['qemu-io'], 'a base that was changed while the server was away', () => {
  it('loses the delta over it instead of mixing the two, and says so', async () => {
    await start()
    const disk = await open()
    await disk.write(0x22, 64 * KIB, 64 * KIB)
    await disk.kill()
    await server.logged(/B kept for/)
    await server.stop()
    writeFileSync(image, Buffer.alloc(LENGTH, 0x44))
    original = await sha256(image)
    await start([], server.port)
    expect(await server.logged(/lost its delta/)).toMatch(/the image is not the one it was written over/)
    const again = await open()
    // QEMU asks INQUIRY when it opens a disk, so it has looked.
    expect(await again.holds(0x44, 0, LENGTH)).toBe(true)
    await again.quit()
  })
})
