import { Serial } from '../serial.js'

/** One worker, as far as the total of a state directory concerns it. */
export interface Tenant {
  /** Lets go of what it was leased and does not use. @returns bytes that it uses */
  yieldRoom(): Promise<number>
  /** What it may use in all from now on, and what the others use. */
  lease(bytes: number, usedElsewhereBytes: number): Promise<void>
}

/**
 * Divides a total that all workers have in common. Leases are given anew when a worker needs more than it has: first all
 * give back what they do not use, then what is free is divided. So all leases together are at no moment more than the
 * total, and nobody is refused while there is room.
 */
export class Rooms {
  private readonly steps = new Serial()
  /** The most that each can use: what it said, or the lease that it has since. One that has ended keeps its place. */
  private readonly usedMax = new Map<number, number>()

  /** @param tenants - those that run; what the others used counts as they last said it */
  constructor(
    private readonly totalBytes: number,
    private readonly tenants: () => readonly (Tenant | undefined)[]
  ) {}

  /** Divides anew, with so much more for one of them when it is there. */
  divide(wanted?: { readonly index: number; readonly bytes: number }): Promise<void> {
    return this.steps.run(() => this.divideNow(wanted))
  }

  private async divideNow(wanted: { readonly index: number; readonly bytes: number } | undefined): Promise<void> {
    const tenants = this.tenants()
    await Promise.all(
      tenants.map(async (tenant, index) => {
        const used = await tenant?.yieldRoom().catch(() => undefined)
        if (used !== undefined) this.usedMax.set(index, used)
      })
    )
    const used = tenants.map((_tenant, index) => this.usedMax.get(index) ?? 0)
    const usedBytes = used.reduce((sum, one) => sum + one, 0)
    const free = Math.max(0, this.totalBytes - usedBytes)
    const reserved = wanted && wanted.bytes <= free ? wanted.bytes : 0
    const each = Math.floor((free - reserved) / tenants.length)
    await Promise.all(
      tenants.map(async (tenant, index) => {
        const bytes = used[index]! + each + (wanted?.index === index ? reserved : 0)
        if (!tenant) return
        this.usedMax.set(index, bytes)
        // One that ends meanwhile has used what it has used.
        await tenant.lease(bytes, usedBytes - used[index]!).catch(() => undefined)
      })
    )
  }
}
