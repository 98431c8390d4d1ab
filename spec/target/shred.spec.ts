import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from '@jest/globals'
import { codeOf } from '../../lib/util/errors.js'
import { ALICE, BASE_BYTE, HOUR_MS, LOGOUT, SILENCE, TargetBench } from '../support/target-bench.js'

let bench: TargetBench
afterEach(() => bench.remove())

const started = async () => {
  bench = await TargetBench.make({ shred: true, undoMs: 0 })
  await bench.start()
}

/** All files of deltas, in use and in the bin, by their paths. */
async function files(): Promise<string[]> {
  const found = await Promise.all(
    ['deltas', 'bin'].map(async (name) => {
      const folder = join(bench.state, name)
      const paths = (await readdir(folder, { recursive: true })).map((path) => join(folder, path))
      const kinds = await Promise.all(paths.map(async (path) => ((await stat(path)).isFile() ? [path] : [])))
      return kinds.flat()
    })
  )
  return found.flat()
}
const endings = async () => (await files()).map((path) => path.slice(path.lastIndexOf('.'))).sort()
const failure = (work: Promise<unknown>) => work.then(() => 'done', codeOf)

async function found(): Promise<number> {
  const nexus = await bench.login()
  const byte = await bench.read(nexus, 0)
  await bench.end(nexus, SILENCE)
  return byte
}

describe('shred', () => {
  it('leaves nothing that a client wrote readable in any file, and gives it back to its client over restarts', async () => {
    await started()
    const nexus = await bench.login()
    await bench.write(nexus, 0, 0xaa, 65536)
    await bench.write(nexus, 512, 0xaa, 512)
    expect(await bench.read(nexus, 512)).toBe(0xaa)
    await bench.end(nexus, SILENCE)
    await bench.settled()
    expect(await endings()).toEqual(['.key', '.map', '.slots'])
    for (const path of await files()) expect((await readFile(path)).includes(Buffer.alloc(64, 0xaa))).toBe(false)
    await bench.start()
    expect(await found()).toBe(0xaa)
  })

  it('encrypts the same bytes otherwise in each place and in each delta', async () => {
    await started()
    const slotsOf = async () => readFile((await files()).find((path) => path.endsWith('.slots'))!)
    const nexus = await bench.login()
    await bench.write(nexus, 0, 0xaa, 8192)
    const first = await slotsOf()
    expect(first.subarray(0, 512).equals(first.subarray(4096, 4608))).toBe(false)
    await bench.end(nexus, LOGOUT)
    await bench.settled()
    const again = await bench.login()
    await bench.write(again, 0, 0xaa, 8192)
    expect((await slotsOf()).subarray(0, 512).equals(first.subarray(0, 512))).toBe(false)
  })

  it('destroys the key at the logout, and nothing can be undone', async () => {
    await started()
    await bench.visit(0xaa, LOGOUT)
    await bench.settled()
    expect(await files()).toEqual([])
    expect(await failure(bench.server!.control.undo({ initiator: ALICE }))).toBe('ERR_ISCSI_UNDO_NOTHING')
    expect(await found()).toBe(BASE_BYTE)
  })

  it('destroys what was given up or dropped by order, too', async () => {
    await started()
    await bench.visit(0xaa, SILENCE)
    bench.clock.advance(97 * HOUR_MS)
    await bench.settled()
    expect(await files()).toEqual([])
    await bench.visit(0xbb, SILENCE)
    await bench.server!.control.drop({ initiator: ALICE })
    await bench.settled()
    expect(await files()).toEqual([])
  })

  it('keeps what an accident took for the operator, with its key', async () => {
    await started()
    await bench.visit(0xaa, SILENCE)
    await bench.stop()
    await writeFile(bench.image, Buffer.alloc(4 << 20, 0x43))
    await bench.start()
    await bench.settled()
    expect(await endings()).toEqual(['.json', '.key', '.map', '.slots'])
  })

  it('takes a delta whose key is gone for lost, and never for plain', async () => {
    await started()
    await bench.visit(0xaa, SILENCE)
    await bench.stop()
    await rm((await files()).find((path) => path.endsWith('.key'))!)
    await bench.start()
    const nexus = await bench.login()
    expect([await bench.read(nexus, 0), nexus.units.get(0)!.fenced]).toEqual([BASE_BYTE, true])
    expect(bench.log.with('its key is gone')).toHaveLength(1)
  })

  it('goes on with deltas from before it was switched on or off', async () => {
    bench = await TargetBench.make()
    await bench.start()
    await bench.visit(0xaa, SILENCE)
    await bench.start({ shred: true, undoMs: 0 })
    expect(await found()).toBe(0xaa)
    await bench.visit(0xbb, LOGOUT)
    await bench.settled()
    await bench.visit(0xcc, SILENCE)
    await bench.start({ shred: false, undoMs: HOUR_MS })
    expect(await found()).toBe(0xcc)
  })

  it('can be looked into and copied by the operator, like any other', async () => {
    await started()
    await bench.visit(0xaa, SILENCE)
    await bench.start()
    const copy = Buffer.alloc(4 << 20)
    for await (const part of bench.server!.control.exportDelta({ initiator: ALICE })) {
      if (part.kind === 'data') part.bytes.copy(copy, part.offset)
    }
    expect([copy[0], copy[4096]]).toEqual([0xaa, BASE_BYTE])
  })

  it('leaves what an author writes plain, since others are to read it', async () => {
    bench = await TargetBench.make({ shred: true, undoMs: 0 }, { initiators: [{ match: ALICE, policy: 'author' }] })
    await bench.start()
    await bench.visit(0xaa, LOGOUT)
    await bench.settled()
    expect(await endings()).toEqual(['.map', '.slots'])
  })

  it('is told at the start', async () => {
    await started()
    expect(bench.log.with('its key destroyed when it is dropped (--shred)')).toHaveLength(1)
    await bench.start({ shred: false, undoMs: HOUR_MS })
    expect(bench.log.with('kept for 1 h after it was dropped (--undo)', '168 h when it was lost')).toHaveLength(1)
  })
})
