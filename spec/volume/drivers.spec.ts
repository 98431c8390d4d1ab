import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { drivers, openDriver } from '../../lib/volume/drivers/index.js'
import { BlockDeviceVolume } from '../../lib/volume/drivers/block-device.js'
import { FileVolume } from '../../lib/volume/drivers/file.js'
import { MemoryVolume } from '../../lib/volume/drivers/memory.js'
import { volumeContract, type VolumeFixture, type VolumeTraits } from '../contracts/volume.contract.js'
import { Random } from '../support/random.js'

const MIB = 1 << 20
const content = new Random(1).bytes(Buffer.alloc(2 * MIB + 512))

let directory: string
let count = 0
beforeAll(async () => void (directory = await mkdtemp(join(tmpdir(), 'cloudx-drivers-'))))
afterAll(async () => rm(directory, { recursive: true }))

/** A fresh image file with the content above. */
async function image(): Promise<string> {
  const path = join(directory, `image-${count++}`)
  await writeFile(path, content)
  return path
}

/** Takes a regular file for a device, so that everything but the kind of the file runs without a real one. */
class PretendedDevice extends BlockDeviceVolume {
  protected override expectKind(): void {}
}

type Row = [title: string, make: () => VolumeFixture | Promise<VolumeFixture>, traits: VolumeTraits]

/** Scheme → how its volumes are tried. A driver without a row fails the first spec below. */
const ROWS: Readonly<Record<string, readonly Row[]>> = {
  file: [
    ['file, writable', async () => fileFixture(await image(), false, undefined), { writable: true }],
    ['file, always through the pool', async () => fileFixture(await image(), false, true), { writable: true }],
    ['file, read-only', async () => fileFixture(await image(), true, undefined), { writable: false }]
  ],
  device: [
    ['device, writable', async () => deviceFixture(await image(), false), { writable: true }],
    ['device, read-only', async () => deviceFixture(await image(), true), { writable: false }]
  ],
  memory: [
    ['memory', () => ({ volume: openDriver('memory:2MiB', { readOnly: false }), size: 2 * MIB }), { writable: true }],
    [
      'memory, read-only',
      () => ({ volume: new MemoryVolume(content.length, true, content), content }),
      { writable: false }
    ]
  ],
  zero: [['zero', () => ({ volume: openDriver('zero:1TiB', { readOnly: true }), size: 2 ** 40 }), { writable: false }]]
}

function fileFixture(path: string, readOnly: boolean, pooled: boolean | undefined): VolumeFixture {
  const make = () => new FileVolume({ path, readOnly, ...(pooled !== undefined && { pooled }) })
  return { volume: make(), content, again: make }
}

function deviceFixture(path: string, readOnly: boolean): VolumeFixture {
  const make = () => new PretendedDevice({ path, readOnly, partition: 1 })
  // The size that is found by reading is a multiple of 4096.
  return { volume: make(), content: content.subarray(0, 2 * MIB), again: make }
}

describe('the list of drivers', () => {
  it('has a row here for each of them', () => {
    expect(Object.keys(ROWS)).toEqual(drivers.map(({ scheme }) => scheme))
  })
})

for (const row of Object.values(ROWS).flat()) volumeContract(...row)
