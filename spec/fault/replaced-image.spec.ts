import { afterEach, describe, expect, it } from '@jest/globals'
import { rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ALICE, BASE_BYTE, BOB, IMAGE_BYTES, SILENCE, TargetBench } from '../support/target-bench.js'

const OTHER_BYTE = 0x77
const MINE = 0xaa

let bench: TargetBench
afterEach(() => bench.remove())

const bob = () => bench.login({ initiatorName: BOB, isid: '400001370002' })

/** Puts another image in the place of the one that is served, as a program does that writes a new file and renames it. */
async function replace(lengthBytes = IMAGE_BYTES): Promise<void> {
  const other = join(bench.directory, 'other.img')
  await writeFile(other, Buffer.alloc(lengthBytes, OTHER_BYTE))
  await rename(other, bench.image)
}

describe('An image that is replaced', () => {
  it('while clients use it stays the one that they began with, for them and for those who come', async () => {
    bench = await TargetBench.make()
    await bench.start()
    const one = await bench.login()
    await bench.write(one, 8192, MINE)
    await replace()
    expect([await bench.read(one, 0), await bench.read(one, 8192)]).toEqual([BASE_BYTE, MINE])
    // A partial write takes the rest of its chunk from where the client's other blocks come from.
    await bench.write(one, 65536, MINE, 512)
    expect([await bench.read(one, 65536), await bench.read(one, 65536 + 512)]).toEqual([MINE, BASE_BYTE])
    const two = await bob()
    expect([await bench.read(two, 0), await bench.read(two, 8192)]).toEqual([BASE_BYTE, BASE_BYTE])
    expect(one.units.get(0)!.fenced).toBe(false)
  })

  it.each([
    ['of the same size', IMAGE_BYTES],
    ['of another size', 2 * IMAGE_BYTES]
  ])(
    '%s is never mixed with what was written over the old one: its clients have a new disk behind a restart',
    async (_what, lengthBytes) => {
      bench = await TargetBench.make()
      await bench.start()
      const one = await bench.login()
      const before = one.units.get(0)!.unit.identity.serial
      await bench.write(one, 8192, MINE)
      await replace(lengthBytes)
      await bench.end(one, SILENCE)
      await bench.start()
      expect(bench.log.with('error:', 'lost its delta', ALICE)).toHaveLength(1)
      const again = await bench.login()
      const { unit, fenced } = again.units.get(0)!
      expect([fenced, unit.blockCount, unit.identity.serial === before]).toEqual([true, lengthBytes / 512, false])
      expect([await bench.read(again, 0), await bench.read(again, 8192)]).toEqual([OTHER_BYTE, OTHER_BYTE])
      expect((await bench.server!.control.bin())[0]).toMatchObject({ reason: 'base-changed' })
    }
  )

  it('by nothing is served to the end of the run, and the next start says that it is missing', async () => {
    bench = await TargetBench.make()
    await bench.start()
    const one = await bench.login()
    await bench.write(one, 8192, MINE)
    await rm(bench.image)
    expect([await bench.read(one, 0), await bench.read(await bob(), 8192)]).toEqual([BASE_BYTE, BASE_BYTE])
    await bench.end(one, SILENCE)
    await expect(bench.start()).rejects.toThrow(/share\.img/)
    // A new file of that name is another image, whatever is in it.
    await writeFile(bench.image, Buffer.alloc(IMAGE_BYTES, BASE_BYTE))
    await bench.start()
    expect(bench.log.with('error:', 'lost its delta', ALICE)).toHaveLength(1)
  })
})
