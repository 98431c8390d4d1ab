import {
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync
} from 'node:fs'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { dirname, join, resolve } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals'
import { describeWhen, describeWith, run, succeed } from '../support/programs.js'
import { INQUIRY_36, read10, TEST_UNIT_READY, write10 } from '../support/raw-commands.js'
import { ScriptedInitiator } from '../support/scripted-initiator.js'
import { freePort, ServerProcess, until, workDirectory, type StartOptions } from '../support/server-process.js'

/** What happens to an office PC: every accident ends with a sentence that says what to do, and swaps no disk silently. */
jest.setTimeout(120_000)

const TARGET = 'iqn.2026-01.org.example:disk'
const PC = 'iqn.2026-01.org.example:pc'
const MIB = 1024 * 1024
const BASE = 0x11
const WRITTEN = 0x22
const PROGRAM = resolve(process.env.CLOUDX_PROGRAM ?? 'dist/cli/main.cjs')

let work: ReturnType<typeof workDirectory>
let image: string
let server: ServerProcess | undefined
beforeEach(() => {
  work = workDirectory()
  image = join(work.path, 'share.img')
  writeFileSync(image, Buffer.alloc(4 * MIB, BASE))
})
afterEach(async () => {
  await server?.kill()
  server = undefined
  work.remove()
})

const start = async (args: readonly string[] = [], options: StartOptions = {}) =>
  (server = await ServerProcess.start(['--lun', image, '--target-name', TARGET, ...args], options))
const cloudx = (...args: string[]) => run(process.execPath, [PROGRAM, ...args], { cwd: work.path })

/** A session that is over the unit attention of its nexus. */
async function ready(): Promise<ScriptedInitiator> {
  const initiator = await ScriptedInitiator.login(server!.port, { targetName: TARGET, initiatorName: PC })
  await initiator.command(TEST_UNIT_READY)
  return initiator
}

async function write(initiator: ScriptedInitiator, fill = WRITTEN): Promise<string> {
  return (await initiator.command(write10(0, 8), { write: Buffer.alloc(4096, fill) })).senseText
}

async function firstByte(initiator: ScriptedInitiator): Promise<number | string> {
  const { status, data, senseText } = await initiator.command(read10(0, 1), { read: 512 })
  return status === 0 ? data[0]! : senseText
}

/** INQUIRY, VPD page 80h: the serial number. */
async function serial(initiator: ScriptedInitiator): Promise<string> {
  const cdb = Buffer.from([0x12, 1, 0x80, 0, 252, 0])
  return (await initiator.command(cdb, { read: 252 })).data.subarray(4).toString('latin1')
}

/** What a client leaves whose cable is pulled after a write; answers the serial number of its disk. */
async function leaveBytes(): Promise<string> {
  const initiator = await ready()
  expect(await write(initiator)).toBe('')
  const number = await serial(initiator)
  await initiator.close()
  await server!.logged(/B kept for/)
  return number
}

describe('a server that was killed', () => {
  it('finds all deltas at the next start, and takes over its own control socket', async () => {
    await start()
    const initiator = await ready()
    await write(initiator)
    const number = await serial(initiator)
    await server!.kill()
    expect(existsSync(join(`${image}.cloudx`, 'control.sock'))).toBe(true)
    const asked = await cloudx('status', 'share.img')
    expect(asked.code).toBe(1)
    expect(asked.output).toMatch(/^cloudx: No server shares share\.img .*Start one with: cloudx share\.img/)
    await start()
    expect(await server!.logged(/found, kept for/)).toContain(PC)
    expect((await cloudx('status')).output).toContain(`process ${server!.pid}`)
    const again = await ready()
    expect([await firstByte(again), await serial(again)]).toEqual([WRITTEN, number])
  })
})

describe('a restore that nobody wanted', () => {
  it('is undone by the command in its log line, also after the server was killed', async () => {
    await start()
    const initiator = await ready()
    await write(initiator)
    const number = await serial(initiator)
    await initiator.leave()
    const line = await server!.logged(/restored at/)
    const command = /undo until (?:\d{4}-\d\d-\d\d )?\d\d:\d\d: cloudx (delta undo .*)$/.exec(line)![1]!.split(' ')
    await server!.kill()
    await start()
    expect((await cloudx('delta', 'list')).output).toMatch(/:pc .* logout +.* yes/)
    const done = await run(process.execPath, [PROGRAM, ...command], { cwd: '/' })
    expect(done).toEqual({ code: 0, output: `${PC} finds 4 KiB again at its next login to ${TARGET}.\n` })
    const again = await ready()
    expect([await firstByte(again), await serial(again)]).toEqual([WRITTEN, number])
    const live = await cloudx('delta', 'undo', PC)
    expect(live.code).toBe(1)
    expect(live.output).toContain('is logged in')
    expect((await cloudx('sessions')).output).toMatch(/:pc +iqn\.2026-01\.org\.example:disk +127\.0\.0\.1/)
    await again.close()
  })
})

describe('an image that was moved', () => {
  it('together with its state directory has all its deltas', async () => {
    await start()
    const number = await leaveBytes()
    await server!.stop()
    const other = join(work.path, 'other')
    mkdirSync(other)
    renameSync(image, join(other, 'share.img'))
    renameSync(`${image}.cloudx`, join(other, 'share.img.cloudx'))
    image = join(other, 'share.img')
    await start()
    const initiator = await ready()
    expect([await firstByte(initiator), await serial(initiator)]).toEqual([WRITTEN, number])
  })

  it.each([
    ['without its state directory', () => renameSync(image, (image = join(work.path, 'moved.img')))],
    ['nowhere, but lost its state directory', () => rmSync(`${image}.cloudx`, { recursive: true })]
  ])('%s: the log says what to put back, and the disk is another one', async (_title, accident) => {
    await start()
    const number = await leaveBytes()
    await server!.stop()
    accident()
    await start()
    const line = await server!.logged(/for the first time/)
    expect(line).toContain(`put its state directory of that time back to ${image}.cloudx`)
    const initiator = await ready()
    expect(await firstByte(initiator)).toBe(BASE)
    expect(await serial(initiator)).not.toBe(number)
  })

  it('is not talked of when the image is new', async () => {
    rmSync(image)
    await start(['--size', '64M'])
    expect(server!.lines(/for the first time/)).toEqual([])
  })
})

describe('a state directory that lost a part', () => {
  const lose = async (part: string) => {
    await start()
    const number = await leaveBytes()
    await server!.stop()
    rmSync(join(`${image}.cloudx`, part), { recursive: true })
    await start()
    return number
  }

  it('deltas/: the loss is told, and its client is kept from writing on from its cache', async () => {
    const number = await lose('deltas')
    expect(await server!.logged(/lost its delta/)).toMatch(/:pc .*it was removed.*its files are gone/)
    const initiator = await ready()
    expect(await firstByte(initiator)).toBe('05/25/00')
    await initiator.command(INQUIRY_36, { read: 36 })
    expect(await firstByte(initiator)).toBe(BASE)
    expect(await serial(initiator)).not.toBe(number)
  })

  it('images/: the deltas are told as lost, and put aside instead of removed', async () => {
    await lose('images')
    expect(await server!.logged(/lost its delta/)).toMatch(/what is left lies in .*bin/)
    expect(readdirSync(join(`${image}.cloudx`, 'bin'))).toHaveLength(1)
    expect(await firstByte(await ready())).toBe('05/25/00')
  })

  it.each(['initiators', 'listening.json', 'state.json', 'bin', 'lock'])(
    '%s: the client finds its bytes',
    async (part) => {
      await start()
      const number = await leaveBytes()
      await server!.stop()
      rmSync(join(`${image}.cloudx`, part), { recursive: true, force: true })
      await start()
      const initiator = await ready()
      expect([await firstByte(initiator), await serial(initiator)]).toEqual([WRITTEN, number])
    }
  )
})

describe('a start that is refused', () => {
  it.each([
    ['a new image', true],
    ['an image that was there', false]
  ])('leaves nothing behind, with %s', async (_title, fresh) => {
    if (fresh) rmSync(image)
    const before = readdirSync(work.path)
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { port } = other.address() as { port: number }
    const { code, log } = await ServerProcess.run(['--lun', image], { port })
    other.close()
    expect([code, log.join('\n')]).toEqual([1, expect.stringContaining('is taken by another program')])
    expect(readdirSync(work.path)).toEqual(before)
  })

  it('leaves the state directory of an earlier one as it was', async () => {
    await start()
    const number = await leaveBytes()
    await server!.stop()
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    await ServerProcess.run(['--lun', image], { port: (other.address() as { port: number }).port })
    other.close()
    await start()
    const initiator = await ready()
    expect([await firstByte(initiator), await serial(initiator)]).toEqual([WRITTEN, number])
  })
})

describeWhen(process.getuid?.() === 0, 'only root can mount', 'a full disk under the state directory', () => {
  let place: string
  beforeEach(async () => {
    place = join(work.path, 'small')
    mkdirSync(place)
    await succeed('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', place])
  })
  afterEach(async () => {
    await server?.kill()
    await succeed('umount', [place])
  })

  /** The server may take some of the room at the same time, so it is full when that is said. */
  const fill = () => {
    const { blocks, bsize } = statfsSync(place)
    expect(() => writeFileSync(join(place, 'ballast'), Buffer.alloc(blocks * bsize, 1))).toThrow('ENOSPC')
  }

  it('keeps nobody out: a client reads, its writes are refused with the reason, and the log says what to free', async () => {
    await start(['--state-dir', join(place, 'state')])
    fill()
    const initiator = await ready()
    expect(await firstByte(initiator)).toBe(BASE)
    // SPACE ALLOCATION FAILED WRITE PROTECT (SBC-3 §4.7.3.6).
    expect(await write(initiator)).toBe('07/27/07')
    expect(await firstByte(initiator)).toBe(BASE)
    expect(await server!.logged(/cannot be noted/)).toContain(`free space in ${join(place, 'state')}`)
    expect(server!.lines(/space for deltas runs short/)).toHaveLength(1)
    expect((await cloudx('status', join(place, 'state'))).output).toContain('0 bytes left')
    await initiator.leave()
    rmSync(join(place, 'ballast'))
    await firstByte(await ready())
  })
})

describeWith(['faketime'], 'a clock that jumps', () => {
  /** Not the program `faketime`: it stays between, and a signal for the server would end it alone. */
  const clock = (offset: string) => {
    const library = readdirSync('/usr/lib')
      .map((name) => join('/usr/lib', name, 'faketime/libfaketime.so.1'))
      .find((path) => existsSync(path))!
    return ['env', `LD_PRELOAD=${library}`, `FAKETIME=${offset}`, 'FAKETIME_DONT_FAKE_MONOTONIC=1']
  }

  it.each([
    ['back by ten years', '-3650d'],
    ['on by ten years', '+3650d']
  ])('%s between two starts: deltas stay for their grace time, and an undo works', async (_title, offset) => {
    await start()
    const number = await leaveBytes()
    await server!.stop()
    await start([], { launcher: clock(offset) })
    if (offset.startsWith('-')) {
      expect(await server!.logged(/set back/)).toMatch(
        /set back by 876\d\d(\.\d)? h: .*nothing is lost.*"cloudx doctor"/
      )
    }
    expect(await server!.logged(/found, kept for/)).toMatch(/kept for (48|47\.\d|96|95\.\d) h/)
    const initiator = await ready()
    expect([await firstByte(initiator), await serial(initiator)]).toEqual([WRITTEN, number])
    await write(initiator, 0x33)
    await initiator.leave()
    await server!.logged(/restored at/)
    await server!.kill()
    await start()
    expect((await cloudx('delta', 'undo', PC)).code).toBe(0)
    expect(await firstByte(await ready())).toBe(0x33)
  })

  it('takes the newest restore, not the one with the latest time', async () => {
    await start([], { launcher: clock('+3650d') })
    for (const [fill, launcher] of [
      [0x33, clock('-3650d')],
      [0x44, []]
    ] as const) {
      const initiator = await ready()
      await write(initiator, fill)
      await initiator.leave()
      await server!.stop()
      await start([], { launcher })
    }
    await cloudx('delta', 'undo', PC)
    expect(await firstByte(await ready())).toBe(0x44)
  })
})

describe('the control socket', () => {
  it('works for a state directory whose path is longer than an address', async () => {
    const deep = join(work.path, '공유'.repeat(20), 'x'.repeat(60))
    mkdirSync(dirname(deep), { recursive: true })
    mkdirSync(deep)
    image = join(deep, 'share.img')
    writeFileSync(image, '')
    truncateSync(image, MIB)
    await start()
    expect((await cloudx('status', image, '--json')).code).toBe(0)
    await server!.stop()
    expect(readdirSync(`${image}.cloudx`)).not.toContain('control.sock')
  })

  it('of the one of two servers that is meant answers', async () => {
    await start()
    const other = join(work.path, 'other.img')
    writeFileSync(other, Buffer.alloc(MIB))
    const second = await ServerProcess.start(['--lun', other], { port: await freePort() })
    try {
      expect((await cloudx('sessions')).output).toMatch(/2 servers run .*say which: --state-dir/)
      expect((await cloudx('status', 'other.img')).output).toContain(`process ${second.pid}`)
      await until('the socket is gone', async () => {
        await second.stop()
        return !existsSync(join(`${other}.cloudx`, 'control.sock'))
      })
    } finally {
      await second.kill()
    }
  })
})
