import { describe, expect, it } from '@jest/globals'
import { planVolume, volumeBytesFor, type ExfatVolume } from '../../lib/filesystem/exfat-volume.js'
import type { TreeNode } from '../../lib/filesystem/tree.js'
import { readExfat } from '../support/exfat-reader.js'
import { Random, seedOf, steps } from '../support/random.js'

const MIB = 2 ** 20
const TIMES = { createdMs: 1e12, modifiedMs: 1e12, accessedMs: 1e12 }
const OPTIONS = { sectorBytes: 512, partitionOffset: MIB, label: 'CLOUD-X', serialNumber: 1 }

function file(name: string, source: Buffer): TreeNode<Buffer> {
  return { name, lengthBytes: source.length, times: TIMES, source }
}

/** The bytes of a volume, put together as its writer would. */
function bytesOf(volume: ExfatVolume<Buffer>): Buffer {
  const bytes = Buffer.alloc(volume.geometry.volumeBytes)
  for (const piece of volume.pieces()) piece.bytes.copy(bytes, piece.offset)
  for (const { file, offset } of volume.files) file.source.copy(bytes, offset)
  return bytes
}

describe('planVolume', () => {
  it('makes a volume that is right and empty', () => {
    const { label, files, problems } = readExfat(bytesOf(planVolume({ ...OPTIONS, volumeBytes: MIB, children: [] })))
    expect({ label, files: [...files], problems }).toEqual({ label: 'CLOUD-X', files: [], problems: [] })
  })

  const seed = seedOf(20260)
  it.each([512, 4096])(`holds every tree, with sectors of %i (seed ${seed})`, (sectorBytes) => {
    const random = new Random(seed + sectorBytes)
    for (let round = 0; round < steps(8); round++) {
      const expected = new Map<string, Buffer | undefined>()
      const children = randomTree(random, expected, '', 3)
      const volumeBytes = (4 + random.int(8)) * MIB
      const { files, problems } = readExfat(bytesOf(planVolume({ ...OPTIONS, sectorBytes, volumeBytes, children })))
      expect(problems).toEqual([])
      expect([...files.keys()].sort()).toEqual([...expected.keys()].sort())
      const wrong = [...files].filter(([path, { content }]) => !content.equals(expected.get(path) ?? Buffer.alloc(0)))
      expect(wrong.map(([path]) => path)).toEqual([])
    }
  })

  it('gives a directory of many names as many clusters as it needs, also the root', () => {
    const names = () => Array.from({ length: 300 }, (_, i) => file(`${i}`.padEnd(100, 'x'), Buffer.of(i & 0xff)))
    const children = [{ name: 'd', times: TIMES, children: names() }, ...names()]
    const { files, problems } = readExfat(bytesOf(planVolume({ ...OPTIONS, volumeBytes: 8 * MIB, children })))
    expect(problems).toEqual([])
    expect(files.size).toBe(601)
  })

  it('is taken in little pieces however large the volume is', () => {
    const huge: TreeNode<string>[] = [{ name: 'big', lengthBytes: 2 ** 44, times: TIMES, source: 'x' }]
    const volume = planVolume({ ...OPTIONS, volumeBytes: 2 ** 45, children: huge })
    const lengths = [...volume.pieces()].map(({ bytes }) => bytes.length)
    // 16 TiB in clusters of 128 KiB are 2^27 bits.
    expect(Math.max(...lengths)).toBeLessThanOrEqual(MIB)
    expect(lengths.reduce((sum, length) => sum + length)).toBeGreaterThan(2 ** 24)
    expect(volume.files.map(({ file }) => file.name)).toEqual(['big'])
  })

  it('fills a volume to its last cluster, and refuses one byte more with figures', () => {
    const empty = planVolume({ ...OPTIONS, volumeBytes: MIB, children: [] })
    const { clusterCount, clusterBytes, heapOffset } = empty.geometry
    const free = heapOffset + clusterCount * clusterBytes - empty.usedBytes
    const full = planVolume({ ...OPTIONS, volumeBytes: MIB, children: [file('x', Buffer.alloc(free, 7))] })
    const { files, problems } = readExfat(bytesOf(full))
    expect(problems).toEqual([])
    expect(files.get('x')!.content.length).toBe(free)
    expect(() => planVolume({ ...OPTIONS, volumeBytes: MIB, children: [file('x', Buffer.alloc(free + 1))] })).toThrow(
      /needs 1012 KiB in clusters of 4 KiB, and the file system has room for 1008 KiB/
    )
  })

  it('refuses a directory with more names than exFAT allows', () => {
    const children = new Array<TreeNode<Buffer>>(450_000).fill(file('x'.repeat(255), Buffer.alloc(0)))
    expect(() => planVolume({ ...OPTIONS, volumeBytes: 2 ** 40, children })).toThrow(/more files than exFAT allows/)
  })
})

describe('volumeBytesFor', () => {
  const options = { sectorBytes: 512, step: MIB, least: MIB }

  it.each([0, 1, 4096, 3 * MIB, 250 * MIB, 300 * MIB, 31 * 2 ** 30, 40 * 2 ** 30])(
    'finds a volume for a file of %i bytes, and none that is much too large',
    (lengthBytes) => {
      const children = [{ name: 'x', lengthBytes, times: TIMES, source: undefined }]
      const volumeBytes = volumeBytesFor(children, { ...options, spare: 0 })
      expect(volumeBytes % MIB).toBe(0)
      const { usedBytes } = planVolume({ ...OPTIONS, volumeBytes, children })
      expect(volumeBytes).toBeLessThan(usedBytes + 3 * MIB)
      const roomy = volumeBytesFor(children, { ...options, spare: 10 * MIB })
      expect(roomy - planVolume({ ...OPTIONS, volumeBytes: roomy, children }).usedBytes).toBeGreaterThanOrEqual(
        10 * MIB
      )
    }
  )
})

function randomTree(
  random: Random,
  expected: Map<string, Buffer | undefined>,
  path: string,
  depth: number
): TreeNode<Buffer>[] {
  return Array.from({ length: random.int(6) }, (_, i) => {
    const letters = Array.from({ length: 1 + random.int(40) }, () =>
      random.pick(['a', 'Z', '한', '글', 'é', '.x', '😀'])
    )
    const name = `${letters.join('')}${i}`
    if (depth > 0 && random.chance(0.3)) {
      expected.set(`${path}${name}/`, undefined)
      return { name, times: TIMES, children: randomTree(random, expected, `${path}${name}/`, depth - 1) }
    }
    const content = random.bytes(Buffer.alloc(random.chance(0.2) ? 0 : random.int(20_000)))
    expected.set(path + name, content)
    return file(name, content)
  })
}
