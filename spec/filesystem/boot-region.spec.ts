import { describe, expect, it } from '@jest/globals'
import { bootRegion } from '../../lib/filesystem/boot-region.js'
import { geometryOf } from '../../lib/filesystem/geometry.js'

const FACTS = { partitionOffset: 2 ** 20, rootCluster: 5, serialNumber: 0x12345678, percentInUse: 3 }

describe('the boot region', () => {
  it('begins with the boot sector of the specification (§3.1)', () => {
    const region = bootRegion({ ...FACTS, geometry: geometryOf(2 ** 20, 512) })
    expect(region.length).toBe(12 * 512)
    const expected = Buffer.alloc(512)
    const put = (at: number, hex: string) => Buffer.from(hex.replace(/ /g, ''), 'hex').copy(expected, at)
    put(0, 'eb7690 4558464154202020')
    put(64, '0008000000000000 0008000000000000 18000000 02000000 20000000 fc000000 05000000 78563412')
    put(104, '0001 0000 09 03 01 80 03')
    expected.fill(0xf4, 120, 510)
    put(510, '55aa')
    expect(region.subarray(0, 512).toString('hex')).toBe(expected.toString('hex'))
  })

  it.each([512, 4096])(
    'has sectors of %i, extended ones that are signed, and a checksum that fills the last',
    (sectorBytes) => {
      const region = bootRegion({ ...FACTS, geometry: geometryOf(2 ** 24, sectorBytes) })
      expect(region[108]).toBe(sectorBytes === 512 ? 9 : 12)
      expect(region[109]).toBe(sectorBytes === 512 ? 3 : 0)
      for (let sector = 1; sector <= 8; sector++) {
        const bytes = region.subarray(sector * sectorBytes, (sector + 1) * sectorBytes)
        expect(bytes.subarray(-4).toString('hex')).toBe('000055aa')
        expect(bytes.subarray(0, -4).every((byte) => byte === 0)).toBe(true)
      }
      expect(region.subarray(9 * sectorBytes, 11 * sectorBytes).every((byte) => byte === 0)).toBe(true)
      const last = region.subarray(11 * sectorBytes)
      let sum = 0
      for (let i = 0; i < 11 * sectorBytes; i++) {
        // §3.4, Figure 1, in the words of the specification.
        if (i === 106 || i === 107 || i === 112) continue
        sum = ((sum & 1 ? 0x80000000 : 0) + (sum >>> 1) + region[i]!) >>> 0
      }
      const values = new Set(Array.from({ length: sectorBytes / 4 }, (_, i) => last.readUInt32LE(i * 4)))
      expect([...values]).toEqual([sum])
    }
  )
})
