import { mkdir, mkdtemp, realpath, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { realPlace } from '../../lib/target/real-place.js'

let root: string
beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'cloudx-place-')))
  await mkdir(join(root, 'folder'))
  await symlink('folder', join(root, 'link'))
})
afterEach(() => rm(root, { recursive: true }))

describe('realPlace', () => {
  it.each([
    ['link', 'folder'],
    ['link/new', 'folder/new'],
    ['folder/new', 'folder/new'],
    ['no/new', 'no/new']
  ])('of %s is %s', async (path, expected) => {
    expect(await realPlace(join(root, path))).toBe(join(root, expected))
  })
})
