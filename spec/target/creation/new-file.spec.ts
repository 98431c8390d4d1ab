import { link, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { makeFile } from '../../../lib/target/creation/new-file.js'
import { acquireLock } from '../../../lib/volume/lock.js'
import { DISK_DIRECTORY } from '../../support/disk-directory.js'

let root: string
let path: string
beforeEach(async () => {
  root = await mkdtemp(join(DISK_DIRECTORY, 'cloudx-new-'))
  path = join(root, 'new.img')
})
afterEach(() => rm(root, { recursive: true }))

const nothing = () => Promise.resolve()

describe('makeFile', () => {
  it('makes a sparse file with what is written into it, and leaves nothing else', async () => {
    await makeFile(path, 2 ** 40, async (handle) => {
      expect(await readdir(root)).toEqual(['new.img.part'])
      await handle.write('x', 2 ** 39)
    })
    const { size, blocks, mode } = await stat(path)
    expect(size).toBe(2 ** 40)
    expect(blocks * 512).toBeLessThan(2 ** 20)
    expect(mode & 0o777).toBe(0o666 & ~process.umask())
    expect(await readdir(root)).toEqual(['new.img'])
  })

  it('leaves nothing behind when the filling fails, or the size is too much for the file system', async () => {
    await expect(makeFile(path, 512, () => Promise.reject(new Error('no')))).rejects.toThrow('no')
    await expect(makeFile(path, 2 ** 53 - 512, nothing)).rejects.toThrow(path)
    expect(await readdir(root)).toEqual([])
  })

  it('never touches what is there, also when it comes while the file is made', async () => {
    await writeFile(path, 'mine')
    await expect(makeFile(path, 512, nothing)).rejects.toMatchObject({ code: 'ERR_ISCSI_IMAGE_EXISTS' })
    await rm(path)
    const late = makeFile(path, 512, () => writeFile(path, 'mine'))
    await expect(late).rejects.toMatchObject({ code: 'ERR_ISCSI_IMAGE_EXISTS' })
    expect(await readFile(path, 'utf8')).toBe('mine')
    expect(await readdir(root)).toEqual(['new.img'])
  })

  it('does not follow a link that leads to nothing', async () => {
    await symlink(join(root, 'other.img'), path)
    await expect(makeFile(path, 512, nothing)).rejects.toThrow(/is a link that leads to nothing/)
    expect(await readdir(root)).toEqual(['new.img'])
  })

  it('names a folder that does not exist', async () => {
    const far = join(root, 'no', 'new.img')
    await expect(makeFile(far, 512, nothing)).rejects.toMatchObject({ code: 'ERR_ISCSI_IMAGE_MISSING' })
    await expect(makeFile(far, 512, nothing)).rejects.toThrow(/no does not exist; make it first/)
  })

  it('clears away what a crash left, without writing to it: it may be another name of a whole image', async () => {
    const whole = join(root, 'whole.img')
    await writeFile(whole, 'precious')
    await link(whole, `${path}.part`)
    await makeFile(path, 512, nothing)
    expect(await readFile(whole, 'utf8')).toBe('precious')
    expect((await readdir(root)).sort()).toEqual(['new.img', 'whole.img'])
  })

  it('lets only one make it at a time', async () => {
    await makeFile(path, 512, async () => {
      await expect(makeFile(path, 512, nothing)).rejects.toThrow(/just being made by another process/)
    })
    expect(await readdir(root)).toEqual(['new.img'])
    await rm(path)
    await writeFile(`${path}.part`, '')
    const lock = await acquireLock(`${path}.part`, { exclusive: true })
    await expect(makeFile(path, 512, nothing)).rejects.toMatchObject({ code: 'ERR_ISCSI_LOCKED' })
    await lock.release()
    await makeFile(path, 512, nothing)
    expect(await readdir(root)).toEqual(['new.img'])
  })
})
