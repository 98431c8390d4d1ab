import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, jest } from '@jest/globals'
import { describeWith, QemuIo, run, succeed } from '../support/programs.js'
import { Random } from '../support/random.js'
import { ScriptedInitiator } from '../support/scripted-initiator.js'
import { ServerProcess, sha256, until, workDirectory } from '../support/server-process.js'

jest.setTimeout(120_000)

const TARGET = 'iqn.2026-01.org.example:disk'
const OWNER = 'iqn.2026-01.org.example:owner'
const PC = 'iqn.2026-01.org.example:pc'
const MIB = 1024 * 1024
const LENGTH = 16 * MIB
/** Status-Class 3, Status-Detail 1: service unavailable, RFC 7143 §11.13.5. */
const SERVICE_UNAVAILABLE = 0x0301

let work: ReturnType<typeof workDirectory>
let image: string
let server: ServerProcess | undefined
beforeEach(() => {
  work = workDirectory()
  image = join(work.path, 'share.img')
  writeFileSync(image, Buffer.alloc(LENGTH, 0x11))
})
afterEach(async () => {
  await server?.kill()
  server = undefined
  work.remove()
})

const start = async (...args: string[]) =>
  (server = await ServerProcess.start(['--lun', image, '--target-name', TARGET, ...args]))
const open = (initiatorName: string) => QemuIo.open({ port: server!.port, target: TARGET, initiatorName })

/** Tries to log in and out again; answers the login status. */
async function statusOf(initiatorName: string): Promise<number> {
  const initiator = await ScriptedInitiator.connect(server!.port)
  const { status } = await initiator.tryLogin({ targetName: TARGET, initiatorName })
  if (status === 0) await initiator.leave()
  else await initiator.close()
  return status
}

describeWith(['qemu-img', 'qemu-io'], 'an author', () => {
  it('fills the image from this PC, and afterwards everybody has what was filled in', async () => {
    const source = join(work.path, 'source.img')
    writeFileSync(source, new Random(20260105).bytes(Buffer.alloc(LENGTH)))
    await start('--author', 'local')
    await succeed('qemu-img', ['convert', '-n', '-f', 'raw', '-O', 'raw', source, server!.url(TARGET)])
    expect((await run('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', source, server!.url(TARGET)])).code).toBe(0)
    expect(await server!.stop()).toBe(0)
    expect(await sha256(image)).toBe(await sha256(source))
    // Without --author the same PC is a client like any other.
    await start()
    const disk = await open(PC)
    await disk.write(0x22, 0, MIB)
    await disk.quit()
    expect(await server!.stop()).toBe(0)
    expect(await sha256(image)).toBe(await sha256(source))
  })

  it('has its zeroes in the image too', async () => {
    await start('--author', OWNER)
    const disk = await open(OWNER)
    expect(await disk.command('write -z 8M 64k')).toMatch(/wrote 65536\/65536/)
    expect(await disk.command('flush')).not.toMatch(/failed/)
    await disk.quit()
    expect(await server!.stop()).toBe(0)
    expect(readFileSync(image).equals(Buffer.alloc(LENGTH, 0x11).fill(0, 8 * MIB, 8 * MIB + 65536))).toBe(true)
  })

  it('has the image to itself: others are refused meanwhile and see its work afterwards', async () => {
    await start('--author', OWNER)
    const author = await open(OWNER)
    await author.write(0x33, 0, MIB)
    expect(await statusOf(PC)).toBe(SERVICE_UNAVAILABLE)
    expect(await server!.logged(/:pc .*refused/)).toMatch(/\(0301h\).*:owner is writing to .*share\.img/)
    await author.quit()
    await server!.logged(/:owner left/)
    const client = await open(PC)
    expect(await client.holds(0x33, 0, MIB)).toBe(true)
    expect(await client.holds(0x11, MIB, LENGTH - MIB)).toBe(true)
    await client.quit()
  })

  it('is refused while a client is logged in, or its delta waits, and the log names it', async () => {
    await start('--author', OWNER)
    const client = await open(PC)
    await client.write(0x44, 0, MIB)
    expect(await statusOf(OWNER)).toBe(SERVICE_UNAVAILABLE)
    expect(await server!.logged(/:owner .*refused/)).toMatch(/\(0301h\).*share\.img.*:pc; drop their deltas/)
    await client.kill()
    await server!.logged(/:pc.* kept for/)
    expect(await statusOf(OWNER)).toBe(SERVICE_UNAVAILABLE)
    // The delta waits over a restart as well.
    expect(await server!.stop()).toBe(0)
    await start('--author', OWNER)
    expect(await statusOf(OWNER)).toBe(SERVICE_UNAVAILABLE)
    const again = await open(PC)
    expect(await again.holds(0x44, 0, MIB)).toBe(true)
    await again.quit()
    await server!.logged(/:pc restored/)
    await until('the author may log in', async () => (await statusOf(OWNER)) === 0)
  })

  it('drops what is in the way when it was told to, and those clients are told', async () => {
    await start('--author', OWNER, '--author-discards', '--yes')
    const client = await ScriptedInitiator.login(server!.port, { targetName: TARGET, initiatorName: PC })
    await client.command([0, 0, 0, 0, 0, 0])
    const write = await client.command([0x2a, 0, 0, 0, 0, 0, 0, 0, 8, 0], { write: Buffer.alloc(4096, 0x55) })
    expect(write.status).toBe(0)
    await client.reset()
    await server!.logged(/:pc.* kept for/)
    const author = await open(OWNER)
    expect(await server!.logged(/:pc lost its delta/)).toMatch(/an author took the image/)
    await author.write(0x66, 0, MIB)
    await author.quit()
    await server!.logged(/:owner left/)
    const again = await ScriptedInitiator.login(server!.port, { targetName: TARGET, initiatorName: PC })
    const answers = []
    for (let i = 0; i < 4; i++)
      answers.push((await again.command([0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], { read: 512 })).senseText)
    expect(answers).toContain('05/25/00')
    expect(answers.at(-1)).toBe('05/25/00')
    await again.command([0x12, 0, 0, 0, 36, 0], { read: 36 })
    expect((await again.command([0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], { read: 512 })).data).toEqual(
      Buffer.alloc(512, 0x66)
    )
    await again.leave()
  })

  it('drops nothing when nobody could be asked and nobody has said yes', async () => {
    const { code, log } = await ServerProcess.run([
      ...['--lun', image, '--target-name', TARGET, '--author', OWNER, '--author-discards']
    ])
    expect(code).toBe(1)
    expect(log.join('\n')).toMatch(/drops what other clients wrote.*add --yes/)
  })

  it('ends the sessions that are in the way when it was told to', async () => {
    await start('--author', OWNER, '--author-discards', '--yes')
    const client = await ScriptedInitiator.login(server!.port, { targetName: TARGET, initiatorName: PC })
    const author = open(OWNER)
    // Async Message, AsyncEvent 1: the target asks for a logout (RFC 7143 §11.9.1).
    const message = await client.receiveOpcode(0x32)
    expect(message.bhs[36]).toBe(1)
    await client.leave()
    const disk = await author
    expect(await disk.holds(0x11, 0, MIB)).toBe(true)
    await disk.quit()
  })

  it('finds the image reserved for it when its connection was cut', async () => {
    await start('--author', OWNER)
    const author = await open(OWNER)
    await author.write(0x77, 0, MIB)
    await author.kill()
    await server!.logged(/:owner left/)
    expect(await statusOf(PC)).toBe(SERVICE_UNAVAILABLE)
    const again = await open(OWNER)
    expect(await again.holds(0x77, 0, MIB)).toBe(true)
    await again.quit()
    await server!.logged(/:owner left .*logout/)
    await until('a client may log in', async () => (await statusOf(PC)) === 0)
  })

  it('keeps every acknowledged write over a crash of the server', async () => {
    await start('--author', OWNER)
    const author = await open(OWNER)
    await author.write(0x88, 3 * MIB, MIB)
    await server!.kill()
    expect(
      readFileSync(image)
        .subarray(3 * MIB, 4 * MIB)
        .equals(Buffer.alloc(MIB, 0x88))
    ).toBe(true)
    await author.kill()
  })

  it('has the ends of the image saved before each of its sessions', async () => {
    const before = readFileSync(image)
    before.fill(0x01, 0, MIB)
    before.fill(0x02, LENGTH - MIB)
    writeFileSync(image, before)
    await start('--author', OWNER)
    const author = await open(OWNER)
    await author.write(0x99, 0, LENGTH)
    const place = /saved in (\S+)/.exec(await server!.logged(/saved in/))![1]!
    await author.quit()
    expect(place.startsWith(`${image}.cloudx/authors/`)).toBe(true)
    expect(readFileSync(join(place, 'first.bin')).equals(Buffer.alloc(MIB, 0x01))).toBe(true)
    expect(readFileSync(join(place, 'last.bin')).equals(Buffer.alloc(MIB, 0x02))).toBe(true)
    expect(readdirSync(place).sort()).toEqual(['first.bin', 'last.bin', 'table.json'])
    expect(statSync(join(place, 'first.bin')).mode & 0o777).toBe(0o600)
  })

  it('is one at a time, also when two of them may', async () => {
    await start('--author', OWNER, '--author', PC)
    const author = await open(OWNER)
    expect(await statusOf(PC)).toBe(SERVICE_UNAVAILABLE)
    expect(await server!.logged(/:pc .*refused/)).toMatch(/:owner is writing to .*share\.img already/)
    await author.quit()
    await server!.logged(/:owner left/)
    await until('the other may log in', async () => (await statusOf(PC)) === 0)
  })
})
