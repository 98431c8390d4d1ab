import { describe, expect, it } from '@jest/globals'
import { geometryOf, offsetOf } from '../../lib/filesystem/geometry.js'

const KIB = 2 ** 10
const MIB = 2 ** 20
const GIB = 2 ** 30
const TIB = 2 ** 40

describe('the geometry of a volume', () => {
  it.each([
    [MIB, 4 * KIB],
    [256 * MIB, 4 * KIB],
    [256 * MIB + 512, 32 * KIB],
    [32 * GIB, 32 * KIB],
    [32 * GIB + 512, 128 * KIB],
    [256 * TIB, 128 * KIB],
    [256 * TIB + 512, 256 * KIB],
    [8192 * TIB - 4 * MIB, 4 * MIB]
  ])("of %i bytes has clusters of %i, as Microsoft's formatter makes them", (volumeBytes, clusterBytes) => {
    expect(geometryOf(volumeBytes, 512).clusterBytes).toBe(clusterBytes)
  })

  it('of 8190 MiB: counted by hand', () => {
    // 1 MiB, FAT of 262018 entries in 2047.01 sectors, cluster heap at the next MiB.
    expect(geometryOf(8190 * MIB, 512)).toEqual({
      volumeBytes: 8190 * MIB,
      sectorBytes: 512,
      clusterBytes: 32 * KIB,
      fatOffset: MIB,
      fatBytes: 2048 * 512,
      heapOffset: 2 * MIB,
      clusterCount: 8188 * 32
    })
  })

  it('of the smallest volume: counted by hand', () => {
    // 24 sectors of boot regions, FAT of 254 entries in two sectors, cluster heap at the next 4 KiB.
    expect(geometryOf(MIB, 512)).toMatchObject({
      fatOffset: 12288,
      fatBytes: 1024,
      heapOffset: 16384,
      clusterCount: 252
    })
    expect(geometryOf(MIB, 4096)).toMatchObject({
      fatOffset: 98304,
      fatBytes: 4096,
      heapOffset: 102400,
      clusterCount: 231
    })
  })

  it.each([512, 4096])('keeps what the specification demands, with sectors of %i', (sectorBytes) => {
    const broken = []
    for (let volumeBytes = MIB; volumeBytes < 2 ** 53 - MIB; volumeBytes = Math.floor(volumeBytes * 1.37)) {
      const geometry = geometryOf(volumeBytes - (volumeBytes % sectorBytes), sectorBytes)
      const { clusterBytes, fatOffset, fatBytes, heapOffset, clusterCount } = geometry
      const holds =
        fatOffset >= 24 * sectorBytes &&
        fatBytes >= (clusterCount + 2) * 4 &&
        heapOffset >= fatOffset + fatBytes &&
        clusterCount > 0 &&
        clusterCount <= 2 ** 32 - 11 &&
        heapOffset + clusterCount * clusterBytes <= geometry.volumeBytes &&
        [fatOffset, fatBytes, heapOffset].every((value) => value % sectorBytes === 0 && value / sectorBytes < 2 ** 32)
      if (!holds) broken.push(geometry)
    }
    expect(broken).toEqual([])
  })

  it('counts clusters from 2', () => {
    const geometry = geometryOf(MIB, 512)
    expect(offsetOf(2, geometry)).toBe(16384)
    expect(offsetOf(3, geometry)).toBe(20480)
  })

  it.each([MIB - 512, MIB + 1, 0])('is refused for %i bytes', (volumeBytes) => {
    expect(() => geometryOf(volumeBytes, 512)).toThrow(/cannot have/)
  })
})
