import { dirname } from 'node:path'
import { LogicalUnit } from '../scsi/logical-unit.js'
import type { PersistedReservations, ReservationStore } from '../scsi/reservation-store.js'
import { syncDirectory } from '../util/directory.js'
import { messageOf } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import { unitIdentity } from './identity.js'
import type { UnitSource } from './initiator-context.js'
import { readJson, removeFile, writeJson } from './json-file.js'
import { parseReservations } from './reservations-record.js'
import { SanitizeNote } from './sanitize-note.js'
import { Serial } from './serial.js'
import { Fields } from './shape.js'
import type { StateDirectory } from './state-directory.js'

/** Windows and ESXi align to it. */
const PHYSICAL_BLOCK_SIZE = 4096
const VERSION = 1

export interface SharedUnitParts {
  readonly source: UnitSource
  readonly targetName: string
  readonly state: StateDirectory
  readonly log: Logger
}

/**
 * The one unit of all initiators of a target: a cluster file system's disk. Writes go into the image and are durable
 * before they are answered; reservations hold among all initiators, and persistent ones survive a restart of the server
 * when their registrants ask for it (APTPL).
 */
export async function openSharedUnit({ source, targetName, state, log }: SharedUnitParts): Promise<LogicalUnit> {
  const { lun, image, partition, readOnly, blockSize, removable, thin, maySanitize } = source
  const path = state.reservationsPath(targetName, image.uuid, partition)
  const kept = await readReservations(path)
  const note = new SanitizeNote(state.imageSanitizePath(targetName, image.uuid, partition), 0)
  const unit = new LogicalUnit({
    lun,
    volume: image.rawView(partition, blockSize),
    blockSize,
    physicalBlockSize: PHYSICAL_BLOCK_SIZE,
    identity: unitIdentity({
      imageUuid: image.uuid,
      partition,
      targetName,
      initiatorName: undefined,
      lun,
      incarnation: 0
    }),
    readOnly,
    thin,
    removable,
    maySanitize,
    sanitizeNotes: note,
    sanitizeInterrupted: maySanitize ? await note.interrupted(log) : undefined,
    writeThrough: true,
    reservationStore: new ReservationFile(path),
    onVolumeError: (error) => log.error(`shared LUN ${lun} at ${targetName}: ${messageOf(error)}`),
    onStartStop: (start, { nexus }) =>
      log.info(`${nexus.initiatorName} ${start ? 'starts' : 'stops'} shared LUN ${lun} (START STOP UNIT)`)
  })
  if (kept) unit.reservations.persistent.restore(kept)
  return unit
}

/** Keeps the state in one file, which is replaced as a whole. */
class ReservationFile implements ReservationStore {
  private readonly saves = new Serial()

  constructor(private readonly path: string) {}

  save(state: PersistedReservations | undefined): Promise<void> {
    return this.saves.run(() => (state ? writeJson(this.path, { version: VERSION, ...state }) : this.remove()))
  }

  /** Registrations that a power cut brought back would fence somebody off for good. */
  private async remove(): Promise<void> {
    await removeFile(this.path)
    await syncDirectory(dirname(this.path))
  }
}

/** Throws TargetError ERR_ISCSI_STATE for a file that is damaged: without it a fence would silently be gone. */
async function readReservations(path: string): Promise<PersistedReservations | undefined> {
  const value = await readJson(path)
  if (value === undefined) return undefined
  const fields = new Fields(path, value)
  fields.version(VERSION)
  return parseReservations(fields)
}
