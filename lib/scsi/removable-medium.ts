import type { Nexus } from './nexus.js'

/**
 * The medium of a unit that says it is removable (RMB): it can be ejected and loaded again by START STOP UNIT, unless a
 * nexus prevents that (PREVENT ALLOW MEDIUM REMOVAL, SPC-4 §6.14). What it holds does not change by it.
 */
export class RemovableMedium {
  present = true
  private readonly preventing = new Set<Nexus>()

  /** Somebody, no matter who, prevents the removal. */
  get removalPrevented(): boolean {
    return this.preventing.size > 0
  }

  prevent(nexus: Nexus): void {
    this.preventing.add(nexus)
  }

  /** By this nexus' leave, or because it is gone (an I_T nexus loss allows removal). */
  allow(nexus: Nexus): void {
    this.preventing.delete(nexus)
  }

  /** A reset of the unit allows removal for all. */
  reset(): void {
    this.preventing.clear()
  }
}
