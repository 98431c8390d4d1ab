import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import { namesIn, syncDirectory } from '../util/directory.js'
import { formatDuration, formatSize } from '../util/units.js'
import { deltaPaths } from '../volume/delta/files.js'
import { readDeltaHeader, reissueDelta } from '../volume/delta/reissue.js'
import type { BinnedDelta } from './bin.js'
import { checkMap } from './delta-check.js'
import type { EpochEnds } from './epoch-ends.js'
import { TargetError } from './errors.js'
import type { InitiatorContext } from './initiator-context.js'
import type { InitiatorRecord, UndoRecord, UnitRecord } from './initiator-record.js'
import { deltaName, type InitiatorState } from './initiator-state.js'
import type { InitiatorKey } from './owner.js'
import { isUndoable } from './restore-policy.js'
import type { Units } from './units.js'

export interface UndoRequest {
  /** Gives up what the client may hold in hands now: then it gets a new disk identity, as after a loss. */
  readonly discard: boolean
  /** Could a client log in as this CHAP user (undefined: without CHAP)? */
  readonly mayProve: (chapUser: string | undefined) => boolean
}

export interface Undone extends InitiatorKey {
  readonly luns: readonly number[]
  /** Stored bytes that are back. */
  readonly bytes: number
  /** Bytes that were given up for it; they lie in the bin now. */
  readonly discardedBytes: number
  /** The client gets a new disk identity. */
  readonly renewed: boolean
}

/** An undo that may be done. Its entries are claimed: nothing removes them until it is noted or given up. */
export interface UndoPlan {
  readonly entries: readonly BinnedDelta[]
  readonly chapUser: string | undefined
  readonly renewed: boolean
  readonly discardedBytes: number
}

/**
 * Undo of a restore: the delta that the last logout of an initiator put into the bin is given back to it.
 *
 * The order is noted in the initiator's record first, then the files move, then the entry of the bin goes. What a crash
 * interrupts is carried to its end at the next start or login, by the same steps, which can all be done twice.
 */
export class RestoreUndo {
  private readonly context: InitiatorContext
  private readonly record: InitiatorRecord

  constructor(
    private readonly state: InitiatorState,
    private readonly ends: EpochEnds,
    private readonly units: Units
  ) {
    this.context = state.context
    this.record = state.record
  }

  /** Throws TargetError ERR_ISCSI_UNDO_… with the reason when it may not be done; nothing has changed then. */
  async judge(request: UndoRequest): Promise<UndoPlan> {
    const { bin } = this.context
    const entries = bin.newestOf(this.state.names)
    const written = this.state.record.units.filter(
      (unit) => this.state.storedNow(unit) && entries.some(({ lun }) => lun === unit.lun)
    )
    const writtenBytes = written.length > 0 ? this.state.bytesOf(written) : undefined
    refuseUndo({
      ...this.state.names,
      sessions: this.state.nexuses.size,
      writtenBytes,
      letGo: this.record.letGo,
      end: this.record.end,
      newest: entries,
      undoMs: bin.undoMs,
      discard: request.discard
    })
    if (entries.some(({ id }) => bin.isHeld(id))) {
      throw new TargetError('ERR_ISCSI_UNDO_BUSY', `what ${this.state.initiatorName} lost last is being read right now`)
    }
    let chapUser: string | undefined
    for (const entry of entries) chapUser = await this.judgeFiles(entry)
    this.judgeUser(chapUser, request)
    for (const { id } of entries) bin.claim(id)
    const renewed = writtenBytes !== undefined || !this.record.letGo
    return { entries, chapUser, renewed, discardedBytes: writtenBytes ?? 0 }
  }

  /** Writes the order down; from then on {@link finish} carries it out, also after a crash. */
  async note({ entries, chapUser, renewed }: UndoPlan): Promise<void> {
    const before = this.record.chapUser
    this.record.undo = await Promise.all(entries.map((entry) => this.place(entry, renewed)))
    this.record.chapUser = chapUser
    this.record.spared = true
    this.record.end = 'its logout was undone'
    try {
      await this.state.save()
    } catch (error) {
      this.record.undo = []
      this.record.chapUser = before
      throw error
    }
  }

  /** It could not be noted. */
  giveUp({ entries }: UndoPlan): void {
    this.record.undo = []
    for (const entry of entries) this.context.bin.unclaim(entry)
  }

  /** Does what is noted and not done; every step of it can be done twice. */
  async finish(): Promise<void> {
    const { undo } = this.record
    if (undo.length === 0) return
    const { bin, state } = this.context
    const directory = await state.makeDeltaDirectory(this.record)
    for (const one of undo) {
      await moveBack(bin.pathOf(one.id), directory, deltaName(one.lun), one)
      Object.assign(this.unitOf(one.lun), { epoch: one.epoch - 1, incarnation: one.incarnation, stored: true })
    }
    await syncDirectory(directory)
    this.record.undo = []
    try {
      await this.state.save()
    } catch (error) {
      this.record.undo = undo
      throw error
    }
    for (const { id, lun } of undo) {
      bin.finish(id)
      const unit = this.unitOf(lun)
      this.state.rest(unit, await this.state.bytesOnDisk(unit))
    }
  }

  report({ entries, renewed, discardedBytes }: UndoPlan): Undone {
    const bytes = entries.reduce((sum, entry) => sum + entry.bytes, 0)
    const { initiatorName, targetName } = this.state
    this.context.log.info(
      `${initiatorName}: its last logout at ${targetName} is undone, ${formatSize(bytes)} are there again at its next ` +
        `login${renewed ? ', under a new disk identity' : ''}`
    )
    return { targetName, initiatorName, luns: entries.map(({ lun }) => lun), bytes, discardedBytes, renewed }
  }

  /** Can this delta be attached to what is served now? Answers the CHAP user that it belongs to. */
  private async judgeFiles({ id, lun, incarnation }: BinnedDelta): Promise<string | undefined> {
    const { targetName } = this.state
    const source = this.context.sources.find((one) => one.lun === lun)
    if (!source || source.readOnly || source.shared) {
      throw new TargetError(
        'ERR_ISCSI_UNDO_LUN',
        `LUN ${lun}, which it wrote to, cannot be written at ${targetName} now`
      )
    }
    if (source.image.authorName !== undefined) {
      throw new TargetError(
        'ERR_ISCSI_UNDO_AUTHOR',
        `${source.image.authorName} is writing to ${source.image.path} as its author`
      )
    }
    if (this.units.unitRecord(source).incarnation !== incarnation) {
      throw new TargetError(
        'ERR_ISCSI_UNDO_LOST',
        `LUN ${lun} was lost since then and is another disk for its client now`
      )
    }
    const { map } = await binnedFiles(this.context.bin.pathOf(id))
    if (map === undefined)
      throw new TargetError('ERR_ISCSI_UNDO_NOTHING', `the files of LUN ${lun} in the bin are gone`)
    await source.image.ready()
    const { base, owner } = await readDeltaHeader(map)
    const { image, partition, blockSize } = source
    if (!image.generations.has(base.generation)) {
      throw new TargetError(
        'ERR_ISCSI_UNDO_BASE',
        `LUN ${lun} cannot be brought back: it was written over generation ${base.generation}, which is gone`
      )
    }
    const { size } = await image.view(base.generation, partition, blockSize)
    const fault = await checkMap(map, { ...image.fingerprint(base.generation), size })
    if (fault) throw new TargetError('ERR_ISCSI_UNDO_BASE', `LUN ${lun} cannot be brought back: ${fault.why}`)
    return owner.chapUser || undefined
  }

  private judgeUser(owner: string | undefined, { mayProve }: UndoRequest): void {
    const last = this.record.chapUser
    if (mayProve(owner) && (last === undefined || owner === undefined || last === owner)) return
    const who = owner === undefined ? 'a client without CHAP' : `the CHAP user ${owner}`
    throw new TargetError(
      'ERR_ISCSI_UNDO_CHAP',
      `it was written by ${who}, who is not the one that logs in to ${this.state.targetName} now`
    )
  }

  private async place({ lun, id }: BinnedDelta, renewed: boolean): Promise<UndoRecord> {
    const unit = this.unitOf(lun)
    const { map } = await binnedFiles(this.context.bin.pathOf(id))
    const header = await readDeltaHeader(map!)
    // A unit whose delta was just given up has a new incarnation already.
    if (renewed && unit.incarnation === header.incarnation) Object.assign(unit, this.ends.renewed(unit))
    const { epochMax } = await this.state.listFiles(lun)
    const taken = Math.max(epochMax, unit.epoch)
    // The number that it had is free again when no later epoch came, and then its files stay as they are.
    const epoch = taken > header.epoch || epochMax === header.epoch ? taken + 1 : header.epoch
    return { lun, id, epoch, incarnation: unit.incarnation }
  }

  /** The record of a LUN, also of one that the target has no more. */
  private unitOf(lun: number): UnitRecord {
    const known = this.record.units.find((unit) => unit.lun === lun)
    if (known) return known
    const made: UnitRecord = { lun, incarnation: 0, epoch: 0, stored: false, fence: undefined }
    this.record.units.push(made)
    return made
  }
}

/** What an undo needs to know before it may begin. */
export interface UndoCase extends InitiatorKey {
  readonly sessions: number
  /** Stored by a delta of now; undefined when there is none. */
  readonly writtenBytes: number | undefined
  /** The last session ended by the client's own logout. */
  readonly letGo: boolean
  readonly end: string | undefined
  readonly newest: readonly BinnedDelta[]
  readonly undoMs: number
  readonly discard: boolean
}

/** Throws TargetError with the reason when the undo may not be done. What lies in the files is judged later. */
export function refuseUndo(undo: UndoCase): void {
  const name = undo.initiatorName
  if (undo.sessions > 0) {
    throw new TargetError(
      'ERR_ISCSI_UNDO_SESSION',
      `${name} is logged in to ${undo.targetName}: a disk cannot be exchanged under it; log it out there first`
    )
  }
  if (undo.newest.length === 0) {
    const limit =
      undo.undoMs === 0 ? 'the server was started with --undo 0' : `${formatDuration(undo.undoMs)} after a logout`
    throw new TargetError(
      'ERR_ISCSI_UNDO_NOTHING',
      `there is nothing of ${name} in the bin: it wrote nothing before its last logout, or the undo time is over (${limit})`
    )
  }
  const other = undo.newest.find(({ reason }) => !isUndoable(reason))
  if (other) {
    throw new TargetError(
      'ERR_ISCSI_UNDO_LOST',
      `what ${name} lost last was not dropped by its logout (${other.reason}), so its file system may not be clean; ` +
        'an undo would show the client an older disk than it left'
    )
  }
  if (undo.discard) return
  if (undo.writtenBytes !== undefined) {
    throw new TargetError(
      'ERR_ISCSI_UNDO_WRITTEN',
      `${name} has written again since its last logout: an undo would take ${formatSize(undo.writtenBytes)} away from it. ` +
        'To do that all the same add --discard; its client then gets a new disk identity'
    )
  }
  if (!undo.letGo) {
    throw new TargetError(
      'ERR_ISCSI_UNDO_UNCLEAN',
      `the last session of ${name} did not end by a logout (${undo.end ?? 'the server ended first'}), so its client may ` +
        'still have the disk mounted as it was then. To go on all the same add --discard; its client then gets a new ' +
        'disk identity'
    )
  }
}

/** The two files of an entry of the bin; undefined what is not there. */
export interface BinnedFiles {
  readonly map: string | undefined
  readonly slots: string | undefined
  readonly key: string | undefined
}

export async function binnedFiles(directory: string): Promise<BinnedFiles> {
  const names = await namesIn(directory)
  const find = (ending: string) => names.filter((name) => name.endsWith(ending)).map((name) => join(directory, name))[0]
  return { map: find('.map'), slots: find('.slots'), key: find('.key') }
}

/** The slots go first: without its map nobody takes them for a delta. What has moved already is passed over. */
export async function moveBack(binned: string, directory: string, name: string, undo: UndoRecord): Promise<void> {
  const from = await binnedFiles(binned)
  const to = deltaPaths(directory, name, undo.epoch)
  if (from.map !== undefined) await reissueDelta(from.map, undo)
  if (from.slots !== undefined) await rename(from.slots, to.slots)
  if (from.key !== undefined) await rename(from.key, to.key)
  if (from.map !== undefined) await rename(from.map, to.map)
}
