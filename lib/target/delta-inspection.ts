import type { ChangedArea } from '../volume/delta/changes.js'
import { changedFiles, findFile, type FileSystemChanges } from './changed-files.js'
import { copyOf, copyOfFile, type CopyPart } from './delta-copy.js'
import { DeltaReadings, type DeltaReading } from './delta-reading.js'
import { TargetError } from './errors.js'
import type { InitiatorState } from './initiator-state.js'
import type { Keeping } from './policy.js'

/** What one delta is made of. */
export interface UnitDetail {
  readonly lun: number
  /** Of the disk, in bytes. */
  readonly size: number
  readonly bytesStored: number
  /** Memory that finds it; most of it counts against the client's limit. */
  readonly mapBytes: number
  /** Bytes that are not as in the base, also those that read as zeroes and take no room. */
  readonly changedBytes: number
  /** Over the last minute of a session; undefined without one, or when it has just begun. */
  readonly growthBytesPerMinute: number | undefined
  readonly keeping: Keeping
  /** In the order of the disk; near ones are one. */
  readonly areas: readonly ChangedArea[]
  /** When names were asked for. */
  readonly fileSystems?: readonly FileSystemChanges[]
}

/** Which disk, as of when. */
export interface CopyRequest {
  /** Undefined when there is but one. */
  readonly lun: number | undefined
  /** What the last restore put into the bin, instead of what the client has now. */
  readonly bin: boolean
  /** Also while a session writes to it. */
  readonly live: boolean
}

/** Which file of it. */
export interface RescueRequest extends CopyRequest {
  readonly path: string
  readonly partition: number | undefined
}

/** Areas that are told of one delta. */
export const AREA_COUNT_MAX = 256

/** Looks into the deltas of an initiator, in use or not, for the operator. */
export class DeltaInspection {
  private readonly readings: DeltaReadings

  constructor(private readonly state: InitiatorState) {
    this.readings = new DeltaReadings(state)
  }

  /** @param names - also those of files; they are looked for beside the steps of the initiator, which go on */
  async show(names: boolean): Promise<readonly UnitDetail[]> {
    const details: UnitDetail[] = []
    for (const lun of this.readings.luns) {
      const reading = await this.state.steps.run(() => this.readings.current(lun))
      try {
        const detail = this.detail(reading)
        details.push(names ? { ...detail, fileSystems: await changedFiles(reading.volume, reading.changes) } : detail)
      } finally {
        await reading.close()
      }
    }
    return details
  }

  /** Throws TargetError when there is no such delta, or a session changes it and nobody said that this is no matter. */
  async *copy(request: CopyRequest): AsyncGenerator<CopyPart> {
    const reading = await this.open(request)
    try {
      yield* copyOf(reading.volume)
      this.refuseDisturbed(reading, request.live)
    } finally {
      await reading.close()
    }
  }

  /** One file of a disk, like {@link copy}. */
  async *rescue(request: RescueRequest): AsyncGenerator<CopyPart> {
    const reading = await this.open(request)
    try {
      yield* copyOfFile(reading.volume, await findFile(reading.volume, request.path, request.partition))
      this.refuseDisturbed(reading, request.live)
    } finally {
      await reading.close()
    }
  }

  private async open(request: CopyRequest): Promise<DeltaReading> {
    const reading = await this.state.steps.run(() => this.choose(request))
    try {
      this.refuseDisturbed(reading, request.live)
      return reading
    } catch (error) {
      await reading.close()
      throw error
    }
  }

  private choose({ lun, bin }: CopyRequest): Promise<DeltaReading> {
    if (!bin) return this.readings.current(only(this.readings.luns, lun, this.state.initiatorName))
    const entries = this.state.context.bin.newestOf(this.state.names)
    const luns = entries.map((entry) => entry.lun)
    const chosen = only(luns, lun, this.state.initiatorName)
    return this.readings.binned(entries[luns.indexOf(chosen)]!.id)
  }

  private refuseDisturbed({ disturbed, lun }: DeltaReading, live: boolean): void {
    if (!disturbed || live) return
    throw new TargetError(
      'ERR_ISCSI_DELTA_LIVE',
      `${this.state.initiatorName} is logged in and may be writing to LUN ${lun}: what is copied now is of no one ` +
        'moment, like a disk whose power was cut. Wait for its logout, or add --live'
    )
  }

  private detail({ lun, volume, changes, bytesStored }: DeltaReading): UnitDetail {
    const areas = changes.areas(AREA_COUNT_MAX)
    return {
      lun,
      size: volume.size,
      bytesStored,
      mapBytes: changes.mapBytes,
      changedBytes: areas.reduce((sum, area) => sum + area.changedBytes, 0),
      growthBytesPerMinute: this.state.growth.get(lun)?.perMinute(this.state.context.clock.monotonic(), bytesStored),
      keeping: this.state.keepingOf(lun),
      areas
    }
  }
}

/** The LUN that was named, or the only one. */
function only(luns: readonly number[], named: number | undefined, initiatorName: string): number {
  const [first, second] = luns
  if (named !== undefined && luns.includes(named)) return named
  if (named === undefined && first !== undefined && second === undefined) return first
  if (first === undefined) throw new TargetError('ERR_ISCSI_DELTA_NOTHING', `there is no delta of ${initiatorName}`)
  const list = luns.join(', ')
  throw new TargetError(
    'ERR_ISCSI_DELTA_LUN',
    named === undefined
      ? `${initiatorName} has deltas of LUN ${list}: say which with --unit`
      : `${initiatorName} has no delta of LUN ${named}, but of LUN ${list}`
  )
}
