import {
  chmod,
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  realpath,
  rename,
  rm,
  stat,
  symlink,
  writeFile
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { newInitiatorRecord } from '../../lib/target/initiator-record.js'
import { hashOf, StateDirectory } from '../../lib/target/state-directory.js'
import { LogRecorder } from '../support/log-recorder.js'

const RECORD = newInitiatorRecord('iqn.2010-04.local.cloudx:share', 'iqn.1991-05.com.microsoft:../../pc')

let root: string
let log: LogRecorder
let state: StateDirectory
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'cloudx-state-'))
  log = new LogRecorder()
  state = await StateDirectory.open(join(root, 'share.img.cloudx'), log)
})
afterEach(() => rm(root, { recursive: true }))

describe('StateDirectory', () => {
  it('is made for its owner alone', async () => {
    for (const name of ['', 'images', 'initiators', 'deltas', 'authors', 'reservations', 'sanitize', 'bin']) {
      expect((await stat(join(state.path, name))).mode & 0o777).toBe(0o700)
    }
    expect((await stat(join(state.path, 'state.json'))).mode & 0o777).toBe(0o600)
  })

  it('tightens the mode of a directory that was open to others', async () => {
    const path = join(root, 'open')
    await mkdir(path, { mode: 0o755 })
    await StateDirectory.open(path, log)
    expect((await stat(path)).mode & 0o777).toBe(0o700)
  })

  it("leaves the mode of a folder of other people's things, and keeps its own folders closed", async () => {
    const path = join(root, 'common')
    await mkdir(path, { mode: 0o755 })
    await writeFile(join(path, 'share.img'), '')
    await StateDirectory.open(path, log)
    expect((await stat(path)).mode & 0o777).toBe(0o755)
    expect((await stat(join(path, 'deltas'))).mode & 0o777).toBe(0o700)
  })

  it('closes a folder of its own that was opened to others', async () => {
    await chmod(join(state.path, 'deltas'), 0o755)
    await StateDirectory.open(state.path, log)
    expect((await stat(join(state.path, 'deltas'))).mode & 0o777).toBe(0o700)
  })

  it('is known by its real place, whatever link leads to it', async () => {
    await symlink(root, join(root, 'link'))
    const again = await StateDirectory.open(join(root, 'link', 'share.img.cloudx'), log)
    expect(again.path).toBe(await realpath(state.path))
  })

  it('gives an image its UUID once, and another image another one', async () => {
    const uuid = await state.imageUuid('../share.img')
    const again = await StateDirectory.open(state.path, log)
    expect(await again.imageUuid('../share.img')).toBe(uuid)
    expect(await again.imageUuid('../other.img')).not.toBe(uuid)
    expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  })

  it('gives it another UUID in the moment in which another file takes its place, and backups know it as before', async () => {
    const image = join(root, 'share.img')
    await writeFile(image, 'old')
    await writeFile(`${image}.restored`, 'new')
    const before = await state.imageUuid('../share.img')
    await state.renewImageUuid('../share.img', `${image}.restored`)
    // A crash here: the old file, its generations and its clients belong together still.
    expect(await state.imageIdentity('../share.img')).toEqual({ uuid: before, backupUuid: before })
    await rename(`${image}.restored`, image)
    const renewed = await state.imageIdentity('../share.img')
    expect(renewed.uuid).not.toBe(before)
    expect(renewed.backupUuid).toBe(before)
    // From now on it is the image's, wherever that is moved.
    await copyFile(image, `${image}.copy`)
    await rename(`${image}.copy`, image)
    expect(await state.imageIdentity('../share.img')).toEqual(renewed)
    await state.renewImageUuid('../share.img', image)
    const again = await state.imageIdentity('../share.img')
    expect(again.uuid).not.toBe(renewed.uuid)
    expect(again.backupUuid).toBe(before)
  })

  it('refuses a damaged UUID instead of making a new one', async () => {
    await state.imageUuid('../share.img')
    const [name] = await readdir(join(state.path, 'images'))
    await writeFile(join(state.path, 'images', name!), '{"version":1,"uuid":"x"}')
    await expect(state.imageUuid('../share.img')).rejects.toMatchObject({ code: 'ERR_ISCSI_STATE' })
  })

  it('lets no name of an initiator out of its directory', async () => {
    await state.saveInitiator(RECORD)
    const [name] = await readdir(join(state.path, 'initiators'))
    expect(name).toMatch(/^[0-9a-f]{32}\.json$/)
    expect(state.deltaPath(RECORD)).toMatch(/[\\/]deltas[\\/][0-9a-f]{32}$/)
  })

  it('finds the records that it saved, and names the damaged ones', async () => {
    await state.saveInitiator(RECORD)
    const other = { ...RECORD, initiatorName: 'iqn.1991-05.com.microsoft:b' }
    await state.saveInitiator(other)
    await writeFile(join(state.path, 'initiators', `${state.hashOf(other)}.json`), 'x')
    expect(await state.initiators()).toEqual({ records: [RECORD], damaged: [state.hashOf(other)] })
    expect(log.with('error:', 'damaged')).toHaveLength(1)
  })

  it('does not take a record for that of another initiator because somebody renamed it', async () => {
    await state.saveInitiator(RECORD)
    const folder = join(state.path, 'initiators')
    await rename(join(folder, `${state.hashOf(RECORD)}.json`), join(folder, `${'0'.repeat(32)}.json`))
    expect(await state.initiators()).toEqual({ records: [], damaged: ['0'.repeat(32)] })
  })

  it('forgets an initiator, but no file that lies in its delta directory', async () => {
    await state.saveInitiator(RECORD)
    const path = await state.makeDeltaDirectory(RECORD)
    await writeFile(join(path, 'somebody.txt'), '')
    await state.forgetInitiator(RECORD)
    expect((await state.initiators()).records).toEqual([])
    expect(await readdir(path)).toEqual(['somebody.txt'])
  })

  it('remembers how long it has been listened with, and starts over when that is damaged', async () => {
    const never = { listenedMs: 0, notedAt: 0 }
    const once = { listenedMs: 123, notedAt: 1_770_000_000_000 }
    expect(await state.listened()).toEqual(never)
    await state.saveListened(once)
    expect(await state.listened()).toEqual(once)
    await writeFile(join(state.path, 'listening.json'), '{')
    expect(await state.listened()).toEqual(never)
    expect(log.with('warn:', 'start over')).toHaveLength(1)
  })

  it('remembers the highest incarnation of those who were forgotten; damaged, one above any', async () => {
    expect(await state.forgottenIncarnation(1_770_000_000_000)).toBe(0)
    await state.saveForgottenIncarnation(7)
    expect(await state.forgottenIncarnation(1_770_000_000_000)).toBe(7)
    await writeFile(join(state.path, 'forgotten.json'), '{')
    expect(await state.forgottenIncarnation(1_770_000_000_000)).toBe(1_770_000_000)
    expect(log.with('warn:', 'new identity')).toHaveLength(1)
  })
})

describe('hashOf', () => {
  it('keeps parts apart', () => expect(hashOf('ab', 'c')).not.toBe(hashOf('a', 'bc')))
})
