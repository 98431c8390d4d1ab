import { execFileSync } from 'node:child_process'
import { describe, expect, it } from '@jest/globals'
import { firstDifference, hashLeaves, LEAF_BYTES, rootOf } from '../../../lib/target/generations/hash-tree.js'
import { MemoryVolume } from '../../../lib/volume/drivers/memory.js'
import { Random } from '../../support/random.js'

const MIB = 1 << 20
const PROGRESS = { report: () => undefined, signal: new AbortController().signal }

async function open(content: Buffer): Promise<MemoryVolume> {
  const volume = new MemoryVolume(content.length, true, content)
  await volume.open()
  return volume
}

/** By another program. */
const sha256sum = (bytes: Buffer) => execFileSync('sha256sum', { input: bytes }).toString().slice(0, 64)

describe('a hash tree', () => {
  const content = new Random(11).bytes(Buffer.alloc(2 * MIB + 4096))
  content.fill(0, MIB, 2 * MIB)

  it('has the SHA-256 of each MiB, and over them one that counts the length in', async () => {
    const leaves = await hashLeaves(await open(content), undefined, PROGRESS)
    const parts = [0, MIB, 2 * MIB].map((at) => sha256sum(content.subarray(at, at + MIB)))
    expect(leaves.toString('hex')).toBe(parts.join(''))
    const length = Buffer.from('0000000000201000', 'hex')
    expect(rootOf(leaves, content.length)).toBe(sha256sum(Buffer.concat([length, leaves])))
  })

  it('reads only what can differ from leaves that are known', async () => {
    const known = await hashLeaves(await open(content), undefined, PROGRESS)
    const changed = Buffer.from(content).fill(7, 2 * MIB, 2 * MIB + 512)
    const asked: number[] = []
    const touched = (offset: number) => asked.push(offset) > 0 && offset >= 2 * MIB
    const leaves = await hashLeaves(await open(changed), { leaves: known, size: content.length, touched }, PROGRESS)
    expect(leaves.equals(await hashLeaves(await open(changed), undefined, PROGRESS))).toBe(true)
    expect([asked, firstDifference(known, leaves), firstDifference(known, known)]).toEqual([
      [0, MIB, 2 * MIB],
      2 * LEAF_BYTES,
      undefined
    ])
  })

  it('takes no leaf of a smaller disk for that of a larger one', async () => {
    const small = await hashLeaves(await open(content), undefined, PROGRESS)
    const large = Buffer.concat([content, Buffer.alloc(MIB)])
    const known = { leaves: small, size: content.length, touched: () => false }
    const leaves = await hashLeaves(await open(large), known, PROGRESS)
    expect(leaves.equals(await hashLeaves(await open(large), undefined, PROGRESS))).toBe(true)
  })

  it('stops when the server does', async () => {
    const abort = new AbortController()
    abort.abort()
    const hashing = hashLeaves(await open(content), undefined, { ...PROGRESS, signal: abort.signal })
    await expect(hashing).rejects.toMatchObject({ code: 'ERR_ISCSI_STOPPED' })
  })
})
