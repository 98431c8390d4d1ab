import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { readJson, removeFile, writeJson } from '../../lib/target/json-file.js'
import { isFull } from '../../lib/util/errors.js'

let directory: string
beforeEach(async () => (directory = await mkdtemp(join(tmpdir(), 'cloudx-json-'))))
afterEach(() => rm(directory, { recursive: true }))

describe('JSON files', () => {
  it.each([true, false])('replaces a file as a whole and leaves no draft (durable: %s)', async (durable) => {
    const path = join(directory, 'a.json')
    await writeJson(path, { a: 1, long: 'x'.repeat(1000) }, durable)
    await writeJson(path, { b: 2 }, durable)
    expect(await readJson(path)).toEqual({ b: 2 })
    expect(await readdir(directory)).toEqual(['a.json'])
    expect((await stat(path)).mode & 0o777).toBe(0o600)
  })

  it('leaves the old file and no draft when a new one cannot be written', async () => {
    const path = join(directory, 'taken')
    await mkdir(path)
    await writeFile(join(path, 'inside'), '')
    await expect(writeJson(path, {})).rejects.toThrow()
    expect(await readdir(directory)).toEqual(['taken'])
  })

  it('knows a full disk, and a quota that is used up', () => {
    const failed = (code: string) => Object.assign(new Error(code), { code })
    expect(['ENOSPC', 'EDQUOT', 'EIO'].map((code) => isFull(failed(code)))).toEqual([true, true, false])
  })

  it('finds nothing where there is nothing', async () => {
    expect(await readJson(join(directory, 'none.json'))).toBeUndefined()
    await removeFile(join(directory, 'none.json'))
  })

  it.each(['', '{', '{"a":1} x', '\u0000'])('says that a file with %j is damaged, and names it', async (text) => {
    const path = join(directory, 'bad.json')
    await writeFile(path, text)
    await expect(readJson(path)).rejects.toMatchObject({
      code: 'ERR_ISCSI_STATE',
      message: expect.stringContaining(path) as unknown
    })
  })

  it('refuses a file that is too large for a record', async () => {
    const path = join(directory, 'large.json')
    await writeFile(path, Buffer.alloc(1024 * 1024 + 1, 0x20))
    await expect(readJson(path)).rejects.toMatchObject({ code: 'ERR_ISCSI_STATE' })
  })
})
