import { deltaPaths, type DeltaPaths } from '../volume/delta/files.js'
import type { Changes } from '../volume/delta/changes.js'
import { readDeltaHeader } from '../volume/delta/reissue.js'
import { DeltaView } from '../volume/layers/delta-view.js'
import type { Volume } from '../volume/volume.js'
import { checkMap } from './delta-check.js'
import { TargetError } from './errors.js'
import type { UnitSource } from './initiator-context.js'
import { deltaName, type InitiatorState } from './initiator-state.js'
import { binnedFiles } from './restore-undo.js'

/** A delta as somebody reads it who is not its client. */
export interface DeltaReading {
  readonly lun: number
  readonly source: UnitSource
  /** What the client sees, or saw last. */
  readonly volume: Volume
  readonly changes: Changes
  readonly bytesStored: number
  /** A session was there, or came, while it was read: the bytes need not be of one moment. */
  readonly disturbed: boolean
  close(): Promise<void>
}

/**
 * Opens a delta of an initiator for reading: the one in use, the one that waits for its client, or one in the bin.
 * Nothing of it changes by that.
 */
export class DeltaReadings {
  constructor(private readonly state: InitiatorState) {}

  /** LUNs of which there is a delta now. */
  get luns(): readonly number[] {
    return this.state.record.units.filter((unit) => this.state.storedNow(unit)).map(({ lun }) => lun)
  }

  /** The delta of now. Throws TargetError when there is none, or it cannot be read. */
  async current(lun: number): Promise<DeltaReading> {
    const { state } = this
    const source = this.sourceOf(lun)
    const unit = state.record.units.find((one) => one.lun === lun)
    if (!unit || !state.storedNow(unit)) {
      throw new TargetError('ERR_ISCSI_DELTA_NOTHING', `${state.initiatorName} has written nothing to LUN ${lun}`)
    }
    const delta = state.deltaOf(unit)
    const visits = state.visits
    const quiet = state.nexuses.size === 0
    const disturbed = () => !quiet || state.visits !== visits
    if (delta) {
      const { volume, changes, bytesStored } = delta
      return reading({ lun, source, volume, changes, bytesStored, close: () => Promise.resolve() }, disturbed)
    }
    const { epoch } = await state.listFiles(lun)
    const paths = deltaPaths(state.context.state.deltaPath(state.record), deltaName(lun), epoch ?? 0)
    return this.stored(source, paths, disturbed, () => undefined)
  }

  /** One in the bin, which stays there until the reading is closed. */
  async binned(id: string): Promise<DeltaReading> {
    const { bin } = this.state.context
    const entry = bin.list().find((one) => one.id === id)
    const release = bin.hold(id)
    if (!entry || !release) throw new TargetError('ERR_ISCSI_DELTA_NOTHING', `there is no ${id} in the bin any more`)
    try {
      const source = this.sourceOf(entry.lun)
      const { map, slots, key = '' } = await binnedFiles(bin.pathOf(id))
      if (map === undefined || slots === undefined) {
        throw new TargetError('ERR_ISCSI_DELTA_NOTHING', `the files of LUN ${entry.lun} in the bin are gone`)
      }
      return await this.stored(source, { map, slots, key }, () => false, release)
    } catch (error) {
      release()
      throw error
    }
  }

  private async stored(
    source: UnitSource,
    paths: DeltaPaths,
    disturbed: () => boolean,
    release: () => void
  ): Promise<DeltaReading> {
    const { image, partition, blockSize, lun } = source
    await image.ready()
    const { generation, size } = (await readDeltaHeader(paths.map)).base
    if (!image.generations.has(generation)) {
      throw new TargetError('ERR_ISCSI_DELTA_BASE', `generation ${generation}, which LUN ${lun} lies over, is gone`)
    }
    const shown = await image.view(generation, partition, blockSize)
    // What an author of one partition writes lies over the whole image.
    const base = shown.size === size ? shown : await image.view(generation, undefined, blockSize)
    const fault = await checkMap(paths.map, { ...image.fingerprint(generation), size: base.size })
    if (fault) throw new TargetError('ERR_ISCSI_DELTA_BASE', `the delta of LUN ${lun} cannot be read: ${fault.why}`)
    const volume = new DeltaView(base, paths, this.state.context.bootId)
    await volume.open()
    const { changes, bytesStored } = volume
    const close = () => volume.close().finally(release)
    return reading({ lun, source, volume, changes, bytesStored, close }, disturbed)
  }

  private sourceOf(lun: number): UnitSource {
    const source = this.state.context.sources.find((one) => one.lun === lun)
    if (source && !source.shared) return source
    throw new TargetError('ERR_ISCSI_DELTA_LUN', `LUN ${lun} of ${this.state.targetName} is no private disk now`)
  }
}

function reading(parts: Omit<DeltaReading, 'disturbed'>, disturbed: () => boolean): DeltaReading {
  return {
    ...parts,
    get disturbed() {
      return disturbed()
    }
  }
}
