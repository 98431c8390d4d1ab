import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BlockDeviceVolume } from '../../../lib/volume/drivers/block-device.js'
import { FileVolume } from '../../../lib/volume/drivers/file.js'
import { defineDriver, drivers, openDriver } from '../../../lib/volume/drivers/index.js'
import { MemoryVolume } from '../../../lib/volume/drivers/memory.js'
import { ZeroVolume } from '../../../lib/volume/drivers/zero.js'
import { codeOf } from '../../../lib/util/errors.js'
import { thrown } from '../../contracts/volume.contract.js'

const READ_ONLY = { readOnly: true }
let directory: string
beforeAll(async () => void (directory = await mkdtemp(join(tmpdir(), 'cloudx-index-'))))
afterAll(async () => rm(directory, { recursive: true }))

describe('openDriver', () => {
  it('goes by the scheme', () => {
    expect(openDriver('memory:1MiB', READ_ONLY)).toBeInstanceOf(MemoryVolume)
    expect(openDriver('zero:1TiB', READ_ONLY)).toBeInstanceOf(ZeroVolume)
    expect(openDriver('device:/dev/sdx', READ_ONLY)).toBeInstanceOf(BlockDeviceVolume)
    expect(openDriver('file:disk.img', READ_ONLY)).toBeInstanceOf(FileVolume)
  })

  it.each([
    ['disk.img', join(process.cwd(), 'disk.img')],
    ['/images/disk.img', '/images/disk.img'],
    ['file:/images/disk.img', '/images/disk.img'],
    ['file:///images/a%20disk.img', '/images/a disk.img'],
    ['./memory:1MiB', join(process.cwd(), 'memory:1MiB')],
    ['unknown:thing', join(process.cwd(), 'unknown:thing')],
    [':x', join(process.cwd(), ':x')]
  ])('takes %s for the image file %s', (spec, path) => {
    const volume = openDriver(spec, READ_ONLY)
    expect(volume).toBeInstanceOf(FileVolume)
    expect(volume).not.toBeInstanceOf(BlockDeviceVolume)
    expect((volume as FileVolume).path).toBe(path)
  })

  it("takes Windows' name of a whole disk for a device", () => {
    expect(openDriver('\\\\.\\PhysicalDrive1', READ_ONLY)).toBeInstanceOf(BlockDeviceVolume)
  })

  it('gives the access on', async () => {
    await writeFile(join(directory, 'disk.img'), Buffer.alloc(512))
    for (const readOnly of [true, false]) {
      expect(openDriver(join(directory, 'disk.img'), { readOnly }).readOnly).toBe(readOnly)
    }
  })

  it("prefers somebody's own driver", () => {
    const own = new MemoryVolume(512)
    const driver = defineDriver({ scheme: 'memory', title: 'my own', open: () => own })
    expect(openDriver('memory:x', READ_ONLY, [driver])).toBe(own)
  })

  it.each(['', 'memory:', 'file:'])("refuses '%s', which names nothing", (spec) => {
    expect(codeOf(thrown(() => openDriver(spec, READ_ONLY)))).toBe('ERR_ISCSI_BAD_LUN')
  })

  it('has schemes that are no Windows drives and differ', () => {
    const schemes = drivers.map(({ scheme }) => scheme)
    expect(new Set(schemes).size).toBe(schemes.length)
    for (const scheme of schemes) expect(scheme).toMatch(/^[a-z][a-z0-9]+$/)
  })
})
