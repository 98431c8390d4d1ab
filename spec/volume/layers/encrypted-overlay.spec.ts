import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { MemoryVolume } from '../../../lib/volume/drivers/memory.js'
import { Overlay } from '../../../lib/volume/layers/overlay.js'
import { flushVolume, readVolume, writeAtomically, writeVolume, zeroVolume } from '../../../lib/volume/promises.js'
import { Random, seedOf, steps } from '../../support/random.js'

const SECTOR = 512
/** The last chunk is a short one. */
const SIZE = 300 * 4096 + 3 * SECTOR
const UUID = '00000000-0000-4000-8000-000000000000'

let folder: string
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'cloudx-encrypted-'))
})
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }))

/** What an overlay does is shown elsewhere; here that the same holds over slots that are encrypted. */
describe('an overlay with encrypted slots', () => {
  const seed = seedOf(0xc1f)
  it(`reads what a plain list of bytes holds, by either way and after it was opened again (seed ${seed})`, async () => {
    const random = new Random(seed)
    const base = new MemoryVolume(SIZE)
    await base.open()
    const model = random.bytes(Buffer.alloc(SIZE))
    await writeVolume(base, model, 0)
    const open = async () => {
      const overlay = new Overlay({
        base,
        delta: {
          directory: folder,
          name: 'lun-0',
          base: { uuid: UUID, generation: 0, size: SIZE, mtimeNs: 0n, inode: 0n },
          owner: { target: 't', initiator: 'i', lun: 0, chapUser: '' },
          incarnation: 0,
          encrypt: true
        }
      })
      await overlay.open()
      return overlay
    }
    let overlay = await open()
    const range = (sectorsMax: number) => {
      const offset = SECTOR * random.int(SIZE / SECTOR)
      return { offset, length: Math.min(SECTOR * (1 + random.int(sectorsMax)), SIZE - offset) }
    }
    for (let step = 0; step < steps(300); step++) {
      // Long ones take the way through the pool, short ones the synchronous one.
      const { offset, length } = range(random.chance(0.2) ? 1000 : 20)
      const kind = random.int(10)
      if (kind < 5) {
        const bytes = random.bytes(Buffer.alloc(length))
        const kept = Buffer.from(bytes)
        await writeVolume(overlay, bytes, offset)
        if (!bytes.equals(kept)) throw new Error(`step ${step}: the bytes of the caller were changed`)
        bytes.copy(model, offset)
      } else if (kind === 5) {
        const bytes = random.bytes(Buffer.alloc(Math.min(length, 65536)))
        await writeAtomically(overlay, bytes, offset)
        bytes.copy(model, offset)
      } else if (kind === 6) {
        await zeroVolume(overlay, offset, length, true)
        model.fill(0, offset, offset + length)
      } else if (kind === 7) {
        await flushVolume(overlay)
        await overlay.close()
        overlay = await open()
      } else {
        const bytes = Buffer.alloc(length)
        await readVolume(overlay, bytes, offset)
        if (!bytes.equals(model.subarray(offset, offset + length))) throw new Error(`step ${step}: ${offset}+${length}`)
      }
    }
    const whole = Buffer.alloc(SIZE)
    await readVolume(overlay, whole, 0)
    expect(whole.equals(model)).toBe(true)
    // Whoever reads the disk by bytes, as a reader of file systems does, gets them too.
    const part = Buffer.alloc(1000)
    await readVolume(overlay, part, 4096 * 7 + 13)
    expect(part.equals(model.subarray(4096 * 7 + 13, 4096 * 7 + 1013))).toBe(true)
    await overlay.close()
  })
})
