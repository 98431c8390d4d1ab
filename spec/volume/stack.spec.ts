import { describe, expect, it } from '@jest/globals'
import { defineDriver } from '../../lib/volume/drivers/index.js'
import { MemoryVolume } from '../../lib/volume/drivers/memory.js'
import { CacheVolume, SharedCache } from '../../lib/volume/layers/cache.js'
import { PartitionVolume } from '../../lib/volume/layers/partition.js'
import { readVolume } from '../../lib/volume/promises.js'
import { buildBase, parseBase, type BaseOptions } from '../../lib/volume/stack.js'
import { codeOf } from '../../lib/util/errors.js'
import { thrown } from '../contracts/volume.contract.js'
import { gptDisk } from '../support/disks.js'

describe('the description of a base', () => {
  it.each([
    ['disk.img', { driver: 'disk.img' }],
    ['disk.img,partition=2', { driver: 'disk.img', partition: 2 }],
    ['/images/a,b.img,partition=10', { driver: '/images/a,b.img', partition: 10 }],
    ['C:\\images\\disk.img,partition=1', { driver: 'C:\\images\\disk.img', partition: 1 }],
    ['memory:64MiB', { driver: 'memory:64MiB' }],
    ['/images/2024,Q=1/disk.img', { driver: '/images/2024,Q=1/disk.img' }],
    ['a,b', { driver: 'a,b' }]
  ])('reads %s', (text, description) => {
    expect(parseBase(text)).toEqual(description)
  })

  it.each(['d,partition=0', 'd,partition=', 'd,partition=x', 'd,partition=-1', 'd,partition=2.5', 'd,partition=99999'])(
    'refuses %s',
    (text) => {
      expect(codeOf(thrown(() => parseBase(text)))).toBe('ERR_ISCSI_BAD_LUN')
    }
  )

  it('names an option that there is not', () => {
    expect(() => parseBase('disk.img,partitoin=2')).toThrow("there is no option 'partitoin', only partition=N")
  })
})

/** A driver that says of itself that it is slow. */
class FarVolume extends MemoryVolume {
  override readonly slow = true
}
const far = defineDriver({
  scheme: 'far',
  title: 'anything',
  open: (_location, options) => new FarVolume(8 << 20, options.readOnly, gptDisk())
})

function options(change: Partial<BaseOptions> = {}): BaseOptions {
  const cache = { shared: new SharedCache(1 << 20), layerId: 3 }
  return { readOnly: true, blockSize: 512, imageUuid: 'u', drivers: [far], cache, ...change }
}

describe('the stack of a base', () => {
  it('is the driver alone for a quick one', () => {
    expect(buildBase(parseBase('memory:1MiB'), options())).toBeInstanceOf(MemoryVolume)
  })

  it('has a cache over a slow driver, or where it is ordered', () => {
    expect(buildBase(parseBase('far:away'), options())).toBeInstanceOf(CacheVolume)
    expect(buildBase(parseBase('memory:1MiB'), options({ useCache: 'always' }))).toBeInstanceOf(CacheVolume)
  })

  it('has none without memory for it, and never over a base that is written', () => {
    expect(buildBase(parseBase('far:away'), options({ cache: undefined }))).toBeInstanceOf(FarVolume)
    const written = options({ readOnly: false, useCache: 'always' })
    expect(buildBase(parseBase('far:away'), written)).toBeInstanceOf(FarVolume)
  })

  it('shows a partition, with a cache over it where the disk is slow', async () => {
    expect(buildBase(parseBase('far:away,partition=1'), options({ cache: undefined }))).toBeInstanceOf(PartitionVolume)
    const volume = buildBase(parseBase('far:away,partition=1'), options())
    expect(volume).toBeInstanceOf(CacheVolume)
    await volume.open()
    expect(volume.size).toBe(3 << 20)
    const header = Buffer.alloc(8)
    await readVolume(volume, header, 512)
    expect(header.toString()).toBe('EFI PART')
    await volume.close()
  })
})
