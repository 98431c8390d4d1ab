import { describe, expect, it } from '@jest/globals'
import { COPY_PART_BYTES, copyOf, type CopyPart } from '../../lib/target/delta-copy.js'
import { MemoryVolume } from '../../lib/volume/drivers/memory.js'
import { writeVolume } from '../../lib/volume/promises.js'

async function partsOf(volume: MemoryVolume): Promise<CopyPart[]> {
  const parts: CopyPart[] = []
  for await (const part of copyOf(volume)) parts.push(part)
  return parts
}

describe('copyOf', () => {
  it('gives the length, what is not zero in its place, and how far it has come', async () => {
    const size = 3 * COPY_PART_BYTES + 512
    const volume = new MemoryVolume(size)
    await volume.open()
    await writeVolume(volume, Buffer.from('first'), 0)
    await writeVolume(volume, Buffer.from('last'), size - 4)
    const parts = await partsOf(volume)
    expect(parts[0]).toEqual({ kind: 'size', lengthBytes: size })
    const data = parts.flatMap((part) => (part.kind === 'data' ? [[part.offset, part.bytes.length]] : []))
    expect(data).toEqual([
      // A volume in memory knows what is stored in pages of 64 KiB.
      [0, 65536],
      [3 * COPY_PART_BYTES, 512]
    ])
    expect(parts.at(-1)).toEqual({ kind: 'reached', offset: size })
    const copy = Buffer.alloc(size)
    for (const part of parts) if (part.kind === 'data') part.bytes.copy(copy, part.offset)
    expect([copy.toString('latin1', 0, 5), copy.toString('latin1', size - 4)]).toEqual(['first', 'last'])
  })

  it('gives nothing but the length of an empty disk', async () => {
    const volume = new MemoryVolume(COPY_PART_BYTES)
    await volume.open()
    expect((await partsOf(volume)).filter(({ kind }) => kind === 'data')).toEqual([])
  })
})
