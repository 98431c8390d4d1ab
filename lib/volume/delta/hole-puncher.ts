import { setImmediate as nextTurn } from 'node:timers/promises'
import { nativeExtensions } from '../drivers/native.js'
import type { Slots } from './slots.js'

/** Gives the space of a range of a file back; it reads as zeroes then. Bytes. */
export type PunchHole = (fd: number, position: number, length: number) => Promise<void>

/** What the system has for it; undefined where it has nothing. */
export function systemPunchHole(): PunchHole | undefined {
  const native = nativeExtensions()
  return native && ((fd, position, length) => native.trim(fd, position, length))
}

/**
 * Gives the space of free slots back to the file system, beside the work. A slot that is free is named by no map that a
 * crash can bring back, and known to no reader, so nobody misses what was in it; while its hole is made it is taken.
 *
 * Holes are made piece by piece, because a file system lets nobody write to the file meanwhile. Where it cannot make
 * any, free slots are what they always were: room for what is written next.
 */
export class HolePuncher {
  private readonly group: number
  private readonly groupsMax: number
  private running: Promise<void> | undefined
  private timer: NodeJS.Timeout | undefined
  private stopped = false

  constructor(
    private readonly fd: number,
    private readonly slots: Slots,
    private readonly chunkSize: number,
    private readonly punch: PunchHole,
    groupBytes = GROUP_BYTES,
    private readonly delayMs = DELAY_MS
  ) {
    this.group = Math.max(1, groupBytes / chunkSize)
    this.groupsMax = Math.max(1, PIECE_BYTES / (this.group * chunkSize))
    slots.collectVacated()
  }

  /** Something may have come free. What is written next may want it, so its holes are made a little later. */
  wake(): void {
    if (this.stopped || this.running || this.timer) return
    this.timer = setTimeout(() => {
      this.timer = undefined
      this.running = this.run().finally(() => (this.running = undefined))
    }, this.delayMs)
    this.timer.unref()
  }

  /** Resolves when the file may be closed. */
  async stop(): Promise<void> {
    this.stopped = true
    clearTimeout(this.timer)
    await this.running
  }

  private async run(): Promise<void> {
    while (!this.stopped) {
      const slot = this.slots.takeVacated(this.group, this.groupsMax)
      if (slot < 0) return
      const count = this.slots.granted
      try {
        await (count > 0 ? this.punch(this.fd, slot * this.chunkSize, count * this.chunkSize) : nextTurn())
      } catch {
        // A medium that fails is found out by whoever writes to it; to others this is a wish that they do not grant.
        this.stopped = true
        this.slots.forgetVacated()
      } finally {
        this.slots.untakeVacated(slot, count)
      }
    }
  }
}

/** Between a flush that frees slots and the first hole. */
const DELAY_MS = 5000
/** A hole is worth making from here on; smaller ones cost more than they give. */
const GROUP_BYTES = 65536
/** Of one call. */
const PIECE_BYTES = 4 << 20
