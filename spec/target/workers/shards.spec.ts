import { describe, expect, it } from '@jest/globals'
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TargetOptions } from '../../../lib/target/options.js'
import { Shards } from '../../../lib/target/workers/shards.js'

function target(name: string, paths: readonly string[], changes: object = {}): TargetOptions {
  const units = paths.map((path, lun) => ({ lun, path, shared: false }))
  return { name, units, authors: [], initiators: [], ...changes } as unknown as TargetOptions
}

/** How many of a thousand initiators each worker has. */
function spread(shards: Shards, targetName: string): number[] {
  const counts = new Array<number>(shards.workerCount).fill(0)
  for (let index = 0; index < 1000; index++)
    counts[shards.ownerOf({ targetName, initiatorName: `iqn.x:pc-${index}` })]!++
  return counts
}

describe('the worker of an initiator', () => {
  it('hangs on its name, so that all have about as many', () => {
    const counts = spread(new Shards([target('a', ['/a.img'])], 4), 'a')
    expect(Math.min(...counts)).toBeGreaterThan(200)
  })

  it('is the same each time it is asked for', () => {
    const targets = [target('a', ['/a.img']), target('b', ['/b.img'])]
    const key = { targetName: 'b', initiatorName: 'iqn.x:pc' }
    expect(new Shards(targets, 8).ownerOf(key)).toBe(new Shards(targets, 8).ownerOf(key))
  })

  it.each([
    ['a shared unit', { units: [{ lun: 0, path: '/a.img', shared: true }] }],
    ['a device', { units: [{ lun: 0, path: 'device:/dev/sdx', shared: false }] }],
    ['an author of the raw file', { authors: ['iqn.x:author'] }]
  ])('is one for all initiators of a target with %s', (_what, changes) => {
    const shards = new Shards([target('a', ['/a.img'], changes)], 4)
    expect(spread(shards, 'a').filter((count) => count > 0)).toEqual([1000])
    expect([0, 1, 2, 3].filter((worker) => shards.serves(worker, 'a'))).toEqual([shards.keeperOf('a')])
  })

  it('hangs on its name where authors write into deltas of their own', () => {
    const shards = new Shards([target('a', ['/a.img'], { initiators: [{ match: 'iqn.x:*', policy: 'author' }] })], 4)
    expect(spread(shards, 'a').every((count) => count > 0)).toBe(true)
    expect(shards.keeperOf('a')).toBe(0)
  })

  it('is one for all targets that have an image in common with such a one, by way of others too', () => {
    const targets = [
      target('a', ['/a.img', '/b.img']),
      target('free', ['/free.img']),
      target('b', ['/b.img', '/c.img']),
      target('c', ['/c.img'], { authors: ['local'] })
    ]
    const shards = new Shards(targets, 4)
    const owners = ['a', 'b', 'c'].map((targetName) => shards.ownerOf({ targetName, initiatorName: 'iqn.x:pc' }))
    expect(new Set(owners).size).toBe(1)
    expect(spread(shards, 'free').every((count) => count > 0)).toBe(true)
    expect([0, 1, 2, 3].every((worker) => shards.serves(worker, 'free'))).toBe(true)
  })

  it('knows an image by its file, whatever name a target has for it', () => {
    const directory = mkdtempSync(join(tmpdir(), 'shards-'))
    const [image, link] = [join(directory, 'a.img'), join(directory, 'link.img')]
    writeFileSync(image, '')
    symlinkSync(image, link)
    const shards = new Shards([target('a', [link]), target('b', [image], { authors: ['local'] })], 4)
    expect(shards.keeperOf('a')).toBe(shards.keeperOf('b'))
    expect(spread(shards, 'a').filter((count) => count > 0)).toHaveLength(1)
    rmSync(directory, { recursive: true })
  })

  it('serves no target that the server does not have', () => {
    expect(new Shards([target('a', ['/a.img'])], 2).serves(0, 'b')).toBe(false)
  })
})
