import { createHash, randomUUID } from 'node:crypto'
import { chmod, mkdir, readdir, realpath, rm, rmdir, stat } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import { namesIn } from '../util/directory.js'
import { codeOf, isFull, messageOf } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import type { JournalHeader } from '../volume/delta/journal-format.js'
import { readDeltaHeader } from '../volume/delta/reissue.js'
import { TargetError } from './errors.js'
import { formatInitiatorRecord, parseInitiatorRecord, type InitiatorRecord } from './initiator-record.js'
import { readJson, removeFile, writeJson } from './json-file.js'
import type { InitiatorKey } from './owner.js'
import { ReserveFile } from './reserve-file.js'
import { Fields } from './shape.js'

/**
 * The state directory:
 *
 *     state.json                  version of this layout
 *     lock                        held exclusively while a server uses it
 *     reserve                     room that is given back when the disk is full
 *     lock-workers                held by each of its worker processes, if it has any
 *     listening.json              how long a server has listened in all (the clock of grace times)
 *     forgotten.json              highest incarnation of initiators that were forgotten to make room
 *     images/<hash>.json          UUIDs of an image, by its path relative to this directory
 *     initiators/<hash>.json      what is remembered of an initiator at a target
 *     deltas/<hash>/              files of that initiator's deltas, `lun-<n>` in their names
 *     authors/<image UUID>/       partition table and ends of the image before an author's session, and `active.json`
 *                                 while an author has the image
 *     reservations/<hash>.json    persistent reservations of a shared unit that survive a restart
 *     sanitize/<hash>.json        a sanitize operation that has not ended well, of a private disk or of an image
 *     generations/<uuid>.json     the generations of an image
 *     generations/<uuid>/         the layers of those above the raw file, and hash trees
 *     bin/<id>/                   dropped and lost deltas, until their time is over
 *
 * Directories are 0700 and files 0600: a delta holds whatever its client wrote. Names of initiators reach the file
 * system only as hashes, the names themselves are inside the files.
 */
export class StateDirectory {
  static readonly VERSION = 1

  /** Makes the directory, or checks the layout of one that exists. Throws TargetError ERR_ISCSI_STATE. */
  static async open(path: string, log: Logger): Promise<StateDirectory> {
    const made = await new StateDirectory(path, log, false).prepare()
    // The UUID of an image hangs on where it lies relative to this, whatever link led here today.
    return new StateDirectory(await realpath(path), log, made)
  }

  /** Whether an image was shared with a state directory; both without links. Nothing is made or changed there. */
  static async knows(path: string, image: string): Promise<boolean> {
    return (await readJson(imagePathIn(path, relative(path, image)))) !== undefined
  }

  private reserveFile: ReserveFile | undefined

  private constructor(
    readonly path: string,
    private readonly log: Logger,
    /** It did not exist before this server. */
    readonly made: boolean
  ) {}

  /** Takes back a directory that {@link open} made: nobody could log in yet, so nothing of a client is in it. */
  async removeIfMade(): Promise<void> {
    if (this.made) await rm(this.path, { recursive: true, force: true })
  }

  /** Room for a time when the disk is full, once it is taken. */
  get reserve(): ReserveFile {
    return (this.reserveFile ??= new ReserveFile(this.path))
  }

  get lockPath(): string {
    return join(this.path, 'lock')
  }

  /** The record of an image's generations. */
  generationsPath(imageUuid: string): string {
    return join(this.path, 'generations', `${imageUuid}.json`)
  }

  /** Where the layers of an image are; made by whoever puts the first one in. */
  layersPath(imageUuid: string): string {
    return join(this.path, 'generations', imageUuid)
  }

  get workersLockPath(): string {
    return join(this.path, 'lock-workers')
  }

  get binPath(): string {
    return join(this.path, 'bin')
  }

  hashOf({ targetName, initiatorName }: Pick<InitiatorRecord, 'targetName' | 'initiatorName'>): string {
    return hashOf(targetName, initiatorName)
  }

  /** Where the files of an initiator's deltas are; made by {@link makeDeltaDirectory}. */
  deltaPath(record: Pick<InitiatorRecord, 'targetName' | 'initiatorName'>): string {
    return join(this.path, 'deltas', hashOf(record.targetName, record.initiatorName))
  }

  async makeDeltaDirectory(record: Pick<InitiatorRecord, 'targetName' | 'initiatorName'>): Promise<string> {
    const path = this.deltaPath(record)
    await mkdir(path, { recursive: true, mode: DIRECTORY_MODE })
    return path
  }

  /** The headers of all deltas, whoever they belong to; those that cannot be read are passed over. */
  async deltaHeaders(): Promise<JournalHeader[]> {
    const headers: JournalHeader[] = []
    for (const owner of await namesIn(join(this.path, 'deltas'))) {
      const folder = join(this.path, 'deltas', owner)
      for (const name of await namesIn(folder)) {
        const header = name.endsWith('.map')
          ? await readDeltaHeader(join(folder, name)).catch(() => undefined)
          : undefined
        if (header) headers.push(header)
      }
    }
    return headers
  }

  /** A new directory for what is saved before an author's session. */
  async makeAuthorDirectory(imageUuid: string): Promise<string> {
    const path = join(this.path, 'authors', imageUuid)
    await mkdir(path, { recursive: true, mode: DIRECTORY_MODE })
    return path
  }

  /** The author that has the image, or had it when the server ended; undefined when there is none. */
  async activeAuthor(imageUuid: string): Promise<InitiatorKey | undefined> {
    const path = this.activePath(imageUuid)
    const value = await readJson(path)
    if (value === undefined) return undefined
    const fields = new Fields(path, value)
    return { targetName: fields.string('targetName'), initiatorName: fields.string('initiatorName') }
  }

  async saveActiveAuthor(imageUuid: string, { targetName, initiatorName }: InitiatorKey): Promise<void> {
    await this.makeAuthorDirectory(imageUuid)
    await writeJson(this.activePath(imageUuid), { version: StateDirectory.VERSION, targetName, initiatorName })
  }

  async forgetAuthor(imageUuid: string): Promise<void> {
    await removeFile(this.activePath(imageUuid))
  }

  /** Where the persistent reservations of a shared unit are kept. */
  reservationsPath(targetName: string, imageUuid: string, partition: number | undefined): string {
    return join(this.path, 'reservations', `${hashOf(targetName, imageUuid, String(partition ?? 0))}.json`)
  }

  /** Of the private disk of an initiator. */
  sanitizePath({ targetName, initiatorName }: InitiatorKey, lun: number): string {
    return join(this.path, 'sanitize', `${hashOf(targetName, initiatorName, String(lun))}.json`)
  }

  /** Of a unit that writes into the image. */
  imageSanitizePath(targetName: string, imageUuid: string, partition: number | undefined): string {
    return join(this.path, 'sanitize', `${hashOf(targetName, imageUuid, String(partition ?? 0))}.json`)
  }

  private activePath(imageUuid: string): string {
    return join(this.path, 'authors', imageUuid, 'active.json')
  }

  /**
   * The UUID of an image, made at the first call.
   * @param name - the image's path relative to this directory, so that both can be moved together
   */
  async imageUuid(name: string): Promise<string> {
    return (await this.imageIdentity(name)).uuid
  }

  /** The same with the UUID that its backups have. */
  async imageIdentity(name: string): Promise<ImageIdentity> {
    const path = this.imagePath(name)
    const value = await readJson(path)
    if (value === undefined) {
      const uuid = randomUUID()
      return this.saveImage(name, { uuid, backupUuid: uuid })
    }
    const { uuid, backupUuid, next } = parseImage(path, value)
    if (!next || (await inodeOf(resolve(this.path, name))) !== next.inode) return { uuid, backupUuid }
    // The image may be copied to another inode later, so this is settled now.
    return this.saveImage(name, { uuid: next.uuid, backupUuid })
  }

  /**
   * The image has a new UUID from the moment in which another file is renamed to it: clients that come back must not take
   * that for the disk which they have in their caches. Until then, also after a crash, all is as it was.
   * @param replacement - the path of that file
   */
  async renewImageUuid(name: string, replacement: string): Promise<void> {
    const inode = await inodeOf(replacement)
    const next = { uuid: randomUUID(), inode: String(inode) }
    await this.saveImage(name, { ...(await this.imageIdentity(name)), next })
  }

  private async saveImage<Record extends ImageIdentity>(name: string, record: Record): Promise<Record> {
    await writeJson(this.imagePath(name), { version: StateDirectory.VERSION, ...record, image: name })
    return record
  }

  private imagePath(name: string): string {
    return imagePathIn(this.path, name)
  }

  /**
   * All records, at start. One that cannot be read is left where it is and named by its hash: nobody knows which epoch
   * was the current one, so its deltas count as lost.
   */
  async initiators(): Promise<InitiatorList> {
    const list: InitiatorList = { records: [], damaged: [] }
    for (const name of await readdir(join(this.path, 'initiators'))) {
      if (!name.endsWith('.json')) continue
      try {
        list.records.push(await this.readInitiator(name))
      } catch (error) {
        if (codeOf(error) !== 'ERR_ISCSI_STATE') throw error
        this.log.error(messageOf(error))
        list.damaged.push(name.slice(0, -'.json'.length))
      }
    }
    return list
  }

  /** @param durable - see {@link writeJson} */
  async saveInitiator(record: InitiatorRecord, durable = true): Promise<void> {
    const save = () => writeJson(this.initiatorPath(record), formatInitiatorRecord(record), durable)
    await save().catch((error: unknown) => {
      if (!isFull(error) || !this.makeRoom()) throw error
      return save()
    })
  }

  /** The file system is full: gives back what is kept for that. False when there is nothing any more. */
  makeRoom(): boolean {
    const released = this.reserve.release()
    if (released) this.log.error(`the disk of ${this.path} is full: its reserve is in use now; free space soon`)
    return released
  }

  /** The initiator has nothing here any more. Its delta directory goes only when it is empty. */
  async forgetInitiator(record: InitiatorRecord): Promise<void> {
    await removeFile(this.initiatorPath(record))
    await rmdir(this.deltaPath(record)).catch(() => undefined)
    for (const { lun } of record.units) await removeFile(this.sanitizePath(record, lun))
  }

  /** How long servers have listened with this directory, and the time of day when that was noted. */
  async listened(): Promise<Listened> {
    const path = this.listeningPath
    try {
      const value = await readJson(path)
      if (value === undefined) return { listenedMs: 0, notedAt: 0 }
      const fields = new Fields(path, value)
      return { listenedMs: fields.count('listenedMs'), notedAt: fields.optionalCount('notedAt') ?? 0 }
    } catch (error) {
      // Starting over at zero makes every deadline later, which loses nobody's data.
      this.log.warn(`${messageOf(error)}; grace times start over`)
      return { listenedMs: 0, notedAt: 0 }
    }
  }

  async saveListened({ listenedMs, notedAt }: Listened): Promise<void> {
    await writeJson(this.listeningPath, { version: StateDirectory.VERSION, listenedMs, notedAt })
  }

  /**
   * The highest incarnation of initiators that were forgotten; 0 when there are none.
   * @param nowMs - wall clock: in seconds it is above any incarnation, for a file that cannot be read
   */
  async forgottenIncarnation(nowMs: number): Promise<number> {
    const path = this.forgottenPath
    try {
      const value = await readJson(path)
      return value === undefined ? 0 : new Fields(path, value).count('incarnation')
    } catch (error) {
      this.log.warn(`${messageOf(error)}; new initiators start with a new identity`)
      return Math.floor(nowMs / 1000)
    }
  }

  async saveForgottenIncarnation(incarnation: number): Promise<void> {
    await writeJson(this.forgottenPath, { version: StateDirectory.VERSION, incarnation })
  }

  private get forgottenPath(): string {
    return join(this.path, 'forgotten.json')
  }

  private get listeningPath(): string {
    return join(this.path, 'listening.json')
  }

  private initiatorPath(record: Pick<InitiatorRecord, 'targetName' | 'initiatorName'>): string {
    return join(this.path, 'initiators', `${hashOf(record.targetName, record.initiatorName)}.json`)
  }

  private async readInitiator(name: string): Promise<InitiatorRecord> {
    const path = join(this.path, 'initiators', name)
    const record = parseInitiatorRecord(path, await readJson(path))
    if (this.initiatorPath(record) === path) return record
    throw new TargetError('ERR_ISCSI_STATE', `${path} is damaged: it names another initiator than its name says`)
  }

  /** @returns true when the directory did not exist before */
  private async prepare(): Promise<boolean> {
    try {
      const made = await this.makeRoot()
      // A folder of other people's things that was named by mistake keeps its mode.
      if (await this.isOurs()) await chmod(this.path, DIRECTORY_MODE)
      for (const name of FOLDERS) await mkdir(join(this.path, name), { recursive: true, mode: DIRECTORY_MODE })
      for (const name of FOLDERS) await chmod(join(this.path, name), DIRECTORY_MODE)
      await this.checkFileSystem()
      await this.checkVersion()
      return made
    } catch (error) {
      if (codeOf(error) === 'ERR_ISCSI_STATE') throw error
      throw new TargetError(
        'ERR_ISCSI_STATE',
        `cannot use ${this.path} as the state directory: ${messageOf(error)}; --state-dir names another place`,
        { cause: error }
      )
    }
  }

  /** Only the last folder is made: a mistyped path must not become a new tree with an empty image in it. */
  private async makeRoot(): Promise<boolean> {
    try {
      await mkdir(this.path, { mode: DIRECTORY_MODE })
      return true
    } catch (error) {
      if (codeOf(error) === 'ENOENT') {
        const parent = dirname(this.path)
        throw new TargetError(
          'ERR_ISCSI_STATE',
          `the folder ${parent} does not exist; make it first, or correct the path`
        )
      }
      if (codeOf(error) !== 'EEXIST') throw error
      return false
    }
  }

  private async isOurs(): Promise<boolean> {
    const names = await readdir(this.path)
    return names.length === 0 || names.includes('state.json')
  }

  /** What is dropped is renamed, and no rename leaves its file system. */
  private async checkFileSystem(): Promise<void> {
    const [deltas, ...others] = await Promise.all(
      ['deltas', 'bin', 'generations'].map((name) => stat(join(this.path, name)))
    )
    if (others.every(({ dev }) => dev === deltas!.dev)) return
    throw new TargetError('ERR_ISCSI_STATE', `deltas, bin and generations of ${this.path} must lie in one file system`)
  }

  private async checkVersion(): Promise<void> {
    const path = join(this.path, 'state.json')
    const value = await readJson(path)
    if (value === undefined) return writeJson(path, { version: StateDirectory.VERSION })
    new Fields(path, value).version(StateDirectory.VERSION)
  }
}

export interface Listened {
  readonly listenedMs: number
  /** Wall clock, ms since 1970; 0 = not known. */
  readonly notedAt: number
}

export interface ImageIdentity {
  /** Of the disk: what clients, generations and reservations know it by. */
  readonly uuid: string
  /** Of the image, whatever was restored to its place: a folder of backups goes on with it. */
  readonly backupUuid: string
}

export interface InitiatorList {
  readonly records: InitiatorRecord[]
  /** Hashes (names of their delta directories) of records that cannot be read. */
  readonly damaged: string[]
}

const DIRECTORY_MODE = 0o700
const FOLDERS = ['images', 'initiators', 'deltas', 'authors', 'reservations', 'sanitize', 'generations', 'bin']

/** 32 hex digits of the parts with their lengths, so that no two lists of parts run together. */
export function hashOf(...parts: readonly string[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(`${Buffer.byteLength(part)}:`).update(part)
  return hash.digest('hex').slice(0, 32)
}

function imagePathIn(state: string, name: string): string {
  return join(state, 'images', `${hashOf(name)}.json`)
}

interface ImageRecord extends ImageIdentity {
  /** The UUID when the file with this inode is in its place. */
  readonly next: { readonly uuid: string; readonly inode: bigint } | undefined
}

function parseImage(path: string, value: unknown): ImageRecord {
  const fields = new Fields(path, value)
  fields.version(StateDirectory.VERSION)
  const uuid = parseUuid(path, fields.string('uuid'))
  const next = fields.optionalRecord('next', (one) => ({
    uuid: parseUuid(path, one.string('uuid')),
    inode: one.decimal('inode')
  }))
  return { uuid, backupUuid: parseUuid(path, fields.optionalString('backupUuid') ?? uuid), next }
}

function parseUuid(path: string, uuid: string): string {
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(uuid)) return uuid
  throw new TargetError('ERR_ISCSI_STATE', `${path} is damaged: uuid should be a UUID`)
}

async function inodeOf(path: string): Promise<bigint> {
  return (await stat(path, { bigint: true })).ino
}
