import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deltaPaths } from '../../../lib/volume/delta/files.js'
import { FrozenDelta } from '../../../lib/volume/delta/frozen-delta.js'
import { MemoryVolume } from '../../../lib/volume/drivers/memory.js'
import { LayerVolume } from '../../../lib/volume/layers/layer.js'
import { Overlay } from '../../../lib/volume/layers/overlay.js'
import { readVolume, writeVolume, zeroVolume } from '../../../lib/volume/promises.js'
import type { Volume } from '../../../lib/volume/volume.js'
import { volumeContract } from '../../contracts/volume.contract.js'
import { Random, seedOf, steps } from '../../support/random.js'

const UUID = '00112233-4455-6677-8899-aabbccddeeff'
const BOOT = Buffer.alloc(16, 0xb0)
/** The last chunk is a short one. */
const SIZE = 61 * 4096 + 1024
const QUICK_DIRECTORY = fs.existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

let directory: string
const make = () => void (directory = fs.mkdtempSync(join(QUICK_DIRECTORY, 'layer-')))
const remove = () => fs.rmSync(directory, { recursive: true, force: true })

/** Writes and zeroes by the seed over `base`, into `model` too, and freezes the result. */
async function frozenOver(base: Volume, number: number, random: Random, model: Buffer, count: number) {
  const overlay = new Overlay({
    base,
    delta: {
      directory,
      name: `g${number}`,
      base: { uuid: UUID, generation: number, size: base.size, mtimeNs: 0n, inode: 0n },
      owner: { target: 't', initiator: 'i', lun: 0, chapUser: '' },
      incarnation: 0,
      bootId: BOOT
    }
  })
  await overlay.open()
  for (let step = 0; step < count; step++) {
    const offset = random.int(base.size / 512) * 512
    const length = Math.min(base.size - offset, (1 + random.int(40)) * 512)
    if (base.size === SIZE && random.chance(0.25)) await copyChunks(overlay, random, model)
    if (random.chance(0.3)) {
      await zeroVolume(overlay, offset, length, true)
      model.fill(0, offset, offset + length)
    } else {
      const bytes = random.bytes(Buffer.alloc(length))
      await writeVolume(overlay, bytes, offset)
      bytes.copy(model, offset)
    }
  }
  await overlay.settleCopies()
  await overlay.close()
  return FrozenDelta.open(deltaPaths(directory, `g${number}`, 1))
}

/** By the map: from another place of the base, from a slot that two chunks then share, or from zeroes. */
async function copyChunks(overlay: Overlay, random: Random, model: Buffer): Promise<void> {
  const [from, to] = [random.int(30), 30 + random.int(25)]
  const length = (1 + random.int(5)) * 4096
  const [source, destination] = random.chance(0.5) ? [from, to] : [to, Math.min(from, 24)]
  if (Math.abs(source - destination) * 4096 < length) return
  const done = await overlay.copy(source * 4096, destination * 4096, length)
  overlay.commit()
  model.copy(model, destination * 4096, source * 4096, source * 4096 + done)
}

/** Three layers over a base in memory, and what they show. */
async function stack(seed: number, count = 12) {
  make()
  const random = new Random(seed)
  const model = random.bytes(Buffer.alloc(SIZE))
  const raw = new MemoryVolume(SIZE, true, Buffer.from(model))
  await raw.open()
  const generations = [Buffer.from(model)]
  const layers: LayerVolume[] = []
  let below: Volume = raw
  for (let number = 1; number <= 3; number++) {
    const layer = new LayerVolume({ below, delta: await frozenOver(below, number, random, model, count), size: SIZE })
    if (number < 3) await layer.open()
    layers.push(layer)
    generations.push(Buffer.from(model))
    below = layer
  }
  return { raw, layers, generations }
}

volumeContract(
  'a stack of three layers',
  async () => {
    const { layers, generations } = await stack(3)
    const dispose = async () => {
      for (const layer of layers) await layer.close()
      remove()
    }
    return { volume: layers[2]!, content: generations[3]!, dispose }
  },
  { writable: false }
)

describe('a layer', () => {
  beforeEach(() => make())
  afterEach(() => remove())

  it('shows each generation as it was when it was frozen, whatever lies above it', async () => {
    for (let round = 0; round < steps(6); round++) {
      const seed = seedOf(1000 + round)
      const { raw, layers, generations } = await stack(seed, 20)
      await layers[2]!.open()
      const views: Volume[] = [raw, ...layers]
      for (const [number, view] of views.entries()) {
        const found = Buffer.alloc(SIZE)
        await readVolume(view, found, 0)
        expect(`${seed} ${number} ${found.equals(generations[number]!)}`).toBe(`${seed} ${number} true`)
      }
      for (const layer of layers) await layer.close()
      remove()
    }
  })

  it('may be larger than what lies below it, and reads as zeroes there', async () => {
    const raw = new MemoryVolume(8192, true, Buffer.alloc(8192, 7))
    await raw.open()
    const layer = new LayerVolume({ below: raw, delta: undefined, size: 3 << 20 })
    await layer.open()
    const found = Buffer.alloc(20_000, 0xee)
    await readVolume(layer, found, 0)
    expect(found.equals(Buffer.concat([Buffer.alloc(8192, 7), Buffer.alloc(20_000 - 8192)]))).toBe(true)
    expect(layer.extent(0, 1 << 20)).toEqual({ length: 8192, mapped: true })
    expect(layer.extent(8192, 1 << 20)).toEqual({ length: 1 << 20, mapped: false })
    await layer.close()
  })

  it('ends what it covers where its own delta ended, below a larger size', async () => {
    const raw = new MemoryVolume(8192, true, Buffer.alloc(8192, 7))
    await raw.open()
    const model = Buffer.alloc(8192, 7)
    const delta = await frozenOver(raw, 1, new Random(5), model, 3)
    const layer = new LayerVolume({ below: raw, delta, size: 16384 })
    await layer.open()
    const found = Buffer.alloc(16384, 0xee)
    await readVolume(layer, found, 0)
    expect(found.equals(Buffer.concat([model, Buffer.alloc(8192)]))).toBe(true)
    await layer.close()
  })
})
