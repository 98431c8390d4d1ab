import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { namesIn, syncDirectory } from '../../lib/util/directory.js'

let directory: string
beforeEach(async () => (directory = await mkdtemp(join(tmpdir(), 'cloudx-directory-'))))
afterEach(() => rm(directory, { recursive: true }))

const codeOfRejection = (promise: Promise<unknown>) =>
  promise.then(
    () => 'no error',
    (error: { code: string }) => error.code
  )

describe('syncDirectory', () => {
  it('syncs a directory that is there and reports one that is not', async () => {
    await expect(syncDirectory(directory)).resolves.toBeUndefined()
    const expected = process.platform === 'win32' ? 'no error' : 'ENOENT'
    expect(await codeOfRejection(syncDirectory(join(directory, 'nowhere')))).toBe(expected)
  })
})

describe('namesIn', () => {
  it('knows the names of a directory, and none of one that does not exist', async () => {
    await writeFile(join(directory, 'a'), '')
    expect(await namesIn(directory)).toEqual(['a'])
    expect(await namesIn(join(directory, 'nowhere'))).toEqual([])
  })

  it('does not take a file for an empty directory', async () => {
    await writeFile(join(directory, 'a'), '')
    expect(await codeOfRejection(namesIn(join(directory, 'a')))).toBe('ENOTDIR')
  })
})
