import { open, readFile, rename, type FileHandle } from 'node:fs/promises'
import { formatSize } from '../../util/units.js'
import { writeAll } from '../creation/copy.js'
import type { CopyPart } from '../delta-copy.js'
import { TargetError } from '../errors.js'
import {
  HASH_LENGTH,
  LEAF_BYTES,
  hashAt,
  hashOfLeaf,
  leafCountOf,
  leafLength,
  rootOf
} from '../generations/hash-tree.js'
import { readJson } from '../json-file.js'
import { Fields } from '../shape.js'
import { changedPlaces, everyPlace } from './backup-disk.js'
import {
  damaged,
  hashesName,
  numberName,
  type BackedGeneration,
  type Backup,
  type BackupFolder
} from './backup-folder.js'
import { leavesOf, readLeaf } from './leaves.js'

export interface BackupRequest {
  readonly imageUuid: string
  readonly imagePath: string
  readonly generation: BackedGeneration
  readonly sizeBytes: number
  /** That of the generation, in hex, when it is known. */
  readonly root: string | undefined
  /** Whether what differs from this generation is known, so that nothing else has to be read. */
  readonly knowsSince: (generation: BackedGeneration) => boolean
  /** The generation from a byte on; with `since`, MiB that may differ from that one alone. */
  readonly copy: (fromBytes: number, since: number | undefined) => AsyncIterable<CopyPart>
  /** Wall clock, ms since 1970. */
  readonly now: number
}

export interface BackupMade {
  readonly backup: Backup
  /** False: the newest one is the same. */
  readonly isNew: boolean
  /** Bytes that were stored for it. */
  readonly storedBytes: number
}

export type Report = (doneBytes: number, totalBytes: number) => void

/** A run that is cut short loses at most so much work. */
const CHECKPOINT_LEAVES = 64
const ZEROES = Buffer.alloc(LEAF_BYTES)

/**
 * Backs up a generation: whole the first time, then what differs from the backup before. What is written is read again
 * and held against its hashes before it counts. A run that was cut short is gone on with, if it was for the same.
 * @param checkpointLeaves - what a run that is cut short loses at most, about
 */
export async function makeBackup(
  folder: BackupFolder,
  request: BackupRequest,
  report: Report,
  checkpointLeaves = CHECKPOINT_LEAVES
): Promise<BackupMade> {
  const below = folder.newest
  if (below && below.imageUuid !== request.imageUuid) {
    throw new TargetError(
      'ERR_ISCSI_BACKUP_IMAGE',
      `${folder.path} has backups of another image, ${below.imagePath}: choose another folder`
    )
  }
  if (below && isSame(below, request)) return { backup: below, isNew: false, storedBytes: 0 }
  const since = below && request.knowsSince(below.generation) ? below.generation.number : undefined
  const draft = await Draft.open(folder, request, below)
  try {
    await draft.fill(request.copy(draft.done * LEAF_BYTES, since), since !== undefined, report, checkpointLeaves)
    return await draft.finish()
  } finally {
    await draft.close()
  }
}

function isSame(backup: Backup, { generation, sizeBytes, root }: BackupRequest): boolean {
  const { number, time } = backup.generation
  if (number !== generation.number || time !== generation.time || backup.sizeBytes !== sizeBytes) return false
  return root === undefined || root === backup.root
}

/** A backup that is being written. */
class Draft {
  /** Leaves that are done, from the first on. */
  done = 0
  /** Of them, those in the file. */
  private stored = 0
  private readonly leaves: Buffer

  private constructor(
    private readonly folder: BackupFolder,
    private readonly request: BackupRequest,
    private readonly below: Backup | undefined,
    private readonly belowLeaves: Buffer,
    private readonly number: number,
    private readonly file: FileHandle
  ) {
    this.leaves = Buffer.alloc(leafCountOf(request.sizeBytes) * HASH_LENGTH)
  }

  static async open(folder: BackupFolder, request: BackupRequest, below: Backup | undefined): Promise<Draft> {
    const number = (below?.number ?? 0) + 1
    const belowLeaves = below ? await folder.hashesOf(below) : Buffer.alloc(0)
    const path = folder.pathOf(`${fileName(number, below)}${PART}`)
    const file = await open(path, 'r+').catch(() => open(path, 'w+'))
    const draft = new Draft(folder, request, below, belowLeaves, number, file)
    try {
      await draft.recall()
      return draft
    } catch (error) {
      await file.close()
      throw error
    }
  }

  close(): Promise<void> {
    return this.file.close()
  }

  /** Takes in leaf after leaf. @param onlyGiven - what does not come is as in the backup below */
  async fill(
    parts: AsyncIterable<CopyPart>,
    onlyGiven: boolean,
    report: Report,
    checkpointLeaves: number
  ): Promise<void> {
    const { sizeBytes } = this.request
    if (onlyGiven) this.belowLeaves.copy(this.leaves, this.done * HASH_LENGTH, this.done * HASH_LENGTH)
    let checkpoint = this.done
    for await (const { index, bytes } of leavesOf(parts, sizeBytes, this.done, onlyGiven)) {
      hashOfLeaf(bytes).copy(this.leaves, index * HASH_LENGTH)
      await this.store(index, bytes)
      this.done = index + 1
      if (index - checkpoint >= checkpointLeaves) {
        await this.note()
        checkpoint = index
      }
      report(Math.min(this.done * LEAF_BYTES, sizeBytes), sizeBytes)
    }
    this.done = leafCountOf(sizeBytes)
    report(sizeBytes, sizeBytes)
  }

  private async store(index: number, bytes: Buffer): Promise<void> {
    if (this.below && hashAt(this.leaves, index).equals(hashAt(this.belowLeaves, index))) return
    const place = this.below ? this.stored++ : index
    // What is not written is a hole, which reads as zeroes.
    if (bytes.equals(ZEROES.subarray(0, bytes.length))) return
    await writeAll(this.file, bytes, place * LEAF_BYTES, this.folder.pathOf(fileName(this.number, this.below)))
  }

  /** Reads all of it again; then it counts. */
  async finish(): Promise<BackupMade> {
    const { folder, request, number, below, leaves } = this
    const root = rootOf(leaves, request.sizeBytes)
    if (request.root !== undefined && request.root !== root) {
      await this.discard()
      throw new TargetError(
        'ERR_ISCSI_HASH',
        `what was read of generation ${request.generation.number} is not what its hash says: try cloudx image verify`
      )
    }
    if (below && this.stored === 0 && below.root === root) {
      await this.discard()
      return { backup: below, isNew: false, storedBytes: 0 }
    }
    const storedBytes = await this.complete()
    const name = fileName(number, below)
    await folder.replace(hashesName(number), leaves)
    await rename(folder.pathOf(`${name}${PART}`), folder.pathOf(name))
    const { imageUuid, imagePath, generation, sizeBytes, now: takenAt } = request
    const over = below && { number: below.number, raw: '', hashes: '' }
    const backup: Backup = { number, imageUuid, imagePath, takenAt, generation, sizeBytes, root, file: name, over }
    await folder.note(backup)
    await folder.remove(noteName(number))
    await folder.remove(`${hashesName(number)}${DRAFT}`)
    return { backup, isNew: true, storedBytes }
  }

  /** @returns bytes of the file */
  private async complete(): Promise<number> {
    const places = this.places(this.leaves)
    const last = places.findLastIndex((place) => place >= 0)
    const length = last < 0 ? 0 : places[last]! * LEAF_BYTES + leafLength(this.request.sizeBytes, last)
    await this.file.truncate(length)
    await this.file.sync()
    if (!(await this.holds(places))) throw damaged(this.folder.pathOf(fileName(this.number, this.below)))
    return length
  }

  private places(leaves: Buffer): Int32Array {
    return this.below ? changedPlaces(leaves, this.belowLeaves) : everyPlace(leaves)
  }

  /** Whether the file has these leaves. */
  private async holds(places: Int32Array): Promise<boolean> {
    const stored = { sizeBytes: this.request.sizeBytes, leaves: this.leaves }
    const buffer = Buffer.allocUnsafeSlow(LEAF_BYTES)
    for (let index = 0; index < places.length; index++) {
      const place = places[index]!
      if (place >= 0 && !(await readLeaf(this.file, stored, index, place, buffer))) return false
    }
    return true
  }

  // --- What a run that is cut short leaves ---

  private async note(): Promise<void> {
    const { folder, number, request, done } = this
    // A hole at the end is a part of what is done.
    const length = (this.below ? this.stored : done) * LEAF_BYTES
    const { size } = await this.file.stat()
    if (size < length) await this.file.truncate(length)
    await this.file.sync()
    await folder.replace(`${hashesName(number)}${DRAFT}`, this.leaves.subarray(0, done * HASH_LENGTH))
    const { generation, sizeBytes } = request
    const note = { version: 1, generation: generation.number, time: generation.time, sizeBytes, done }
    await folder.replace(noteName(number), Buffer.from(JSON.stringify({ ...note, below: this.below?.root ?? '' })))
  }

  private async recall(): Promise<void> {
    const { folder, number, request } = this
    const leaves = await readFile(folder.pathOf(`${hashesName(number)}${DRAFT}`)).catch(() => Buffer.alloc(0))
    const done = await this.recalledCount()
    if (done > 0 && leaves.length >= done * HASH_LENGTH && done * HASH_LENGTH <= this.leaves.length) {
      leaves.copy(this.leaves, 0, 0, done * HASH_LENGTH)
      const places = this.places(this.leaves.subarray(0, done * HASH_LENGTH))
      if (await this.holds(places)) {
        this.done = done
        this.stored = places.filter((place) => place >= 0).length
      } else this.leaves.fill(0)
    }
    await this.file.truncate(Math.min((this.below ? this.stored : this.done) * LEAF_BYTES, request.sizeBytes))
  }

  private async recalledCount(): Promise<number> {
    const path = this.folder.pathOf(noteName(this.number))
    const value = await readJson(path).catch(() => undefined)
    if (value === undefined) return 0
    const { generation, sizeBytes } = this.request
    const fields = new Fields(path, value)
    const isOurs =
      fields.count('generation') === generation.number &&
      fields.count('time') === generation.time &&
      fields.count('sizeBytes') === sizeBytes &&
      fields.string('below') === (this.below?.root ?? '')
    return isOurs ? fields.count('done') : 0
  }

  private async discard(): Promise<void> {
    for (const name of [
      fileName(this.number, this.below) + PART,
      hashesName(this.number) + DRAFT,
      noteName(this.number)
    ])
      await this.folder.remove(name)
  }
}

const PART = '.part'
/** Other than the name under which {@link BackupFolder.replace} makes a file. */
const DRAFT = '.draft'

function fileName(number: number, below: Backup | undefined): string {
  return `${numberName(number)}.${below ? 'changes' : 'raw'}`
}

function noteName(number: number): string {
  return `${numberName(number)}.draft`
}

/** For people: what a backup took. */
export function describeBackup({ backup, isNew, storedBytes }: BackupMade): string {
  const { number, generation, root } = backup
  if (!isNew) return `backup ${number} has generation ${generation.number} already; nothing was written`
  const kind = backup.over ? 'changes' : 'the whole disk'
  return `backup ${number}: generation ${generation.number}, ${formatSize(storedBytes)} (${kind}), SHA-256 ${root}, read again and right`
}
