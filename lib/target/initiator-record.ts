import type { PersistedReservations } from '../scsi/reservation-store.js'
import { parseReservations } from './reservations-record.js'
import { Fields } from './shape.js'

/**
 * What the server remembers of an initiator at one target, in `initiators/<hash>.json` of the state directory. It lies
 * apart from the delta files, so that files which somebody deleted are missed.
 */
export interface InitiatorRecord {
  readonly targetName: string
  readonly initiatorName: string
  /** The CHAP user that made the delta; another one is not let in to it. */
  chapUser: string | undefined
  /** Wall clock, ms since 1970, for people. */
  lastSeen: number
  lastAddress: string
  /** ISIDs of the newest sessions, the last one last. */
  isids: string[]
  /** Why the last session ended; undefined while one is live (or the server was killed during it). */
  end: string | undefined
  /** When the grace time is over, on the clock of ListeningTime; undefined while a session is live. */
  graceEnds: number | undefined
  /** The lowest incarnation of a unit that `units` does not name. */
  incarnationFloor: number
  /** The last session ended by the client's own logout, so that it holds no cache of the disk. */
  letGo: boolean
  /** Wall clock, ms since 1970, of the last login that was taken for a boot; undefined when there was none. */
  bootedAt: number | undefined
  /** The operator wants it restored at the next login that allows it. */
  marked: boolean
  /** An undo gave back what a boot had dropped, so the next boot drops nothing. */
  spared: boolean
  /** Deltas that are on their way back from the bin; empty when none is. */
  undo: UndoRecord[]
  units: UnitRecord[]
}

/** A delta that comes back: noted before its files move, so that a crash in between loses none of them. */
export interface UndoRecord {
  readonly lun: number
  /** Its entry of the bin. */
  readonly id: string
  /** Under which it is attached. */
  readonly epoch: number
  readonly incarnation: number
}

/** One delta: its key is (target, initiator, lun). */
export interface UnitRecord {
  readonly lun: number
  /** Rises only when a delta was lost. */
  incarnation: number
  /** The last epoch that has ended; the delta's files carry a higher one. */
  epoch: number
  /**
   * What the delta's files carry, when it is not {@link incarnation}: they were kept although their client had to be
   * shown another disk, because a power cut had taken its last writes.
   */
  contentIncarnation?: number | undefined
  /** The generation of the image that its client saw last; undefined when it has let go of it. */
  generation?: number | undefined
  /** The delta lies over the whole image, although the unit shows one partition of it. */
  whole?: boolean | undefined
  /** Files of this epoch exist: if they are missing, the delta was removed. */
  stored: boolean
  fence: FenceRecord | undefined
  /** Persistent reservations that are to survive a restart (APTPL), of this epoch. */
  reservations?: PersistedReservations | undefined
}

/** After a loss: who has been shown the new unit. */
export interface FenceRecord {
  /** ISIDs whose sessions may resume a cache of the lost delta: only INQUIRY shows that such a client looked. */
  suspects: string[]
  /** ISIDs that have looked. */
  accepted: string[]
}

const VERSION = 1

export function newInitiatorRecord(targetName: string, initiatorName: string): InitiatorRecord {
  return {
    targetName,
    initiatorName,
    chapUser: undefined,
    lastSeen: 0,
    lastAddress: '',
    isids: [],
    end: undefined,
    graceEnds: undefined,
    incarnationFloor: 0,
    letGo: true,
    bootedAt: undefined,
    marked: false,
    spared: false,
    undo: [],
    units: []
  }
}

export function formatInitiatorRecord(record: InitiatorRecord): unknown {
  return { version: VERSION, ...record }
}

/** Throws TargetError ERR_ISCSI_STATE when the value is no such record. */
export function parseInitiatorRecord(source: string, value: unknown): InitiatorRecord {
  const fields = new Fields(source, value)
  fields.version(VERSION)
  return {
    targetName: fields.string('targetName'),
    initiatorName: fields.string('initiatorName'),
    chapUser: fields.optionalString('chapUser'),
    lastSeen: fields.count('lastSeen'),
    lastAddress: fields.string('lastAddress'),
    isids: fields.strings('isids'),
    end: fields.optionalString('end'),
    graceEnds: fields.optionalCount('graceEnds'),
    incarnationFloor: fields.count('incarnationFloor'),
    // Records of versions before these existed have none of them.
    letGo: fields.optionalBoolean('letGo') ?? true,
    bootedAt: fields.optionalCount('bootedAt'),
    marked: fields.optionalBoolean('marked') ?? false,
    spared: fields.optionalBoolean('spared') ?? false,
    undo: fields.optionalRecords('undo', parseUndo) ?? [],
    units: fields.records('units', parseUnit)
  }
}

function parseUndo(fields: Fields): UndoRecord {
  return {
    lun: fields.count('lun'),
    id: fields.string('id'),
    epoch: fields.count('epoch'),
    incarnation: fields.count('incarnation')
  }
}

function parseUnit(fields: Fields): UnitRecord {
  return {
    lun: fields.count('lun'),
    incarnation: fields.count('incarnation'),
    contentIncarnation: fields.optionalCount('contentIncarnation'),
    epoch: fields.count('epoch'),
    generation: fields.optionalCount('generation'),
    whole: fields.optionalBoolean('whole'),
    stored: fields.boolean('stored'),
    fence: fields.optionalRecord('fence', (fence) => ({
      suspects: fence.strings('suspects'),
      accepted: fence.strings('accepted')
    })),
    reservations: fields.optionalRecord('reservations', parseReservations)
  }
}

/** Nothing in it would be missed: the initiator has no delta, and no identity that differs from a new one. */
export function isForgettable(record: InitiatorRecord): boolean {
  if (record.incarnationFloor > 0 || record.undo.length > 0) return false
  return record.units.every((unit) => !unit.stored && unit.incarnation === 0 && !unit.reservations)
}
