import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { readdir, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from '@jest/globals'
import type { ServerOptions } from '../../lib/target/options.js'
import { IscsiServer } from '../../lib/target/server.js'
import { DISK_DIRECTORY } from '../support/disk-directory.js'
import { ALICE, BASE_BYTE, BOB, HOUR_MS, LOGOUT, SILENCE, TARGET, TargetBench } from '../support/target-bench.js'

/** State directories lie beside images here, which no image under /dev has. */
const makeBench = (...[changes, targetChanges]: Parameters<typeof TargetBench.make>) =>
  TargetBench.make(changes, targetChanges, DISK_DIRECTORY)

let bench: TargetBench
afterEach(() => bench.remove())

async function started(changes: Partial<ServerOptions> = {}): Promise<void> {
  bench = await makeBench(changes)
  await bench.start()
}

const OTHER = 'iqn.2010-04.local.cloudx:other'
const SECRET = Buffer.from('a secret of 16 b')

describe('IscsiServer', () => {
  it('creates a missing image sparse, and says so', async () => {
    bench = await makeBench()
    await rm(bench.image)
    await bench.start()
    expect((await stat(bench.image)).size).toBe(4 * 2 ** 20)
    expect(bench.log.with('did not exist: created', '4 MiB')).toHaveLength(1)
  })

  it('refuses the same file twice in one target, by whatever name', async () => {
    bench = await makeBench()
    const units = [bench.unit(), bench.unit({ lun: 1, path: join(bench.directory, '.', 'share.img') })]
    await expect(bench.start({ targets: [bench.target({ units })] })).rejects.toMatchObject({
      code: 'ERR_ISCSI_IMAGE_TWICE'
    })
  })

  it('refuses an image that is not a multiple of the block size', async () => {
    bench = await makeBench()
    await truncate(bench.image, 4 * 2 ** 20 - 512)
    const units = [bench.unit({ blockSize: 4096 })]
    await expect(bench.start({ targets: [bench.target({ units })] })).rejects.toMatchObject({
      code: 'ERR_ISCSI_IMAGE_SIZE'
    })
  })

  it('refuses a second server on the same state directory and image, until the first has ended', async () => {
    await started()
    const second = await makeBench()
    try {
      const targets = [second.target({ units: [second.unit({ path: bench.image })] })]
      await expect(second.start({ targets })).rejects.toMatchObject({ code: 'ERR_ISCSI_LOCKED' })
      second.server = undefined
      await bench.stop()
      await second.start({ targets })
    } finally {
      await second.remove()
    }
  })

  it('gives an image one UUID for good, kept in the state directory', async () => {
    await started()
    const [first] = await bench.server!.control.targets()
    await bench.start()
    const [second] = await bench.server!.control.targets()
    expect(first!.units[0]!.imageUuid).toMatch(/^[0-9a-f-]{36}$/)
    expect(second!.units[0]).toEqual(first!.units[0])
  })

  it('serves one image under two targets, with separate deltas and identities', async () => {
    bench = await makeBench()
    await bench.start({ targets: [bench.target(), bench.target({ name: OTHER })] })
    const here = await bench.login()
    const there = await bench.login({ targetName: OTHER })
    await bench.write(here, 0, 0xaa)
    expect(await bench.read(there, 0)).toBe(BASE_BYTE)
    expect(there.units.get(0)!.unit.identity.serial).not.toBe(here.units.get(0)!.unit.identity.serial)
  })

  it('uses the state directory that it is told, for all targets', async () => {
    bench = await makeBench()
    const stateDirectory = join(bench.directory, 'state')
    await bench.start({ stateDirectory })
    await bench.visit(0xaa, SILENCE)
    expect((await readdir(stateDirectory)).sort()).toEqual(
      expect.arrayContaining(['bin', 'deltas', 'images', 'initiators', 'lock', 'state.json'])
    )
    expect((await stat(stateDirectory)).mode & 0o777).toBe(0o700)
  })

  it('refuses a state directory of a later version, and one that is a file', async () => {
    await started()
    await bench.stop()
    await writeFile(join(bench.state, 'state.json'), '{"version":2}')
    await expect(bench.start()).rejects.toMatchObject({ code: 'ERR_ISCSI_STATE' })
    bench.server = undefined
    await expect(bench.start({ stateDirectory: bench.image })).rejects.toThrow(/--state-dir/)
    bench.server = undefined
  })

  it('leaves deltas of a target that is gone as they are, and says so', async () => {
    await started()
    await bench.visit(0xaa, SILENCE)
    await bench.start({ targets: [bench.target({ name: OTHER })] })
    expect(bench.log.with('warn:', TARGET, 'stay as they are')).toHaveLength(1)
    await bench.start({ targets: [bench.target()] })
    expect(await bench.read(await bench.login(), 0)).toBe(0xaa)
  })

  it('writes one line for each login and logout', async () => {
    await started()
    await bench.visit(0xaa, LOGOUT)
    expect(bench.log.with('info:', ALICE, 'logged in to', TARGET, '192.0.2.7')).toHaveLength(1)
    expect(bench.log.with('info:', ALICE, 'left', 'logout, reason 0')).toHaveLength(1)
  })

  it('adds and removes a target while it runs, and keeps its deltas', async () => {
    await started()
    await bench.server!.addTarget(bench.target({ name: OTHER }))
    await expect(bench.server!.addTarget(bench.target({ name: OTHER }))).rejects.toMatchObject({
      code: 'ERR_ISCSI_TARGET_EXISTS'
    })
    const nexus = await bench.login({ targetName: OTHER })
    await bench.write(nexus, 0, 0xaa)
    await bench.server!.removeTarget(OTHER)
    expect(bench.directoryService.hasTarget(OTHER)).toBe(false)
    await bench.server!.addTarget(bench.target({ name: OTHER }))
    expect(await bench.read(await bench.login({ targetName: OTHER }), 0)).toBe(0xaa)
  })

  it('knows the deltas of a target that was removed and added again: identity, CHAP user, grace time', async () => {
    await started()
    await bench.server!.addTarget(bench.target({ name: OTHER }))
    const at = { targetName: OTHER, chapName: 'alice' }
    await bench.visit(0xaa, SILENCE, at)
    await bench.server!.control.restore({ target: OTHER })
    const nexus = await bench.login(at)
    const { serial } = nexus.units.get(0)!.unit.identity
    await bench.write(nexus, 0, 0xab)
    await bench.server!.removeTarget(OTHER)
    await bench.server!.addTarget(bench.target({ name: OTHER }))
    expect(await bench.server!.control.initiators()).toMatchObject([{ targetName: OTHER, graceLeftMs: 96 * HOUR_MS }])
    await expect(bench.login({ ...at, chapName: 'mallory' })).rejects.toMatchObject({ status: 0x0202 })
    const again = await bench.login(at)
    expect(await bench.read(again, 0)).toBe(0xab)
    expect(again.units.get(0)!.unit.identity.serial).toBe(serial)
    await bench.end(again, SILENCE)
    await bench.server!.removeTarget(OTHER)
    await bench.start({ targets: [bench.target(), bench.target({ name: OTHER })] })
    expect(await bench.read(await bench.login(at), 0)).toBe(0xab)
  })

  it('lets go of an image for its author when the target of another client is removed', async () => {
    bench = await makeBench({}, { authors: [BOB] })
    await bench.start({ targets: [bench.target(), bench.target({ name: OTHER })] })
    await bench.login({ targetName: OTHER })
    await bench.server!.removeTarget(OTHER)
    await bench.login({ initiatorName: BOB })
  })

  it.each(['/dev/sdz', '/dev/disk/by-id/x', '\\\\.\\PhysicalDrive7'])(
    'wants to be told where the deltas over %s go',
    async (path) => {
      bench = await makeBench()
      const targets = [bench.target({ units: [bench.unit({ path })] })]
      await expect(bench.start({ targets })).rejects.toThrow(/--state-dir/)
      bench.server = undefined
    }
  )

  const memory = '/dev/shm'
  const onLinux = existsSync(memory) ? it : it.skip
  onLinux('puts deltas beside an image in a folder below /dev, which is no device', async () => {
    const folder = mkdtempSync(join(memory, 'cloudx-'))
    try {
      const path = join(folder, 'share.img')
      writeFileSync(path, Buffer.alloc(1024 * 1024))
      bench = await makeBench()
      await bench.start({ targets: [bench.target({ units: [bench.unit({ path })] })] })
      expect(existsSync(`${path}.cloudx`)).toBe(true)
      await bench.stop()
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it('makes the images that are missing, all or none, before it makes a state directory', async () => {
    bench = await makeBench()
    const unit = (lun: number, name: string) =>
      bench.unit({ lun, path: join(bench.directory, name), createBlank: false })
    const doubtful = [unit(0, 'new1.img'), unit(1, 'shrae.img')]
    await expect(bench.start({ targets: [bench.target({ units: doubtful })] })).rejects.toThrow(
      /did you mean share\.img/
    )
    bench.server = undefined
    expect(readdirSync(bench.directory)).toEqual(['share.img'])
    await bench.start({ targets: [bench.target({ units: [unit(0, 'new1.img'), unit(1, 'new2.img')] })] })
    expect(readdirSync(bench.directory).sort()).toEqual(['new1.img', 'new1.img.cloudx', 'new2.img', 'share.img'])
    expect(bench.log.lines.join('\n')).toMatch(
      /new2\.img did not exist: created with 4 MiB, sparse, a drive \(GPT, exFAT\)/
    )
  })

  it('makes no new image in the place of one that is gone', async () => {
    await started()
    await bench.stop()
    rmSync(bench.image)
    await expect(bench.start()).rejects.toThrow(/share\.img does not exist, but .*share\.img\.cloudx does/)
    bench.server = undefined
    expect(existsSync(bench.image)).toBe(false)
  })

  it('opens nothing any more when it is closed while it opens', async () => {
    await started()
    await bench.stop()
    const parts = { log: bench.log, clock: bench.clock }
    const server = new IscsiServer(bench.options(), parts)
    const listening = server.listen()
    await server.close()
    await expect(listening).rejects.toMatchObject({ code: 'ERR_ISCSI_CLOSED' })
    await bench.start()
  })

  it('may be closed twice, and before it was opened', async () => {
    await started()
    const { server } = bench
    await Promise.all([server!.close(), server!.close()])
    bench.server = undefined
  })

  describe('as a directory', () => {
    async function directory(changes: Partial<ServerOptions> = {}) {
      bench = await makeBench()
      const open = bench.target()
      const chap = { user: 'alice', secret: SECRET }
      const access = { allow: [`${BOB}*`], chap, mutual: undefined }
      await bench.start({ targets: [open, bench.target({ name: OTHER, access })], ...changes })
      return bench.directoryService
    }
    const from = (initiatorName: string, targetName?: string) => ({
      initiatorName,
      targetName,
      remoteAddress: '192.168.2.7'
    })

    it('shows an initiator the targets that it may use, in order', async () => {
      const service = await directory()
      expect(service.visibleTargets(from(BOB))).toEqual([OTHER, TARGET])
      expect(service.visibleTargets(from(ALICE))).toEqual([TARGET])
      expect(service.mayAccess(from(ALICE, OTHER))).toBe(false)
      expect(service.mayAccess(from(ALICE, TARGET))).toBe(true)
      expect(service.mayAccess(from(ALICE))).toBe(true)
      expect(service.mayAccess(from(ALICE, 'iqn.2000-01.x:none'))).toBe(false)
    })

    it('demands CHAP of the target that has a secret, and of discovery when every target does', async () => {
      const service = await directory()
      expect(service.chap(from(BOB, OTHER)).required).toBe(true)
      expect(service.chap(from(BOB, TARGET)).required).toBe(false)
      expect(service.chap(from(BOB))).toMatchObject({ required: false, available: true })
      expect(service.chap(from(BOB)).initiatorSecret('alice')).toEqual(SECRET)
      await bench.server!.removeTarget(TARGET)
      expect(service.chap(from(BOB)).required).toBe(true)
    })

    it.each([
      [undefined, '192.0.2.1', '192.0.2.1:3260'],
      [undefined, 'fe80::1', '[fe80::1]:3260'],
      ['pc.example', '192.0.2.1', 'pc.example:3260'],
      ['pc.example:3261', '192.0.2.1', 'pc.example:3261'],
      ['2001:db8::1', '192.0.2.1', '[2001:db8::1]:3260'],
      ['[2001:db8::1]:3261', '192.0.2.1', '[2001:db8::1]:3261']
    ])('with --advertise %s a client that reached %s is told %s', async (advertise, reached, told) => {
      const service = await directory({ advertise })
      expect(service.advertisedAddress(reached, 3260)).toBe(told)
    })

    it('refuses a nexus at a target that is not there', async () => {
      await directory()
      await expect(bench.login({ targetName: 'iqn.2000-01.x:none' })).rejects.toMatchObject({ status: 0x0203 })
    })
  })

  describe('control', () => {
    it('shows sessions, initiators, bin and space', async () => {
      await started()
      const nexus = await bench.login()
      await bench.write(nexus, 0, 0xaa)
      const { control } = bench.server!
      expect(await control.sessions()).toMatchObject([{ initiatorName: ALICE, targetName: TARGET }])
      expect(await control.initiators()).toMatchObject([
        { initiatorName: ALICE, sessions: 1, role: 'private', units: [{ lun: 0, stored: true, bytes: 4096 }] }
      ])
      const [space] = await control.space()
      expect(space!.usedBytes).toBeGreaterThanOrEqual(4096)
      await bench.end(nexus, LOGOUT)
      expect(await control.bin()).toMatchObject([{ initiatorName: ALICE, reason: 'logout' }])
    })

    it('disconnects by filter and keeps the deltas', async () => {
      await started()
      await bench.write(await bench.login(), 0, 0xaa)
      await bench.login({ initiatorName: BOB })
      expect(await bench.server!.control.disconnect({ initiator: ALICE })).toBe(1)
      expect(await bench.server!.control.sessions()).toMatchObject([{ initiatorName: BOB }])
      expect(await bench.read(await bench.login(), 0)).toBe(0xaa)
    })

    it("restores one initiator by order, its live session first, and no other's", async () => {
      await started()
      await bench.write(await bench.login(), 0, 0xaa)
      await bench.visit(0xbb, SILENCE, { initiatorName: BOB })
      const { bytes } = await bench.server!.control.restore({ initiator: ALICE })
      expect(bytes).toBe(4096)
      const alice = await bench.login()
      expect(await bench.read(alice, 0)).toBe(BASE_BYTE)
      expect(alice.units.get(0)!.fenced).toBe(true)
      expect(await bench.read(await bench.login({ initiatorName: BOB }), 0)).toBe(0xbb)
    })

    it('restores nothing for an initiator that has no delta', async () => {
      await started()
      expect(await bench.server!.control.restore({ initiator: 'iqn.2000-01.x:none' })).toEqual({ bytes: 0, tookMs: 0 })
      bench.clock.advance(HOUR_MS)
    })
  })
})
