import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals'
import type { Nexus } from '../../../lib/scsi/nexus.js'
import { CAPACITY_CHANGED } from '../../../lib/scsi/sense.js'
import { LocalOwners } from '../../../lib/target/owner.js'
import { DeltaFile } from '../../../lib/volume/delta/delta-file.js'
import { ALICE, BASE_BYTE, BOB, LOGOUT, SILENCE, TargetBench } from '../../support/target-bench.js'

const STUDIO = 'iqn.2026-01.org.example:studio'
const MIB = 1 << 20

let bench: TargetBench
beforeEach(async () => {
  const initiators = [
    { match: STUDIO, policy: 'author' as const },
    { match: `${BOB}-reads`, policy: 'read-only' as const }
  ]
  bench = await TargetBench.make({}, { initiators })
  await bench.start()
})
afterEach(async () => {
  jest.restoreAllMocks()
  await bench.remove()
})

const control = () => bench.server!.control
const open = (initiatorName: string) => bench.login({ initiatorName })
const entryOf = (nexus: Nexus) => nexus.units.get(0)!
const unitOf = (nexus: Nexus) => entryOf(nexus).unit
const grow = (mib: number) => control().grow({ sizeBytes: mib * MIB })
const usersOf = async (generation: number) => {
  const [image] = await control().images()
  return image!.generations.find(({ number }) => number === generation)!.users.map((user) => user.initiatorName)
}

describe('a disk that grows', () => {
  it('is larger at once for sessions that see the current generation, with what they wrote, and tells them so', async () => {
    const reader = await open(ALICE)
    const writer = await open(BOB)
    await bench.write(writer, 8192, 0x55)
    await grow(8)
    for (const nexus of [reader, writer, await open(`${BOB}-2`)]) {
      expect(unitOf(nexus).blockCount).toBe((8 * MIB) / 512)
      expect(unitOf(nexus).volume.size).toBe(8 * MIB)
    }
    expect([reader, writer].map((nexus) => entryOf(nexus).attention)).toEqual([CAPACITY_CHANGED, CAPACITY_CHANGED])
    expect(await bench.read(writer, 8192)).toBe(0x55)
    expect(await bench.read(writer, 4 * MIB - 512)).toBe(BASE_BYTE)
    expect(await bench.read(writer, 8 * MIB - 512)).toBe(0)
    await bench.write(writer, 8 * MIB - 4096, 0x66)
    expect(await bench.read(writer, 8 * MIB - 512)).toBe(0x66)
    expect(await usersOf(1)).toEqual([ALICE, BOB, `${BOB}-2`])
    expect(await usersOf(0)).toEqual([])
  })

  it('is that of a read-only client too, and of several sizes one after the other', async () => {
    const reader = await open(`${BOB}-reads`)
    const writer = await open(BOB)
    await bench.write(writer, 0, 0x55)
    await grow(5)
    await grow(6)
    expect([unitOf(reader).volume.size, unitOf(writer).volume.size]).toEqual([6 * MIB, 6 * MIB])
    expect(unitOf(reader).readOnly).toBe(true)
    expect(await bench.read(writer, 0)).toBe(0x55)
    expect(entryOf(writer).takeAttention()).toBe(CAPACITY_CHANGED)
    expect(entryOf(writer).attention).toBe(undefined)
  })

  it('keeps its size for those who see an older generation', async () => {
    const older = await open(ALICE)
    await bench.visit(0x11, LOGOUT, { initiatorName: STUDIO })
    await control().publish({})
    const newer = await open(BOB)
    await grow(8)
    expect([unitOf(older), unitOf(newer)].map(({ volume }) => volume.size)).toEqual([4 * MIB, 8 * MIB])
    expect(entryOf(older).attention).toBe(undefined)
    expect(await bench.read(newer, 0)).toBe(0x11)
    expect(await usersOf(0)).toEqual([ALICE])
  })

  it('keeps its size for those who see a generation that a roll-back beside it takes away', async () => {
    await bench.visit(0x11, LOGOUT, { initiatorName: STUDIO })
    await control().publish({})
    const reader = await open(BOB)
    await bench.write(reader, 8192, 0x55)
    await Promise.all([control().rollback({}), grow(8)])
    expect(unitOf(reader).volume.size).toBe(4 * MIB)
    expect([await bench.read(reader, 0), await bench.read(reader, 8192)]).toEqual([0x11, 0x55])
    expect(await usersOf(1)).toEqual([BOB])
    const newest = await open(ALICE)
    expect([unitOf(newest).volume.size, await bench.read(newest, 0)]).toEqual([8 * MIB, BASE_BYTE])
  })

  it('is not put in the place of one that shows something else', async () => {
    await bench.visit(0x11, LOGOUT, { initiatorName: STUDIO })
    await control().publish({})
    const [image] = await control().images()
    const { imageControl } = bench.server!
    await expect(imageControl.enlarge({ imageUuid: image!.uuid, from: 0, to: 1 })).rejects.toThrow(/shows the same/)
    await grow(8)
    await expect(imageControl.enlarge({ imageUuid: image!.uuid, from: 0, to: 2 })).rejects.toThrow(/shows the same/)
  })

  it('waits for those who are away with a delta, and for what an author has not published yet', async () => {
    await bench.visit(0x55, SILENCE, { initiatorName: BOB })
    await bench.visit(0x66, LOGOUT, { initiatorName: STUDIO })
    await grow(8)
    const again = await open(BOB)
    expect(unitOf(again).volume.size).toBe(8 * MIB)
    expect(await bench.read(again, 0)).toBe(0x55)
    expect((await control().publish({})).current).toBe(2)
    const newest = await open(ALICE)
    expect([unitOf(newest).volume.size, await bench.read(newest, 0)]).toEqual([8 * MIB, 0x66])
  })

  it('is as large as it was after a restart of the server, with the same deltas', async () => {
    const writer = await open(BOB)
    await bench.write(writer, 0, 0x55)
    await grow(8)
    await bench.write(writer, 7 * MIB, 0x77)
    const { serial } = unitOf(writer).identity
    await bench.start()
    const again = await open(BOB)
    expect([await bench.read(again, 0), await bench.read(again, 7 * MIB)]).toEqual([0x55, 0x77])
    expect(unitOf(again).identity.serial).toBe(serial)
    expect(bench.log.lines.filter((line) => /lost its delta/.test(line))).toEqual([])
  })

  it('drops at logout what was written on the larger disk, like any other delta', async () => {
    const writer = await open(BOB)
    await bench.write(writer, 0, 0x55)
    await grow(8)
    await bench.write(writer, 7 * MIB, 0x77)
    await bench.end(writer, LOGOUT)
    const again = await open(BOB)
    expect([await bench.read(again, 0), await bench.read(again, 7 * MIB)]).toEqual([BASE_BYTE, 0])
  })

  it('lets a first write through that comes while it grows', async () => {
    const writers = await Promise.all(['1', '2', '3'].map((name) => open(`${BOB}-${name}`)))
    await Promise.all([grow(8), ...writers.map((writer) => bench.write(writer, 4096, 0x55))])
    for (const writer of writers) {
      expect(unitOf(writer).volume.size).toBe(8 * MIB)
      expect(await bench.read(writer, 4096)).toBe(0x55)
    }
  })

  it('goes on after a crash that came before those who were away, once for every size', async () => {
    await bench.visit(0x55, SILENCE, { initiatorName: BOB })
    await bench.visit(0x66, LOGOUT, { initiatorName: STUDIO })
    await bench.end(await open(ALICE), SILENCE)
    const crash = jest.spyOn(LocalOwners.prototype, 'enlarge').mockRejectedValue(new Error('the process died'))
    await expect(grow(6)).rejects.toThrow('died')
    await expect(grow(8)).rejects.toThrow('died')
    crash.mockRestore()
    await bench.start()
    await bench.settled()
    expect([await usersOf(0), await usersOf(1)]).toEqual([[], []])
    expect((await usersOf(2)).sort()).toEqual([ALICE, BOB, STUDIO])
    expect((await control().publish({})).generations.at(-1)).toMatchObject({ parent: 2, size: 8 * MIB })
    const again = await open(BOB)
    expect(unitOf(again).volume.size).toBe(8 * MIB)
    expect([await bench.read(again, 0), await bench.read(again, 7 * MIB)]).toEqual([0x55, 0])
    expect(entryOf(again).fenced).toBe(false)
  })

  it('opens no delta at a start when everybody sees the larger disk already', async () => {
    await bench.visit(0x55, SILENCE, { initiatorName: BOB })
    await grow(8)
    const enlarge = jest.spyOn(LocalOwners.prototype, 'enlarge')
    await bench.start()
    await bench.settled()
    expect(enlarge).not.toHaveBeenCalled()
  })

  /** From the moment on that the file of a delta is put over a larger disk, opening it fails so often. */
  function failToOpen(times: number): void {
    const { open: openFile } = DeltaFile
    const { over } = DeltaFile.prototype
    let left = 0
    jest.spyOn(DeltaFile.prototype, 'over').mockImplementation(function (this: DeltaFile, base) {
      left = times
      return over.call(this, base)
    })
    jest.spyOn(DeltaFile, 'open').mockImplementation((options) => {
      if (left-- > 0) return Promise.reject(new Error('too many open files'))
      return openFile.call(DeltaFile, options)
    })
  }

  it('grows all the same when a delta can be opened a moment later', async () => {
    const writer = await open(BOB)
    await bench.write(writer, 0, 0x55)
    failToOpen(1)
    await grow(8)
    expect(unitOf(writer).volume.size).toBe(8 * MIB)
    expect([await bench.read(writer, 0), await bench.read(writer, 7 * MIB)]).toEqual([0x55, 0])
  })

  describe.each([
    ['stays away for a while', SILENCE, 0x55, 3],
    ['logs out', LOGOUT, BASE_BYTE, 3],
    ['logs out before it can be opened again', LOGOUT, BASE_BYTE, 5]
  ])('whose delta cannot be opened any more, of a client that %s', (_what, end, found, times) => {
    it('shows what there is to the operator, and to its client behind its next login', async () => {
      const writer = await open(BOB)
      await bench.write(writer, 0, 0x55)
      failToOpen(times)
      await grow(8)
      expect(bench.log.lines.join()).toMatch(/bob keeps generation 0 and its size: too many open files/)
      const [image] = await control().images()
      expect(image!.current).toBe(1)
      expect((await control().initiators())[0]!.units).toMatchObject([{ stored: true, bytes: 4096 }])
      await expect(bench.read(writer, 0)).rejects.toThrow(/not open/)
      await expect(bench.write(writer, 0, 0x66)).rejects.toThrow(/not open/)
      await bench.end(writer, end)
      await bench.settled()
      const again = await open(BOB)
      expect(unitOf(again).volume.size).toBe(8 * MIB)
      expect(await bench.read(again, 0)).toBe(found)
      expect(bench.log.lines.filter((line) => /lost its delta/.test(line))).toEqual([])
      expect(unitOf(again).identity.serial).toBe(unitOf(writer).identity.serial)
    })
  })

  it('can be merged into the raw file while those sessions go on', async () => {
    const writer = await open(BOB)
    await bench.write(writer, 0, 0x55)
    await grow(8)
    await control().flatten({})
    await bench.settled()
    expect((await control().images())[0]!.raw).toBe(1)
    expect(await bench.read(writer, 0)).toBe(0x55)
    await grow(9)
    expect(unitOf(writer).volume.size).toBe(9 * MIB)
    expect(await bench.read(writer, 0)).toBe(0x55)
    expect(await bench.read(writer, 8192)).toBe(BASE_BYTE)
  })
})
