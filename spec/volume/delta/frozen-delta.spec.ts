import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DeltaError } from '../../../lib/volume/delta/errors.js'
import { deltaPaths } from '../../../lib/volume/delta/files.js'
import { FrozenDelta } from '../../../lib/volume/delta/frozen-delta.js'
import { MemoryVolume } from '../../../lib/volume/drivers/memory.js'
import { Overlay } from '../../../lib/volume/layers/overlay.js'
import { writeVolume } from '../../../lib/volume/promises.js'

const BOOT = Buffer.alloc(16, 0xb0)
const PATHS = () => deltaPaths(directory, 'lun-0', 1)

let directory: string
beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'frozen-'))
})
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }))

async function writeDelta({ close = true, writes = true, encrypt = false } = {}): Promise<Overlay> {
  const base = new MemoryVolume(65536, true, Buffer.alloc(65536, 0x44))
  await base.open()
  const overlay = new Overlay({
    base,
    delta: {
      directory,
      name: 'lun-0',
      base: { uuid: '00112233-4455-6677-8899-aabbccddeeff', generation: 4, size: 65536, mtimeNs: 0n, inode: 4n },
      owner: { target: 't', initiator: 'i', lun: 0, chapUser: '' },
      incarnation: 0,
      bootId: BOOT,
      encrypt
    }
  })
  await overlay.open()
  if (writes) await writeVolume(overlay, Buffer.alloc(8192, 0x33), 4096)
  if (close) await overlay.close()
  return overlay
}

describe('a frozen delta', () => {
  it('has the map and the slots of the delta, from files that nobody may write', async () => {
    await writeDelta()
    const { map, slots } = PATHS()
    for (const path of [map, slots]) fs.chmodSync(path, 0o400)
    const frozen = await FrozenDelta.open(PATHS())
    expect([frozen.size, frozen.bytesStored, frozen.header.base.generation]).toEqual([65536, 8192, 4])
    expect([0, 1, 2, 3].map((chunk) => frozen.map.get(chunk) !== 0)).toEqual([false, true, true, false])
    const found = Buffer.alloc(8192)
    await frozen.slotFile.read(found, 0, 8192, 0)
    expect(found.equals(Buffer.alloc(8192, 0x33))).toBe(true)
    await frozen.close()
  })

  it('reads slots that were encrypted, and is refused without their key', async () => {
    await writeDelta({ encrypt: true })
    expect(fs.readFileSync(PATHS().slots).includes(Buffer.alloc(512, 0x33))).toBe(false)
    const frozen = await FrozenDelta.open(PATHS())
    const found = Buffer.alloc(8192)
    await frozen.slotFile.read(found, 0, 8192, 0)
    expect(found.equals(Buffer.alloc(8192, 0x33))).toBe(true)
    await frozen.close()
    fs.unlinkSync(PATHS().key)
    await expect(FrozenDelta.open(PATHS())).rejects.toBeInstanceOf(DeltaError)
  })

  it('leaves its files as they are', async () => {
    await writeDelta()
    const before = fs.readFileSync(PATHS().map)
    const frozen = await FrozenDelta.open(PATHS())
    expect(frozen.bytesStored).toBe(8192)
    await frozen.close()
    expect(fs.readFileSync(PATHS().map).equals(before)).toBe(true)
  })

  it.each<[string, () => void]>([
    ['whose map is gone', () => fs.unlinkSync(PATHS().map)],
    ['whose slots are gone', () => fs.unlinkSync(PATHS().slots)],
    ['whose slots were cut', () => fs.truncateSync(PATHS().slots, 4096)],
    ['whose map was cut', () => fs.truncateSync(PATHS().map, fs.statSync(PATHS().map).size - 4)],
    ['whose header is damaged', () => fs.writeFileSync(PATHS().map, Buffer.alloc(8192, 1))]
  ])('is refused when it is one %s', async (_what, damage) => {
    await writeDelta()
    damage()
    await expect(FrozenDelta.open(PATHS())).rejects.toMatchObject({ code: 'ERR_ISCSI_DELTA_UNREADABLE' })
  })

  it('is refused when it names chunks of its base, until these are put into slots', async () => {
    const overlay = await writeDelta({ close: false })
    expect(await overlay.copy(32768, 4096, 4096)).toBe(4096)
    await overlay.close()
    await expect(FrozenDelta.open(PATHS())).rejects.toMatchObject({ code: 'ERR_ISCSI_DELTA_UNREADABLE' })
    const again = await writeDelta({ close: false, writes: false })
    await again.settleCopies()
    await again.close()
    const frozen = await FrozenDelta.open(PATHS())
    expect(frozen.bytesStored).toBe(8192)
    const found = Buffer.alloc(4096, 1)
    await frozen.slotFile.read(found, 0, 4096, (frozen.map.get(1) - 1) * 4096)
    expect(found.equals(Buffer.alloc(4096, 0x44))).toBe(true)
    await frozen.close()
  })

  it('is refused while its session has not ended', async () => {
    const overlay = await writeDelta({ close: false })
    await expect(FrozenDelta.open(PATHS())).rejects.toMatchObject({ code: 'ERR_ISCSI_DELTA_UNREADABLE' })
    await overlay.close()
  })
})
