import { describe, expect, it } from '@jest/globals'
import { leavesOf } from '../../../lib/target/backup/leaves.js'
import { leafCountOf, leafLength } from '../../../lib/target/generations/hash-tree.js'
import type { CopyPart } from '../../../lib/target/control.js'

const MIB = 1 << 20
const SIZE = 3 * MIB + 512

async function* parts(...list: CopyPart[]): AsyncGenerator<CopyPart> {
  await Promise.resolve()
  yield { kind: 'size', lengthBytes: SIZE }
  yield* list
}

/** Number, length and first and last byte of each leaf. */
async function collect(list: readonly CopyPart[], from: number, onlyGiven: boolean): Promise<number[][]> {
  const found = []
  for await (const { index, bytes } of leavesOf(parts(...list), SIZE, from, onlyGiven)) {
    found.push([index, bytes.length, bytes[0]!, bytes.at(-1)!])
  }
  return found
}

const data = (offset: number, length: number, fill: number): CopyPart => ({
  kind: 'data',
  offset,
  bytes: Buffer.alloc(length, fill)
})

describe('the leaves of a copy', () => {
  it('are a MiB each, and what is left', () => {
    expect([leafCountOf(SIZE), leafCountOf(MIB), leafCountOf(0)]).toEqual([4, 1, 0])
    expect([leafLength(SIZE, 0), leafLength(SIZE, 3)]).toEqual([MIB, 512])
  })

  it('are zero where no part is', async () => {
    expect(await collect([], 0, false)).toEqual([
      [0, MIB, 0, 0],
      [1, MIB, 0, 0],
      [2, MIB, 0, 0],
      [3, 512, 0, 0]
    ])
  })

  it('come from parts of any length, and keep nothing of the leaf before', async () => {
    const list = [data(512, 2 * MIB, 0x11), { kind: 'reached' as const, offset: SIZE }]
    expect(await collect(list, 0, false)).toEqual([
      [0, MIB, 0, 0x11],
      [1, MIB, 0x11, 0x11],
      [2, MIB, 0x11, 0],
      [3, 512, 0, 0]
    ])
  })

  it('are those alone that were given, when the others are known', async () => {
    const list = [{ kind: 'reached' as const, offset: 0 }, data(MIB, MIB, 0), data(3 * MIB, 512, 0x22)]
    expect(await collect(list, 0, true)).toEqual([
      [1, MIB, 0, 0],
      [3, 512, 0x22, 0x22]
    ])
  })

  it('begin where a copy went on', async () => {
    expect(await collect([data(2 * MIB, MIB, 0x33)], 2, false)).toEqual([
      [2, MIB, 0x33, 0x33],
      [3, 512, 0, 0]
    ])
  })

  it('end with an error when the copy does', async () => {
    async function* broken(): AsyncGenerator<CopyPart> {
      yield* parts(data(0, 512, 1))
      throw new Error('broke off')
    }
    const all = async () => {
      for await (const leaf of leavesOf(broken(), SIZE, 0, false)) expect(leaf.index).toBe(-1)
    }
    await expect(all()).rejects.toThrow('broke off')
  })
})
