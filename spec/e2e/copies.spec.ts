import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals'
import { randomBytes } from 'node:crypto'
import { closeSync, ftruncateSync, openSync, readdirSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { copyList, cscd, segmentOfBytes } from '../support/copy-list.js'
import { OPEN_ISCSI } from '../support/login-presets.js'
import { ScriptedInitiator } from '../support/scripted-initiator.js'
import { ServerProcess, workDirectory } from '../support/server-process.js'
import { copyStatus, populateCdb, populateList, receiveCdb, writeCdb, writeList } from '../support/token-list.js'

jest.setTimeout(180_000)

const TARGET = 'iqn.2026-01.org.example:copies'
const MIB = 2 ** 20
const GIB = 2 ** 30
const SEGMENT = 256 * MIB
const PLACES = [0, 100 * MIB, GIB - MIB]

/** EXTENDED COPY and tokens over TCP inside one client's view: 1 GiB with data at its ends and in its middle. */
describe('a copy of 1 GiB inside a private disk', () => {
  let work: ReturnType<typeof workDirectory>
  let server: ServerProcess
  let image: string
  let original: { mtimeMs: number; blocks: number }
  const content = randomBytes(MIB)
  const written = randomBytes(MIB)

  beforeAll(async () => {
    work = workDirectory()
    image = join(work.path, 'copies.img')
    const file = openSync(image, 'w')
    ftruncateSync(file, 3 * GIB)
    for (const at of PLACES) writeSync(file, content, 0, MIB, at)
    closeSync(file)
    original = statSync(image)
    server = await start()
  })
  afterAll(async () => {
    await server.kill()
    work.remove()
  })

  const start = (port?: number) =>
    ServerProcess.start(
      ['--lun', image, '--target-name', TARGET, '--state-dir', join(work.path, 'state')],
      port === undefined ? {} : { port }
    )

  async function login(): Promise<ScriptedInitiator> {
    const initiator = await ScriptedInitiator.connect(server.port)
    await initiator.login({ preset: OPEN_ISCSI, targetName: TARGET, initiatorName: 'iqn.2026-01.org.example:copier' })
    // The unit attention of a new nexus.
    await initiator.command([0, 0, 0, 0, 0, 0])
    return initiator
  }

  async function read(initiator: ScriptedInitiator, offset: number): Promise<Buffer> {
    const cdb = Buffer.from([0x88, 0, ...Buffer.alloc(14)])
    cdb.writeBigUInt64BE(BigInt(offset / 512), 2)
    cdb.writeUInt32BE(MIB / 512, 10)
    const { status, data } = await initiator.command(cdb, { read: MIB })
    return status === 0 ? data : Buffer.from(`status ${status}`)
  }

  async function write(initiator: ScriptedInitiator, offset: number, data: Buffer): Promise<void> {
    const cdb = Buffer.from([0x8a, 0, ...Buffer.alloc(14)])
    cdb.writeBigUInt64BE(BigInt(offset / 512), 2)
    cdb.writeUInt32BE(data.length / 512, 10)
    expect((await initiator.command(cdb, { write: data })).status).toBe(0)
  }

  /** Copies the first GiB to the second, by the name that VPD page 83h gives. */
  async function copyGibibyte(initiator: ScriptedInitiator): Promise<void> {
    const { data } = await initiator.command([0x12, 1, 0x83, 0, 255, 0], { read: 255 })
    const naa = data.subarray(8, 8 + data[7]!)
    for (let at = 0; at < GIB; at += SEGMENT) {
      const list = copyList([cscd(naa)], [segmentOfBytes(0, 0, SEGMENT, at / 512, (GIB + at) / 512)])
      const cdb = Buffer.from([0x83, 0, ...Buffer.alloc(14)])
      cdb.writeUInt32BE(list.length, 10)
      expect(await initiator.command(cdb, { write: list })).toMatchObject({ status: 0 })
    }
  }

  /** Copies the first GiB to the third with one token. */
  async function copyByToken(initiator: ScriptedInitiator): Promise<void> {
    const populate = populateList([[0, GIB / 512]])
    const made = await initiator.command(populateCdb(1, populate.length), { write: populate })
    const { token } = copyStatus((await initiator.command(receiveCdb(1, 4096), { read: 4096 })).data)
    const write = writeList(token!, [[(2 * GIB) / 512, GIB / 512]])
    const written = await initiator.command(writeCdb(2, write.length), { write })
    expect([made.status, written.status]).toEqual([0, 0])
    const { status, transferCount } = copyStatus((await initiator.command(receiveCdb(2, 4096), { read: 4096 })).data)
    expect([status, transferCount]).toEqual([1, GIB / 512])
  }

  function bytesOfSlots(): number {
    const state = join(work.path, 'state')
    const files = readdirSync(state, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.slots'))
    return files.reduce((sum, name) => sum + statSync(join(state, name)).size, 0)
  }

  it('stores nothing new, reads as its source, and parts from it where either is written', async () => {
    const initiator = await login()
    // One MiB of the client's own, 1 GiB of an image with holes.
    await write(initiator, 100 * MIB, written)
    await copyGibibyte(initiator)
    expect(bytesOfSlots()).toBe(MIB)
    const wanted = [content, written, content]
    for (const [i, at] of PLACES.entries()) expect((await read(initiator, GIB + at)).equals(wanted[i]!)).toBe(true)
    await write(initiator, GIB + 100 * MIB, Buffer.alloc(MIB, 7))
    expect((await read(initiator, 100 * MIB)).equals(written)).toBe(true)
    await write(initiator, 100 * MIB, Buffer.alloc(MIB, 8))
    expect((await read(initiator, GIB + 100 * MIB)).equals(Buffer.alloc(MIB, 7))).toBe(true)
    await initiator.close()
  })

  it('is made by a token as well, which stores nothing either', async () => {
    const initiator = await login()
    const before = bytesOfSlots()
    await copyByToken(initiator)
    expect(bytesOfSlots()).toBe(before)
    // What the client has written by now, and what the image has.
    const wanted = [content, Buffer.alloc(MIB, 8), content]
    for (const [i, at] of PLACES.entries()) expect((await read(initiator, 2 * GIB + at)).equals(wanted[i]!)).toBe(true)
    await initiator.close()
  })

  it('is there after the server was killed, and gone after a logout', async () => {
    await server.kill()
    server = await start(server.port)
    const initiator = await login()
    expect((await read(initiator, 2 * GIB - MIB)).equals(content)).toBe(true)
    expect((await read(initiator, GIB + 100 * MIB)).equals(Buffer.alloc(MIB, 7))).toBe(true)
    expect((await read(initiator, 2 * GIB + 100 * MIB)).equals(Buffer.alloc(MIB, 8))).toBe(true)
    await initiator.logout()
    await initiator.close()
    const next = await login()
    expect((await read(next, 2 * GIB - MIB)).equals(Buffer.alloc(MIB))).toBe(true)
    await next.logout()
    await next.close()
    expect(await server.stop()).toBe(0)
    const { mtimeMs, blocks } = statSync(image)
    expect({ mtimeMs, blocks }).toEqual({ mtimeMs: original.mtimeMs, blocks: original.blocks })
  })
})
