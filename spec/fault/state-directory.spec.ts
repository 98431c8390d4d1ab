import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from '@jest/globals'
import type { Nexus } from '../../lib/scsi/nexus.js'
import type { OpenDeltaDisk } from '../../lib/target/delta-disk.js'
import { codeOf } from '../../lib/util/errors.js'
import type { ServerOptions } from '../../lib/target/options.js'
import { openOverlayDisk } from '../../lib/target/overlay-disk.js'
import { ALICE, BASE_BYTE, BOB, HOUR_MS, LOGOUT, SILENCE, TARGET, TargetBench } from '../support/target-bench.js'

/*
 * What the state directory looks like when the process is killed between any two steps, when its files cannot be
 * written, and when somebody has had a hand in it. The death of the process is a copy of the directory at that step.
 */

const SNAPSHOTS_MAX = 10

let bench: TargetBench
afterEach(() => bench.remove())

async function started(changes: Partial<ServerOptions> = {}, openDelta: OpenDeltaDisk = openOverlayDisk) {
  bench = await TargetBench.make(changes)
  await bench.start({}, { openDelta })
}

/** Delta disks whose restore and close can be watched and made to fail. */
function watched(hooks: {
  before?: () => Promise<void>
  after?: () => Promise<void>
  close?: (close: () => Promise<void>) => Promise<void>
}): OpenDeltaDisk {
  return async (options) => {
    const disk = await openOverlayDisk(options)
    return new Proxy(disk, {
      get(target, name) {
        if (name === 'restore') {
          return async (directory: string) => {
            await hooks.before?.()
            const dropped = await target.restore(directory)
            await hooks.after?.()
            return dropped
          }
        }
        if (name === 'close') return () => (hooks.close ? hooks.close(() => target.close()) : target.close())
        const value: unknown = Reflect.get(target, name, target)
        return typeof value === 'function' ? (value as () => unknown).bind(target) : value
      }
    })
  }
}

/** Another part of the server may give a draft its name while the copy is made; then it is made again. */
async function snapshot(name: string): Promise<string> {
  const path = join(bench.directory, name)
  for (let attempt = 1; ; attempt++) {
    try {
      await cp(bench.state, path, { recursive: true })
      return path
    } catch (error) {
      if (codeOf(error) !== 'ENOENT' || attempt === SNAPSHOTS_MAX) throw error
      await rm(path, { recursive: true, force: true })
    }
  }
}

/** The server dies now; `path` is what it leaves. */
async function killed(path: string): Promise<void> {
  await bench.stop()
  await rm(bench.state, { recursive: true })
  await rename(path, bench.state)
  await bench.start()
}

async function only(directory: string): Promise<string> {
  const names = await readdir(directory)
  expect(names).toHaveLength(1)
  return join(directory, names[0]!)
}

async function deltaFiles(state = bench.state): Promise<string[]> {
  const folders = await readdir(join(state, 'deltas'))
  const files = await Promise.all(
    folders.map(async (name) =>
      (await readdir(join(state, 'deltas', name))).map((file) => join(state, 'deltas', name, file))
    )
  )
  return files.flat().sort()
}

const serial = (nexus: Nexus, lun = 0) => nexus.units.get(lun)!.unit.identity.serial

async function identity(): Promise<string> {
  const nexus = await bench.login()
  await bench.end(nexus, LOGOUT)
  await bench.settled()
  return serial(nexus)
}

/** What the client of a dropped delta must find. */
async function expectDropped(before: string): Promise<void> {
  const nexus = await bench.login()
  expect(await bench.read(nexus, 0)).toBe(BASE_BYTE)
  expect(serial(nexus)).toBe(before)
  expect(nexus.units.get(0)!.fenced).toBe(false)
}

async function expectLost(before: string): Promise<void> {
  const nexus = await bench.login()
  expect(await bench.read(nexus, 0)).toBe(BASE_BYTE)
  expect(serial(nexus)).not.toBe(before)
  expect(nexus.units.get(0)!.fenced).toBe(true)
}

async function expectKept(before: string, fill = 0xaa): Promise<void> {
  const nexus = await bench.login()
  expect(await bench.read(nexus, 0)).toBe(fill)
  expect(serial(nexus)).toBe(before)
  expect(nexus.units.get(0)!.fenced).toBe(false)
}

/** No record can be written any more: a folder lies where the draft would be made. */
async function blockRecord(): Promise<() => Promise<void>> {
  const name = (await readdir(join(bench.state, 'initiators'))).find((file) => file.endsWith('.json'))!
  const draft = join(bench.state, 'initiators', `${name}.new`)
  await mkdir(draft)
  return () => rm(draft, { recursive: true })
}

/** Nothing can be put into the bin any more. */
async function blockBin(): Promise<() => Promise<void>> {
  const path = join(bench.state, 'bin')
  await rename(path, `${path}.away`)
  await writeFile(path, '')
  return async () => {
    await rm(path)
    await rename(`${path}.away`, path)
  }
}

describe('The death of the process', () => {
  // The record of a login does not know yet that there will be files; that of a second one does.
  describe.each([false, true])('during a logout, files known to the record: %s', (known) => {
    async function loggedOut(step: 'before' | 'after'): Promise<string> {
      let path = ''
      const take = async () => void (path = await snapshot('killed'))
      await started({}, watched({ [step]: take }))
      const before = await identity()
      if (known) await bench.visit(0xaa, SILENCE)
      await bench.visit(0xaa, LOGOUT)
      await bench.settled()
      await killed(path)
      return before
    }

    it('before the files are renamed leaves a delta that has ended, and no loss', async () => {
      const before = await loggedOut('before')
      await expectDropped(before)
      expect((await deltaFiles()).filter((path) => path.endsWith('-1.map'))).toEqual([])
    })

    it('between the renames leaves no loss and no slots behind', async () => {
      const before = await loggedOut('after')
      await bench.stop()
      const path = await only(join(bench.state, 'deltas')).catch(() => '')
      const bin = await only(join(bench.state, 'bin'))
      if (path !== '') {
        const slots = (await readdir(bin)).find((name) => name.endsWith('.slots'))!
        await rename(join(bin, slots), join(path, 'lun-0-1.slots'))
      }
      await bench.start()
      await expectDropped(before)
      expect(await deltaFiles()).toEqual([])
    })

    it('after the renames leaves no loss', async () => {
      await expectDropped(await loggedOut('after'))
    })
  })

  describe.each([false, true])('while a lost delta is put aside, files known to the record: %s', (known) => {
    async function lostHalf(): Promise<[string, string]> {
      await started()
      const before = await identity()
      const nexus = await bench.login()
      await bench.write(nexus, 0, 0xaa)
      if (known) await bench.end(nexus, SILENCE)
      const path = await snapshot('killed')
      await bench.stop()
      return [before, path]
    }

    it('after its record was written still tells the client', async () => {
      const [before, path] = await lostHalf()
      // The image is another one, so that the next start finds the loss; its process dies when the record is written.
      await rm(bench.state, { recursive: true })
      await rename(path, bench.state)
      await writeFile(bench.image, Buffer.alloc(4 * 2 ** 20, BASE_BYTE))
      const copies = join(bench.directory, 'copies')
      await cp(join(bench.state, 'deltas'), copies, { recursive: true })
      await bench.start()
      await bench.stop()
      await rm(join(bench.state, 'deltas'), { recursive: true })
      await rename(copies, join(bench.state, 'deltas'))
      await bench.start()
      await expectLost(before)
    })

    it('never moves files before the record says that they are lost', async () => {
      const [before, path] = await lostHalf()
      await rm(bench.state, { recursive: true })
      await rename(path, bench.state)
      await writeFile(bench.image, Buffer.alloc(4 * 2 ** 20, BASE_BYTE))
      const unblock = await blockRecord()
      const files = await deltaFiles()
      await bench.start()
      expect(await deltaFiles()).toEqual(files)
      await unblock()
      await bench.start()
      await expectLost(before)
    })
  })

  it('between the making of the slots and of the map leaves nothing that takes room', async () => {
    await started()
    const before = await identity()
    await bench.login()
    const path = await snapshot('killed')
    await writeFile(join(await only(join(path, 'deltas')), 'lun-0-1.slots'), Buffer.alloc(4096, 0xaa))
    await killed(path)
    await bench.settled()
    expect(await deltaFiles()).toEqual([])
    expect(await readdir(join(bench.state, 'initiators'))).toEqual([])
    await expectDropped(before)
  })

  it('keeps what a loss put aside, although nothing came after the rename', async () => {
    await started()
    await bench.visit(0xaa, SILENCE)
    await bench.server!.control.restore({})
    await killed(await snapshot('killed'))
    expect(await bench.server!.control.bin()).toMatchObject([{ reason: 'operator', bytes: 4096 }])
  })

  it('while the server closes keeps the delta', async () => {
    let path = ''
    const close = async (end: () => Promise<void>) => {
      path = await snapshot('killed')
      await end()
    }
    await started()
    const before = await identity()
    await bench.start({}, { openDelta: watched({ close }) })
    await bench.write(await bench.login(), 0, 0xaa)
    await bench.stop()
    await killed(path)
    await expectKept(before)
  })
})

describe('A state file that cannot be written', () => {
  it('refuses the login, and leaves no session behind that would keep the delta for ever', async () => {
    await started()
    await bench.visit(0xaa, SILENCE)
    const unblock = await blockRecord()
    await expect(bench.login()).rejects.toMatchObject({ status: 0x0300 })
    await unblock()
    await expect(bench.server!.control.initiators()).resolves.toMatchObject([
      { sessions: 0, graceLeftMs: 96 * HOUR_MS }
    ])
    const nexus = await bench.login()
    expect(await bench.read(nexus, 0)).toBe(0xaa)
    await bench.end(nexus, LOGOUT)
    expect(await bench.read(await bench.login(), 0)).toBe(BASE_BYTE)
  })

  it('does not bring back what its client has dropped', async () => {
    await started()
    const before = await identity()
    const nexus = await bench.login()
    await bench.write(nexus, 0, 0xaa)
    const unblock = await blockRecord()
    await bench.end(nexus, LOGOUT)
    await unblock()
    await bench.settled()
    await expectDropped(before)
    await bench.start()
    await expectDropped(before)
  })

  it('fails the first write, and remembers no delta that there never was', async () => {
    await started()
    const before = await identity()
    const nexus = await bench.login()
    const unblock = await blockRecord()
    await expect(bench.write(nexus, 0, 0xaa)).rejects.toThrow()
    expect(await bench.read(nexus, 0)).toBe(BASE_BYTE)
    await unblock()
    await bench.end(nexus, SILENCE)
    await bench.settled()
    expect(await bench.server!.control.initiators()).toEqual([])
    await bench.start()
    expect(bench.log.with('lost its delta')).toEqual([])
    await expectDropped(before)
  })

  it('leaves a delta to its client when its loss cannot be noted', async () => {
    await started()
    const before = await identity()
    await bench.visit(0xaa, SILENCE)
    const unblock = await blockRecord()
    await expect(bench.server!.control.restore({})).rejects.toThrow()
    await unblock()
    await expectKept(before)
  })

  it('tries a delta whose grace time is over again', async () => {
    await started()
    const before = await identity()
    await bench.visit(0xaa, SILENCE)
    const unblock = await blockRecord()
    bench.clock.advance(97 * HOUR_MS)
    await bench.settled()
    expect(bench.log.with('lost its delta')).toEqual([])
    await unblock()
    bench.clock.advance(HOUR_MS)
    await bench.settled()
    await expectLost(before)
  })
})

describe('A bin that cannot be written', () => {
  it('never shows a client again what was written before its logout, not even after a restart', async () => {
    await started()
    const before = await identity()
    const nexus = await bench.login()
    await bench.write(nexus, 0, 0xaa)
    const unblock = await blockBin()
    await bench.end(nexus, LOGOUT)
    await bench.settled()
    await expect(bench.login()).rejects.toMatchObject({ status: 0x0300 })
    const path = await snapshot('killed')
    await unblock()
    await bench.settled()
    await expectDropped(before)
    await rm(join(path, 'bin'))
    await rename(join(path, 'bin.away'), join(path, 'bin'))
    await killed(path)
    await expectDropped(before)
  })

  it('is no way to exchange a delta silently: what the operator drops is lost on all of its LUNs', async () => {
    bench = await TargetBench.make()
    const second = join(bench.directory, 'second.img')
    await writeFile(second, Buffer.alloc(2 ** 20, BASE_BYTE))
    const units = [bench.unit(), bench.unit({ lun: 1, path: second })]
    await bench.start({ targets: [bench.target({ units })] })
    const nexus = await bench.login()
    await bench.write(nexus, 0, 0xaa)
    await bench.end(nexus, SILENCE)
    const unblock = await blockBin()
    await bench.server!.control.restore({}).catch(() => undefined)
    await unblock()
    await expectLost(serial(nexus))
  })

  it('drops the other LUNs when the files of one were taken away', async () => {
    bench = await TargetBench.make()
    const second = join(bench.directory, 'second.img')
    await writeFile(second, Buffer.alloc(4 * 2 ** 20, BASE_BYTE))
    const units = [bench.unit(), bench.unit({ lun: 1, path: second })]
    await bench.start({ targets: [bench.target({ units })] })
    const nexus = await bench.login()
    const twin = { units: new Map([[0, nexus.units.get(1)!]]) } as unknown as Nexus
    await bench.write(nexus, 0, 0xaa)
    await bench.write(twin, 0, 0xaa)
    for (const path of await deltaFiles()) if (path.includes('lun-0-')) await rm(path)
    await bench.end(nexus, LOGOUT)
    await bench.settled()
    const again = await bench.login()
    expect(await bench.read(again, 0)).toBe(BASE_BYTE)
    const other = { units: new Map([[0, again.units.get(1)!]]) } as unknown as Nexus
    expect(await bench.read(other, 0)).toBe(BASE_BYTE)
  })
})

describe('One initiator that fails', () => {
  it('does not keep the others from being served', async () => {
    await started()
    await bench.visit(0xaa, SILENCE)
    await bench.stop()
    const folder = await only(join(bench.state, 'deltas'))
    await rename(folder, `${folder}.away`)
    await writeFile(folder, '')
    await bench.start()
    await expect(bench.login()).rejects.toMatchObject({ status: 0x0300 })
    await bench.visit(0xbb, SILENCE, { initiatorName: BOB })
    expect(await bench.read(await bench.login({ initiatorName: BOB }), 0)).toBe(0xbb)
    await rm(folder)
    await rename(`${folder}.away`, folder)
    expect(await bench.read(await bench.login(), 0)).toBe(0xaa)
  })

  it('does not keep the deltas of others open when the server ends', async () => {
    let closed = 0
    let first = true
    const close = async (end: () => Promise<void>) => {
      const fails = first
      first = false
      if (!fails) await new Promise((resolve) => setImmediate(resolve))
      await end()
      closed++
      if (fails) throw new Error('EIO at the flush')
    }
    await started({}, watched({ close }))
    for (const initiatorName of [ALICE, BOB]) await bench.visit(0xaa, SILENCE, { initiatorName })
    await bench.stop()
    expect(closed).toBe(2)
    expect(bench.log.with('error:', 'EIO at the flush')).toHaveLength(1)
  })

  it('does not end the process when its delta cannot be flushed while it is absent', async () => {
    const close = async (end: () => Promise<void>) => {
      await end()
      throw new Error('EIO at the flush')
    }
    await started({}, watched({ close }))
    const rejections: unknown[] = []
    const note = (error: unknown) => rejections.push(error)
    process.on('unhandledRejection', note)
    try {
      for (let index = 0; index < 34; index++) {
        await bench.visit(0xaa, SILENCE, { initiatorName: `iqn.2000-01.x:pc-${index}` })
        await bench.settled()
      }
    } finally {
      process.off('unhandledRejection', note)
    }
    expect(rejections).toEqual([])
    expect(bench.log.with('error:', 'EIO at the flush').length).toBeGreaterThan(0)
  })
})

describe('A hand in the state directory', () => {
  it('does not make a delta current again that was lost before', async () => {
    await started()
    await bench.visit(0xaa, SILENCE)
    await bench.stop()
    const path = join(bench.state, 'deltas')
    await rename(path, `${path}.away`)
    await bench.start()
    const nexus = await bench.login()
    nexus.looked(nexus.units.get(0)!, 'inquiry')
    await bench.end(nexus, SILENCE)
    await bench.stop()
    await rm(path, { recursive: true })
    await rename(`${path}.away`, path)
    await bench.start()
    await expectLost(serial(nexus))
  })

  it('cannot make the bin empty a folder through a link', async () => {
    await started()
    await bench.stop()
    const outside = join(bench.directory, 'outside')
    await mkdir(outside)
    await writeFile(join(outside, 'precious.txt'), 'precious')
    await symlink(outside, join(bench.state, 'bin', 'link'))
    await mkdir(join(bench.state, 'bin', 'folder'))
    await symlink(join(outside, 'precious.txt'), join(bench.state, 'bin', 'folder', 'x.slots'))
    await bench.start()
    await bench.settled()
    expect(await readFile(join(outside, 'precious.txt'), 'utf8')).toBe('precious')
    expect(await readdir(join(bench.state, 'bin'))).toEqual([])
  })

  it('finds deltas again whatever link leads to the image', async () => {
    await started()
    const before = await identity()
    await bench.visit(0xaa, SILENCE)
    await bench.stop()
    const link = await mkdtemp(join(tmpdir(), 'cloudx-link-'))
    try {
      await symlink(bench.directory, join(link, 'here'))
      const units = [bench.unit({ path: join(link, 'here', 'share.img') })]
      await bench.start({ targets: [bench.target({ units })] })
      await expectKept(before)
      await bench.stop()
    } finally {
      await rm(link, { recursive: true })
    }
  })

  it('lets two targets share a state directory that they reach by two ways', async () => {
    bench = await TargetBench.make()
    await symlink(bench.directory, join(bench.directory, 'here'))
    const units = [bench.unit({ path: join(bench.directory, 'here', 'share.img') })]
    await bench.start({ targets: [bench.target(), bench.target({ name: `${TARGET}2`, units })] })
    expect(await bench.server!.control.space()).toHaveLength(1)
  })
})

describe('Room', () => {
  it('counts the deltas of absent clients too, after a restart as well', async () => {
    await started({ deltaTotalBytes: 2 ** 20 })
    const nexus = await bench.login()
    for (let chunk = 0; chunk < 200; chunk++) await bench.write(nexus, chunk * 4096, 0xaa)
    await bench.end(nexus, SILENCE)
    await bench.start()
    const bob = await bench.login({ initiatorName: BOB })
    let written = 0
    const fill = async (count: number) => {
      for (; written < count; written++) await bench.write(bob, written * 4096, 0xbb)
    }
    await expect(fill(100)).rejects.toMatchObject({ code: 'ENOSPC' })
    expect(written).toBeLessThan(56)
    await bench.server!.control.restore({ initiator: ALICE })
    await bench.settled()
    await fill(200)
    expect(await bench.read(bob, 199 * 4096)).toBe(0xbb)
    const [space] = await bench.server!.control.space()
    expect(space!.usedBytes).toBeLessThanOrEqual(2 ** 20)
  })

  it('knows how much a delta holds that cannot be read', async () => {
    await started()
    await bench.visit(0xaa, SILENCE)
    await bench.stop()
    const map = (await deltaFiles()).find((path) => path.endsWith('.map'))!
    const bytes = await readFile(map)
    // In the middle of the first record.
    bytes[4110]! ^= 1
    await writeFile(map, bytes)
    await bench.start()
    expect(await bench.read(await bench.login(), 0)).toBe(BASE_BYTE)
    const [lost] = await bench.server!.control.bin()
    expect(lost!.reason).toBe('unreadable')
    expect(lost!.bytes).toBeGreaterThanOrEqual(4096)
    const [space] = await bench.server!.control.space()
    expect(space!.usedBytes).toBe(0)
  })

  it('gives back exactly what it counted', async () => {
    await started()
    for (const end of [SILENCE, LOGOUT]) {
      await bench.visit(0xaa, end)
      await bench.start()
      await bench.settled()
    }
    await bench.visit(0xaa, LOGOUT)
    await bench.settled()
    const [space] = await bench.server!.control.space()
    expect(space!.usedBytes).toBe(0)
    expect((await stat(bench.state)).mode & 0o777).toBe(0o700)
  })
})
