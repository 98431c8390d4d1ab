import type { Changes } from '../volume/delta/changes.js'
import { Overlay } from '../volume/layers/overlay.js'
import { flushVolume } from '../volume/promises.js'
import type { Volume } from '../volume/volume.js'
import type { BaseFingerprint, DeltaDisk, DeltaDiskOptions, DroppedEpoch, OpenDeltaDisk, Retry } from './delta-disk.js'

/** Delta disks as the volume layer makes them: an overlay whose delta lies in files. */
export const openOverlayDisk: OpenDeltaDisk = async (options) => {
  const overlay = new Overlay({
    base: options.base,
    onNearlyFull: options.nearlyFull,
    delta: {
      directory: options.directory,
      name: options.name,
      // The delta is written over what its unit shows, which may be one partition of the image.
      base: { ...options.fingerprint, size: options.base.size },
      owner: ownerOf(options),
      incarnation: options.incarnation,
      epochAfter: options.epochAfter,
      chunkSize: options.chunkBytes,
      budget: options.budget,
      encrypt: options.encrypt ?? false,
      beforeCreate: options.beforeCreate,
      makeRoom: options.makeRoom,
      ...(options.bootId && { bootId: options.bootId })
    }
  })
  await overlay.open()
  return new OverlayDisk(overlay)
}

class OverlayDisk implements DeltaDisk {
  suspect: boolean

  constructor(readonly volume: Overlay) {
    this.suspect = volume.report.replay?.suspect ?? false
  }

  get stored(): boolean {
    return this.volume.stats.journalBytes > 0
  }

  get bytesStored(): number {
    return this.volume.stats.bytesStored
  }

  get changes(): Changes {
    return this.volume.changes
  }

  get epoch(): number {
    return this.volume.epoch
  }

  get incarnation(): number {
    return this.volume.report.incarnation
  }

  get leftovers(): readonly string[] {
    return this.volume.report.leftovers
  }

  get dirty(): boolean {
    return this.volume.dirty
  }

  get failure(): Error | undefined {
    return this.volume.failure
  }

  async wake(incarnation: number): Promise<void> {
    await this.volume.wake(incarnation)
    this.suspect = false
  }

  rest(): Promise<void> {
    return this.volume.rest()
  }

  settleCopies(): Promise<void> {
    return this.volume.settleCopies()
  }

  exchangeBase(base: Volume, fingerprint: BaseFingerprint): Promise<Retry | undefined> {
    return this.volume.exchangeBase(base, { ...fingerprint, size: base.size })
  }

  flush(): Promise<void> {
    return flushVolume(this.volume)
  }

  async restore(directory: string): Promise<DroppedEpoch> {
    const { durable } = await this.volume.restore(directory)
    return { durable }
  }

  close(): Promise<void> {
    return this.volume.close()
  }
}

function ownerOf({ targetName, initiatorName, lun, chapUser }: DeltaDiskOptions) {
  return { target: targetName, initiator: initiatorName, lun, chapUser: chapUser ?? '' }
}
