import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { codeOf } from '../../../lib/util/errors.js'
import { deltaPaths } from '../../../lib/volume/delta/files.js'
import { MemoryVolume } from '../../../lib/volume/drivers/memory.js'
import { DeltaView } from '../../../lib/volume/layers/delta-view.js'
import { Overlay } from '../../../lib/volume/layers/overlay.js'
import { readVolume, writeVolume, zeroVolume } from '../../../lib/volume/promises.js'
import { Random, seedOf } from '../../support/random.js'

const CHUNK = 4096
/** The last chunk is a short one. */
const SIZE = 40 * CHUNK + 1024
const BOOT = Buffer.alloc(16, 1)
const OTHER_BOOT = Buffer.alloc(16, 2)
const UUID = '00000000-0000-4000-8000-000000000000'

let folder: string
let base: MemoryVolume
let model: Buffer
beforeEach(async () => {
  folder = fs.mkdtempSync(join(tmpdir(), 'cloudx-view-'))
  base = new MemoryVolume(SIZE)
  await base.open()
  model = new Random(7).bytes(Buffer.alloc(SIZE))
  await writeVolume(base, model, 0)
})
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }))

const overlay = () =>
  new Overlay({
    base,
    delta: {
      directory: folder,
      name: 'lun-0',
      base: { uuid: UUID, generation: 0, size: SIZE, mtimeNs: 0n, inode: 0n },
      owner: { target: 't', initiator: 'i', lun: 0, chapUser: '' },
      incarnation: 0,
      bootId: BOOT
    }
  })
const paths = () => deltaPaths(folder, 'lun-0', 1)

async function open(id = BOOT): Promise<DeltaView> {
  const view = new DeltaView(base, paths(), id)
  await view.open()
  return view
}

async function contentOf(view: DeltaView): Promise<Buffer> {
  const bytes = Buffer.alloc(SIZE)
  await readVolume(view, bytes, 0)
  return bytes
}

describe('DeltaView', () => {
  const seed = seedOf(0xde17a)
  it(`shows what the client saw last, written, zeroed and copied (seed ${seed})`, async () => {
    const random = new Random(seed)
    const client = overlay()
    await client.open()
    for (let step = 0; step < 40; step++) {
      const offset = 512 * random.int(SIZE / 512)
      const length = Math.min(512 * (1 + random.int(24)), SIZE - offset)
      if (random.chance(0.2)) {
        const [from, to] = [random.int(20), 20 + random.int(20)]
        const copied = await client.copy(from * CHUNK, to * CHUNK, CHUNK)
        expect(copied).toBe(CHUNK)
        model.copy(model, to * CHUNK, from * CHUNK, (from + 1) * CHUNK)
      } else if (random.chance(0.3)) {
        await zeroVolume(client, offset, length, true)
        model.fill(0, offset, offset + length)
      } else {
        const bytes = random.bytes(Buffer.alloc(length))
        await writeVolume(client, bytes, offset)
        bytes.copy(model, offset)
      }
    }
    const { bytesStored } = client.stats
    await client.close()
    const view = await open()
    expect((await contentOf(view)).equals(model)).toBe(true)
    expect(view.bytesStored).toBe(bytesStored)
    const part = Buffer.alloc(1000)
    await readVolume(view, part, 3 * CHUNK - 500)
    expect(part.equals(model.subarray(3 * CHUNK - 500, 3 * CHUNK + 500))).toBe(true)
    await view.close()
  })

  it('changes neither the files nor the base, and can be opened beside its client', async () => {
    const client = overlay()
    await client.open()
    await writeVolume(client, Buffer.alloc(CHUNK, 0xaa), CHUNK)
    const before = fs.readFileSync(paths().map)
    const view = await open(OTHER_BOOT)
    expect(view.readOnly).toBe(true)
    expect(() => view.tryWrite(Buffer.alloc(512), 0, 512, 0)).toThrow('read-only')
    expect(fs.readFileSync(paths().map).equals(before)).toBe(true)
    await view.close()
    await client.close()
  })

  it('tells what is changed, and where nothing is stored', async () => {
    const client = overlay()
    await client.open()
    await writeVolume(client, Buffer.alloc(CHUNK, 0xaa), 2 * CHUNK)
    await zeroVolume(client, 3 * CHUNK, CHUNK, true)
    await client.close()
    const view = await open()
    expect(view.changes.areas(9)).toEqual([{ offset: 2 * CHUNK, lengthBytes: 2 * CHUNK, changedBytes: 2 * CHUNK }])
    expect(view.extent(2 * CHUNK, SIZE)).toEqual({ length: CHUNK, mapped: true })
    expect(view.extent(3 * CHUNK, SIZE)).toEqual({ length: CHUNK, mapped: false })
    await view.close()
  })

  it.each<[string, () => void, string]>([
    ['whose slots are gone', () => fs.unlinkSync(paths().slots), 'ERR_ISCSI_DELTA_UNREADABLE'],
    ['whose slots are cut off', () => fs.truncateSync(paths().slots, 100), 'ERR_ISCSI_DELTA_UNREADABLE'],
    ['whose header is damaged', () => fs.writeFileSync(paths().map, 'nonsense'), 'ERR_ISCSI_DELTA_UNREADABLE'],
    ['that is not there', () => fs.unlinkSync(paths().map), 'ENOENT']
  ])('refuses a delta %s', async (_title, damage, code) => {
    const client = overlay()
    await client.open()
    await writeVolume(client, Buffer.alloc(CHUNK, 0xaa), CHUNK)
    await client.close()
    damage()
    expect(await open().then(() => 'opened', codeOf)).toBe(code)
  })

  it('cannot be read before it is open, nor afterwards', async () => {
    const client = overlay()
    await client.open()
    await writeVolume(client, Buffer.alloc(CHUNK, 0xaa), CHUNK)
    await client.close()
    const view = await open()
    await view.close()
    await view.close()
    expect(await readVolume(view, Buffer.alloc(512), 0).then(() => 'read', codeOf)).toBe('EBADF')
  })
})
