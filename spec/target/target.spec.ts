import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from '@jest/globals'
import { LoginError } from '../../lib/iscsi/errors.js'
import type { TargetOptions } from '../../lib/target/options.js'
import { ALICE, BASE_BYTE, BOB, IMAGE_BYTES, LOGOUT, SILENCE, TargetBench } from '../support/target-bench.js'

const ADMIN = 'iqn.1991-05.com.microsoft:admin'

let bench: TargetBench
afterEach(() => bench.remove())

async function started(changes: Partial<TargetOptions> = {}): Promise<void> {
  bench = await TargetBench.make({}, { authors: [ADMIN], ...changes })
  await bench.start()
}

function author(isid = '400001370aaa') {
  return bench.login({ initiatorName: ADMIN, isid })
}

async function statusOf(work: Promise<unknown>): Promise<LoginError> {
  const error = await work.catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(LoginError)
  return error as LoginError
}

describe('a target with an author', () => {
  it("puts the author's writes into the image, where others see them afterwards", async () => {
    await started()
    const admin = await author()
    await bench.write(admin, 8192, 0xee)
    expect(await bench.imageByte(8192)).toBe(0xee)
    await bench.end(admin, LOGOUT)
    expect(await bench.read(await bench.login(), 8192)).toBe(0xee)
  })

  it('refuses the author while a session is live, and names it', async () => {
    await started()
    await bench.login()
    const error = await statusOf(author())
    expect(error.status).toBe(0x0301)
    expect(error.message).toContain(ALICE)
  })

  it('refuses the author while a delta waits for its client, over a restart too', async () => {
    await started()
    await bench.visit(0xaa, SILENCE)
    expect((await statusOf(author())).message).toContain(ALICE)
    await bench.start()
    expect((await statusOf(author())).status).toBe(0x0301)
    await bench.server!.control.restore({ initiator: ALICE })
    await bench.end(await author(), LOGOUT)
  })

  it('refuses others while the author is logged in', async () => {
    await started()
    const admin = await author()
    const error = await statusOf(bench.login())
    expect(error.status).toBe(0x0301)
    expect(error.message).toContain(ADMIN)
    await bench.end(admin, LOGOUT)
    await bench.login()
  })

  it('refuses a second author', async () => {
    await started({ authors: [ADMIN, BOB] })
    await author()
    expect((await statusOf(bench.login({ initiatorName: BOB }))).status).toBe(0x0301)
  })

  it('lets one author have two sessions', async () => {
    await started()
    const first = await author()
    const second = await author('400001370bbb')
    await bench.end(first, LOGOUT)
    await bench.write(second, 0, 0xee)
    expect(await bench.imageByte(0)).toBe(0xee)
  })

  it('keeps the image for an author whose connection was lost, for two minutes', async () => {
    await started()
    await bench.end(await author(), SILENCE)
    expect((await statusOf(bench.login())).status).toBe(0x0301)
    await bench.end(await author(), SILENCE)
    bench.clock.advance(119_000)
    expect((await statusOf(bench.login())).status).toBe(0x0301)
    bench.clock.advance(2000)
    await bench.login()
    expect(bench.log.with('warn:', ADMIN, 'without logout')).toHaveLength(2)
  })

  it("keeps deltas that begin after an author's session, although the image changed", async () => {
    await started()
    const admin = await author()
    await bench.write(admin, 0, 0xee)
    await bench.end(admin, LOGOUT)
    await bench.visit(0xaa, SILENCE)
    await bench.start()
    expect(await bench.read(await bench.login(), 0)).toBe(0xaa)
    expect(bench.log.with('lost its delta')).toEqual([])
  })

  it('discards deltas and ends sessions for the author when it may', async () => {
    await started({ authorDiscards: true })
    await bench.login()
    await bench.visit(0xbb, SILENCE, { initiatorName: BOB })
    const admin = await author()
    await bench.end(admin, LOGOUT)
    expect(bench.server!.control).toBeDefined()
    expect(bench.log.with('lost its delta', BOB, 'an author took the image')).toHaveLength(1)
    const bob = await bench.login({ initiatorName: BOB })
    expect(await bench.read(bob, 0)).toBe(BASE_BYTE)
    expect(bob.units.get(0)!.fenced).toBe(true)
  })

  it('saves both ends of the image before each session', async () => {
    await started()
    const admin = await author()
    await bench.write(admin, 0, 0xee)
    await bench.end(admin, LOGOUT)
    const [uuid] = await readdir(join(bench.state, 'authors'))
    const session = (await readdir(join(bench.state, 'authors', uuid!))).find((name) => name !== 'active.json')
    const saved = join(bench.state, 'authors', uuid!, session!)
    const plain = Buffer.alloc(2 ** 20, BASE_BYTE)
    expect((await readFile(join(saved, 'first.bin'))).equals(plain)).toBe(true)
    expect((await readFile(join(saved, 'last.bin'))).equals(plain)).toBe(true)
    expect(JSON.parse(await readFile(join(saved, 'table.json'), 'utf8'))).toMatchObject({ imageBytes: IMAGE_BYTES })
  })

  it('takes any initiator on this PC for an author when told local', async () => {
    await started({ authors: ['local'] })
    const here = await bench.login({ remoteAddress: '127.0.0.1' })
    await bench.write(here, 0, 0xee)
    expect(await bench.imageByte(0)).toBe(0xee)
    await bench.end(here, LOGOUT)
    await bench.write(await bench.login({ remoteAddress: '203.0.113.9' }), 0, 0xaa)
    expect(await bench.imageByte(0)).toBe(0xee)
  })
})

describe('a read-only unit', () => {
  it('is write-protected and leaves nothing behind', async () => {
    bench = await TargetBench.make()
    await bench.start({ targets: [bench.target({ units: [bench.unit({ readOnly: true })] })] })
    const nexus = await bench.login()
    expect(nexus.units.get(0)!.unit.writeProtected).toBe(true)
    expect(await bench.read(nexus, 0)).toBe(BASE_BYTE)
    await bench.end(nexus, SILENCE)
    await bench.settled()
    expect(await readdir(join(bench.state, 'initiators'))).toEqual([])
  })
})
