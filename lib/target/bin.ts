import { lstat, mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { namesIn } from '../util/directory.js'
import { codeOf, messageOf } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import { destroyKey } from '../volume/delta/slot-cipher.js'
import type { InitiatorKey } from './owner.js'
import { hashOf } from './state-directory.js'
import { readJson, writeJson } from './json-file.js'
import type { ListeningTime } from './listening-time.js'
import { isUndoable, type DeltaEvent } from './restore-policy.js'
import { Serial } from './serial.js'
import { Fields } from './shape.js'

/** A delta that nobody asked to drop is kept for the operator at least this long (one week of listening). */
export const LOST_RETENTION_MS = 7 * 24 * 3_600_000

/** Entries of one initiator and of all; beyond it the oldest goes early, so that a client in a loop floods nothing. */
export const MAX_ENTRIES_OF_ONE = 64
export const MAX_ENTRIES = 8192

export interface BinnedDelta {
  /** Name of its directory in the bin. */
  readonly id: string
  readonly targetName: string
  readonly initiatorName: string
  readonly lun: number
  readonly incarnation: number
  readonly epoch: number
  /** Stored bytes, as far as known. */
  readonly bytes: number
  readonly reason: DeltaEvent
  /** Rises with each end of an epoch in this bin, the same for all LUNs of one; 0 = rests that belong to none. */
  readonly restore: number
  /** Wall clock, ms since 1970. */
  readonly binnedAt: number
  /** On the clock of ListeningTime. */
  readonly removeAt: number
}

export interface BinOptions {
  /** The directory that holds the entries. */
  readonly path: string
  readonly undoMs: number
  /** What is dropped is destroyed at once; only what an accident took stays for the operator. */
  readonly shred?: boolean
  readonly listening: ListeningTime
  readonly now: () => number
  readonly log: Logger
  /** Removes one large file without holding up the file system. */
  readonly removeFile: (path: string) => Promise<void>
  /** Whose entries are in here; everybody's when left out. */
  readonly owns?: ((key: InitiatorKey) => boolean) | undefined
  /** Another process looks after what a crash left without a label. */
  readonly keepsUnlabelled?: boolean
}

const VERSION = 1
const ENTRY_FILE = 'entry.json'

/**
 * Dropped deltas until their undo time is over, and lost ones until the operator has had a chance to look. Taking one
 * in is a rename; its space is given back in steps in the background, oldest first and at once when space is short.
 */
export class Bin {
  /** In the order they came in. */
  private readonly entries = new Map<string, BinnedDelta>()
  private readonly removals = new Serial()
  private readonly doomed = new Set<string>()
  /** Keys that are on their way out. */
  private destructions: Promise<unknown> = Promise.resolve()
  /** Entries that somebody reads, and how many do; what is to be removed meanwhile waits for them. */
  private readonly held = new Map<string, number>()
  private readonly overdue = new Set<string>()
  /** Not the time: the wall clock of a PC jumps, and which restore was the last must not hang on it. */
  private lastRestore = 0

  constructor(private readonly options: BinOptions) {}

  /** Finds what earlier runs left. */
  async load(): Promise<void> {
    const found: BinnedDelta[] = []
    for (const id of await readdir(this.options.path)) {
      const entry = await this.read(id)
      if (!entry && !this.options.keepsUnlabelled) this.remove(id)
      if (entry && (this.options.owns?.(entry) ?? true)) found.push(entry)
    }
    found.sort((left, right) => left.restore - right.restore || left.binnedAt - right.binnedAt)
    for (const entry of found) this.add(entry)
    this.lastRestore = Math.max(0, ...found.map(({ restore }) => restore))
  }

  /**
   * Makes the place for a delta; its owner renames the files into the directory and then calls {@link settle}. The label
   * comes first: what has none after a crash is removed, and a lost delta must not be.
   */
  async prepare(delta: BinSource): Promise<BinPlace> {
    const binnedAt = this.options.now()
    const { targetName, initiatorName, lun, incarnation, epoch } = delta
    const { restore } = delta
    const id = `${binnedAt}-${hashOf(targetName, initiatorName, String(lun), `${incarnation}.${epoch}.${restore}`)}`
    const path = join(this.options.path, id)
    await mkdir(path, { recursive: true, mode: 0o700 })
    const removeAt = this.options.listening.now() + this.retentionMs(delta.reason)
    const entry: BinnedDelta = { ...delta, id, binnedAt, removeAt }
    if (!this.goesAtOnce(entry)) await this.label(path, entry)
    return { path, entry }
  }

  /** The files are in their place; from now on the undo time runs. */
  settle({ entry }: BinPlace): void {
    if (this.goesAtOnce(entry)) return this.remove(entry.id)
    this.add(entry)
    this.trim(entry)
  }

  /** Moves single files whose delta is not open into a new entry; missing ones are passed over. */
  async moveIn(delta: BinSource, paths: readonly string[]): Promise<void> {
    const place = await this.prepare(delta)
    for (const path of paths) {
      const name = path.slice(Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\')) + 1)
      await rename(path, join(place.path, name)).catch((error: unknown) => {
        if (codeOf(error) !== 'ENOENT') throw error
      })
    }
    this.settle(place)
  }

  /** How long a dropped delta can be undone, in listening time. */
  get undoMs(): number {
    return this.options.undoMs
  }

  list(): readonly BinnedDelta[] {
    return [...this.entries.values()]
  }

  /** The number for the {@link BinSource}s of epochs that end together. */
  nextRestore(): number {
    return ++this.lastRestore
  }

  /** What the last end of epochs of this initiator put in: a delta for each LUN. Empty when its time is over. */
  newestOf({ targetName, initiatorName }: InitiatorKey): readonly BinnedDelta[] {
    const own = this.list().filter((entry) => entry.targetName === targetName && entry.initiatorName === initiatorName)
    const newest = Math.max(0, ...own.map(({ restore }) => restore))
    return newest === 0 ? [] : own.filter(({ restore }) => restore === newest)
  }

  /** The files of an entry stay as they are until the answer is called. Undefined when there is no such entry. */
  hold(id: string): (() => void) | undefined {
    if (!this.entries.has(id)) return undefined
    this.held.set(id, (this.held.get(id) ?? 0) + 1)
    return () => this.letGo(id)
  }

  isHeld(id: string): boolean {
    return this.held.has(id)
  }

  /** An undo takes the entry: nothing removes it until {@link unclaim} or {@link finish}. */
  claim(id: string): BinnedDelta | undefined {
    const entry = this.entries.get(id)
    this.entries.delete(id)
    this.options.listening.clearDeadline(`bin ${id}`)
    return entry
  }

  /** The undo did not take place. */
  unclaim(entry: BinnedDelta): void {
    this.add(entry)
  }

  /** The files of a claimed entry are with their client again; what is left of it goes. */
  finish(id: string): void {
    this.remove(id)
  }

  /** Where the files of an entry lie. */
  pathOf(id: string): string {
    return join(this.options.path, id)
  }

  /** Space is short: the oldest entry goes now. False when there is none. */
  reclaim(): boolean {
    const oldest = this.list().find(({ id }) => !this.held.has(id))
    if (!oldest || this.doomed.size > 0) return this.doomed.size > 0
    this.options.log.warn(
      `space is short: the delta of ${oldest.initiatorName}, LUN ${oldest.lun}, that was kept for undo is removed`
    )
    this.remove(oldest.id)
    return true
  }

  /** Resolves when all removals that have begun are done. */
  async idle(): Promise<void> {
    await this.removals.idle()
  }

  private letGo(id: string): void {
    const readers = this.held.get(id)! - 1
    if (readers > 0) return void this.held.set(id, readers)
    this.held.delete(id)
    if (this.overdue.delete(id)) this.remove(id)
  }

  private goesAtOnce({ reason }: BinnedDelta): boolean {
    return this.retentionMs(reason) === 0
  }

  /** A full disk must not keep a delta where it is. */
  private async label(path: string, entry: BinnedDelta): Promise<void> {
    const durable = !isUndoable(entry.reason)
    await writeJson(join(path, ENTRY_FILE), { version: VERSION, ...entry }, durable).catch((error: unknown) => {
      this.options.log.warn(`cannot label ${path}: ${messageOf(error)}`)
    })
  }

  /** After an entry came in. A lost delta goes last: nobody asked to drop it. */
  private trim({ targetName, initiatorName }: BinnedDelta): void {
    const own = this.list().filter((entry) => entry.targetName === targetName && entry.initiatorName === initiatorName)
    if (own.length > MAX_ENTRIES_OF_ONE) this.remove(firstToGo(own).id)
    else if (this.entries.size > MAX_ENTRIES) this.remove(firstToGo(this.list()).id)
  }

  private add(entry: BinnedDelta): void {
    this.entries.set(entry.id, entry)
    this.options.listening.setDeadline(`bin ${entry.id}`, entry.removeAt, () => this.remove(entry.id))
  }

  private remove(id: string): void {
    this.entries.delete(id)
    this.options.listening.clearDeadline(`bin ${id}`)
    if (this.held.has(id)) return void this.overdue.add(id)
    if (this.doomed.has(id)) return
    this.doomed.add(id)
    // The key goes before its turn comes: however much is to be removed before, nobody can read this any more.
    this.destroyKeys(id)
    void this.removals.run(async () => {
      await this.destructions
      await this.removeFiles(id).catch((error: unknown) => {
        this.options.log.warn(`cannot remove ${join(this.options.path, id)}: ${messageOf(error)}`)
      })
      this.doomed.delete(id)
    })
  }

  private destroyKeys(id: string): void {
    const path = join(this.options.path, id)
    const destroyed = namesIn(path)
      .then((names) =>
        Promise.all(names.filter((name) => name.endsWith('.key')).map((name) => destroyKey(join(path, name))))
      )
      .catch((error: unknown) => {
        this.options.log.error(`cannot destroy a key in ${path}: ${messageOf(error)}`)
      })
    this.destructions = Promise.all([this.destructions, destroyed])
  }

  private async removeFiles(id: string): Promise<void> {
    const path = join(this.options.path, id)
    // Through a link something would be cut and removed that is not ours.
    if ((await lstat(path)).isDirectory()) {
      for (const entry of await readdir(path, { withFileTypes: true })) {
        if (entry.isFile() && entry.name !== ENTRY_FILE) await this.options.removeFile(join(path, entry.name))
      }
    }
    await rm(path, { recursive: true, force: true })
  }

  private retentionMs(reason: DeltaEvent): number {
    const { undoMs, shred = false } = this.options
    if (shred && !ACCIDENTS.has(reason)) return 0
    return isUndoable(reason) || reason === 'operator' || reason === 'expired'
      ? undoMs
      : Math.max(undoMs, LOST_RETENTION_MS)
  }

  /** The label of an entry, or undefined for one that was never settled (a crash in between). */
  private async read(id: string): Promise<BinnedDelta | undefined> {
    const path = join(this.options.path, id, ENTRY_FILE)
    try {
      const value = await readJson(path)
      return value === undefined ? undefined : parseEntry(path, id, value)
    } catch (error) {
      this.options.log.warn(`${messageOf(error)}; the entry is removed`)
      return undefined
    }
  }
}

/** What the owner of a delta says of it. */
export type BinSource = Omit<BinnedDelta, 'id' | 'binnedAt' | 'removeAt'>

export interface BinPlace {
  readonly path: string
  readonly entry: BinnedDelta
}

/** Nobody meant these to go, and their keys are with them. */
const ACCIDENTS: ReadonlySet<DeltaEvent> = new Set(['base-changed', 'unreadable', 'removed'])

function firstToGo(entries: readonly BinnedDelta[]): BinnedDelta {
  return entries.find(({ reason }) => isUndoable(reason)) ?? entries[0]!
}

function parseEntry(path: string, id: string, value: unknown): BinnedDelta {
  const fields = new Fields(path, value)
  fields.version(VERSION)
  return {
    id,
    targetName: fields.string('targetName'),
    initiatorName: fields.string('initiatorName'),
    lun: fields.count('lun'),
    incarnation: fields.count('incarnation'),
    epoch: fields.count('epoch'),
    bytes: fields.count('bytes'),
    reason: fields.string('reason') as DeltaEvent,
    restore: fields.optionalCount('restore') ?? 0,
    binnedAt: fields.count('binnedAt'),
    removeAt: fields.count('removeAt')
  }
}
