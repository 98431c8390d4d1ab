import { mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { LoginError } from '../../lib/iscsi/errors.js'
import { fileStorage } from '../../lib/target/image-storage.js'
import { AUTHOR_HOLD_MS, Images } from '../../lib/target/images.js'
import { StateDirectory } from '../../lib/target/state-directory.js'
import { writeVolume } from '../../lib/volume/promises.js'
import { FakeClock } from '../support/fake-clock.js'
import { LogRecorder } from '../support/log-recorder.js'

const SIZE = 2 ** 20
const ALICE = { targetName: 't', initiatorName: 'alice' }
const ADMIN = { targetName: 't', initiatorName: 'admin' }

let root: string
let path: string
let clock: FakeClock
let log: LogRecorder
let state: StateDirectory
let images: Images
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'cloudx-images-'))
  path = join(root, 'share.img')
  await writeFile(path, Buffer.alloc(SIZE))
  clock = new FakeClock()
  log = new LogRecorder()
  state = await StateDirectory.open(join(root, 'state'), log)
  images = new Images({ storage: fileStorage(undefined), clock, log })
})
afterEach(async () => {
  await images.close()
  await rm(root, { recursive: true })
})

function open(at = path) {
  return images.open({ path: at, partition: undefined, shared: false, readOnly: false }, state)
}

describe('Images', () => {
  it('knows one file under all its names', async () => {
    await symlink(path, join(root, 'link.img'))
    const image = await open()
    expect(await open(join(root, 'link.img'))).toBe(image)
    expect(await open(join(root, 'state', '..', 'share.img'))).toBe(image)
  })

  it('keeps the UUID of an image that is moved together with its state directory', async () => {
    const { uuid } = await open()
    await images.close()
    const moved = `${root}-moved`
    await rename(root, moved)
    root = moved
    state = await StateDirectory.open(join(moved, 'state'), log)
    expect((await open(join(moved, 'share.img'))).uuid).toBe(uuid)
  })

  it.each([
    ['a directory', () => root, 'ERR_ISCSI_IMAGE_IS_DIRECTORY'],
    ['a file in a directory that is not there', () => join(root, 'no', 'a.img'), 'ERR_ISCSI_IMAGE_MISSING']
  ])('refuses %s', async (_what, at, code) => {
    await expect(open(at())).rejects.toMatchObject({ code })
  })

  it('serves drivers that are no files', async () => {
    const image = await open('memory:1MiB')
    expect((await image.addView(undefined, 512)).size).toBe(SIZE)
    expect(image.fingerprint(0)).toMatchObject({ size: SIZE, mtimeNs: 0n, inode: 0n })
  })
})

describe('Image', () => {
  it('lets readers and an author exclude each other in the same instant', async () => {
    const image = await open()
    image.hold('a', ALICE)
    expect(() => image.claim('x', ADMIN)).toThrow(LoginError)
    image.release('a')
    image.claim('x', ADMIN)
    expect(() => image.hold('a', ALICE)).toThrow(/admin/)
    await image.leaveAuthor('x', true)
    image.hold('a', ALICE)
    expect(image.holders).toEqual([ALICE])
  })

  it('takes a new fingerprint after its author has written', async () => {
    const image = await open()
    await image.addView(undefined, 512)
    const before = image.fingerprint(0)
    image.claim('x', ADMIN)
    await writeVolume(await image.enterAuthor('x', undefined, 512), Buffer.alloc(512, 9), 0)
    await image.leaveAuthor('x', true)
    expect(image.fingerprint(0).uuid).toBe(before.uuid)
    expect(image.fingerprint(0).inode).toBe(before.inode)
    expect(image.fingerprint(0).mtimeNs).not.toBe(before.mtimeNs)
    expect((await image.view(0, undefined, 512)).readOnly).toBe(true)
  })

  it('does not open the image for writing to one that has not claimed it', async () => {
    const image = await open()
    await expect(image.enterAuthor('x', undefined, 512)).rejects.toMatchObject({ code: 'ERR_ISCSI_AUTHOR' })
  })

  it('stays with an author that went away, for a while, and with one that came back, for good', async () => {
    const image = await open()
    image.claim('x', ADMIN)
    await image.leaveAuthor('x', false)
    expect(() => image.hold('a', ALICE)).toThrow(LoginError)
    image.claim('x', ADMIN)
    clock.advance(AUTHOR_HOLD_MS * 2)
    expect(() => image.hold('a', ALICE)).toThrow(LoginError)
    await image.leaveAuthor('x', false)
    clock.advance(AUTHOR_HOLD_MS)
    image.hold('a', ALICE)
  })

  it('stays with an author that was writing when the server ended, for a while', async () => {
    const image = await open()
    image.claim('t\nadmin', ADMIN)
    await image.enterAuthor('t\nadmin', undefined, 512)
    // The server dies: nobody notes an end.
    await images.close()
    images = new Images({ storage: fileStorage(undefined), clock, log })
    const again = await open()
    expect(() => again.hold('a', ALICE)).toThrow(/admin/)
    again.claim('t\nadmin', ADMIN)
    await again.enterAuthor('t\nadmin', undefined, 512)
    await again.leaveAuthor('t\nadmin', false)
    clock.advance(AUTHOR_HOLD_MS)
    again.hold('a', ALICE)
    await images.close()
    images = new Images({ storage: fileStorage(undefined), clock, log })
    ;(await open()).hold('a', ALICE)
  })

  it('is free for everybody at a start after an author that logged out', async () => {
    const image = await open()
    image.claim('t\nadmin', ADMIN)
    await image.enterAuthor('t\nadmin', undefined, 512)
    await image.leaveAuthor('t\nadmin', true)
    await images.close()
    images = new Images({ storage: fileStorage(undefined), clock, log })
    ;(await open()).hold('a', ALICE)
  })

  it('refuses an author while another server reads the image, and is readable again after that', async () => {
    const image = await open()
    await image.addView(undefined, 512)
    const other = new Images({ storage: fileStorage(undefined), clock, log })
    await other.open({ path, partition: undefined, shared: false, readOnly: false }, state)
    image.claim('x', ADMIN)
    await expect(image.enterAuthor('x', undefined, 512)).rejects.toMatchObject({ code: 'ERR_ISCSI_LOCKED' })
    await image.leaveAuthor('x', true)
    expect((await image.view(0, undefined, 512)).size).toBe(SIZE)
    await other.close()
  })
})
