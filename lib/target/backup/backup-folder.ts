import { mkdir, open, readFile, rename, unlink, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { namesIn, syncDirectory } from '../../util/directory.js'
import { codeOf } from '../../util/errors.js'
import { acquireLock, type Lock } from '../../volume/lock.js'
import { TargetError } from '../errors.js'
import { HASH_LENGTH, leafCountOf, rootOf } from '../generations/hash-tree.js'
import { readJson } from '../json-file.js'
import { Fields } from '../shape.js'

/**
 * A folder with backups of one image. The first one is a raw image, which any tool opens; each that follows holds the
 * leaves (MiB) that differ from the one before:
 *
 *     000001.raw      000001.hashes   000001.json      the whole disk
 *     000002.changes  000002.hashes   000002.json      what differs from 1, one leaf behind the other
 *     backup.lock                                      locked by the run that writes here
 *
 * `.hashes` has the SHA-256 of every leaf of the whole disk, so what a `.changes` file holds is where two of them differ.
 * The `.json` comes last, by a rename: what has none is no backup. Nothing here needs links, modes or locks of the file
 * system, so the folder may be on a network drive.
 */
export interface Backup {
  /** From 1; rises. */
  readonly number: number
  readonly imageUuid: string
  readonly imagePath: string
  /** Wall clock, ms since 1970. */
  readonly takenAt: number
  readonly generation: BackedGeneration
  readonly sizeBytes: number
  /** Hex; the same as the hash of the generation. */
  readonly root: string
  /** The file with its bytes. */
  readonly file: string
  readonly over: BackupBelow | undefined
}

export interface BackedGeneration {
  readonly number: number
  readonly time: number
  readonly note: string
}

/** What lies below a file of changes. */
export interface BackupBelow {
  /** The backup; 0 = none any more: a raw file into which these changes are being merged. */
  readonly number: number
  /** Of number 0 alone. */
  readonly raw: string
  /** The file with its hashes, as they were before. */
  readonly hashes: string
}

const VERSION = 1

export class BackupFolder {
  private constructor(
    readonly path: string,
    private readonly lock: Lock | undefined,
    /** The oldest first. */
    public backups: readonly Backup[]
  ) {}

  /** @throws TargetError when another program works in it, or a backup in it cannot be understood */
  static async open(path: string, writable: boolean): Promise<BackupFolder> {
    if (writable) await mkdir(path, { recursive: true })
    const lock = writable ? await lockOf(path) : undefined
    try {
      return new BackupFolder(path, lock, await readBackups(path))
    } catch (error) {
      await lock?.release()
      throw error
    }
  }

  /** The file that is locked stays: a run that has just opened it would hold the lock of a file that no other one finds. */
  async close(): Promise<void> {
    await this.lock?.release()
  }

  get newest(): Backup | undefined {
    return this.backups.at(-1)
  }

  pathOf(name: string): string {
    return join(this.path, name)
  }

  /** @throws TargetError ERR_ISCSI_BACKUP when there is none of this number; the newest without one */
  find(number: number | undefined): Backup {
    const found = number === undefined ? this.newest : this.backups.find((one) => one.number === number)
    if (found) return found
    const known = this.backups.map((one) => one.number).join(', ')
    throw new TargetError(
      'ERR_ISCSI_BACKUP',
      this.backups.length === 0
        ? `there is no backup in ${this.path}`
        : `there is no backup ${number} in ${this.path}, but ${known}`
    )
  }

  /** @throws TargetError ERR_ISCSI_BACKUP_DAMAGED when a file of a backup cannot be read */
  openFile(name: string): Promise<FileHandle> {
    const path = this.pathOf(name)
    return open(path, 'r').catch((error: unknown) => {
      throw Object.assign(damaged(path), { cause: error })
    })
  }

  /** The hashes of all leaves. @throws TargetError when they are not those that the backup was made with */
  async hashesOf(backup: Backup): Promise<Buffer> {
    const leaves = await this.readHashes(hashesName(backup.number))
    const expected = leafCountOf(backup.sizeBytes) * HASH_LENGTH
    if (leaves.length === expected && rootOf(leaves, backup.sizeBytes) === backup.root) return leaves
    throw damaged(this.pathOf(hashesName(backup.number)))
  }

  /** Those of what lies below its changes; empty for a whole disk. */
  async hashesBelow({ over }: Backup): Promise<Buffer> {
    if (!over) return Buffer.alloc(0)
    return over.number === 0 ? this.readHashes(over.hashes) : this.hashesOf(this.find(over.number))
  }

  private readHashes(name: string): Promise<Buffer> {
    return readFile(this.pathOf(name)).catch((error: unknown) => {
      if (codeOf(error) === 'ENOENT') throw damaged(this.pathOf(name))
      throw error
    })
  }

  /** From now on it is there; its files are whole already. Also in place of what was said of it before. */
  async note(backup: Backup): Promise<void> {
    const bytes = Buffer.from(`${JSON.stringify({ version: VERSION, ...backup }, undefined, 2)}\n`)
    await this.replace(manifestName(backup.number), bytes)
    const others = this.backups.filter(({ number }) => number !== backup.number)
    this.backups = [...others, backup].sort((left, right) => left.number - right.number)
  }

  /** It is none any more; its files are for the caller to remove. */
  async forget({ number }: Backup): Promise<void> {
    await this.remove(manifestName(number))
    await syncDirectory(this.path).catch(() => undefined)
    this.backups = this.backups.filter((one) => one.number !== number)
  }

  /** A file that is there as a whole, or as it was. */
  async replace(name: string, bytes: Buffer): Promise<void> {
    const made = this.pathOf(`${name}.part`)
    const file = await open(made, 'w')
    try {
      await file.writeFile(bytes)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(made, this.pathOf(name))
    // Not every network drive can do that.
    await syncDirectory(this.path).catch(() => undefined)
  }

  async remove(name: string): Promise<void> {
    await unlink(this.pathOf(name)).catch((error: unknown) => {
      if (codeOf(error) !== 'ENOENT') throw error
    })
  }
}

export function hashesName(number: number): string {
  return `${numberName(number)}.hashes`
}

export function numberName(number: number): string {
  return String(number).padStart(6, '0')
}

export function damaged(path: string): TargetError {
  return new TargetError('ERR_ISCSI_BACKUP_DAMAGED', `${path} is missing or not what was written`)
}

function manifestName(number: number): string {
  return `${numberName(number)}.json`
}

const LOCK = 'backup.lock'

function lockOf(path: string): Promise<Lock> {
  return acquireLock(join(path, LOCK), { exclusive: true, create: true }).catch((error: unknown) => {
    if (codeOf(error) !== 'ERR_ISCSI_LOCKED') throw error
    throw new TargetError('ERR_ISCSI_LOCKED', `another backup is being written to ${path}`, { cause: error })
  })
}

async function readBackups(path: string): Promise<Backup[]> {
  const numbers = (await namesIn(path)).flatMap((name) => {
    const match = /^(\d{6,})\.json$/.exec(name)
    return match ? [Number(match[1])] : []
  })
  const backups: Backup[] = []
  for (const number of numbers.sort((left, right) => left - right)) {
    const file = join(path, manifestName(number))
    backups.push(parseBackup(new Fields(file, await readJson(file)), number))
  }
  return backups
}

function parseBackup(fields: Fields, number: number): Backup {
  fields.version(VERSION)
  fields.expect(fields.count('number') === number, 'number', String(number))
  const generation = fields.optionalRecord('generation', (one) => ({
    number: one.count('number'),
    time: one.count('time'),
    note: one.string('note')
  }))
  if (!generation) throw damaged(manifestName(number))
  return {
    number,
    imageUuid: fields.string('imageUuid'),
    imagePath: fields.string('imagePath'),
    takenAt: fields.count('takenAt'),
    generation,
    sizeBytes: fields.count('sizeBytes'),
    root: fields.hex('root', 2 * HASH_LENGTH),
    file: plainName(fields, 'file'),
    over: fields.optionalRecord('over', (over) => ({
      number: over.count('number'),
      raw: plainName(over, 'raw'),
      hashes: plainName(over, 'hashes')
    }))
  }
}

/** Of a file in the folder itself: whoever edits a record makes us read nothing else. */
function plainName(fields: Fields, name: string): string {
  const text = fields.string(name)
  fields.expect(/^(\d{6,}\.(raw|changes|hashes))?$/.test(text), name, 'the name of a file of a backup')
  return text
}
