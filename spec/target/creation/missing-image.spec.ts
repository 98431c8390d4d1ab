import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { isSimilar, refuseDoubtful, refuseOrphanedState } from '../../../lib/target/creation/missing-image.js'
import { StateDirectory } from '../../../lib/target/state-directory.js'
import { stateBeside } from '../../../lib/target/state-place.js'
import { LogRecorder } from '../../support/log-recorder.js'

let root: string
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'cloudx-missing-'))
})
afterEach(() => rm(root, { recursive: true }))

async function image(name: string, size = 2 ** 20): Promise<void> {
  await writeFile(join(root, name), '')
  await truncate(join(root, name), size)
}

async function refusal(
  name: string,
  others: string[] = [],
  statePath = join(root, 'state')
): Promise<string | undefined> {
  return refuseDoubtful({ path: join(root, name), statePath, others: others.map((other) => join(root, other)) }).then(
    () => undefined,
    (error: Error) => error.message.replaceAll(root, '')
  )
}

describe('a missing image', () => {
  it('is made where nothing speaks against it', async () => {
    await image('data.img')
    expect(await refusal('share.img')).toBeUndefined()
  })

  it('is refused when its state directory is there', async () => {
    await mkdir(stateBeside(join(root, 'share.img')))
    expect(await refusal('share.img')).toBe(
      '/share.img does not exist, but /share.img.cloudx does, with what clients wrote over it: the image was moved, ' +
        'renamed or deleted. Put it back; or, to begin anew without those changes, remove /share.img.cloudx'
    )
    await image('share.img')
    await expect(refuseOrphanedState(join(root, 'share.img'))).resolves.toBeUndefined()
  })

  it('is refused when the state directory knows it', async () => {
    const state = await StateDirectory.open(join(root, 'state'), new LogRecorder())
    await state.imageUuid('../share.img')
    expect(await refusal('share.img')).toMatch(/but \/state knows it: it was moved.*cloudx image create \/share\.img$/)
    expect(await refusal('other.img')).toBeUndefined()
  })

  it('is refused when an image of a similar name lies beside it, with the way to make it all the same', async () => {
    await image('share.img')
    expect(await refusal('shrae.img')).toBe(
      '/shrae.img does not exist; did you mean share.img, which lies beside it? If a new image is wanted: ' +
        'cloudx image create /shrae.img'
    )
    expect(await refusal('my shrae.img')).toBeUndefined()
  })

  it('is made beside a similar name that is served too, or is no image', async () => {
    await image('games.img')
    expect(await refusal('gamez.img', ['games.img', 'gamez.img'])).toBeUndefined()
    await image('notes.img', 1000)
    await image('empty.img', 0)
    await mkdir(join(root, 'folder.img'))
    for (const name of ['note.img', 'empti.img', 'foldr.img']) expect(await refusal(name)).toBeUndefined()
  })

  it('is no device', async () => {
    const device = { path: '/dev/cloudx-none', statePath: join(root, 'state'), others: [] }
    await expect(refuseDoubtful(device)).rejects.toThrow(/there is no such device, and none is made/)
    await expect(refuseDoubtful({ ...device, path: '\\\\.\\PhysicalDrive9' })).rejects.toThrow(/no such device/)
    await expect(refuseDoubtful({ ...device, path: '/dev/shm/cloudx-none.img' })).resolves.toBeUndefined()
  })
})

describe('isSimilar', () => {
  it.each([
    ['shrae.img', 'share.img'],
    ['share', 'share.img'],
    ['share.raw', 'share.img'],
    ['Share.IMG', 'share.img'],
    ['windows11.img', 'windwos11.img'],
    ['공유디스크.img', '공유디스트.img'],
    ['가나.img', '가나.img'.normalize('NFD')]
  ])('sees a mistake in %s for %s', (wanted, found) => {
    expect(isSimilar(wanted, found)).toBe(true)
  })

  it.each([
    ['disk2.img', 'disk1.img'],
    ['share2.img', 'share.img'],
    ['a.img', 'b.img'],
    ['games.img', 'movies.img'],
    ['data.img', 'disk.img'],
    ['share.img', 'share.img.cloudx']
  ])('takes %s and %s for two', (wanted, found) => {
    expect(isSimilar(wanted, found)).toBe(false)
  })
})
